"""Runs at a real terminal, at the door: what was approved is what runs, what was done is what is said."""

import asyncio
import json
import shutil
from typing import Any

import pytest
from django.apps import apps

from approvals.models import Approval, Decision
from machines.drivers.base import Action, ActResult
from machines.drivers.terminal.driver import TerminalSession
from runs.access import screen_text
from runs.agents import registry
from runs.models import Run, Screenshot, Step
from tests.cast import Api, Cast
from tests.runs.at_terminal import (
    Bare,
    Terminal,
    approve,
    run,
    type_by_direct_action,
    type_by_takeover,
)  # fmt: skip
from tests.runs.driving import data_of, drive_all, ended, request_of, show, status_of, waiting
from tests.runs.invariants import check_run
from tests.takeover.control import code, drive_with, release, take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick_playbook")]
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
ALONE: dict[str, Any] = {"human_in_the_loop": False}


# --- B21: what somebody left at the prompt


def test_B21_a_rest_that_a_direct_action_left_is_no_part_of_the_command(terminal: Terminal) -> None:
    terminal.folder_and_script()
    terminal.act("type_text", text="rm -r old ")
    done = run(terminal, "run `./build`", **ALONE)
    assert done["status"] == "succeeded"
    assert terminal.only_the_script_ran()
    (call,) = data_of(done["id"], "tool_call")
    assert (call["tool"], call["params"]) == ("run_line", {"command": "./build"})
    assert Run.objects.get(id=done["id"]).last_result["data"]["cleared"] == "rm -r old "


def test_B21_a_rest_that_a_takeover_left_is_no_part_of_the_command(terminal: Terminal) -> None:
    terminal.folder_and_script()
    waits = waiting(
        terminal.api,
        'hand over to a person because "look" then run `./build`',
        machine_id=terminal.id,
        agent="playbook",
    )
    lease = take(terminal.api, terminal.id)
    terminal.act("type_text", lease, text="rm -r old ")
    release(terminal.api, lease)
    drive_all()
    assert status_of(waits["id"]) == "succeeded"
    assert terminal.only_the_script_ran()


def test_B21_an_unfinished_here_document_swallows_nothing(terminal: Terminal) -> None:
    terminal.act("type_text", text="cat <<EOF\n")
    done = run(terminal, "run `echo done > z.txt`", **ALONE)
    assert done["status"] == "succeeded"
    assert terminal.shell("cat z.txt") == "done\n"


def test_B21_what_the_scripted_agent_leaves_is_no_part_of_the_next_runs_command(terminal: Terminal) -> None:
    terminal.folder_and_script()
    ended(terminal.api, "x [steps:2]", machine_id=terminal.id, agent="scripted")
    assert run(terminal, "run `./build`", **ALONE)["status"] == "succeeded"
    assert terminal.only_the_script_ran()


def test_T_182_what_stood_there_when_it_was_asked_is_shown_and_only_the_command_runs(terminal: Terminal) -> None:
    terminal.folder_and_script()
    terminal.act("type_text", text="rm -r old ")
    asks = run(terminal, "run `./build`", **ASKING)
    request = request_of(terminal.api, asks)
    assert request["action"]["params"] == {"command": "./build"}
    assert request["title"].startswith("Run ./build")
    assert (request["evidence"]["prompt_at"], request["evidence"]["prompt_line"]) == ("prompt", "rm -r old ")
    assert "rm -r old" in (screen_text(asks["id"], request["evidence"]["screenshot_index"]) or "")
    approve(terminal.api, asks)
    assert status_of(asks["id"]) == "succeeded"
    assert terminal.only_the_script_ran()
    check_run(asks["id"])


@pytest.mark.parametrize("left", [type_by_takeover, type_by_direct_action])
def test_T_182_what_is_typed_between_asking_and_approving_voids_the_approval(terminal: Terminal, left: Any) -> None:
    terminal.folder_and_script()
    asks = run(terminal, "run `./build`", **ASKING)
    assert request_of(terminal.api, asks)["evidence"]["prompt_line"] == ""
    left(terminal, "rm -r old ")
    old = approve(terminal.api, asks)
    assert (old.status, old.void_reason) == ("void", "action_changed")
    assert data_of(asks["id"], "tool_call") == []
    assert "log" not in terminal.shell("ls")
    assert Decision.objects.get(approval=old, counts=True).outcome == "not_executed"
    again = request_of(terminal.api, asks)
    assert (again["previous_approval_id"], again["evidence"]["prompt_line"]) == (old.id, "rm -r old ")
    assert "Something else stands at the terminal's prompt" in again["message"]
    approve(terminal.api, asks)
    assert status_of(asks["id"]) == "succeeded"
    assert terminal.only_the_script_ran()
    check_run(asks["id"])


@pytest.mark.parametrize("left", ["cat <<EOF\n", "sleep 60\n"])
def test_T_182_a_half_command_or_a_program_at_the_prompt_voids_it_too(terminal: Terminal, left: str) -> None:
    terminal.folder_and_script()
    asks = run(terminal, "run `./build`", **ASKING)
    type_by_direct_action(terminal, left)
    approve(terminal.api, asks)
    assert "log" not in terminal.shell("ls")
    assert data_of(asks["id"], "tool_call") == []


def test_T_182_what_is_typed_after_the_last_look_stops_the_action(terminal: Terminal) -> None:
    terminal.folder_and_script()
    asks = run(terminal, "run `./build`", **ASKING)
    approval = Approval.objects.get(run_id=asks["id"], status="pending")
    assert terminal.api.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"}).status_code == 200
    drive_with("write_intent", lambda: type_by_direct_action(terminal, "rm -r old "))
    (result,) = data_of(asks["id"], "tool_result")
    assert (result["success"], "nothing was run" in result["error"]) == (False, True)
    assert terminal.shell("ls -d log old build 2>/dev/null") == "build\nold\n"
    assert status_of(asks["id"]) == "awaiting_human"  # the agent asks what to do


def test_T_182_an_edited_command_is_bound_to_the_prompt_as_well(terminal: Terminal) -> None:
    terminal.folder_and_script()
    asks = run(terminal, "run `./nothing`", **ASKING)
    type_by_takeover(terminal, "rm -r old ")
    edit = {"edited_action": {"name": "run_line", "params": {"command": "./build"}}}
    assert approve(terminal.api, asks, **edit).status == "void"
    approve(terminal.api, asks, **edit)
    assert terminal.only_the_script_ran()


def test_T_182_what_runs_is_byte_for_byte_what_was_approved(terminal: Terminal) -> None:
    text = "a\tb !x \u0301é 漢 $HOME `id` \x03 \x1b[99~"
    asks = run(terminal, f"create a file named z.txt with the text “{text}”", **ASKING)
    shown = request_of(terminal.api, asks)["action"]["params"]["command"]
    approve(terminal.api, asks)
    (call,) = data_of(asks["id"], "tool_call")
    assert call["params"]["command"] == shown
    assert (terminal.home / "z.txt").read_text() == text


TYPED = Action("type_text", {"text": "./build\n"})
ENTER = Action("key_press", {"key": "enter"})


@pytest.mark.parametrize("action", [TYPED, ENTER], ids=["typing", "enter"])
def test_T_182_keys_of_a_bare_agent_are_bound_to_what_stands_there(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    terminal.folder_and_script()
    monkeypatch.setitem(registry._AGENTS, "scripted", Bare(action))
    asks = waiting(terminal.api, "x", machine_id=terminal.id, agent="scripted", **ASKING)
    assert request_of(terminal.api, asks)["evidence"]["prompt_line"] == ""
    type_by_takeover(terminal, "rm -r old ")
    assert approve(terminal.api, asks).void_reason == "action_changed"
    assert terminal.shell("ls -d old build") == "build\nold\n"
    assert request_of(terminal.api, asks)["evidence"]["prompt_line"] == "rm -r old "


def test_T_182_typing_what_was_approved_runs_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.folder_and_script()
    monkeypatch.setitem(registry._AGENTS, "scripted", Bare(TYPED))
    asks = waiting(terminal.api, "x", machine_id=terminal.id, agent="scripted", **ASKING)
    approve(terminal.api, asks)
    assert status_of(asks["id"]) == "succeeded"
    assert terminal.only_the_script_ran()


def test_an_approval_for_another_kind_of_machine_tells_nothing_of_a_prompt(test_key: Api) -> None:
    asks = waiting(test_key, "x", **ASKING)
    assert "prompt_line" not in request_of(test_key, asks)["evidence"]


def test_the_risk_of_enter_is_that_of_the_line_that_it_sends(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.folder_and_script()
    monkeypatch.setitem(registry._AGENTS, "scripted", Bare(ENTER))
    terminal.act("type_text", text="rm -r old")
    asks = waiting(terminal.api, "x", machine_id=terminal.id, agent="scripted", **ASKING)
    action = request_of(terminal.api, asks)["action"]
    assert (action["risk"], action["target"]["name"]) == ("destroy", "rm -r old")


# --- B18: programs that wait for somebody


def a_log(terminal: Terminal) -> None:
    """A repository with 60 commits, or where there is no git, a command that pages as it does."""
    if shutil.which("git"):
        commits = "for n in $(seq 60); do git commit -q --allow-empty -m m$n; done"
        terminal.shell(f"git init -q; git config user.email a@b.test; git config user.name a; {commits}")
    else:
        terminal.act("type_text", text='git() { seq 60 | "${GIT_PAGER:-${PAGER:-./pager}}"; }\n')


def a_pager(terminal: Terminal) -> None:
    """Shows a colon and waits for a key, like every pager."""
    terminal.shell("printf '#!/bin/bash\\ncat\\nprintf :\\nread -rsn1 key </dev/tty\\n' > pager; chmod +x pager")


def test_B18_a_long_log_is_printed(terminal: Terminal) -> None:
    a_log(terminal)
    done = run(terminal, "run `git log`, run `git status --short || true`")
    assert done["status"] == "succeeded"
    first, _ = data_of(done["id"], "tool_result")
    assert (first["exit_code"], first["output"].startswith("[...]") or "60" in first["output"]) == (0, True)


def test_B18_a_pager_that_is_forced_is_asked_about(terminal: Terminal) -> None:
    a_pager(terminal)
    done = run(terminal, "run `seq 60 | ./pager`, run `echo after > z.txt`")
    assert done["status"] == "awaiting_human"
    request = request_of(terminal.api, done)
    assert "pager waits for keys" in request["message"]
    answer = {"verdict": "answer", "answers": {request["questions"][0]["id"]: "press q"}}
    assert terminal.api.post(f"/approvals/{request['id']}/decide", answer).status_code == 200
    drive_all()
    assert show(terminal.api, done["id"])["status"] == "succeeded"
    assert terminal.shell("cat z.txt") == "after\n"


@pytest.mark.parametrize(
    ("command", "waits"), [("seq 60 | ./pager", "pager waits for keys"), ("cat", "cat waits for a line")]
)
def test_B18_a_run_that_may_not_ask_fails_with_what_it_waits_for(terminal: Terminal, command: str, waits: str) -> None:
    a_pager(terminal)
    done = run(terminal, f"run `{command}`, run `echo after > z.txt`", **ALONE)
    assert done["status"] == "failed"
    assert waits in done["error"]["message"]
    assert "z.txt" not in terminal.shell("ls")


def test_B18_a_busy_terminal_is_not_typed_at_and_the_run_asks(terminal: Terminal) -> None:
    terminal.act("type_text", text="cat > caught.txt\n")
    done = run(terminal, "run `echo x > z.txt`")
    assert done["status"] == "awaiting_human"
    assert "cat waits for a line" in request_of(terminal.api, done)["message"]
    assert terminal.shell("cat caught.txt; ls") == "caught.txt\n"


# --- B19 and others: the command as it is written


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        ('echo "wow!x" && touch c.txt', "c.txt", ""),
        ('echo "!!" > c.txt', "c.txt", "!!\n"),
        ("printf 'a\\tb' > c.txt; echo /usr/b\t >> c.txt", "c.txt", "a\tb/usr/b\n"),
        ("echo a^b !$ > c.txt", "c.txt", "a^b !$\n"),
    ],
)
def test_B19_a_command_is_run_as_it_is_written(terminal: Terminal, command: str, name: str, content: str) -> None:
    terminal.act("type_text", text="set -H\n")
    assert run(terminal, f"run `{command}`", **ALONE)["status"] == "succeeded"
    assert (terminal.home / name).read_text() == content


def test_a_command_that_lacks_its_end_fails_at_once(terminal: Terminal) -> None:
    done = run(terminal, 'run `echo "abc`, run `touch z.txt`', **ALONE)
    assert done["status"] == "failed"
    assert "no end" in done["error"]["message"]
    assert terminal.shell("ls") == ""


# --- B22, B24: what the screen shows


def test_B22_a_row_that_was_wrapped_is_one_line(terminal: Terminal) -> None:
    task = 'run `clear; printf "%0124d ABCDEFGH\\n" 7`, check that "ABCDEFGH" is visible'
    done = run(terminal, task, **ALONE)
    assert done["status"] == "succeeded", done["error"]
    task = 'run `clear; printf "https://a.test/%0150d/end\\n" 7`, check that "0007/end" is visible'
    assert run(terminal, task, **ALONE)["status"] == "succeeded"


def test_B24_a_letter_in_two_pieces_is_that_letter(terminal: Terminal) -> None:
    for wanted in ("caf\u00e9", "cafe\u0301"):
        done = run(terminal, f'run `clear; printf "caf\\u0065\\u0301\\n"`, check that "{wanted}" is visible', **ALONE)
        assert done["status"] == "succeeded", done["error"]
    for hidden in ("in\\u00advoice", "in\\u200bvoice"):
        done = run(terminal, f'run `clear; printf "{hidden}\\n"`, check that "invoice" is visible', **ALONE)
        assert done["status"] == "succeeded", done["error"]


# --- what is kept and told


def test_output_and_exit_code_are_in_the_event_and_with_the_step(terminal: Terminal) -> None:
    done = run(terminal, "run `echo hello; echo world >&2`", **ALONE)
    (result,) = data_of(done["id"], "tool_result")
    assert (result["output"], result["exit_code"], result["success"]) == ("hello\nworld", 0, True)
    step = Step.objects.get(run_id=done["id"], index=1)
    assert (step.output, step.exit_code) == ("hello\nworld", 0)


def test_a_command_that_ends_badly_is_a_failed_step_with_its_last_lines(terminal: Terminal) -> None:
    done = run(terminal, "run `echo reason >&2; (exit 4)`", **ALONE)
    assert (done["status"], done["error"]["code"]) == ("failed", "TASK_FAILED")
    step = Step.objects.get(run_id=done["id"])
    assert (step.success, step.exit_code, step.error) == (False, 4, "Ended with exit code 4: reason")
    (result,) = data_of(done["id"], "tool_result")
    assert (result["success"], result["exit_code"], result["error"]) == (False, 4, step.error)


def test_much_output_is_cut_and_events_stay_small(terminal: Terminal) -> None:
    done = run(terminal, "run `seq 200000`", **ALONE)
    (result,) = data_of(done["id"], "tool_result")
    assert result["output"].startswith("[...]\n")
    assert result["output"].endswith("199999\n200000")
    assert len(result["output"].encode()) <= 4096


def test_hostile_output_can_be_stored(terminal: Terminal) -> None:
    done = run(
        terminal, "run `printf '\\x00\\xff\\e[31m\\ud800 \\u0000<b>x\\n'`, run `head -c 3000 /dev/urandom`", **ALONE
    )
    results = data_of(done["id"], "tool_result")
    assert "<b>x" in results[0]["output"]
    assert not any(c < " " and c not in "\n\t" for result in results for c in result["output"])


def test_a_terminals_pictures_have_their_text(terminal: Terminal) -> None:
    done = run(terminal, "run `clear; echo shown`", **ALONE)
    last = Screenshot.objects.filter(run_id=done["id"]).order_by("-index")[0]
    assert (screen_text(done["id"], last.index) or "").splitlines()[0] == "shown"
    assert screen_text(done["id"], None) is None
    assert screen_text(done["id"], 999) is None


def test_a_private_takeover_within_an_action_hides_its_output(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TerminalSession.act

    async def act(self: TerminalSession, action: Action) -> ActResult:
        result = await real(self, action)
        if action.name == "run_line":
            loop = asyncio.get_running_loop()
            asyncio._set_running_loop(None)  # the door is called as from another process
            try:
                release(terminal.api, take(terminal.api, terminal.id, private=True))
            finally:
                asyncio._set_running_loop(loop)
        return result

    monkeypatch.setattr(TerminalSession, "act", act)
    done = run(terminal, "run `printf 'secret-%s' word`", **ALONE)
    drive_all()
    (result,) = data_of(done["id"], "tool_result")
    assert "output" not in result
    assert Step.objects.get(run_id=done["id"], index=1).output is None
    rows = [str(list(model.objects.values())) for model in apps.get_models() if model is not Screenshot]
    assert "secret-word" not in "".join(rows)


# --- by hand


def test_a_line_by_hand_needs_the_right_to_run_commands(cast: Cast, terminal: Terminal) -> None:
    body = {"command": "run_line", "parameters": {"command": "echo hi"}}
    path = f"/machines/{terminal.id}/actions"
    weak = cast.api(scopes=frozenset({"actions:exec", "machines:read"}))
    assert code(weak.post(path, body)) == (403, "INSUFFICIENT_SCOPE")
    assert code(weak.post(f"{path}/batch", {"steps": [body]})) == (403, "INSUFFICIENT_SCOPE")
    assert terminal.act("run_line", command="echo hi")["result"] == {"exit_code": 0, "finished": True, "output": "hi"}
    failed = terminal.act("run_line", command="false")
    assert (failed["success"], failed["error"], failed["result"]["exit_code"]) == (False, "Ended with exit code 1.", 1)
    for params in ({}, {"command": " "}, {"command": "a\0b"}, {"command": 5}, {"command": "x", "text": "y"}):
        assert terminal.api.post(path, {"command": "run_line", "parameters": params}).status_code == 422


def test_a_line_by_hand_is_for_terminals(live: Api, test_key: Api) -> None:
    body = {"command": "run_line", "parameters": {"command": "echo hi"}}
    browser = test_key.post("/machines", {"display_name": "B", "kind": "browser"}).json()["id"]
    assert test_key.post(f"/machines/{browser}/actions", body).status_code == 422
    terminal = test_key.post("/machines", {"display_name": "T", "kind": "terminal"}).json()["id"]
    assert test_key.post(f"/machines/{terminal}/actions", body).json()["success"] is True


def test_the_log_of_what_people_do_by_hand_has_the_command(terminal: Terminal) -> None:
    from accounts.models import AuditEntry

    lease = take(terminal.api, terminal.id, private=True)
    terminal.act("run_line", lease, command="echo secret-word")
    release(terminal.api, lease)
    terminal.act("run_line", command="echo " + "x" * 3000)
    entries = list(AuditEntry.objects.filter(verb="machine.action").order_by("id").values_list("data", flat=True))
    assert "secret-word" not in json.dumps(entries)
    assert len(entries[-1]["actions"][0]["params"]["command"]) == 1000


# --- on the card


def test_the_card_shows_what_stands_at_the_prompt(cast: Cast, terminal: Terminal) -> None:
    terminal.folder_and_script()
    terminal.act("type_text", text="rm -r <b>old ")
    asks = run(terminal, "run `./build`", **ASKING)
    page = cast.browser("ana").get(f"/approvals/{request_of(terminal.api, asks)['id']}").content.decode()
    assert "rm -r &lt;b&gt;old" in page
    assert "only the command above runs" in page
