"""Files on Django's default storage, named by what is in them: written once, never changed, shared by all who name them."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages

from database.outages import is_full

_GOING = ".going."


class StorageFull(OSError):
    """The disk or bucket that holds the files has no room left."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "There is no room left to store files. Free some space on the disk.")


def write(path: str, data: bytes) -> None:
    """Keep a file whose name is made of what is in it, whole or not at all. Raises StorageFull; OSError for other failures."""
    try:
        _write(path, data)
    except OSError as error:
        if is_full(error):
            raise StorageFull from error
        raise


def _write(path: str, data: bytes) -> None:
    storage: Storage = storages["default"]
    is_there = storage.exists(path) and storage.size(path) == len(data)  # a crash may leave it empty
    if is_there and _renewed(storage, path):
        return
    if isinstance(storage, FileSystemStorage):
        _write_file(Path(storage.path(path)), data)
    else:
        storage.save(path, ContentFile(data))


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


def _write_file(path: Path, data: bytes) -> None:
    """Beside its final place, then one rename: nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
