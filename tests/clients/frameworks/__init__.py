"""Installations of the frameworks that the adapters are for, each in an environment of its own: they pin what the product pins too."""

import fcntl
import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CLIENT = ROOT / "clients" / "python"


@functools.cache
def python_of(framework: str) -> str:
    """A Python with langgraph, openai-agents or browser-use. Made once, and anew when its lock file changes; skips offline."""
    lock = HERE / f"{framework}.lock"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(os.environ["TOOLS_DIR"]) / "clients" / f"{framework}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder / "installed"
    with (folder.parent / f"{framework}.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not done.exists():
            _install(folder, lock)
            done.touch()
    return str(folder / "bin" / "python")


def _install(folder: Path, lock: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    command = [
        folder / "bin" / "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
    ]
    outcome = subprocess.run([*command, "-r", lock], capture_output=True, text=True, check=False)
    if outcome.returncode:
        pytest.skip(f"{lock.stem} cannot be installed: {outcome.stderr.strip().splitlines()[-1]}")


def environment() -> dict[str, str]:
    """For a program that uses an adapter: without the product's code, and without calls to a vendor."""
    silent = {
        "ANONYMIZED_TELEMETRY": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "BROWSER_USE_LOGGING_LEVEL": "result",
    }
    return {**os.environ, **silent, "PYTHONPATH": str(CLIENT), "OPENAI_API_KEY": "unused"}


def start(framework: str, script: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of docs/examples with the Python of this framework."""
    return _started(framework, ROOT / "docs" / "examples" / script, arguments)


def start_own(framework: str, script: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of this folder, likewise."""
    return _started(framework, HERE / script, arguments)


def _started(framework: str, script: Path, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    command = [python_of(framework), script, *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(program: subprocess.Popen[str]) -> list[str]:
    """What it printed, once it has ended well."""
    try:
        output, trouble = program.communicate(timeout=120)
    finally:
        program.kill()
    assert program.returncode == 0, trouble
    return output.splitlines()
