"""The embedded PostgreSQL in awkward places and after violent ends."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.own_processes import wait_until
from config.postgres import home as postgres_home
from config.postgres.home import PostgresError
from config.postgres.server import Postgres, server_of

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.root  # only root has to become somebody else


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="countersign-pg-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(place: Path) -> Iterator[Postgres]:
    """One that has not been started before."""
    server = Postgres(place, fast=True)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """The folder of a server that was started once, and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="countersign-pg-"))
    folder.chmod(0o711)
    server = Postgres(folder, fast=True)
    server.start()
    server.stop()
    yield server.home
    shutil.rmtree(folder)


@pytest.fixture
def old_server(server: Postgres, place: Path, made: Path) -> Postgres:
    """One that was started before; to copy it takes a tenth of making it."""
    subprocess.run(["cp", "-a", made, place / made.name], check=True)
    return server


def execute(server: Postgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_data_outlives_kill_9(old_server: Postgres) -> None:
    old_server.fast = False
    old_server.start()
    execute(old_server, "CREATE TABLE kept AS SELECT 7 AS number")
    assert old_server.process is not None
    old_server.process.kill()
    old_server.process.wait()
    old_server.start()
    assert execute(old_server, "SELECT number FROM kept") == [(7,)]


def test_it_listens_on_no_port_and_its_folder_is_closed(server: Postgres) -> None:
    server.start()
    assert execute(server, "SHOW listen_addresses") == [("",)]
    assert server.sockets.stat().st_mode & 0o077 == 0


@as_root
def test_another_user_cannot_connect_even_through_the_socket(old_server: Postgres) -> None:
    old_server.start()
    pid = os.fork()
    if pid == 0:  # the very user that the server runs as: it may open the socket, yet has no role
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        try:
            psycopg.connect(old_server.url("postgres"))
        except psycopg.OperationalError as error:
            os._exit(7 if "Peer authentication failed" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_server_left_by_a_killed_supervisor_is_ended_first(old_server: Postgres, place: Path) -> None:
    old_server.start()
    left = old_server.process
    assert left is not None
    other = Postgres(place, fast=True)
    other.start()
    assert wait_until(lambda: left.poll() is not None, 5)
    assert other.running()
    assert server_of(other.home) == (other.process.pid if other.process else None)
    other.stop()


def test_a_stale_pid_file_is_no_obstacle(old_server: Postgres) -> None:
    old_server.start()
    old_server.stop()
    (old_server.home / "postmaster.pid").write_text(f"{os.getpid()}\n{old_server.home}\n")
    assert server_of(old_server.home) is None
    old_server.start()
    assert old_server.running()


def test_an_interrupted_first_start_is_begun_anew(server: Postgres, place: Path) -> None:
    half = place / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert server.running()
    assert not half.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_folder(place: Path) -> None:
    server = Postgres(place / ("deep" * 20) / "data", fast=True)
    server.data_dir.mkdir(parents=True)
    server.start()
    assert str(server.sockets).startswith("/tmp/countersign-")
    assert server.sockets.stat().st_mode & 0o077 == 0
    assert execute(server, "SELECT 1") == [(1,)]
    server.stop()
    server.sockets.rmdir()


@as_root
def test_below_a_closed_folder_the_data_lies_elsewhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = place / "shared"
    monkeypatch.setattr(postgres_home, "SHARED", elsewhere)
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for _start in range(2):
        server = Postgres(closed, fast=True)
        server.start()
        assert (closed / "postgres").is_symlink()
        assert len(list(elsewhere.glob("countersign-*"))) == 1
        server.stop()


@as_root
def test_programs_below_a_closed_folder_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_home, "SHARED", place)
    monkeypatch.setattr(postgres_home, "reachable", lambda path, owner: "site-packages" not in str(path))
    server = Postgres(place, fast=True)
    server.start()
    assert (place / "postgres").is_dir()
    assert server.process is not None
    assert str(server.process.args[0]).startswith(str(place))  # type: ignore[index]
    server.stop()


def test_a_server_that_cannot_start_says_why(old_server: Postgres) -> None:
    old_server.start()
    old_server.stop()
    with (old_server.home / "postgresql.conf").open("a") as file:
        file.write("\nshared_preload_libraries = 'nothing_of_the_kind'\n")
    with pytest.raises(PostgresError, match="nothing_of_the_kind"):
        old_server.start()


START_AND_DIE = """
import os, signal, sys
from pathlib import Path
from config.postgres.server import Postgres
server = Postgres(Path(sys.argv[1]), fast=True)
server.start()
print(server.home, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_stops_when_its_starter_dies(place: Path) -> None:
    command = [sys.executable, "-c", START_AND_DIE, str(place)]
    starter = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    home = Path(starter.stdout.strip())
    assert starter.returncode == -signal.SIGKILL
    assert wait_until(lambda: server_of(home) is None, 10)
