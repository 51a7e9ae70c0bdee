"""Pictures are kept once, under their own hash."""

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from database.stored_files import StorageFull
from machines import pictures


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_picture_is_kept_once_under_its_hash(artifacts: Path) -> None:
    sha = pictures.store(b"picture")
    assert sha == hashlib.sha256(b"picture").hexdigest()
    assert files(artifacts) == [f"pictures/{sha[:2]}/{sha[2:]}.png"]
    written = (artifacts / files(artifacts)[0]).stat().st_ino
    assert pictures.store(b"picture") == sha
    pictures.forget()
    assert pictures.store(b"picture") == sha
    assert (artifacts / files(artifacts)[0]).stat().st_ino == written
    assert pictures.read(sha) == b"picture"


def test_a_picture_cut_short_by_a_crash_is_written_again(artifacts: Path) -> None:
    sha = pictures.store(b"picture")
    pictures.forget()
    (artifacts / pictures.path_of(sha)).write_bytes(b"")
    pictures.store(b"picture")
    assert pictures.read(sha) == b"picture"


def test_an_unknown_picture_is_not_found(artifacts: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pictures.read("0" * 64)


def test_a_full_disk_is_told_and_leaves_nothing(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StorageFull):
            pictures.store(b"picture")
    assert files(artifacts) == []
    sha = pictures.store(b"picture")
    assert pictures.read(sha) == b"picture"
