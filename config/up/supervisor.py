"""Start everything, keep it alive, end everything."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django_q.tasks import async_task

from config.address import local_url, only_here
from config.backup.errors import BackupError
from config.backup.place import DATABASE, point_at
from config.backup.swap import settle
from config.own_processes import child_start
from config.postgres.home import PostgresError
from config.postgres.server import Postgres
from config.up.checks import alone, database_answers, enough_disk, port_free
from config.up.children import Child, Patience
from config.up.machine_processes import lines, make_machines, start_machines, stop_machines, wants_browser
from config.up.terminal import CannotStart, say, step
from database import disk
from machines.tools.catalogue import CHROMIUM

# What to do next, said at every start.
NEXT = ("First run     README.md, “First run”: three lines of curl; or sign in and press “Start the sample run”",)
PLAYBOOK = "Agents        the playbook agent follows plain sentences (docs/playbook.md) and needs no model"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BASE_DIR = Path(__file__).resolve().parents[2]


class Stop(BaseException):
    """Somebody asked us to end."""


@dataclass
class Supervisor:
    data_dir: Path
    host: str
    port: int
    given_database: str  # DATABASE_URL; empty: run a server of our own
    postgres: Postgres | None = None
    postgres_patience: Patience = field(default_factory=lambda: Patience("PostgreSQL"))
    children: list[Child] = field(default_factory=list)
    welcome: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    fetching: subprocess.Popen[bytes] | None = None

    def run(self, prepare_only: bool = False) -> None:
        """Return when asked to stop; raise CannotStart or PostgresError with one sentence when it cannot go on."""
        if not prepare_only:
            port_free(self.host, self.port)
        with alone(self.data_dir):
            enough_disk(self.data_dir)
            hear_signals()
            try:
                self._prepare(prepare_only)
                if prepare_only:
                    say("\n".join([*self.welcome, *self.agents]))
                else:
                    if only_here(self.host):  # whoever starts runs here may reach this computer anyway
                        os.environ.setdefault("WEBHOOK_ALLOW_LOOPBACK", "true")
                    self.children = children(self.host, self.port)
                    self._watch()
            except Stop:
                say("\nStopping …")
            finally:
                self._end()

    def _prepare(self, prepare_only: bool) -> None:
        keep_private(self.data_dir)
        point_at(self._own_database() if not self.given_database else self._given_database(), self.data_dir)
        self._settle_restore()
        with step("Bringing the tables up to date"):
            call_command("migrate", verbosity=0, interactive=False)
        with step("Looking for a team"):
            self.welcome = first_run(self.data_dir)
            self.agents = agents(os.environ)
            start_machines(alone=self.postgres is not None)
            if prepare_only:
                leave_machines_to_workers()
        connections.close_all()

    def _settle_restore(self) -> None:
        try:
            broken_off = settle(self.data_dir)
        except BackupError as error:
            raise CannotStart(str(error)) from error
        if broken_off:
            say("A restore that was broken off was " + ("finished." if broken_off == "committed" else "taken back."))

    def _own_database(self) -> str:
        new = not (self.data_dir / "postgres").exists()
        self.postgres = Postgres(self.data_dir, connections=settings.SIZES.of_embedded_server)
        with step("Making the database and starting PostgreSQL" if new else "Starting PostgreSQL"):
            self.postgres.start()
            self.postgres.create_database(DATABASE)
        return self.postgres.url(DATABASE)

    def _given_database(self) -> str:
        with step("Looking for the database of DATABASE_URL"):
            database_answers(self.given_database)
        return self.given_database

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        began, announced = time.monotonic(), False
        while True:
            self._keep_postgres_alive()
            for child in self.children:
                child.keep_alive()
            if not announced and answers(self.host, self.port):
                announced = True
                self._announce(time.monotonic() - began)
            if self.fetching and self.fetching.poll() is not None:
                self.fetching = None
            signal.sigtimedwait({signal.SIGCHLD}, 0.5 if announced else 0.05)

    def _keep_postgres_alive(self) -> None:
        if self.postgres and not self.postgres.running():
            self.postgres_patience.next_start("its processes are gone")
            self.postgres_patience.started = time.monotonic()
            self._start_postgres(self.postgres)

    def _start_postgres(self, postgres: Postgres) -> None:
        """A full disk ends it, and lets it start again only when there is room: that is waited for."""
        try:
            with step("Starting PostgreSQL"):
                postgres.start()
        except PostgresError:
            if not disk.room().low:
                raise
            say(f"{disk.room()}: PostgreSQL is started when there is room.")
            self.postgres_patience.quick_ends = 0

    def _announce(self, seconds: float) -> None:
        fetching = wants_browser()
        say(f"Starting web, worker and clock … ok {seconds:.1f} s\n")
        say(f"  Countersign   {local_url(self.host, self.port)}")
        for line in (*self.welcome, *lines(fetching), *NEXT, *self.agents):
            say(f"  {line}")
        say("\n  Ctrl-C stops everything.\n")
        if fetching:
            self._fetch()

    def _fetch(self) -> None:
        """Bring the browser while people already work; what comes of it, it says itself. Not tried again before the next start."""
        command = [sys.executable, str(BASE_DIR / "manage.py"), "fetch", CHROMIUM.name]
        self.fetching = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=child_start(),  # noqa: PLW1509  as children
        )

    def _end(self) -> None:
        """At most 10 s: children first, which still need the database and the machines; then those."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        asked_at = time.monotonic()
        if self.fetching:
            self.fetching.terminate()
        for child in self.children:
            child.ask_to_end()
        for child in self.children:
            child.end(asked_at)
        if self.fetching:
            end(self.fetching)
        if self.children:
            stop_machines(self.data_dir)
        if self.postgres:
            self.postgres.stop()


def hear_signals() -> None:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stop

    for signum in STOP_SIGNALS:
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # nohup wants to be left alone
            signal.signal(signum, stop)


def keep_private(data_dir: Path) -> None:
    """Others may pass through the data folder (the database's own user must), not look into it."""
    data_dir.chmod(0o711)
    for name in ("artifacts", "machines"):
        (data_dir / name).mkdir(exist_ok=True)
        (data_dir / name).chmod(0o700)  # also what another command made before us


def first_run(data_dir: Path) -> list[str]:
    """Make the first team if there is none; the lines that tell its owner how to get in, afterwards only where they are."""
    from config.first_run import set_up  # needs every app

    path = data_dir / "first-run.txt"
    first = set_up()
    if first is None:
        make_machines()
        return [f"Login, keys   {path}"] if path.exists() else []
    lines = [
        f"Sign in       {first.email}  {first.password}",
        f"Live key      {first.live_key}",
        f"Test key      {first.test_key}",
        *(f"Machine       {machine_id}  {name}" for name, machine_id in first.machines.items()),
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return [*lines, f"              shown this once, kept in {path}"]


def agents(environ: MutableMapping[str, str]) -> list[str]:
    """Take over the models that the environment names; the lines that say who thinks.

    Their keys are in the database then, sealed, and leave the environment: no child needs them there.
    """
    from inference.profiles.environment import KEYS, take_over
    from inference.profiles.sdks import missing
    from inference.specs import default_name, live_names

    results = take_over(environ)
    for name in KEYS:
        environ.pop(name, None)
    lines = [f"Models        {each.variable} was not taken over: {each.problem}" for each in results if each.problem]
    default = default_name()
    if default is None and not live_names():
        return [*lines, PLAYBOOK]
    lines.append(
        f"Agents        {f'the model {default} drives runs' if default else 'no model is the default'}; see the page Models"
    )
    lines += [f"Models        {sentence}" for sentence in missing()]
    return lines


def end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(2)


def leave_machines_to_workers() -> None:
    """Where the database is only prepared, machines may not work; where workers run they do."""
    async_task("config.first_run.provide")


def children(host: str, port: int) -> list[Child]:
    manage = [sys.executable, str(BASE_DIR / "manage.py")]
    web = [sys.executable, "-m", "daphne", "-v", "0", "-b", host, "-p", str(port), "config.asgi:application"]
    return [
        Child("web", web, {"COUNTERSIGN_PROCESS": "web", "PYTHONPATH": str(BASE_DIR)}, grace=2),
        Child("worker", [*manage, "qcluster", "--skip-checks"], {"COUNTERSIGN_PROCESS": "worker"}, grace=5),
        Child("clock", [*manage, "clock", "--skip-checks"], {"COUNTERSIGN_PROCESS": "clock"}, grace=5),
    ]


def answers(host: str, port: int) -> bool:
    """Whether web answers a request, whatever it says; the first one makes it load all pages."""
    try:
        connection = http.client.HTTPConnection(host, port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
