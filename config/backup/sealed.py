"""A stream that only the passphrase opens: compressed, then sealed in frames, so that neither end holds much in memory.

MAGIC, one line of JSON that anybody may read, then frames: 4 bytes of length, AES-256-GCM of at most FRAME bytes. The nonce
counts the frames and marks the last one, the line of JSON is authenticated with each: a frame that is changed, moved, left out
or cut off is noticed before anything of it is used. The key is made of the passphrase and a salt of this file alone, so that
no nonce is used twice.
"""

import json
import os
import struct
import zlib
from types import TracebackType
from typing import IO, Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.backup.errors import BackupError, Damaged
from config.backup.passphrase import key_of

MAGIC = b"countersign backup\n"
LONGEST_LINE = 64 * 1024
FRAME = 256 * 1024
TAG = 16
SALT = 16
LEVEL = 1  # zlib: pictures are compressed already
MOST_READ = 16 * 1024 * 1024  # that anybody may ask for at once: more is no backup of ours


def _nonce(number: int, last: bool) -> bytes:
    return struct.pack(">QI", number, last)


class SealedWriter:
    """A file object that takes bytes; what is not closed has no end and is never accepted as whole."""

    def __init__(self, file: IO[bytes], words: str, public: dict[str, Any]) -> None:
        salt = os.urandom(SALT)
        line = json.dumps(public | {"salt": salt.hex()}).encode() + b"\n"
        file.write(MAGIC + line)
        self._file, self._line, self._key = file, line, AESGCM(key_of(words, salt))
        self._squeeze, self._pending, self._number, self._at = zlib.compressobj(LEVEL), bytearray(), 0, 0

    def tell(self) -> int:
        return self._at

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._pending += self._squeeze.compress(data)
        while len(self._pending) > FRAME:  # never the last byte: the last frame is not empty
            self._frame(bytes(self._pending[:FRAME]), last=False)
            del self._pending[:FRAME]
        return len(data)

    def close(self) -> None:
        self._pending += self._squeeze.flush()
        while len(self._pending) > FRAME:
            self._frame(bytes(self._pending[:FRAME]), last=False)
            del self._pending[:FRAME]
        self._frame(bytes(self._pending), last=True)

    def _frame(self, data: bytes, *, last: bool) -> None:
        sealed = self._key.encrypt(_nonce(self._number, last), data, self._line)
        self._file.write(struct.pack(">I", len(sealed)) + sealed)
        self._number += 1


def public_part(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """What anybody may read of a backup, and its line. Leaves the file at the first frame. Raises Damaged."""
    if file.read(len(MAGIC)) != MAGIC:
        raise Damaged("This is not a backup of Countersign.")
    line = file.readline(LONGEST_LINE)
    try:
        public = json.loads(line)
        bytes.fromhex(public["salt"])
        return dict(public), line
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged("The backup is damaged: its first lines cannot be read.") from error


class SealedReader:
    """A file object that gives back what was written; forwards only, as much of a file as tarfile needs to read one.

    Raises Damaged for whatever is not as it was written, BackupError for a wrong passphrase.
    """

    def __init__(self, file: IO[bytes], words: str) -> None:
        public, self._line = public_part(file)
        self._file, self._key = file, AESGCM(key_of(words, bytes.fromhex(public["salt"])))
        self._swell, self._ready, self._number, self._ended, self._at = zlib.decompressobj(), bytearray(), 0, False, 0
        self._fill()

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_READ:
            raise Damaged("The backup is damaged: something in it is larger than it may be.")
        while len(self._ready) < size and self._fill():
            pass
        data = bytes(self._ready[:size])
        del self._ready[:size]
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> int:
        """Skips what lies between. Raises Damaged for a way back."""
        if position < self._at:
            raise Damaged("The backup is damaged: its parts overlap.")
        while self._at < position:
            if not self.read(min(FRAME, position - self._at)):
                raise Damaged("The backup is damaged: it ends in the middle of a part.")
        return self._at

    def finish(self) -> None:
        """Read on to the end. Raises Damaged unless the last frame is there and nothing follows."""
        while self._fill():
            self._ready.clear()

    def _fill(self) -> bool:
        """Some more bytes; False at the end. What is left of a frame is swollen in pieces: zeros compress to nothing."""
        if self._swell.unconsumed_tail:
            self._ready += self._swell.decompress(self._swell.unconsumed_tail, FRAME)
            return True
        if self._ended:
            return False
        try:
            self._ready += self._swell.decompress(self._frame(), FRAME)
        except zlib.error as error:
            raise Damaged("The backup is damaged: it cannot be decompressed.") from error
        return True

    def _frame(self) -> bytes:
        head = self._file.read(4)
        length = struct.unpack(">I", head)[0] if len(head) == 4 else 0
        if not TAG <= length <= FRAME + TAG:
            raise Damaged("The backup is damaged or cut short.")
        sealed = self._file.read(length)
        if len(sealed) < length:
            raise Damaged("The backup is cut short.")
        for last in (False, True):
            try:
                data = self._key.decrypt(_nonce(self._number, last), sealed, self._line)
            except InvalidTag:
                continue
            self._number, self._ended = self._number + 1, last
            if last and self._file.read(1):
                raise Damaged("The backup is damaged: something follows its end.")
            return data
        if self._number == 0:
            raise BackupError("The passphrase is wrong, or the backup is damaged at its beginning.")
        raise Damaged("The backup is damaged or cut short.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
