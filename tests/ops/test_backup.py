"""A backup is one moment of the installation, and a restore brings back all of it or changes nothing."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import load_command_class
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from accounts.models import AuditEntry, Team
from approvals.models import Approval
from config.backup import aftercare, making, restoring, sealed, swap, tables
from config.backup.archive import entries
from config.backup.errors import BackupError
from config.backup.making import make, new_file
from config.backup.sealed import SealedReader
from machines.models import Machine
from runs.models import Run
from tests.cast import Api, Cast
from tests.ops.backups import KEY_OF, WORDS, Fill, add, manifest, write
from tests.ops.test_up import ROOT
from tests.runs.driving import ended, waiting

PLACES = ("artifacts", "machines")


@pytest.fixture(autouse=True)
def _quick_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "key_of", KEY_OF)


@pytest.fixture
def here(transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's installation: the test's database, and a data folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    settings.DATA_DIR, settings.MACHINES_DIR = folder, folder / "machines"
    monkeypatch.setenv("SECRET_KEY", django_settings.SECRET_KEY)
    return folder


class There:
    """An empty place: a database without tables on the server of the tests, a data folder, and commands run in it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COUNTERSIGN_") and k != "SECRET_KEY"}
        environment |= {"DATA_DIR": str(self.folder), "DATABASE_URL": self.url, "BACKUP_PASSPHRASE": WORDS}
        environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"} | more
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    def rows(self, table: str) -> list[Any]:
        with psycopg.connect(self.url) as own:
            return rows_of(own, table)

    def is_untouched(self) -> bool:
        with psycopg.connect(self.url) as own:
            made = own.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        left = {path.name for path in self.folder.iterdir()} - {"secret-key", "up.lock"}
        return made == (0,) and not left


def rows_of(own: psycopg.Connection[Any], table: str) -> list[Any]:
    return sorted(str(row[0]) for row in own.execute(f'SELECT to_jsonb(t) FROM "{table}" t').fetchall())


@pytest.fixture
def there(here: Path, tmp_path: Path, database_url: str) -> Iterator[There]:
    name = f"restored_{secrets.token_hex(6)}"
    server = urlsplit(database_url)
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as own:
        own.execute(f"CREATE DATABASE {name}")
        folder = tmp_path / "there"
        folder.mkdir()
        yield There(folder, server._replace(path=f"/{name}").geturl())
        own.execute(f"DROP DATABASE {name} WITH (FORCE)")


def back_up(path: Path) -> Path:
    make(path, WORDS, lambda line: None)
    return path


def content_of(path: Path) -> dict[str, bytes]:
    """Everything in a backup, by its name."""
    found: dict[str, bytes] = {}
    with path.open("rb") as file:
        for entry, content in entries(SealedReader(file, WORDS)):
            name = "/".join((entry.place, *entry.parts))
            found[name] = found.get(name, b"") + content.read(16_000_000)
    return found


# --- what a backup is


def test_every_table_is_taken_along_or_left_out_by_name(db: None) -> None:
    known = {*tables.our_tables(), "django_migrations"}
    assert known >= tables.LEFT_OUT
    assert set(connection.introspection.table_names()) == known


def test_all_rows_and_files_come_back(here: Path, there: There, cast: Cast, test_key: Api, tmp_path: Path) -> None:
    run = waiting(test_key)
    ended(test_key)
    machine = Machine.objects.create(
        team=cast.team, test=False, display_name="Desk", kind="terminal", status="running", created_by={},
        handle={"pid": 1, "run": "x"}, auto_destroy_at=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    home = here / "machines" / machine.id / "home"
    home.mkdir(parents=True)
    (home / "file").write_text("of the machine")
    (home / "to").symlink_to("/etc")
    (here / "artifacts" / "pictures" / "ab").mkdir(parents=True)
    (here / "artifacts" / "pictures" / "ab" / "cd.png").write_bytes(b"a picture")
    async_task("runs.tasks.drive", run["id"])
    async_task("machines.tasks.start", machine.id)
    done = there.run("restore", str(back_up(tmp_path / "file")))
    assert done.returncode == 0, done.stderr
    assert (there.folder / "machines" / machine.id / "home" / "file").read_text() == "of the machine"
    assert (there.folder / "machines" / machine.id / "home" / "to").is_symlink()
    assert (there.folder / "artifacts" / "pictures" / "ab" / "cd.png").read_bytes() == b"a picture"
    assert (there.folder / "secret-key").read_text() == django_settings.SECRET_KEY
    assert (there.folder / "secret-key").stat().st_mode & 0o777 == 0o600
    assert not list(there.folder.glob("re*"))  # neither a stage nor a journal
    _same_rows(there)
    [row] = there.rows("machines_machine")
    assert "'handle': {}" in row
    with psycopg.connect(there.url) as own:
        queued = own.execute("SELECT payload FROM django_q_ormq").fetchall()
        assert own.execute("SELECT nextval('runs_runevent_id_seq') > max(id) FROM runs_runevent").fetchone() == (True,)
    tasks = [SignedPackage.loads(payload) for (payload,) in queued]
    assert ("runs.tasks.drive", (run["id"],)) in [(task["func"], task["args"]) for task in tasks]
    assert not any(task["func"].startswith("machines.") for task in tasks)  # their status says what is to be done


@pytest.mark.slow
def test_a_place_that_is_not_empty_is_left_alone_unless_it_is_told(
    here: Path, there: There, cast: Cast, tmp_path: Path
) -> None:
    source = str(back_up(tmp_path / "file"))
    assert there.run("restore", source).returncode == 0
    (there.folder / "artifacts" / "later.png").write_text("x")
    again = there.run("restore", source)
    assert again.returncode == 1
    assert "not empty" in again.stderr
    assert "--replace" in again.stderr
    assert (there.folder / "artifacts" / "later.png").exists()
    told = there.run("restore", source, "--replace")
    assert told.returncode == 0, told.stderr
    assert list((there.folder / "artifacts").iterdir()) == []
    assert len(there.rows("accounts_team")) == 1
    with psycopg.connect(there.url):
        assert "stop web, workers and clock" in there.run("restore", source, "--replace").stderr


def _same_rows(there: There) -> None:
    """But for what a restore puts right."""
    changed = {"machines_machine", "runs_run", "approvals_approval"}
    for table in set(tables.our_tables()) - tables.LEFT_OUT - changed:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT to_jsonb(t) FROM {table} t")
            mine = sorted(str(connection.connection and row[0]) for row in cursor.fetchall())
        theirs = [row for row in there.rows(table) if "team.restored" not in row]
        assert len(mine) == len(theirs), table
    with connection.cursor() as cursor:
        cursor.execute("SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM runs_runevent e")
        mine_log = cursor.fetchone()
    with psycopg.connect(there.url) as own:
        assert (
            own.execute("SELECT md5(string_agg(e::text, '' ORDER BY id)) FROM runs_runevent e").fetchone() == mine_log
        )


def test_it_is_one_moment_while_others_write(
    here: Path, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs of rows in two tables, each pair in a transaction: a backup has both of a pair or none."""
    written = threading.Event()

    def write_pairs() -> None:
        try:
            for n in range(20):
                with transaction.atomic():
                    Team.objects.create(slug=f"pair-{n}", name="Pair")
                    AuditEntry.objects.create(
                        team=cast.team, actor={}, verb="pair.written", subject=f"pair-{n}", data={}, test=True
                    )
        finally:
            connection.close()
            written.set()

    rows = tables.Snapshot.rows

    def slowly(snapshot: tables.Snapshot, table: str) -> Iterator[bytes]:
        if table == "accounts_auditentry":  # after the first table was begun, everything else is written
            threading.Thread(target=write_pairs).start()
            assert written.wait(30)
        return rows(snapshot, table)

    monkeypatch.setattr(tables.Snapshot, "rows", slowly)
    content = content_of(back_up(tmp_path / "file"))
    assert written.is_set()
    assert Team.objects.filter(slug__startswith="pair-").count() == 20
    assert b"pair-" not in content["database/accounts_auditentry"]
    assert b"pair-" not in content["database/accounts_team"]


def test_no_secret_of_it_can_be_read_without_the_passphrase(here: Path, cast: Cast, tmp_path: Path) -> None:
    whole = back_up(tmp_path / "file").read_bytes()
    assert django_settings.SECRET_KEY.encode() not in whole
    assert cast.team.id.encode() not in whole
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_sessions_stay_behind(here: Path, cast: Cast, tmp_path: Path) -> None:
    cast.browser("olga")
    assert not any("session" in name and "inference" not in name for name in content_of(back_up(tmp_path / "file")))


def test_it_writes_over_nothing(here: Path, cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of somebody")
    with pytest.raises(BackupError, match="exists already"):
        back_up(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "of somebody"


def test_one_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    def write_half(ending: BaseException) -> None:
        with new_file(tmp_path / "file") as file:
            file.write(b"half")
            raise ending

    for ending in (KeyboardInterrupt(), OSError(28, "No space left on device")):
        with pytest.raises((KeyboardInterrupt, BackupError)):
            write_half(ending)
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import django, pathlib, signal, sys; django.setup(); from config.backup.making import new_file\n"
        "with new_file(pathlib.Path(sys.argv[1])) as f: f.write(b'half'); f.flush(); print('half', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "file")]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout
        assert child.stdout.readline() == b"half\n"
        child.kill()
    assert list(tmp_path.iterdir()) == []


# --- what a restore refuses, and that nothing is touched then


@pytest.fixture
def tried(there: There, tmp_path: Path) -> Callable[..., str]:
    """Restore a file that is refused; the sentence. The place is as it was."""

    def attempt(source: Path, **more: str) -> str:
        done = there.run("restore", str(source), **more)
        assert done.returncode == 1, done.stdout
        assert there.is_untouched()
        return done.stderr

    return attempt


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-1])
    return path


ROWS: dict[str, tuple[dict[str, list[str]], Fill, str]] = {
    "rows of a table that nobody has": ({"pg_authid": ["rolname"]}, lambda tar: None, "does not have: pg_authid"),
    "columns that nobody has": ({"runs_run": ["id); DROP TABLE x; --"]}, lambda tar: None, "does not have: runs_run"),
    "rows that the manifest does not name": (
        {}, lambda tar: add(tar, "database/accounts_team/000000", b"x\n"), "rows where none belong"
    ),
    "rows that do not fit": (
        {"accounts_team": ["id", "slug"]}, lambda tar: add(tar, "database/accounts_team/000000", b"one\n"), "does not take"
    ),
    "rows that break a rule": (
        {"accounts_team": ["id", "slug"]}, lambda tar: add(tar, "database/accounts_team/000000", b"x\ty\n"), "did not take"
    ),
    "rows that refer to nothing": (
        {"accounts_membership": ["id", "user_id", "team_id", "roles", "created_at"]},
        lambda tar: add(tar, "database/accounts_membership/000000", b"1\tnobody\tnowhere\t{}\t2026-01-01\n"),
        "did not take",
    ),
    "a task that nobody queues": ({}, lambda tar: add(tar, "queue/000000", b'["os.system", ["x"]]\n'), "queues something"),
    "a queue that is none": ({}, lambda tar: add(tar, "queue/000000", b"{}\n"), "queue"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", ROWS)
def test_hostile_rows_change_nothing(what: str, tried: Callable[..., str], tmp_path: Path) -> None:
    columns, fill, sentence = ROWS[what]
    source = write(tmp_path / "file", fill, manifest(tables=columns), migrations=_all_migrations())
    assert sentence in tried(source)


def _all_migrations() -> list[list[str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return [list(row) for row in cursor.fetchall()]


REFUSED: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "cut short": (lambda path: _cut(write(path)), WORDS, "cut short"),
    "of a newer version": (
        lambda path: write(path, migrations=[["runs", "9999_of_the_future"]]),
        WORDS,
        "newer version",
    ),
    "hostile": (lambda path: write(path, lambda tar: add(tar, "artifacts/../../x", b"x")), WORDS, "no backup holds"),
    "of another passphrase": (write, "something else", "passphrase is wrong"),
    "of another key": (write, WORDS, "SECRET_KEY is set"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_restored_is_refused_before_the_place_is_looked_at(
    what: str, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database, and without a change of the data folder."""
    made, words, sentence = REFUSED[what]
    monkeypatch.setenv("SECRET_KEY", "another one")
    settings.DATA_DIR = tmp_path / "there"
    settings.DATA_DIR.mkdir()
    with pytest.raises(BackupError, match=sentence):
        restoring.restore(made(tmp_path / "file"), words, print, replace=True)
    assert list(settings.DATA_DIR.iterdir()) == []


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_passphrase_is_no_argument(name: str) -> None:
    parser = load_command_class("config", name).create_parser("manage.py", name)
    assert not any("pass" in action.dest for action in parser._actions)


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_written(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "file", lambda tar: add(tar, "artifacts/x", b"x" * 1000))
    checked = restoring.check(source, WORDS, print)
    monkeypatch.setattr("database.disk.free", lambda _: 1000)
    with pytest.raises(BackupError, match="free; the backup needs"):
        restoring._require_room(here, checked)


# --- a restore that is killed


class _Killed(BaseException):
    """Nothing after it runs."""


def _place(folder: Path, word: str) -> None:
    for name in PLACES:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(word)
    (folder / "secret-key").write_text(word)


def _words(folder: Path) -> set[str]:
    return {(folder / name / "file").read_text() for name in PLACES} | {(folder / "secret-key").read_text()}


STEPS = 8  # renames and writes of the journal in put_in_place()


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("nth", range(1, STEPS + 1))
def test_one_that_is_killed_while_files_move_is_taken_back(
    here: Path, nth: int, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if full:
        _place(here, "before")
    one = swap.Swap.begin(here)
    _place(one.stage, "restored")
    left = [nth]

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise _Killed
            return step(*args)

        return work

    def die() -> None:
        with transaction.atomic(), monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying(Path.rename))
            patch.setattr(Path, "replace", dying(Path.replace))
            one.put_in_place()
            raise _Killed  # before the commit

    with pytest.raises(_Killed):
        die()
    assert swap.settle(here) == "aborted"
    assert {path.name for path in here.iterdir()} == ({*PLACES, "secret-key"} if full else set())
    if full:
        assert _words(here) == {"before"}
    assert swap.settle(here) is None


def test_one_that_is_killed_right_after_the_commit_is_finished(here: Path) -> None:
    _place(here, "before")
    one = swap.Swap.begin(here)
    _place(one.stage, "restored")
    with transaction.atomic():
        Team.objects.create(slug="in-it", name="x")
        one.put_in_place()
    assert swap.settle(here) == "committed"
    assert _words(here) == {"restored"}
    assert {path.name for path in here.iterdir()} == {*PLACES, "secret-key"}


def test_a_database_that_does_not_know_what_became_of_it_is_not_guessed_about(here: Path) -> None:
    one = swap.Swap.begin(here)
    one.xid = str(2**62)
    one._write()
    with pytest.raises(BackupError, match="does not know what became of it"):
        swap.settle(here)


@pytest.mark.slow
@pytest.mark.chaos
def test_a_restore_killed_at_any_moment_is_whole_or_nothing(
    there: There, cast: Cast, here: Path, tmp_path: Path
) -> None:
    (here / "artifacts").mkdir()
    for n in range(50):
        (here / "artifacts" / f"{n}.png").write_bytes(os.urandom(1000))
    source = back_up(tmp_path / "file")
    environment = {k: v for k, v in os.environ.items() if k != "SECRET_KEY"}
    environment |= {"DATA_DIR": str(there.folder), "DATABASE_URL": there.url, "BACKUP_PASSPHRASE": WORDS}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(ROOT / "manage.py"), "restore", str(source)]
    for word in ("Checked", "Files", "Database", "Restored"):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            for line in child.stdout:
                if line.startswith(word):
                    break
            child.kill()
    teams = there.rows("accounts_team")
    assert len(teams) == 1
    done = there.run("restore", str(source), "--replace")
    assert done.returncode == 0, done.stderr
    assert len(there.rows("accounts_team")) == 1
    assert len(list((there.folder / "artifacts").iterdir())) == 50
    assert not list(there.folder.glob("re[sp]*"))


# --- what a restore puts right


def test_the_time_between_backup_and_restore_does_not_count(transactional_db: None, test_key: Api) -> None:
    run = Run.objects.get(id=waiting(test_key)["id"])
    request = Approval.objects.get(run_id=run.id)
    until = timezone.now() + timedelta(hours=1)
    Approval.objects.filter(id=request.id).update(expires_at=until, remind_at=until)
    Run.objects.filter(id=run.id).update(deadline_at=until, lease_owner="w", lease_until=until, parked_at=None)
    absence = timedelta(days=3)
    aftercare.put_right(manifest(created_at=timezone.now() - absence))
    request.refresh_from_db()
    run.refresh_from_db()
    for moment in (request.expires_at, request.remind_at, run.deadline_at):
        assert moment is not None
        assert timedelta(0) <= moment - until - absence < timedelta(minutes=1)
    assert (run.lease_owner, run.lease_until) == (None, None)
    assert run.parked_at is not None
    assert AuditEntry.objects.filter(verb="team.restored", subject=run.team_id).count() == 1


def test_what_waits_in_the_queue_is_named_and_nothing_is_pickled(here: Path, cast: Cast, tmp_path: Path) -> None:
    async_task("runs.tasks.drive", "run_1")
    OrmQ.objects.create(key="x", payload="forged", lock=timezone.now())
    content = content_of(back_up(tmp_path / "file"))
    assert content["queue"] == b'["runs.tasks.drive", ["run_1"]]\n' if "queue" in content else False
    assert making.TASK.fullmatch("workflows.tasks.go_on")
    assert not making.TASK.fullmatch("os.system")
