"""Programs of ours that outlive who started them: `python -m MODULE SPEC` leaves its starter behind and prints one line."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from machines.drivers import process
from machines.drivers.within import within

_PACKAGE_ROOT = Path(__file__).parents[2]


async def start(module: str, spec: dict[str, Any], log_path: Path, seconds: float) -> dict[str, Any]:
    """What the program announces; nothing when it ended before, or said nothing for so long: the log says why."""
    modules = ":".join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    with log_path.open("wb") as log:
        starter = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, json.dumps(spec)),
            cwd="/",
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": modules},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert starter.stdout is not None
    await starter.wait()
    facts: Any = None
    with contextlib.suppress(TimeoutError, ValueError):
        facts = json.loads(await within(seconds, starter.stdout.readline()))
    return facts if isinstance(facts, dict) else {}


def last_words(log_path: Path) -> str:
    return log_path.read_text(encoding="utf-8", errors="replace")[-500:]


def leave_starter() -> dict[str, Any]:
    """The program's first act. Returns its SPEC."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return spec


def identity() -> dict[str, int]:
    """As process.recorded() reads it."""
    me = process.identify(os.getpid())
    assert me is not None
    return {"pid": me.pid, "starttime": me.starttime}


def announce(facts: dict[str, Any], streams: Iterable[int] = (1,)) -> None:
    """Tell the starter who we are and these facts; from then on nobody listens, and the streams lead nowhere."""
    print(json.dumps({**identity(), **facts}), flush=True)  # noqa: T201
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(silence, stream)
    os.close(silence)
