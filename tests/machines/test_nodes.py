"""A machine belongs to the node that its process lives on: nobody else starts it, ends it or acts on it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import OrmQ

from config.queue import DoorbellBroker
from machines import services, tasks
from machines.drivers import process
from machines.errors import MachineElsewhere
from machines.models import Machine
from machines.processes import lifecycle, nodes
from runs.driving import leases
from runs.models import Run, Worker
from tests.cast import Cast
from tests.machines.conftest import Caller, queued
from tests.runs.driving import begin

ROOT = Path(__file__).resolve().parents[2]
OTHER = "other-host:0123456789ab"
APART = ["unshare", "--pid", "--fork", "--mount-proc", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def can_be_apart() -> bool:
    return (
        bool(shutil.which("unshare"))
        and subprocess.run([*APART, "true"], check=False, capture_output=True).returncode == 0
    )


def put_on(machine: Machine, node: str | None) -> Machine:
    Machine.objects.filter(id=machine.id).update(node=node)
    machine.refresh_from_db()
    return machine


@pytest.fixture
def row(db: None, team: Any) -> Machine:
    """A machine that runs somewhere, as far as its row says."""
    return Machine.objects.create(
        team=team, test=False, display_name="Desk", kind="terminal", status="running", created_by={},
        handle={"pid": 1, "starttime": 1}, node=OTHER,
    )  # fmt: skip


@pytest.fixture
def place(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A data folder of this test, whose nodes nobody else holds."""
    settings.DATA_DIR = tmp_path / "data"
    settings.MACHINES_DIR = tmp_path / "data" / "machines"
    settings.MACHINES_DIR.mkdir(parents=True)
    yield settings.DATA_DIR / "nodes"
    nodes._joined.cache_clear()


def note(place: Path, **known: Any) -> Path:
    """What OTHER wrote down when it was at work here."""
    place.mkdir(exist_ok=True)
    path = place / "0123456789ab.json"
    path.touch()
    said = {"node": OTHER, "boot": "an earlier one", "computer": "", "file": path.stat().st_ino} | known
    path.write_text(json.dumps(said))
    return path


def test_all_processes_of_a_node_call_it_the_same(place: Path) -> None:
    program = "import django; django.setup(); from machines.processes.nodes import this_node; print(this_node())"
    environment = os.environ | {"DATA_DIR": str(place.parent), "PYTHONPATH": str(ROOT)}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == nodes.this_node()
    assert len(list(place.iterdir())) == 1


@pytest.mark.slow
def test_a_second_node_starts_no_second_copy(
    live: Caller, terminal: Machine, database_url: str, cast: Cast, settings: Any
) -> None:
    """The same host, database and folder, and another process namespace: there the machine's process cannot be seen."""
    if not can_be_apart():
        pytest.skip("process namespaces cannot be made here")
    Run.objects.create(
        team=terminal.team, test=False, machine_id=terminal.id, machine_kind="terminal", task="x", agent="playbook",
        root_id="r", request_id="q", created_by={},
    )  # fmt: skip
    before = lifecycle.look_up(terminal.id)
    environment = os.environ | {"DATABASE_URL": database_url, "SECRET_KEY": settings.SECRET_KEY}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [
        *APART,
        sys.executable,
        str(ROOT / "tests/machines/elsewhere.py"),
        str(settings.MACHINES_DIR),
        terminal.id,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    refused = f"MACHINE_ELSEWHERE {{'node': '{nodes.this_node()}'}}"
    assert said == {"dead": 0, "claimed": 0, "up": refused, "session": refused, "restarts": 1}
    assert lifecycle.look_up(terminal.id) == before
    assert process.is_alive(process.recorded(before.handle))
    assert live.post(f"/machines/{terminal.id}/terminal", {"command": "echo lives"}).json()["output"] == "lives\n"
    assert len(leases.claim("here", 10)) == 1


def test_a_machine_says_where_it_lives(live: Caller, terminal: Machine) -> None:
    assert live.get(f"/machines/{terminal.id}").json()["node"] == nodes.this_node()
    put_on(terminal, OTHER)
    for path, body in (
        ("actions", {"command": "type_text", "params": {"text": "x"}}),
        ("terminal", {"command": "ls"}),
        ("actions/batch", {"steps": [{"command": "wait", "params": {"ms": 0}}]}),
    ):
        answer = live.post(f"/machines/{terminal.id}/{path}", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "MACHINE_ELSEWHERE")
        assert answer.json()["error"]["node"] == OTHER
        assert OTHER in answer.json()["error"]["message"]
    assert live.get(f"/machines/{terminal.id}/screenshot").status_code == 409
    put_on(terminal, nodes.this_node())


def test_nobody_else_starts_or_ends_it(row: Machine) -> None:
    with pytest.raises(MachineElsewhere):
        lifecycle.bring_up(row.id)
    assert lifecycle.start_all() == 0
    assert lifecycle.stop_all_processes() == 0
    Machine.objects.filter(id=row.id).update(status="stopping")
    with pytest.raises(MachineElsewhere):
        lifecycle.take_down(row.id)
    tasks.start(row.id)
    tasks.stop(row.id)
    assert (Machine.objects.get(id=row.id).status, Machine.objects.get(id=row.id).handle) == ("stopping", row.handle)


def test_its_work_is_queued_for_its_node_alone(row: Machine, live: Caller, transactional_db: None) -> None:
    services.stop(live.actor, row.id)
    [task] = OrmQ.objects.all()
    assert task.key == f"countersign@{OTHER}"
    broker = DoorbellBroker(list_key="countersign")
    assert broker._claim(broker._listening()) == []
    put_on(row, nodes.this_node())
    services.queue_work(Machine.objects.get(id=row.id))
    assert len(broker._claim(broker._listening())) == 1
    assert broker._doorbell
    broker._doorbell.close()


def test_the_clock_asks_other_nodes_once(row: Machine) -> None:
    for _ in range(3):
        assert lifecycle.look_everywhere() == 0
    assert queued() == [("machines.tasks.look", ())]
    assert Machine.objects.get(id=row.id).status == "running"


def test_what_is_stuck_on_a_silent_node_is_queued_once(row: Machine) -> None:
    Machine.objects.filter(id=row.id).update(status="starting", status_at=timezone.now() - timezone.timedelta(hours=1))
    for _ in range(3):
        lifecycle.retry_stuck(0)
    assert len(queued()) == 1


def test_a_run_is_claimed_on_the_node_of_its_machine(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine.objects.create(
        team=cast.team, test=False, display_name="D", kind="simulated", status="running", created_by={}, node=OTHER
    )
    run = begin(cast.api(), machine_id=machine.id, agent="scripted")["id"]
    assert leases.claim("here", 10) == []
    monkeypatch.setattr(leases, "this_node", lambda: OTHER)
    assert [claimed for claimed, _ in leases.claim("there", 10)] == [run]
    Run.objects.filter(id=run).update(status="running", lease_until=None)
    assert [claimed for claimed, _ in leases.claim("there", 10)] == [run]
    Run.objects.filter(id=run).update(lease_until=None)
    monkeypatch.undo()
    assert leases.claim("here", 10) == []


# --- nodes that are over


def test_after_a_reboot_the_same_computer_has_its_machines_again(place: Path, row: Machine) -> None:
    note(place)
    assert nodes.adopt() == 1
    row.refresh_from_db()
    assert (row.node, row.handle) == (nodes.this_node(), {})  # nothing of the old processes is believed


HERE = nodes._boot()
NOT_OVER: dict[str, tuple[dict[str, Any], str]] = {
    "nobody knows it": ({"file": 0}, "ext4"),
    "another computer, in a folder that several share": ({"computer": "another"}, "nfs4"),
    "no computer is known, in a folder that several share": ({"computer": ""}, "ceph"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_OVER)
def test_a_silent_node_that_may_be_at_work_keeps_its_machines(
    what: str, place: Path, row: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, kind = NOT_OVER[what]
    note(place, **known)
    monkeypatch.setattr(nodes, "file_system", lambda folder: kind)
    assert nodes.adopt() == 0
    row.refresh_from_db()
    assert (row.node, row.handle) == (OTHER, {"pid": 1, "starttime": 1})


def test_this_very_computer_is_known_in_a_shared_folder_too(
    place: Path, row: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "file_system", lambda folder: "nfs4")
    monkeypatch.setattr(nodes, "_computer", lambda: "c0ffee")
    note(place, computer="c0ffee")
    assert nodes.adopt() == 1


def test_a_node_that_somebody_holds_is_not_over(place: Path, row: Machine) -> None:
    path = note(place, boot=HERE)
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert nodes.adopt() == 0
    assert nodes.adopt() == 1


def test_a_copy_of_the_folder_proves_nothing(place: Path, row: Machine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "original"
    shutil.copytree(note(place).parent, elsewhere)
    shutil.rmtree(place)
    shutil.copytree(elsewhere, place)
    known = json.loads((place / "0123456789ab.json").read_text())
    if known["file"] == (place / "0123456789ab.json").stat().st_ino:  # the file system gave the number again
        known["file"] += 1
        (place / "0123456789ab.json").write_text(json.dumps(known))
    assert nodes.adopt() == 0


def test_a_machine_that_still_answers_is_left_alone(place: Path, row: Machine) -> None:
    import socket

    note(place)
    run = row.spec.folder / "run"
    run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(run, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/guest.sock")  # short enough
        os.close(here)
        server.listen()
        if len(os.fsencode(run / "guest.sock")) < 107:
            assert nodes.adopt() == 0
    assert nodes.adopt() == 1


def test_who_is_alone_with_the_database_has_every_machine(place: Path, row: Machine) -> None:
    assert nodes.adopt_all() == 1
    row.refresh_from_db()
    assert (row.node, row.handle) == (nodes.this_node(), {})
    assert nodes.adopt_all() == 0


def test_a_person_may_say_that_a_node_is_gone(row: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    Worker.objects.create(name="w", started_at=timezone.now(), heartbeat_at=timezone.now(), node=OTHER)
    call_command("nodes")
    assert f"{OTHER}: 1 machines; a worker answered" in capsys.readouterr().out
    with pytest.raises(CommandError, match="at work"):
        call_command("nodes", "release", OTHER)
    with pytest.raises(CommandError, match="at work"):
        call_command("nodes", "release", nodes.this_node())
    Worker.objects.all().delete()
    with pytest.raises(CommandError, match="No machine lives on mistyped"):
        call_command("nodes", "release", "mistyped")
    call_command("nodes", "release", OTHER)
    assert "1 machine is nobody's now" in capsys.readouterr().out
    row.refresh_from_db()
    assert (row.node, row.handle) == (None, {})


def test_a_machine_of_an_older_version_is_taken_as_it_lives(terminal: Machine, work: Callable[[], list[str]]) -> None:
    put_on(terminal, None)
    assert lifecycle.bring_up(terminal.id).node == nodes.this_node()
    assert Machine.objects.get(id=terminal.id).restarts == 1
    assert settings.DATA_DIR
