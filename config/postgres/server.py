"""The embedded PostgreSQL: the programs of a wheel, one data folder, one private unix socket, no port.

Root may not run PostgreSQL, so root starts it as an unprivileged user; config/postgres/home.py finds places that user
can reach. Who may connect is decided by the kernel (peer): the user who started us, and nobody else.
"""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.own_processes import child_start, command_of, wait_until
from config.postgres.home import Owner, PostgresError, choose_home, programs, server_owner, socket_folder
from config.postgres.sizes import LEAST_CONNECTIONS

ROLE = "app"
START_SECONDS = 120  # a recovery after a crash replays the log first
STOP_SECONDS = 3  # per signal; after a harder one the next start replays the log
LOG_BYTES = 5_000_000
IN_USE = "is still in use"  # backends of a killed server are still on their way out
OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
}
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}  # a crash may eat the data: tests only


@dataclass
class Postgres:
    """A server over `data_dir/postgres`; after start(), `url(name)` is the address of a database in it."""

    data_dir: Path
    fast: bool = False
    connections: int = LEAST_CONNECTIONS
    home: Path = field(init=False)
    sockets: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    log_start: int = field(default=0, init=False)

    def start(self) -> None:
        """Bring the server up, whatever the last one left behind. Raises PostgresError with one clear sentence."""
        owner = server_owner()
        binaries = programs(owner)
        self.home = choose_home(self.data_dir, owner)
        end_leftovers(self.home)
        if not (self.home / "PG_VERSION").exists():
            create_cluster(binaries, self.home, owner)
        self.sockets = socket_folder(self.home, owner)
        allow_only_us(self.home, owner)
        deadline = time.monotonic() + STOP_SECONDS
        while not self._accepts_after(self._launch(binaries, owner)):
            if IN_USE not in self._last_words() or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start. {self._last_words()}")

    def url(self, name: str) -> str:
        return f"postgresql://{ROLE}@/{name}?host={quote(str(self.sockets))}"

    def create_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back and the next start needs no recovery."""
        if self.process is not None:
            end(self.process)
            self.process = None

    def _launch(self, binaries: Path, owner: Owner | None) -> subprocess.Popen[bytes]:
        ours = {"unix_socket_directories": str(self.sockets), "max_connections": str(self.connections)}
        options = OPTIONS | ours | (FAST if self.fast else {})
        command = [str(binaries / "postgres"), "-D", str(self.home)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open_log(self.data_dir) as log:
            self.log_start = log.tell()
            return subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal must not reach it before the workers are done
                preexec_fn=child_start(signal.SIGINT),  # noqa: PLW1509  the launcher has no threads yet
                **run_as(owner),
            )

    def _accepts_after(self, launched: subprocess.Popen[bytes]) -> bool:
        self.process = launched
        if not wait_until(lambda: not self.running() or self._accepts(), START_SECONDS):
            self.stop()
            raise PostgresError(f"PostgreSQL did not answer within {START_SECONDS} s. {self._last_words()}")
        return self.running()

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _last_words(self) -> str:
        path = log_path(self.data_dir)
        text = path.read_bytes()[self.log_start :].decode(errors="replace")
        lines = [
            line for line in text.splitlines() if "FATAL" in line or "PANIC" in line or line.startswith("postgres:")
        ]
        return f"Its log {path} says: {lines[-1].split('  ', 1)[-1]}" if lines else f"Its log is {path}."


def create_cluster(binaries: Path, home: Path, owner: Owner | None) -> None:
    """initdb beside the final place, then one rename: an interrupted first start leaves nothing half made."""
    aside = home.with_name(f"{home.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    if owner:
        os.chown(aside, owner.uid, owner.gid)
    words = ["-U", ROLE, "--auth=peer", "-E", "UTF8", "--no-locale", "--no-instructions"]
    result = subprocess.run(
        [binaries / "initdb", "-D", aside, *words],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **run_as(owner),
    )
    if result.returncode:
        reason = (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()[-1]
        raise PostgresError(f"The database could not be created in {home}: {reason}")
    aside.rename(home)


def allow_only_us(home: Path, owner: Owner | None) -> None:
    """Peer authentication: the kernel tells PostgreSQL which user calls, and only ours is mapped to the role."""
    replace(home / "pg_hba.conf", f"local all {ROLE} peer map=owner\n", owner)
    replace(home / "pg_ident.conf", f"owner {Owner.of(os.geteuid()).name} {ROLE}\n", owner)


def replace(path: Path, text: str, owner: Owner | None) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    if owner:
        os.chown(new, owner.uid, owner.gid)
    new.replace(path)


def end_leftovers(home: Path) -> None:
    """A server that outlived a killed supervisor still owns the data folder: end it before a second one starts."""
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        pid = server_of(home)
        if pid is None:
            return
        os.kill(pid, signum)
        wait_until(lambda: server_of(home) is None, STOP_SECONDS)


def server_of(home: Path) -> int | None:
    """The living server of `home`. Its pid file may be stale and the number another program's by now."""
    try:
        pid = int((home / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if str(home) in command_of(pid) else None


def end(process: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(signum)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def log_path(data_dir: Path) -> Path:
    return data_dir / "postgres.log"


def open_log(data_dir: Path) -> Any:
    path = log_path(data_dir)
    path.touch(mode=0o600)
    return path.open("ab" if path.stat().st_size < LOG_BYTES else "wb")


def run_as(owner: Owner | None) -> dict[str, Any]:
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}
