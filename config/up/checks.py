"""What must be true before anything is started."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.conf import settings

from config.own_processes import wait_until
from config.up.terminal import CannotStart
from database import disk


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for us. The kernel lets go when we end, however we end."""
    path = data_dir / "up.lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise CannotStart(f"The data folder {data_dir} cannot be written ({error.strerror}): set DATA_DIR.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip()
            raise CannotStart(f"Countersign is already running over {data_dir} (process {holder}).") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def enough_disk(data_dir: Path) -> None:
    free = disk.free(data_dir)
    if free < settings.DISK_RESERVE_MB * disk.MB:
        raise CannotStart(f"The disk of {data_dir} is nearly full ({free // disk.MB} MB free): make room first.")


def port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise CannotStart(f"PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def port_free(host: str, port: int) -> None:
    """Ask by binding. A predecessor that was killed a moment ago may still be on its way out."""
    problem: OSError | None = None

    def binds() -> bool:
        nonlocal problem
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            problem = error
            return False
        return True

    if not wait_until(binds, 1, pause=0.1):
        reason = problem.strerror if problem else ""
        raise CannotStart(f"Port {port} on {host} cannot be used ({reason}): end what holds it, or set PORT.")


def database_answers(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise CannotStart(f"The database of DATABASE_URL does not answer: {reason}") from error
