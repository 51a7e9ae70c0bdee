"""A sealed file: only its passphrase opens it, and no byte of it can be changed, moved or left out unnoticed."""

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.backup import sealed
from config.backup.errors import BackupError, Damaged
from config.backup.passphrase import passphrase
from config.backup.sealed import FRAME, MAGIC, SealedReader, SealedWriter
from tests.ops.backups import KEY_OF

WORDS = "a passphrase that is long"


@pytest.fixture(autouse=True)
def _one_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is slow on purpose: made once for all of these."""
    monkeypatch.setattr(sealed, "key_of", KEY_OF)
    monkeypatch.setattr(os, "urandom", lambda n: b"s" * n)


def seal(data: bytes, public: str = "1") -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, WORDS, {"public": public})
    writer.write(data)
    writer.close()
    return file.getvalue()


def unseal(whole: bytes, words: str = WORDS) -> bytes:
    reader = SealedReader(io.BytesIO(whole), words)
    parts = []
    while part := reader.read(100_000):
        parts.append(part)
    reader.finish()
    return b"".join(parts)


def frames(whole: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame begins and ends."""
    at = whole.index(b"\n", len(MAGIC)) + 1
    while at < len(whole):
        length = struct.unpack(">I", whole[at : at + 4])[0]
        yield at, at + 4 + length
        at += 4 + length


THREE = os.urandom(2 * FRAME + 1000)


@pytest.mark.parametrize("data", [b"", b"x", THREE, bytes(5_000_000)])
def test_what_was_written_is_read(data: bytes) -> None:
    assert unseal(seal(data)) == data


def test_nothing_of_it_can_be_read_in_the_file() -> None:
    assert b"secret words" not in seal(b"secret words")


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(BackupError, match="passphrase is wrong"):
        unseal(seal(b"data"), "another passphrase")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_a_changed_byte_is_noticed_wherever_it_is(share: float) -> None:
    whole = bytearray(seal(THREE))
    whole[int(share * (len(whole) - 1))] ^= 1
    with pytest.raises(BackupError):
        unseal(bytes(whole))


def test_every_single_byte_of_a_short_one_counts() -> None:
    whole = seal(b"some data")
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x20
        with pytest.raises(BackupError):
            unseal(bytes(changed))


def test_what_anybody_may_read_cannot_be_changed() -> None:
    whole = seal(b"data", "version 1")
    with pytest.raises(BackupError):
        unseal(whole.replace(b"version 1", b"version 2"))


def test_a_file_that_ends_too_early_is_noticed_wherever_it_ends() -> None:
    whole = seal(THREE)
    cuts = [*[end for _, end in frames(whole)][:-1], len(whole) - 1, len(whole) // 2, 10, 0]
    assert len(cuts) == 6
    for cut in cuts:
        with pytest.raises(Damaged):
            unseal(whole[:cut])


def test_frames_in_another_order_are_noticed() -> None:
    whole = seal(THREE)
    (a, b), (c, d), *_ = frames(whole)
    with pytest.raises(BackupError):
        unseal(whole[:a] + whole[c:d] + whole[a:b] + whole[d:])
    with pytest.raises(Damaged):
        unseal(whole[:b] + whole[d:])


def test_nothing_may_follow() -> None:
    with pytest.raises(Damaged):
        unseal(seal(b"data") + b"x")


def test_two_files_of_one_passphrase_share_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert seal(b"data") != seal(b"data")


def test_nobody_makes_it_hold_much_at_once() -> None:
    reader = SealedReader(io.BytesIO(seal(bytes(200_000_000))), WORDS)
    with pytest.raises(Damaged, match="larger"):
        reader.read(30_000_000)
    reader.read(10)
    assert len(reader._ready) <= FRAME


# --- the passphrase


def test_it_comes_from_the_environment_or_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("words in a file\n")
    monkeypatch.setenv("BACKUP_PASSPHRASE_FILE", str(tmp_path / "words"))
    assert passphrase(new=True) == "words in a file"
    monkeypatch.setenv("BACKUP_PASSPHRASE", "words of the environment")
    assert passphrase(new=False) == "words of the environment"


def test_a_short_one_is_refused_for_a_new_backup_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_PASSPHRASE", "short")
    assert passphrase(new=False) == "short"
    with pytest.raises(BackupError, match="at least 12"):
        passphrase(new=True)


def test_without_a_terminal_it_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKUP_PASSPHRASE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    with pytest.raises(BackupError, match="BACKUP_PASSPHRASE"):
        passphrase(new=True)


def test_at_a_terminal_a_new_one_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one of the two words", "the other one"])
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    with pytest.raises(BackupError, match="differ"):
        passphrase(new=True)
