"""`make test-bare`: what the README promises, on a computer that has nothing of what machines need.

A fresh clone, a PATH without the programs of `HIDDEN`, `make run`, the README's curl up to the approval, Approve in a browser
elsewhere, success: as a plain user, without network after the install, where user namespaces are refused, and as root.
What is tested is what is committed. Each round says how long it took; more than three minutes is too long, unless the computer
is busy with other things.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")  # where the browser that approves is found

from tests.bare.computer import ROOT, Computer, plain_user
from tests.bare.round import Round

LONGEST = 180  # seconds from the clone, or the start, to the success of the run


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="countersign-bare-"))
    place.chmod(0o711)
    try:
        with plain_user() as user:
            _as_plain_user(Computer(place / "plain", user))
        if user is None:
            print("root: left out, we are a plain user")
        else:
            _as_root(Computer(place / "root", None))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _as_plain_user(computer: Computer) -> None:
    _timed("plain user, fresh clone", lambda: _fresh(computer))
    computer.forget_data()
    _timed("offline after the install", lambda: _offline(computer))
    _timed("online again: the browser appears", lambda: _later(computer))
    computer.forget_data()
    _timed("user namespaces refused", lambda: _refused(computer))


def _as_root(computer: Computer) -> None:
    _timed("root, fresh clone", lambda: _fresh(computer))


def _fresh(computer: Computer) -> None:
    computer.clone()
    with Round(computer) as one:
        one.says("terminal ok")
        one.says("browser fetching")
        one.first_run()
        one.has_machine("Browser 1")


def _offline(computer: Computer) -> None:
    with Round(computer, offline=True) as one:
        one.first_run()
        one.says("Chromium 153 is not here: ")
        assert one.machines().keys() == {"Terminal 1"}


def _later(computer: Computer) -> None:
    with Round(computer) as one:
        one.has_machine("Browser 1")
        one.first_run()


def _refused(computer: Computer) -> None:
    with Round(computer, namespaces=False) as one:
        one.says("terminal ok")
        one.says("browser missing")
        one.first_run()
        assert one.machines().keys() == {"Terminal 1"}
        assert one.machines()["Terminal 1"]["isolation"] == "fence"


def _timed(name: str, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    print(f"{name} … ", end="", flush=True)
    work()
    took = time.monotonic() - begun
    busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
    print(f"ok {took:.0f} s{' on a computer that has other work' if busy else ''}", flush=True)
    if took > LONGEST and not busy:
        sys.exit(f"{name} took {took:.0f} s, more than {LONGEST}.")


if __name__ == "__main__":
    dirty = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    if dirty:
        print("Changes that are not committed are not tested here.")
    main()
