"""Web processes of a test, started as in production."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from config.own_processes import command_of, wait_until

ROOT = Path(__file__).resolve().parents[2]
Web = Callable[..., str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/v1/health").status_code == 200
    return False


@pytest.fixture
def web(database_url: str) -> Iterator[Web]:
    """web() starts one more web process and gives its address; web(port) one at a port that was left."""
    with web_processes(database_url) as start:
        yield start


@pytest.fixture(scope="module")
def shared_web(database_url_of_module: str) -> Iterator[str]:
    """The address of one web process for all tests of a file that leave it alive."""
    with web_processes(database_url_of_module) as start:
        yield start()


@contextmanager
def web_processes(database_url: str) -> Iterator[Web]:
    """All that were started are ended with it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int | None = None) -> str:
        port = port or free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"],
            cwd=ROOT,
            env=os.environ
            | {"DATABASE_URL": database_url, "COUNTERSIGN_PROCESS": "web"}
            | {"DJANGO_SETTINGS_MODULE": "tests.live.web_settings"},
        )
        started.append(process)
        address = f"http://127.0.0.1:{port}"
        assert wait_until(lambda: answers(address), 90)
        return address

    try:
        yield start
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def client(key: str) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(headers={"X-API-Key": key}, timeout=5, limits=limits) as found:
        yield found


def process_behind(address: str) -> int:
    port = address.rsplit(":", 1)[1]
    words = {"-p", port, "config.asgi:application"}
    (pid,) = [int(p.name) for p in Path("/proc").glob("[0-9]*") if words <= set(command_of(int(p.name)))]
    return pid


def replaced(web: Web, address: str) -> None:
    """The process is ended, as for an update, and another one takes its place at the same address."""
    os.kill(process_behind(address), signal.SIGTERM)
    assert wait_until(lambda: not answers(address), 60)
    web(int(address.rsplit(":", 1)[1]))
