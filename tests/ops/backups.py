"""Backups made by hand, as somebody would who wants a restore to do harm."""

import functools
import io
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from config.backup.archive import FORMAT, MANIFEST, Manifest
from config.backup.passphrase import key_of
from config.backup.sealed import SealedWriter

WORDS = "a passphrase that is long"
MACHINE = "mch_0VcJxohakna4UKymuncDyv"
KEY_OF = functools.cache(key_of)  # slow on purpose: made once for all tests that share a salt
Fill = Callable[[tarfile.TarFile], object]


def manifest(**more: object) -> Manifest:
    values = {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "secret_key": "k" * 60, "tables": {}, "sequences": {}}
    return Manifest(**(values | more))  # type: ignore[arg-type]


def write(path: Path, fill: Fill = lambda tar: None, head: Manifest | None = None, **public: object) -> Path:
    """A sealed file with a manifest and whatever `fill` adds to its tar."""
    with path.open("wb") as file:
        said = {"format": FORMAT, "version": "0.1.0", "migrations": []} | public
        sealed = SealedWriter(file, WORDS, said)
        with tarfile.open(fileobj=sealed, mode="w:", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            add(tar, MANIFEST, (head or manifest()).dump())
            fill(tar)
        sealed.close()
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **more: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in more.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))
