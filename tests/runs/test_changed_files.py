"""What an approved command names stays what it was when people were asked, or the approval is void."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import Decision
from machines.drivers.base import Action, Session
from machines.drivers.terminal import outcomes
from machines.errors import MachineUnavailable
from machines.models import Machine
from machines.processes.sessions import with_session
from runs.agents import registry
from tests.cast import Cast
from tests.runs.at_terminal import Bare, Terminal, approve
from tests.runs.driving import data_of, request_of, waiting
from tests.runs.invariants import check_run
from tests.takeover.control import drive_with

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
    ("python3 -m x", write("x.py", "print(1)"), "x.py"),
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


def void(terminal: Terminal, run: dict[str, Any], *names: str) -> dict[str, Any]:
    """Approve; nothing runs, and people are asked anew, with what has changed."""
    old = approve(terminal.api, run)
    assert (old.status, old.void_reason) == ("void", "action_changed")
    assert data_of(run["id"], "tool_call") == []
    assert not (terminal.home / "ran").exists()
    assert Decision.objects.get(approval=old, counts=True).outcome == "not_executed"
    again = request_of(terminal.api, run)
    assert again["previous_approval_id"] == old.id
    changed = [change["name"] for change in again["evidence"]["changes"]]
    for name in names:
        assert name in changed
        assert f"“{name}”" in again["message"]
    return again


def cases(*, slow: bool) -> list[Any]:
    """All of them, or the few of which one of a kind runs in every test run."""
    marks = [pytest.mark.slow] if slow else []
    chosen = [case for case in CHANGES if (case in FIRST) != slow]
    return [pytest.param(*case, id=f"{case[0]}-{case[1].__name__}", marks=marks) for case in chosen]


FIRST = [CHANGES[1], CHANGES[11], CHANGES[18]]


@pytest.mark.parametrize(("command", "change", "name"), [*cases(slow=False), *cases(slow=True)])
def test_T_182_a_file_that_changes_after_it_was_asked_voids_the_approval(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str, change: Change, name: str
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line(command))
    change(terminal)
    void(terminal, run, name)
    approve(terminal.api, run)
    assert [call["params"] for call in data_of(run["id"], "tool_call")] == [{"command": command}]
    check_run(run["id"])


@pytest.mark.slow
@pytest.mark.parametrize("command", list(dict.fromkeys(command for command, _, _ in CHANGES)))
def test_T_182_what_did_not_change_runs(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line(command))
    write("other.txt", "not named")(terminal)
    approve(terminal.api, run)
    assert [call["params"] for call in data_of(run["id"], "tool_call")] == [{"command": command}]
    assert [result["skipped"] for result in data_of(run["id"], "tool_result")] == [False]
    check_run(run["id"])


@pytest.mark.parametrize("action", [
    pytest.param(Action("type_text", {"text": "deploy.sh\n"}), id="typing"),
    pytest.param(Action("key_press", {"key": "enter"}), id="enter", marks=pytest.mark.slow),
    pytest.param(Action("key_combo", {"keys": ["ctrl", "j"]}), id="line feed", marks=pytest.mark.slow),
])  # fmt: skip
def test_T_182_what_is_typed_and_sent_is_bound_to_the_files_of_the_whole_line(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    files(terminal)
    typed = "sh " if action.name == "type_text" else "sh deploy.sh"
    terminal.act("type_text", text=typed)
    run = asks(terminal, monkeypatch, action)
    assert "deploy.sh" in [item["name"] for item in request_of(terminal.api, run)["evidence"]["contents"]]
    write("deploy.sh", EVIL)(terminal)
    void(terminal, run, "deploy.sh")
    approval = request_of(terminal.api, run)
    terminal.api.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve"})
    drive_with("write_intent", lambda: write("deploy.sh", "echo worse >> ~/ran\n")(terminal))
    (result,) = data_of(run["id"], "tool_result")
    assert (result["success"], "“deploy.sh”" in result["error"]) == (False, True)
    assert not (terminal.home / "ran").exists()


@pytest.mark.parametrize("change", [
    write("deploy.sh", EVIL), pytest.param(vanished, marks=pytest.mark.slow), pytest.param(relinked, marks=pytest.mark.slow),
], ids=["rewritten", "vanished", "relinked"])  # fmt: skip
def test_T_182_what_changes_after_the_last_look_of_the_worker_is_seen_before_enter(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line("sh deploy.sh; sh link.sh"))
    approval = request_of(terminal.api, run)
    assert terminal.api.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve"}).status_code == 200
    drive_with("write_intent", lambda: change(terminal))
    (result,) = data_of(run["id"], "tool_result")
    assert (result["success"], "Nothing was run" in result["error"]) == (False, True)
    assert not (terminal.home / "ran").exists()
    assert terminal.shell("cat ran 2>/dev/null") == ""
    terminal.act("type_text", text="echo free > free\n")  # nothing was left at the prompt
    assert (terminal.home / "free").read_text() == "free\n"


PLANTED = "#!/bin/sh\necho evil >> ~/ran\n"


def planted(terminal: Terminal) -> None:
    write("bin/python3", PLANTED)(terminal)
    (terminal.home / "bin/python3").chmod(0o755)


def signalled(terminal: Terminal) -> None:
    """Bash hears signals between two keys."""
    terminal.shell("kill -USR1 $(cat pid)")

    async def look(session: Session) -> object:
        return await session.prompt()

    for _ in range(100):
        with_session(Machine.objects.get(id=terminal.id), look, 10)
        if (terminal.home / "heard").exists():
            return
    raise AssertionError("The shell heard no signal.")


def trap(does: str) -> str:
    return f"trap '{does}; : > ~/heard' USR1; echo $$ > ~/pid\n"


SLOW = pytest.mark.slow
OTHERS = [
    pytest.param("PATH=$HOME/bin:$PATH\n", planted, "python3", id="program"),
    pytest.param(trap("python3() { sh ~/evil; }"), signalled, "settings of the shell", id="function"),
    pytest.param(trap("alias python3=false"), signalled, "settings of the shell", id="alias", marks=SLOW),
    pytest.param(trap("export PYTHONPATH=evil"), signalled, "settings of the shell", id="variable", marks=SLOW),
    pytest.param(trap("cd sub"), signalled, "folder of the shell", id="folder", marks=SLOW),
]


@pytest.mark.parametrize(("before", "change", "name"), OTHERS)
def test_T_182_another_program_of_that_name_voids_the_approval(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, before: str, change: Change, name: str
) -> None:
    files(terminal)
    terminal.act("type_text", text=before)
    run = asks(terminal, monkeypatch, line("python3 x.py"))
    change(terminal)
    void(terminal, run, name)


def test_T_182_what_cannot_be_compared_stands_on_the_card(
    cast: Cast, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(terminal)
    with (terminal.home / "huge").open("wb") as file:
        file.truncate(3 << 30)
    os.mkfifo(terminal.home / "pipe")
    run = asks(terminal, monkeypatch, line("sh $X {a,b}.sh huge pipe ~other/x `cat y` build deploy.sh"))
    request = request_of(terminal.api, run)
    uncovered = " ".join(request["evidence"]["uncovered"])
    for word in ("$X", "{a,b}.sh", "~other/x", "huge: of 3221225472 bytes only the first 16777216"):
        assert word in uncovered
    shown = {item["name"]: item["says"] for item in request["evidence"]["contents"]}
    assert shown["deploy.sh"].startswith("24 bytes, sha256 ")
    assert shown["build"] == "a folder with 2 entries"
    assert shown["pipe"] == "no file but a device"
    page = cast.browser("ana").get(f"/approvals/{request['id']}").content.decode()
    for words in ("What it works with", "24 bytes, sha256", "Not compared", "{a,b}.sh", "a folder with 2 entries"):
        assert words in page
    with (terminal.home / "huge").open("r+b") as file:  # far behind what is read
        file.seek(2 << 30)
        file.write(b"x")
    void(terminal, run, "huge")


def test_T_182_the_card_shows_how_the_file_was_and_is(
    cast: Cast, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line("sh deploy.sh"))
    write("deploy.sh", "echo <b>other</b>\n")(terminal)
    again = void(terminal, run, "deploy.sh")
    (change,) = again["evidence"]["changes"]
    assert (change["kind"], change["before"].split()[0], change["after"].split()[0]) == ("file", "24", "18")
    page = cast.browser("ana").get(f"/approvals/{again['id']}").content.decode()
    assert change["before"] in page
    assert change["after"] in page
    assert "other&lt;/b&gt;" not in page  # what is in files is not kept
    assert "and void since" in page
    assert "Void by" not in page  # nobody did that


def test_T_182_an_edited_command_is_bound_to_the_files_that_were_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line("sh deploy.sh"))
    edit = {"edited_action": {"name": "run_line", "params": {"command": "sh -x deploy.sh"}}}
    write("deploy.sh", EVIL)(terminal)
    assert approve(terminal.api, run, **edit).void_reason == "action_changed"
    assert not (terminal.home / "ran").exists()
    approve(terminal.api, run, **edit)
    assert (terminal.home / "ran").read_text() == "evil\n"


def test_T_182_a_machine_that_could_not_be_reached_asks_again_about_the_same_files(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line("sh deploy.sh"))
    first = request_of(terminal.api, run)
    with monkeypatch.context() as gone:
        gone.setattr("runs.driving.driven_machine.open_for_run", _unreachable)
        assert approve(terminal.api, run).void_reason == "execution_not_started"
    write("deploy.sh", EVIL)(terminal)
    assert request_of(terminal.api, run)["previous_approval_id"] == first["id"]
    assert approve(terminal.api, run).void_reason == "action_changed"
    assert not (terminal.home / "ran").exists()


async def _unreachable(*_: Any) -> Any:
    raise MachineUnavailable("It is gone.")


def test_a_machine_of_an_older_version_says_that_nothing_is_compared() -> None:
    contents = outcomes.contents({"error": "KeyError('contents')"}, {})
    assert contents.items == ()
    assert "older version" in contents.uncovered[0]


def test_writing_a_new_file_can_be_undone_and_overwriting_one_cannot(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(terminal)
    run = asks(terminal, monkeypatch, line("echo a > new.txt"), line("echo b > new.txt"))
    assert request_of(terminal.api, run)["action"]["class"] == "reversible"
    approve(terminal.api, run)
    assert request_of(terminal.api, run)["action"]["class"] == "irreversible"
    write("new.txt", "other")(terminal)
    assert approve(terminal.api, run).void_reason == "action_changed"
    assert [call["class"] for call in data_of(run["id"], "tool_call")] == ["reversible"]
