"""P11: from `git clone` to the first approved run that succeeded, as the README tells; packages come from pip's cache.

The clone is of what is committed. Python's environment, the installation, the database and the machines are all new.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.bench import Bench
from benchmarks.calls import Caller
from benchmarks.installation import ROOT, free_port, until
from benchmarks.table import Mark, Row

TASK = (
    "Create a file named approval.txt, ask for approval to finish,"
    " then check that the file approval.txt exists and stop"
)
SECONDS = 240.0
OURS = (
    "DATABASE_URL",
    "DATA_DIR",
    "DJANGO_SETTINGS_MODULE",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
)


def measure(bench: Bench) -> list[Row]:
    what = "fresh clone → first approved run, packages cached"
    if bench.tiny:
        return [Row("P11", what, "not measured: a tiny round installs nothing")]
    begun = time.monotonic()
    with _clone() as (folder, address):
        until(lambda: (folder / ".data" / "first-run.txt").exists() and _healthy(address), SECONDS, 0.1)
        ready = time.monotonic() - begun
        _first_run(folder, address)
        taken = time.monotonic() - begun
    return [
        Row(
            "P11",
            what,
            f"{taken:.0f} s",
            f"of it until the server answers {ready:.0f} s",
            None,
            "≤ 180 s",
            "≤ 60 s",
            (Mark(taken, 180, 60),),
            {"seconds": taken, "ready": ready},
        )
    ]


@contextmanager
def _clone() -> Iterator[tuple[Path, str]]:
    """A clone in which `make run` has been typed; (its folder, the address)."""
    place = Path(tempfile.mkdtemp(prefix="countersign-clone-"))
    place.chmod(0o711)
    folder, port = place / "countersign", free_port()
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | {"PORT": str(port)}
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    with (place / "said.txt").open("wb") as said:
        make = subprocess.Popen(
            ["make", "run"], cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        yield folder, f"http://127.0.0.1:{port}"
    except TimeoutError as error:
        raise TimeoutError((place / "said.txt").read_text()[-2000:]) from error
    finally:
        _end(make)
        shutil.rmtree(place, ignore_errors=True)


def _end(make: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and force for what is left of this group of processes."""
    for signum in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(make.pid, signum)
        with suppress(subprocess.TimeoutExpired):
            make.wait(15)
            return


def _healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v1/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _first_run(folder: Path, address: str) -> None:
    words = (folder / ".data" / "first-run.txt").read_text().split()
    key = next(word for word in words if word.startswith("cs_live_"))
    caller = Caller(address, key)
    machine = next(m["id"] for m in caller.call("GET", "/v1/machines")["data"] if m["kind"] == "terminal")
    run_id = caller.call("POST", "/v1/runs", {"machine_id": machine, "task": TASK})["id"]

    def status() -> str:
        return str(caller.call("GET", f"/v1/runs/{run_id}")["status"])

    until(lambda: status() == "awaiting_human", SECONDS, 0.1)
    caller.call("POST", f"/v1/runs/{run_id}/resume", {"approved": True})
    ended = until(lambda: (now := status()) not in ("queued", "running", "awaiting_human") and now, SECONDS, 0.1)
    if ended != "succeeded":
        raise RuntimeError(f"The first run {ended}.")
