"""Acting on machines by hand, over HTTP."""

import base64
from typing import Any

import pytest

from accounts.models import AuditEntry
from machines.actions.by_hand import canonical_action
from machines.models import Machine
from machines.schemas import ActionBody
from tests.machines.conftest import Caller


@pytest.fixture
def path(test_world: Caller) -> str:
    return f"/machines/{test_world.machine(kind='terminal')['id']}"


SAME = [
    ({"command": "key_press", "parameters": {"key": "Enter"}}, "key_press", {"key": "enter"}),
    ({"action_type": "key_press", "params": {"keys": ["Enter"]}}, "key_press", {"key": "enter"}),
    ({"name": "key", "params": {"key": "a"}}, "key_press", {"key": "a"}),
    ({"command": "hotkey", "params": {"key": "ctrl+c"}}, "key_combo", {"keys": ["ctrl", "c"]}),
    ({"command": "hotkey", "params": {"key": "ctrl++"}}, "key_combo", {"keys": ["ctrl", "+"]}),
    ({"command": "move", "params": {"x": 5.0, "y": 6}}, "move", {"x": 5, "y": 6}),
    (
        {"command": "scroll", "params": {"x": 1, "y": 2, "clicks": -4}},
        "scroll", {"x": 1, "y": 2, "direction": "up", "amount": 4},
    ),
    (
        {"command": "scroll", "params": {"x": 1, "y": 2}},
        "scroll", {"x": 1, "y": 2, "direction": "down", "amount": 3},
    ),
    (
        {"command": "drag", "params": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}},
        "drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4},
    ),
    ({"command": "wait", "params": {"seconds": 0.01}}, "wait", {"ms": 10}),
    ({"command": "wait", "params": {"ms": 10}}, "wait", {"ms": 10}),
    (
        {"command": "double_click", "params": {"x": 5, "y": 6}},
        "click", {"x": 5, "y": 6, "button": "left", "count": 2},
    ),
    ({"command": "type", "params": {"text": "hi"}}, "type_text", {"text": "hi"}),
    ({"command": "done"}, "done", {}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "command", "params"), SAME)
def test_T_170_every_spelling_comes_back_canonical(
    test_world: Caller, path: str, body: dict[str, Any], command: str, params: dict[str, Any]
) -> None:
    answer = test_world.post(f"{path}/actions", body)
    assert answer.status_code == 200, answer.json()
    found = answer.json()
    assert (found["command"], found["params"], found["success"], found["error"]) == (command, params, True, None)
    assert found.keys() == {
        "machine_id", "command", "params", "success", "result", "error", "duration_ms", "screenshot", "request_id"
    }  # fmt: skip
    assert found["screenshot"] is None


def test_a_wait_has_time_enough_unless_the_caller_says_otherwise(test_world: Caller, path: str) -> None:
    machine = Machine.objects.get()
    for given, timeout in (({}, 90_000), ({"timeout_ms": 1000}, 1000)):
        body = ActionBody.model_validate({"command": "wait", "parameters": {"seconds": 60}} | given)
        assert canonical_action(machine, body).timeout_ms == timeout


BAD = [
    ({"command": "key_press", "params": {"key": "a", "keys": ["a"]}}, ["body", "parameters", "keys"]),
    ({"command": "scroll", "params": {"x": 1, "y": 1, "clicks": 1, "amount": 1}}, ["body", "parameters", "clicks"]),
    (
        {"command": "drag", "params": {"x1": 1, "from_x": 1, "y1": 1, "x2": 1, "y2": 1}},
        ["body", "parameters", "x1"],
    ),
    ({"command": "wait", "params": {"ms": 1, "seconds": 1}}, ["body", "parameters", "seconds"]),
    ({"command": "click", "params": {"x": 1280, "y": 1}}, ["body", "parameters", "x"]),
    ({"command": "click", "params": {"x": 1.5, "y": 1}}, ["body", "parameters", "x"]),
    ({"command": "click", "params": {"x": 1}}, ["body", "parameters", "y"]),
    ({"command": "click", "params": {"x": 1, "y": 1, "z": 1}}, ["body", "parameters", "z"]),
    ({"command": "raw", "params": {}}, ["body", "command"]),
    ({"params": {}}, ["body", "command"]),
    ({"command": "done", "timeout_ms": 999}, ["body", "timeout_ms"]),
    ({"command": "done", "colour": "red"}, ["body", "colour"]),
    ({"command": "done", "action_type": "done"}, ["body"]),
    ({"command": "done", "params": {}, "parameters": {}}, ["body"]),
]


@pytest.mark.parametrize(("body", "loc"), BAD)
def test_T_170_what_does_not_fit_is_refused_at_its_place(
    test_world: Caller, path: str, body: dict[str, Any], loc: list[str]
) -> None:
    answer = test_world.post(f"{path}/actions", body)
    assert answer.status_code == 422, answer.json()
    assert [d["loc"] for d in answer.json()["error"]["details"]] == [loc]
    if len(loc) > 1:
        batch = test_world.post(f"{path}/actions/batch", {"steps": [{"command": "done"}, body]})
        assert [d["loc"] for d in batch.json()["error"]["details"]] == [["body", "steps", 1, *loc[1:]]]


def test_the_screenshot_command_and_the_screenshot_route_answer_a_picture(test_world: Caller, path: str) -> None:
    action = test_world.post(f"{path}/actions", {"command": "screenshot"})
    assert base64.b64decode(action.json()["screenshot"]).startswith(b"\x89PNG")
    shown = test_world.get(f"{path}/screenshot")
    assert (shown.json()["mime_type"], shown.json()["width"], shown.json()["height"]) == ("image/png", 1280, 800)
    assert base64.b64decode(shown.json()["image_b64"]).startswith(b"\x89PNG")
    assert action["Cache-Control"] == shown["Cache-Control"] == "no-store"


def test_a_batch_counts_what_it_did(test_world: Caller, path: str) -> None:
    steps = [{"command": "click", "params": {"x": 1, "y": 1}}, {"command": "wait", "params": {"ms": 1}}]
    done = test_world.post(f"{path}/actions/batch", {"steps": steps}).json()
    assert [r["command"] for r in done["results"]] == ["click", "wait"]
    assert (done["completed_count"], done["failed_count"], done["aborted"]) == (2, 0, False)
    for bad in ([], [{"command": "done"}] * 51):
        assert test_world.post(f"{path}/actions/batch", {"steps": bad}).status_code == 422


def test_a_machine_that_a_run_drives_takes_no_direct_actions(test_world: Caller, path: str) -> None:
    Machine.objects.update(current_run_id="run_1")
    for door, body in (
        ("/actions", {"command": "done"}), ("/actions/batch", {"steps": [{"command": "done"}]}),
        ("/terminal", {"command": "true"}),
    ):  # fmt: skip
        answer = test_world.post(path + door, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "MACHINE_BUSY")
        assert answer.json()["error"]["run_id"] == "run_1"
    assert test_world.get(f"{path}/screenshot").status_code == 200


def test_a_machine_that_does_not_run_takes_nothing(test_world: Caller, path: str) -> None:
    test_world.post(f"{path}/stop")
    for door in ("/actions", "/terminal"):
        answer = test_world.post(path + door, {"command": "done"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "INVALID_STATE")
    answer = test_world.get(f"{path}/screenshot")
    assert (answer.status_code, answer.json()["error"]["allowed_from"]) == (409, ["running"])


def test_a_bad_body_is_told_before_the_state(test_world: Caller, path: str) -> None:
    test_world.post(f"{path}/stop")
    assert test_world.post(f"{path}/actions", {"command": "raw"}).status_code == 422
    assert test_world.post(f"{path}/stop", {"now": True}).status_code == 422


def test_direct_actions_are_logged_without_what_was_typed(test_world: Caller, path: str) -> None:
    test_world.post(f"{path}/actions", {"command": "type_text", "params": {"text": "hunter2"}})
    test_world.post(f"{path}/terminal", {"command": "ls"})
    entries = AuditEntry.objects.filter(verb__in=["machine.action", "machine.terminal"]).order_by("id")
    assert [entry.actor["type"] for entry in entries] == ["api_key", "api_key"]
    assert entries[0].data == {"actions": [{"command": "type_text", "params": {"text": "(7 characters)"}}]}
    assert entries[1].data == {"command": "ls"}


def test_a_repeated_action_with_its_key_happens_once(test_world: Caller, path: str) -> None:
    body, key = {"command": "screenshot"}, {"Idempotency-Key": "shot"}
    first, second = (test_world.post(f"{path}/actions", body, **key) for _ in "12")
    assert first.content == second.content
    assert AuditEntry.objects.filter(verb="machine.action").count() == 1


def test_the_terminal_of_a_test_machine_answers(test_world: Caller, path: str) -> None:
    done = test_world.post(f"{path}/terminal", {"command": "ls", "session_id": "a", "cwd": "/tmp"}).json()
    assert done.keys() == {
        "machine_id", "success", "output", "exit_code", "session_id", "truncated", "result", "request_id"
    }  # fmt: skip
    assert (done["success"], done["session_id"], done["result"]) == (True, "a", {"output": "", "exit_code": 0})
    for body in ({}, {"command": ""}, {"command": "x", "timeout_ms": 1}, {"command": "x" * 8193}):
        assert test_world.post(f"{path}/terminal", body).status_code == 422


def test_a_browser_has_no_terminal(test_world: Caller) -> None:
    made = test_world.machine(kind="browser")
    answer = test_world.post(f"/machines/{made['id']}/terminal", {"command": "ls"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "INVALID_STATE")
