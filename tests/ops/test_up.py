"""`manage.py up` as a person meets it: real processes, a data folder of its own, signals."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from config.own_processes import command_of, wait_until
from config.up.supervisor import keep_private

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Installation:
    """A data folder, a port, and the process that runs over them."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        return said_beside(self.data_dir).read_text()

    def ready(self) -> bool:
        return "Ctrl-C stops everything" in self.said

    def processes(self) -> list[int]:
        """Every living process that was told of this data folder, by its command or its environment."""
        mine = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                known = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.data_dir).encode() in known:
                mine.append(int(entry.name))
        return mine

    def child(self, word: str) -> int:
        """The oldest process of ours whose command contains `word`."""
        return min((pid for pid in self.processes() if any(word in part for part in command_of(pid))), default=0)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(10)

    def database(self) -> str:
        return (self.data_dir / "database-url").read_text()


Start = Callable[..., Installation]


def said_beside(data_dir: Path) -> Path:
    return data_dir.with_name("said.txt")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `manage.py up`; call it again for a second one over the same folder."""
    yield from installations()


def installations(prepare: Callable[[Path], object] = lambda data_dir: None) -> Iterator[Start]:
    """What `start` gives, for fixtures that live longer than one test. `prepare` is called with the place of the data folder."""
    place = Path(
        tempfile.mkdtemp(prefix="countersign-up-")
    )  # tmp_path is closed to the user that root's PostgreSQL needs
    place.chmod(0o711)
    data_dir, port = place / "data", free_port()
    prepare(data_dir)
    started: list[Installation] = []

    def begin(**more: str) -> Installation:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment |= {"DATA_DIR": str(data_dir), "PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings"}
        environment |= more
        with said_beside(data_dir).open("wb") as said:
            command = [sys.executable, str(ROOT / "manage.py"), "up"]
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        started.append(Installation(data_dir, port, process))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.stop()
    left = [pid for one in started for pid in one.processes()]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(place, ignore_errors=bool(left))
    assert left == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_ready(one: Installation) -> None:
    assert wait_until(lambda: one.ready() or one.process.poll() is not None, 60), one.said
    assert one.process.poll() is None, one.said


def teams(one: Installation) -> list[str]:
    with psycopg.connect(one.database()) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM accounts_team").fetchall()]


@pytest.mark.slow
def test_a_model_named_in_the_environment_is_the_default_and_no_child_has_its_key(start: Start) -> None:
    one = start(ANTHROPIC_API_KEY="sk-not-a-real-one")
    wait_for_ready(one)
    assert "the model claude drives runs" in one.said
    assert "sk-not-a-real-one" not in one.said
    web, worker = one.child("daphne"), one.child("qcluster")
    for pid in (web, worker):
        assert b"sk-not-a-real-one" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert "/jiter/" not in Path(f"/proc/{pid}/maps").read_text()  # which each SDK maps: a profile alone loads none
    with psycopg.connect(one.database()) as connection:
        rows = connection.execute("SELECT name, is_default, from_env FROM inference_profile").fetchall()
    assert rows == [("claude", True, "ANTHROPIC_API_KEY")]


@pytest.mark.slow
def test_it_stops_leaving_nothing_and_starts_again_with_its_data(start: Start) -> None:
    first = start()
    wait_for_ready(first)
    made = teams(first)
    keys = (first.data_dir / "first-run.txt").read_text()
    assert len(made) == 1
    assert keys.splitlines()[1] in first.said
    assert len(first.processes()) >= 9
    assert first.stop(signal.SIGINT) == 0
    assert first.processes() == []

    second = start()
    wait_for_ready(second)
    assert teams(second) == made
    assert "Live key" not in second.said
    assert f"Login, keys   {second.data_dir}/first-run.txt" in second.said
    assert second.stop(signal.SIGTERM) == 0
    assert second.processes() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "status"), [({}, 200), ({"HOST": "0.0.0.0"}, 422), ({"WEBHOOK_ALLOW_LOOPBACK": "0"}, 422)]
)
def test_webhooks_reach_this_computer_while_nobody_else_reaches_it(
    start: Start, more: dict[str, str], status: int
) -> None:
    one = start(**more)
    wait_for_ready(one)
    key = re.search(r"cs_test_\S+", (one.data_dir / "first-run.txt").read_text())
    assert key
    body = {"task": "x", "webhook_url": "http://127.0.0.1:9/hook"}
    answer = httpx.post(f"http://127.0.0.1:{one.port}/v1/runs", json=body, headers={"X-API-Key": key[0]})
    assert answer.status_code == status
    if status == 422:
        [detail] = answer.json()["error"]["details"]
        assert detail["loc"] == ["body", "webhook_url"]
        assert "WEBHOOK_ALLOW_LOOPBACK" in detail["msg"]


@pytest.mark.slow
@pytest.mark.chaos
def test_it_brings_back_whatever_dies(start: Start) -> None:
    one = start()
    wait_for_ready(one)
    for word in ("daphne", "qcluster", "clock", "bin/postgres"):
        victim = one.child(word)
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: one.child(word) not in (0, victim), 15), word  # noqa: B023
        assert wait_until(lambda: answers(one), 15), word
    assert wait_until(lambda: database_answers(one), 15)
    assert len(teams(one)) == 1
    assert one.stop() == 0
    assert one.processes() == []


@pytest.mark.slow
@pytest.mark.chaos
def test_nothing_outlives_it_when_it_is_killed_and_a_new_start_recovers(start: Start) -> None:
    first = start()
    wait_for_ready(first)
    made = teams(first)
    first.process.kill()
    first.process.wait(5)
    second = start()
    wait_for_ready(second)
    assert teams(second) == made
    assert second.stop() == 0
    assert second.processes() == []


@pytest.mark.slow
def test_a_second_one_over_the_same_folder_says_so(start: Start) -> None:
    first = start()
    wait_for_ready(first)
    said = run_up({"DATA_DIR": str(first.data_dir), "PORT": str(free_port())})
    assert f"already running over {first.data_dir} (process {first.process.pid})" in said


def test_what_others_could_look_into_is_closed(tmp_path: Path) -> None:
    """Another command may have made the folders before, with the rights that folders usually have."""
    for name in ("artifacts", "machines"):
        (tmp_path / name).mkdir(mode=0o755)
    keep_private(tmp_path)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("artifacts", "machines")} == {0o700}


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run_up({"DATA_DIR": str(tmp_path / "data"), "PORT": str(port)})
    assert (
        said == f"Port {port} on 127.0.0.1 cannot be used (Address already in use): end what holds it, or set PORT.\n"
    )


def test_a_port_that_is_no_number_is_one_sentence(tmp_path: Path) -> None:
    said = run_up({"DATA_DIR": str(tmp_path / "data"), "PORT": "http"})
    assert said == "PORT is 'http'; it must be a number from 1 to 65535.\n"


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = run_up({"DATA_DIR": str(tmp_path / "file" / "data")})
    assert said == f"The data folder {tmp_path}/file/data cannot be used (Not a directory): set DATA_DIR.\n"


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    url = f"postgresql://app@127.0.0.1:{free_port()}/none"
    said = run_up({"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port()), "DATABASE_URL": url})
    assert said.splitlines()[-1].startswith("The database of DATABASE_URL does not answer: ")
    assert "Traceback" not in said


def run_up(environment: dict[str, str]) -> str:
    """What `manage.py up` says when it cannot start; its exit code must tell so too."""
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=os.environ | {"DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "config.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert time.monotonic() - begun < 20
    return ended.stdout + ended.stderr


def database_answers(one: Installation) -> bool:
    try:
        psycopg.connect(one.database()).close()
    except psycopg.OperationalError:
        return False
    return True


def answers(one: Installation) -> bool:
    try:
        socket.create_connection(("127.0.0.1", one.port), timeout=1).close()
    except OSError:
        return False
    return True
