"""`manage.py doctor`: what works on this computer, and what to install for the rest."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.utils import timezone

from config.postgres.home import PostgresError, programs, server_owner
from config.up.checks import enough_disk
from config.up.terminal import CannotStart
from inference.profiles.sdks import missing
from inference.specs import live_names
from machines.drivers.base import DriverUnavailable
from machines.drivers.browser.chromium import browser_program, fetched
from machines.drivers.isolation import resource_limits, sandbox
from machines.drivers.registry import driver_for
from machines.tools.catalogue import CHROMIUM

MOST_DAYS = 60  # after that a browser engine has known holes


class Lack(Exception):
    """What is missing, and the fix."""


class Doubt(Exception):
    """It works, and there is something to know of it: what, and what to do."""


@dataclass(frozen=True)
class Check:
    name: str
    look: Callable[[], str]  # what works; raises Lack
    essential: bool = False


class Command(BaseCommand):
    help = "Tells what works on this computer, with the fix for each lack. Exit code 1 when nothing can work."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        well = True
        for check in CHECKS:
            try:
                state, text = "ok", check.look()
            except Lack as lack:
                state, text = "missing", str(lack)
                well = well and not check.essential
            except Doubt as warning:
                state, text = "warning", str(warning)
            self.stdout.write(f"{state:<8} {check.name:<11} {text}")
        if not well:
            sys.exit(1)


def python() -> str:
    return platform.python_version()


def disk() -> str:
    folder: Path = settings.DATA_DIR
    try:
        tempfile.TemporaryFile(dir=folder).close()
        enough_disk(folder)
    except OSError as error:
        raise Lack(f"The data folder {folder} cannot be written ({error.strerror}): set DATA_DIR.") from error
    except CannotStart as sentence:
        raise Lack(str(sentence)) from sentence
    return f"{shutil.disk_usage(folder).free / 1e9:.0f} GB free in {folder}"


def database() -> str:
    """The running server's version; when none runs, whether `up` could start its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return f"PostgreSQL {cursor.fetchone()[0]} answers"
    except DatabaseError as error:
        if os.environ.get("DATABASE_URL"):
            reason = str(error).strip().splitlines()[-1]
            raise Lack(f"The database of DATABASE_URL does not answer: {reason}") from error
    return f"{_embedded_version()}, started by manage.py up"


def connections() -> str:
    """Whether the database has as many connections as our processes may want at the worst moment."""
    needed = settings.SIZES.needed
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(setting::int) FILTER (WHERE name = 'max_connections')"
                " - sum(setting::int) FILTER (WHERE name <> 'max_connections') FROM pg_settings"
                " WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
            )
            there_are = int(cursor.fetchone()[0])
    except DatabaseError:
        return f"{needed} are needed; the embedded server has {settings.SIZES.of_embedded_server}"
    if there_are < needed:
        raise Doubt(
            f"The database has {there_are} connections for us; one web process, {settings.WORKERS} workers and a clock may want "
            f"{needed}: raise its max_connections, or lower SLOW_THREADS, REQUEST_THREADS or RUN_LOOP_THREADS."
        )
    return f"{needed} may be wanted, and the database has {there_are}"


def _embedded_version() -> str:
    try:
        command = [str(programs(server_owner()) / "postgres"), "--version"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return result.stdout.strip()
    except (PostgresError, OSError, subprocess.SubprocessError) as error:
        raise Lack(f"The embedded PostgreSQL does not run ({error}): set DATABASE_URL.") from error


def sandboxed() -> str:
    try:
        return f"machines are isolated by {sandbox.describe('terminal')}"
    except DriverUnavailable as error:
        raise Lack(str(error)) from error


def terminal() -> str:
    _require("terminal")
    return f"machines of kind terminal can start ({sandbox.describe('terminal')})"


def browser() -> str:
    _require("browser")
    program = browser_program()
    assert program
    if program != fetched():
        return f"machines of kind browser can start ({program.path}; {sandbox.describe('browser')})"
    if age_of_engine() > MOST_DAYS:
        raise Doubt(
            f"{CHROMIUM.title} works and is {age_of_engine()} days old: take a newer version of Countersign, which brings a "
            "newer one, or one of the system (make machines)."
        )
    return f"machines of kind browser can start ({CHROMIUM.title}; {sandbox.describe('browser')})"


def bounds() -> str:
    """What keeps machines from using up this computer."""
    try:
        way = sandbox.choose("terminal")
        sandbox_program = sandbox.sandbox_of(way)
    except DriverUnavailable as error:
        raise Lack("machines cannot be isolated, see above.") from error
    missing_bounds = resource_limits.would_be_unbound(way, sandbox_program)
    if missing_bounds:
        raise Doubt(
            f"Nothing bounds a machine in {', '.join(missing_bounds)}: run the server where its control group may be divided "
            "(as root, or as a service with Delegate=yes)."
        )
    users = "a user each, and " if os.geteuid() == 0 else ""
    return f"machines have {users}control groups that bound memory, processes and processors"


def _require(kind: str) -> None:
    """Raises Lack for what keeps machines of this kind from starting; what isolation lacks is said once, above."""
    lacks = driver_for(kind).missing()
    shown = [sentence for sentence in lacks if sentence != sandbox.problem("terminal")]
    if lacks:
        raise Lack(" ".join(shown) or "machines cannot be isolated, see above.")


def age_of_engine() -> int:
    """Days since the Chromium that can be fetched was released."""
    return (timezone.now().date() - CHROMIUM.released).days


def fonts() -> str:
    """Those of pages; the one of terminals comes along."""
    if browser_program() == fetched() is not None:
        return "they come with what was fetched"
    places = ("/usr/share/fonts", "/usr/local/share/fonts")
    font = next((path for place in places for path in Path(place).rglob("*.[to]tf")), None)
    if font is None:
        raise Lack("This computer has no fonts, so pages have no letters in browser machines: make machines.")
    return f"there are fonts for pages ({font.parent})"


def models() -> str:
    try:
        names, lacks = live_names(), missing()
    except DatabaseError:
        return "unknown without the database; the playbook agent works without one"
    if lacks:
        words = "; ".join(lacks)
        raise Lack(f"{words[0].upper()}{words[1:]}.")
    return ", ".join(names) or "none configured; the playbook agent works without one"


CHECKS = (
    Check("Python", python, essential=True),
    Check("Disk", disk, essential=True),
    Check("Database", database, essential=True),
    Check("Connections", connections),
    Check("Sandbox", sandboxed),
    Check("Terminal", terminal),
    Check("Browser", browser),
    Check("Limits", bounds),
    Check("Fonts", fonts),
    Check("Models", models),
)
