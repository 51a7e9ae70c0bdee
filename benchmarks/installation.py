"""A throw-away installation on durable PostgreSQL (fsync on) with real web and worker processes."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import httpx
import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
DATABASE, BLANK = "countersign", "blank"


def until(condition: Callable[[], Any], seconds: float = READY_SECONDS, pause: float = 0.02) -> Any:
    """The condition's first true value. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"Not so after {seconds} s.")
        time.sleep(pause)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """The database is up and django.setup() has run; processes are started by the figures that need them."""

    def __init__(self, folder: Path) -> None:
        from config.postgres.server import Postgres

        self.postgres = Postgres(folder)
        self.postgres.start()
        self.postgres.create_database(DATABASE)
        self.url = self.postgres.url(DATABASE)
        self.children: list[subprocess.Popen[bytes]] = []
        os.environ |= {"DATABASE_URL": self.url, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
        os.environ |= {
            "RATE_LIMIT_PER_MINUTE": "1000000",
            "RATE_LIMIT_RUNS_PER_MINUTE": "1000000",
            "STREAMS_PER_KEY": "2000",
        }
        os.environ |= {"STREAM_CONNECTS_PER_MINUTE": "1000000"}
        django.setup()

    def migrate(self) -> None:
        """Once; every figure begins with a copy of what this made."""
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        self._copy(DATABASE, BLANK)

    def fresh_database(self) -> None:
        self._copy(BLANK, DATABASE)

    def _copy(self, source: str, name: str) -> None:
        from django.db import connections

        connections.close_all()
        names = {"name": sql.Identifier(name), "source": sql.Identifier(source)}
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as link:
            link.execute(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**names))
            link.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {source}").format(**names))

    def version(self) -> str:
        with psycopg.connect(self.url) as link:
            return str(link.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]

    def manage(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        child = subprocess.Popen(command, env=os.environ | environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        self.children.append(child)
        return child

    @contextmanager
    def workers(self, count: int = 2, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A cluster with `count` worker processes, ready to drive."""
        from runs.models import Worker

        child = self.manage("qcluster", WORKERS=str(count), COUNTERSIGN_PROCESS="worker", **environment)
        until(lambda: Worker.objects.count() >= count)
        try:
            yield child
        finally:
            self.end(child)
            Worker.objects.all().delete()

    @contextmanager
    def web(self, application: str = "config.asgi:application", **environment: str) -> Iterator[str]:
        """One web process; yields its address."""
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "daphne",
            "-b",
            "127.0.0.1",
            "-p",
            str(port),
            "--access-log",
            os.devnull,
            application,
        ]
        settings = os.environ | {"COUNTERSIGN_PROCESS": "web"} | environment
        child = subprocess.Popen(command, env=settings, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        address = f"http://127.0.0.1:{port}"
        until(lambda: _answers(address))
        try:
            yield address
        finally:
            self.end(child)

    def end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def end_all(self) -> None:
        while self.children:
            self.end(self.children.pop())

    def close(self) -> None:
        from django.db import connections

        self.end_all()
        connections.close_all()
        self.postgres.stop()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v1/health").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-"))
    folder.chmod(0o711)
    here: Installation | None = None
    try:
        here = Installation(folder)
        here.migrate()
        yield here
    finally:
        if here is not None:
            here.close()
        shutil.rmtree(folder, ignore_errors=True)
