"""What an approved command names stays what it was when people were asked, or the approval is void."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import Decision
from machines.drivers.base import Action
from runs.agents import registry
from tests.runs.at_terminal import Bare, Terminal, approve
from tests.runs.driving import data_of, request_of, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db(transaction=True)
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
Change = Callable[[Terminal], object]


def asks(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, *actions: Action) -> dict[str, Any]:
    monkeypatch.setitem(registry._AGENTS, "scripted", Bare(*actions))
    return waiting(terminal.api, "x", machine_id=terminal.id, agent="scripted", **ASKING)


def line(command: str) -> Action:
    return Action("run_line", {"command": command})


def write(name: str, text: str) -> Change:
    def change(terminal: Terminal) -> None:
        path = terminal.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


def files(terminal: Terminal) -> None:
    """What the commands below name. Everything that would run leaves a line in `ran`."""
    for name in ("deploy.sh", "sub/deploy.sh", "env", "many/a.sh", "many/b.sh"):
        write(name, f"echo {name} >> ~/ran\n")(terminal)
    write("x.py", "import os; open(os.path.expanduser('~/ran'), 'a').write('x.py')\n")(terminal)
    write("Makefile", "all:\n\techo make >> ~/ran\n")(terminal)
    (terminal.home / "deploy.sh").chmod(0o755)
    (terminal.home / "link.sh").symlink_to("deploy.sh")
    (terminal.home / "bin").mkdir()
    (terminal.home / "build/deep").mkdir(parents=True)
    write("build/deep/kept", "1")(terminal)


EVIL = "echo evil >> ~/ran\n"


def relinked(terminal: Terminal) -> None:
    (terminal.home / "link.sh").unlink()
    (terminal.home / "link.sh").symlink_to("sub/deploy.sh")


def vanished(terminal: Terminal) -> None:
    (terminal.home / "deploy.sh").unlink()


def rewritten_in_place(terminal: Terminal) -> None:
    """Of the same size, and with the old times."""
    path = terminal.home / "deploy.sh"
    times = path.stat()
    path.write_text(path.read_text().replace("deploy.sh", "evil00.sh"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def a_folder(terminal: Terminal) -> None:
    vanished(terminal)
    (terminal.home / "deploy.sh").mkdir()


CHANGES: list[tuple[str, Change, str]] = [
    ("sh deploy.sh", write("deploy.sh", EVIL), "deploy.sh"),
    ("sh deploy.sh", rewritten_in_place, "deploy.sh"),
    ("sh deploy.sh", vanished, "deploy.sh"),
    ("sh deploy.sh", a_folder, "deploy.sh"),
    ("./deploy.sh now", write("deploy.sh", EVIL), "./deploy.sh"),
    ("python3 ./x.py arg", write("x.py", "print(1)"), "./x.py"),
    ("make", write("Makefile", "all:\n\techo evil >> ~/ran\n"), "Makefile"),
    ("make", write("GNUmakefile", "all:\n\techo evil >> ~/ran\n"), "GNUmakefile"),
    ("cat deploy.sh | sh", write("deploy.sh", EVIL), "deploy.sh"),
    ("sh < deploy.sh", write("deploy.sh", EVIL), "deploy.sh"),
    (". ./env", write("env", EVIL), "./env"),
    ("sh link.sh", relinked, "link.sh"),
    ("sh link.sh", write("deploy.sh", EVIL), "link.sh"),
    ("sh new.sh || true", write("new.sh", EVIL), "new.sh"),
    ("cd sub && sh deploy.sh", write("sub/deploy.sh", EVIL), "sub/deploy.sh"),
    ("bash -c 'sh deploy.sh'", write("deploy.sh", EVIL), "deploy.sh"),
    ('sh "$(echo deploy.sh)"', write("deploy.sh", EVIL), "deploy.sh"),
    ("env X=1 nice sh ~/deploy.sh", write("deploy.sh", EVIL), "~/deploy.sh"),
    ("for f in many/*.sh; do sh $f; done", write("many/c.sh", EVIL), "many/*.sh"),
    ("for f in many/*.sh; do sh $f; done", write("many/a.sh", EVIL), "many/a.sh"),
    ("X=deploy.sh; sh $X", write("deploy.sh", EVIL), "deploy.sh"),
    ("sh --init-file=env -x deploy.sh", write("env", EVIL), "env"),
    ("rm -r build", write("build/deep/new", "precious"), "build"),
    ("rm -r build", write("build/deep/kept", "2"), "build"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "change", "name"), CHANGES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CHANGES)])
def test_T_182_a_file_that_changes_after_it_was_asked_voids_the_approval(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str, change: Change, name: str
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line(command))
    change(terminal)
    old = approve(terminal.api, run)
    assert (old.status, old.void_reason) == ("void", "action_changed")
    assert data_of(run["id"], "tool_call") == []
    assert not (terminal.home / "ran").exists()
    assert Decision.objects.get(approval=old, counts=True).outcome == "not_executed"
    again = request_of(terminal.api, run)
    assert again["previous_approval_id"] == old.id
    assert name in [changed["name"] for changed in again["evidence"]["changes"]]
    assert f"“{name}”" in again["message"]


@pytest.mark.parametrize("command", list(dict.fromkeys(command for command, _, _ in CHANGES)))
def test_T_182_what_did_not_change_runs(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line(command))
    write("other.txt", "not named")(terminal)
    approve(terminal.api, run)
    assert [call["params"] for call in data_of(run["id"], "tool_call")] == [{"command": command}]
    assert [result["skipped"] for result in data_of(run["id"], "tool_result")] == [False]
    check_run(run["id"])
