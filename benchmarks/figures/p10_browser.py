"""P10: a step of the playbook agent at a real browser: decide, commit, act, look, commit; beside a bare screenshot."""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

from benchmarks.bench import Bench
from benchmarks.installation import until
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row, ms
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.processes.lifecycle import stop_all_processes
from machines.processes.sessions import open_session
from machines.schemas import MachineCreate
from machines.services import create_machine
from runs.models import Run, Step

CLICKS, PICTURES = (20, 2), (20, 2)
FIRST, GOAL = "≤ 300 ms", "≤ 120 ms"
PAGE = b"""<!doctype html><title>Counter</title><h1>Counter</h1><label>Name <input name="who"></label>
<button onclick="n.textContent = Number(n.textContent) + 1">Count</button><p id="n">0</p>"""


class _Page(BaseHTTPRequestHandler):
    page = PAGE

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *args: object) -> None:
        return None


@contextmanager
def site(page: bytes = PAGE) -> Iterator[str]:
    """The page on loopback; yields host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_ThisPage", (_Page,), {"page": page}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def measure(bench: Bench) -> list[Row]:
    what = "browser step: decide + commit + act + look + commit"
    if lacks := driver_for("browser").missing():
        return [Row("P10", what, f"not measured: {lacks[0]}", first=FIRST, goal=GOAL)]
    with site() as host, bench.here.workers(1, MACHINE_ALLOWED_HOSTS=host):
        machine = browser_machine(bench)
        try:
            steps = _steps(bench, machine, host)
            pictures = asyncio.run(_pictures(machine.id, bench.of(*PICTURES)))
        finally:
            stop_all_processes()
    step, picture = statistics.median(steps), statistics.median(pictures)
    return [
        Row(
            "P10",
            f"{what}, p50",
            f"{ms(step)} ms",
            f"bare screenshot {ms(picture)} ms",
            step / picture,
            FIRST,
            GOAL,
            (Mark(step, 0.3, 0.12),),
            {"p50_ms": step * 1000, "picture_ms": picture * 1000, "steps": len(steps)},
        )
    ]


def browser_machine(bench: Bench) -> Machine:
    made = create_machine(bench.scene.live, MachineCreate(display_name="Browser", kind="browser"))
    until(lambda: Machine.objects.get(id=made.id).status not in ("creating", "starting"))
    made.refresh_from_db()
    if made.status != "running":
        raise RuntimeError(f"The browser did not start: {made.problem}")
    return made


def _steps(bench: Bench, machine: Machine, host: str) -> list[float]:
    """Seconds from the outcome of a step to the outcome of the next, without the one that loads the page."""
    task = "\n".join([f"open http://{host}/", *['click the button "Count"'] * (bench.of(*CLICKS) + 1)])
    run_id = start_run(bench.scene.live, task, agent="playbook", machine_id=machine.id)
    until(lambda: Run.objects.get(id=run_id).status not in ("queued", "running"), 90, 0.2)
    run = Run.objects.get(id=run_id)
    if run.status != "succeeded":
        raise RuntimeError(f"The run is {run.status}: {run.awaiting_human_reason or run.error}")
    ends = list(Step.objects.filter(run_id=run_id).order_by("index").values_list("finished_at", flat=True))
    return [(end - begin).total_seconds() for begin, end in pairwise(ends[1:]) if begin and end]


async def _pictures(machine_id: str, count: int) -> list[float]:
    connected = await open_session(machine_id)
    taken = []
    for _ in range(count + 1):
        begun = time.perf_counter()
        await connected.session.screenshot()
        taken.append(time.perf_counter() - begun)
    await connected.session.close()
    return taken[1:]
