"""Which Chromium browser machines run: the one of MACHINE_BROWSER, else one of this computer that works, else the fetched one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from machines.drivers.base import MachineSpec
from machines.drivers.isolation import bubblewrap, sandbox
from machines.drivers.isolation.resource_limits import Limits, around
from machines.drivers.places import prepare
from machines.tools import chromium_package
from machines.tools.catalogue import CHROMIUM, being_fetched, unfit

# The name on the PATH; beside it, where the program itself lies when what is on the PATH is a script that the sandbox lacks files of.
_NAMES = (
    ("chromium-headless-shell", "/usr/lib/chromium/chromium-headless-shell"), ("chromium", ""), ("chromium-browser", ""),
)  # fmt: skip
_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Program:
    """A browser's file, and what its environment must hold."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """The first words of its command line; what follows are its options."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return ["/usr/bin/env", *settings, self.path] if settings else [self.path]

    @property
    def folder(self) -> str | None:
        """What a sandbox must show besides /usr."""
        folder = str(Path(self.path).resolve().parent)
        return None if folder.startswith("/usr/") else folder


def browser_program() -> Program | None:
    """The browser to start; None where there is none that works."""
    if name := os.environ.get("MACHINE_BROWSER"):
        path = shutil.which(name)
        return Program(path) if path else None
    return next((p for p in _installed() if works(p)), None) or fetched()


def _installed() -> list[Program]:
    paths = [(shutil.which(name), direct) for name, direct in _NAMES]
    return [Program(direct if direct and os.access(direct, os.X_OK) else path) for path, direct in paths if path]


def fetched() -> Program | None:
    """The Chromium that was fetched: tried out then, so believed."""
    return in_folder(CHROMIUM.folder) if CHROMIUM.folder.exists() else None


def in_folder(folder: Path) -> Program:
    """The fetched Chromium, wherever its folder is just now."""
    return Program(str(folder / CHROMIUM.program), chromium_package.environment(folder))


def works(program: Program) -> bool:
    """Whether it answers from inside a sandbox: a package may be a stub that only leads to an app store.

    Asked once per process and file; where no sandbox can be made nothing is known, and it is believed.
    """
    if not sandbox.bubblewrap_here():
        return True
    try:
        facts = Path(program.path).stat()
    except OSError:
        return False
    return _answers(program.path, (facts.st_ino, facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=32)
def _answers(path: str, identity: tuple[int, ...]) -> bool:
    with tempfile.TemporaryDirectory(prefix="countersign-look-") as folder:
        try:
            done = inside(Path(folder), [path, "--version"], Program(path).folder)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0 and "chrom" in done.stdout.lower()


def inside(folder: Path, command: Sequence[str], shown: str | None) -> "subprocess.CompletedProcess[str]":
    """Run a command in a sandbox as machines have it, with `shown` of the host visible too."""
    bwrap = sandbox.bubblewrap_here()
    assert bwrap
    places = prepare(MachineSpec(id="look", kind="browser", folder=folder, width=1, height=1))
    extra = ["--ro-bind", shown, shown] if shown else []
    whole = around([*bubblewrap.command_line(bwrap.path, places, extra), *command], Limits(), bwrap.path)
    return subprocess.run(whole, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)


def no_browser() -> str:
    """Why there is no browser and what to do, as one sentence."""
    if name := os.environ.get("MACHINE_BROWSER"):
        return f"MACHINE_BROWSER names {name}, which is not there."
    if being_fetched():
        return f"{CHROMIUM.title} is being fetched just now; that takes a minute."
    if unfit():
        return f"{unfit()} Install Chromium, or set MACHINE_BROWSER to its path."
    return "There is no Chromium: manage.py fetch chromium (or make machines, or set MACHINE_BROWSER to its path)."
