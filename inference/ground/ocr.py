"""Text in pictures, read by one child process for the whole installation (inference/ground/ocr_process.py).

Whoever asks first starts it, under a lock of a file, and hands it a socket that listens already; everybody else connects to that.
When it has died, or ended because nobody asked for long, the next question starts another.
"""

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.ground.ocr_process import LENGTH

IDLE_SECONDS = 120.0
ANSWER_SECONDS = 90.0  # a busy computer, and others before us
TRIES = 3
LONGEST_ANSWER = 32 * 1024 * 1024
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class OcrFailed(Exception):
    """The text of the picture could not be read."""


@dataclass(frozen=True)
class Word:
    """`score`: 0-1, how sure the reader is of the text."""

    text: str
    score: float
    box: Box


@dataclass(frozen=True)
class Line(Word):
    words: tuple[Word, ...] = field(default=())


def installed() -> bool:
    """Is the optional extra `ocr` here? Looks for it without importing it."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


async def read_text(png: bytes) -> list[Line]:
    """The lines of a picture. Raises OcrFailed; TimeoutError after ANSWER_SECONDS."""
    async with asyncio.timeout(ANSWER_SECONDS):
        for _ in range(TRIES):
            with suppress(OSError, asyncio.IncompleteReadError):
                return [_line(line) for line in json.loads(await _request(png))]
            await asyncio.to_thread(_start)
    raise OcrFailed("The process that reads text ended before it answered.")


async def _request(png: bytes) -> bytes:
    """Raises OSError or IncompleteReadError when there is no child, or it ends under the question."""
    with _address() as path:
        reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(LENGTH.pack(len(png)) + png)
        await writer.drain()
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        return await reader.readexactly(min(length, LONGEST_ANSWER))
    finally:
        writer.close()


def _line(kept: dict[str, Any]) -> Line:
    words = tuple(Word(word["text"], word["score"], tuple(word["box"])) for word in kept["words"])
    return Line(kept["text"], kept["score"], tuple(kept["box"]), words)


def _folder() -> Path:
    folder = Path(settings.DATA_DIR) / "ocr"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def _address() -> Iterator[str]:
    """The address of the socket. Through a descriptor of its folder: a path of more than 107 bytes is none for sockets."""
    folder = os.open(_folder(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = f"/proc/self/fd/{folder}"
        yield f"{near if Path(near).exists() else _folder()}/socket"
    finally:
        os.close(folder)


def _start() -> None:
    """Start the child unless somebody has done so meanwhile."""
    with (_folder() / "lock").open("w") as lock, _address() as path:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _listens(path):
            return
        with suppress(FileNotFoundError):
            Path(path).unlink()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            Path(path).chmod(0o600)
            server.listen(64)
            _launch(server.fileno())


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _launch(descriptor: int) -> None:
    """Nothing of our environment goes along: keys of models stand in it."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    child = subprocess.Popen(
        [sys.executable, "-m", "inference.ground.ocr_process", str(descriptor), str(IDLE_SECONDS)],
        cwd=settings.BASE_DIR,
        env=environment | {"OMP_NUM_THREADS": "1"},
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    _children[:] = [each for each in _children if each.poll() is None] + [child]  # poll() reaps those that have ended


_children: list[subprocess.Popen[bytes]] = []


def stop() -> None:
    """End the child that this process started, if it did."""
    for child in _children:
        child.kill()
        child.wait()
    _children.clear()
