"""P14: what a step of a model agent costs beside its model: answer received → action done → next request sent.

Both ends are seen by the server of models, a process of its own. Beside it a bare loop of the same SDK at the same machine: the same
page, pictures and clicks, the conversation in memory, no database. In turn, each with a growing history of pictures.
"""

import asyncio

from benchmarks.bench import Bench
from benchmarks.figures.p10_browser import browser_machine, site
from benchmarks.installation import until
from benchmarks.models import bare
from benchmarks.models.server import WIRES
from benchmarks.models.serving import Models, models
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row, ms, spread
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.processes.lifecycle import stop_all_processes
from machines.processes.sessions import open_session
from runs.models import Run

TURNS, ROUNDS = (20, 2), (3, 1)
FIRST, GOAL = "≤ 1.5x, +60 ms", "≤ 1.2x"
MORE = 0.06  # seconds
_LINE = "".join(f"<td>{word}</td>" for word in ("Invoice", "open", "Northwind Traders", "1,204.50", "2026-11-28"))
PAGE = f"""<!doctype html><title>Counter</title><body style="margin:0">
<button style="position:absolute;left:100px;top:100px;width:200px;height:60px"
 onclick="n.textContent = Number(n.textContent) + 1">Count</button><p id="n" style="margin:180px 0 0 100px">0</p>
<table>{f"<tr>{_LINE}</tr>" * 25}</table>""".encode()


def measure(bench: Bench) -> list[Row]:
    what = "model step without the model"
    if lacks := driver_for("browser").missing():
        return [Row("P14", what, f"not measured: {lacks[0]}", first=FIRST, goal=GOAL)]
    words = "--turns", str(bench.of(*TURNS)), "--page"
    with (
        site(PAGE) as host,
        models(bench.here, *words, f"http://{host}/") as server,
        bench.here.workers(1, MACHINE_ALLOWED_HOSTS=host),
    ):
        machine = browser_machine(bench)
        try:
            taken = {wire: _rounds(bench, server, wire, machine) for wire in WIRES}
        finally:
            stop_all_processes()
    return [_row(f"{what}, {wire}", *pairs) for wire, pairs in taken.items()]


def _rounds(bench: Bench, server: Models, wire: str, machine: Machine) -> tuple[list[float], list[float]]:
    """Seconds of each step (ours, bare), in turn; one round before imports the SDK on both sides."""
    profile = server.profile(bench.scene.live, wire)
    rounds = [
        (_run(bench, server, profile, machine), _bare(server, wire, machine)) for _ in range(bench.of(*ROUNDS) + 1)
    ]
    ours, theirs = ([gap for gaps in side for gap in gaps] for side in zip(*rounds[1:], strict=True))
    return ours, theirs


def _run(bench: Bench, server: Models, profile: str, machine: Machine) -> list[float]:
    run_id = start_run(bench.scene.live, bare.TASK, agent=profile, machine_id=machine.id)
    until(lambda: Run.objects.get(id=run_id).status not in ("queued", "running"), 90, 0.2)
    run = Run.objects.get(id=run_id)
    if run.status != "succeeded":
        raise RuntimeError(f"The run is {run.status}: {run.awaiting_human_reason or run.error}")
    return server.gaps()[1:]  # the first one loads the page


def _bare(server: Models, wire: str, machine: Machine) -> list[float]:
    asyncio.run(_drive(server, wire, machine.id))
    return server.gaps()[1:]


async def _drive(server: Models, wire: str, machine_id: str) -> None:
    connected = await open_session(machine_id)
    try:
        await bare.drive(wire, server.address, connected.session)
    finally:
        await connected.session.close()


def _row(what: str, ours: list[float], theirs: list[float]) -> Row:
    (p50, p99), (bare_p50, bare_p99) = spread(ours), spread(theirs)
    ratio, more = p50 / bare_p50, p50 - bare_p50
    return Row(
        "P14",
        f"{what}, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"bare loop of the SDK {ms(bare_p50)} / {ms(bare_p99)} ms",
        ratio,
        FIRST,
        GOAL,
        (Mark(ratio, 1.5, 1.2), Mark(more, MORE, MORE)),
        {
            "steps": len(ours),
            "p50_ms": p50 * 1000,
            "p99_ms": p99 * 1000,
            "bare_p50_ms": bare_p50 * 1000,
            "bare_p99_ms": bare_p99 * 1000,
            "ours": ours,
            "bare": theirs,
        },
    )
