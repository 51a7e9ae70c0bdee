"""Pictures of screens: content-addressed PNG files on Django's default storage, `pictures/ab/cd….png`.

A file is named by the SHA-256 of its bytes, so it is written once, never changed, and shared by all
who saw the same screen.
"""

import errno
import hashlib
import io
import os
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, default_storage, storages
from PIL import Image, ImageChops

from database.outages import is_full

REMEMBERED = 4096  # hashes that this process need not look up again
RENEW_SECONDS = 3600.0  # for so long: then the file's time is renewed, and retention sees that it is in use
_GOING = ".going."


class StorageFull(OSError):
    """The disk or bucket that holds the pictures has no room left."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "There is no room left to store pictures. Free some space on the disk.")


_recent: OrderedDict[str, float] = OrderedDict()  # when each was last stored, as time.monotonic() counts
_recent_lock = threading.Lock()


def store(png: bytes) -> str:
    """Keep the picture and return its SHA-256 (hex). Raises StorageFull; OSError for other failures."""
    sha = hashlib.sha256(png).hexdigest()
    if not _is_recent(sha):
        try:
            write(path_of(sha), png)
        except OSError as error:
            if is_full(error):
                raise StorageFull from error
            raise
        _remember(sha)
    return sha


def read(sha: str) -> bytes:
    """Raises FileNotFoundError."""
    with default_storage.open(path_of(sha)) as file:
        data: bytes = file.read()
    return data


def path_of(sha: str) -> str:
    return f"pictures/{sha[:2]}/{sha[2:]}.png"


def forget() -> None:
    """Look every picture up again: something else removed or moved files."""
    with _recent_lock:
        _recent.clear()


def _is_recent(sha: str) -> bool:
    with _recent_lock:
        if time.monotonic() - _recent.get(sha, float("-inf")) < RENEW_SECONDS:
            _recent.move_to_end(sha)
            return True
    return False


def _remember(sha: str) -> None:
    with _recent_lock:
        _recent[sha] = time.monotonic()
        while len(_recent) > REMEMBERED:
            _recent.popitem(last=False)


def write(path: str, png: bytes) -> None:
    """Keep a file whose name is made of what is in it, whole or not at all. Raises OSError."""
    storage: Storage = storages["default"]
    if (
        storage.exists(path) and storage.size(path) == len(png) and _renewed(storage, path)
    ):  # a crash may leave it empty
        return
    if isinstance(storage, FileSystemStorage):
        _write_file(Path(storage.path(path)), png)
    else:
        storage.save(path, ContentFile(png))


def _renewed(storage: Storage, path: str) -> bool:
    """Somebody needs it again. False when it is gone in this very moment."""
    try:
        if isinstance(storage, FileSystemStorage):
            os.utime(storage.path(path))
    except FileNotFoundError:
        return False
    return True


def remove(path: Path, before: float) -> bool:
    """Remove a file that nobody stored since `before` (seconds since 1970), not even while we look at it."""
    aside = path.with_name(f"{_GOING}{path.name}")
    try:
        path.rename(aside)  # who stores it from now on writes it anew
        if aside.stat().st_mtime >= before:
            with suppress(FileExistsError):
                os.link(aside, path)
            return False
        return True
    except FileNotFoundError:
        return False
    finally:
        aside.unlink(missing_ok=True)


def _write_file(path: Path, png: bytes) -> None:
    """Beside its final place, then one rename: nobody ever reads half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(png)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def changed_share(before: bytes, after: bytes) -> float:
    """The share (0-1) of 64x36 grey cells that differ by more than 16 of 255 (docs/api/approvals.md section 10)."""
    one, two = (
        Image.open(io.BytesIO(png)).convert("L").resize((64, 36), Image.Resampling.BOX) for png in (before, after)
    )
    differences = ImageChops.difference(one, two).tobytes()
    return sum(value > 16 for value in differences) / len(differences)
