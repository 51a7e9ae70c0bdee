"""Who may give a machine input: a terminal needs terminal:exec at every door, an approver needs the machine's lease."""

from typing import Any

import pytest
from django.test import Client

from accounts.actor import LIVE_DEFAULT
from accounts.models import AuditEntry
from machines.models import Machine
from tests.cast import Api, Cast
from tests.conventions.conftest import only
from tests.runs.driving import simulated
from tests.takeover.control import code, pass_time, take

pytestmark = pytest.mark.django_db
HAND = ("actions:exec", "machines:read")
# Everything that a machine of kind terminal takes as input, in every spelling.
INPUTS: list[dict[str, Any]] = [
    {"command": "type_text", "parameters": {"text": "id\n"}},
    {"command": "type", "parameters": {"text": "id"}},
    {"action_type": "type_text", "params": {"text": "id"}},
    {"name": "type", "params": {"text": "id"}},
    {"command": "key_press", "parameters": {"key": "enter"}},
    {"command": "key_press", "parameters": {"keys": ["Enter"]}},
    {"command": "key", "parameters": {"key": "a"}},
    {"command": "key_combo", "parameters": {"keys": ["ctrl", "c"]}},
    {"command": "hotkey", "parameters": {"key": "shift+insert"}},
    {"command": "click", "parameters": {"x": 1, "y": 1, "button": "middle"}},
    {"command": "double_click", "parameters": {"x": 1, "y": 1}},
    {"command": "right_click", "parameters": {"x": 1, "y": 1}},
    {"command": "drag", "parameters": {"x1": 1, "y1": 1, "x2": 9, "y2": 9}},
    {"command": "scroll", "parameters": {"x": 1, "y": 1}},
    {"command": "move", "parameters": {"x": 1, "y": 1}},
    {"command": "run_line", "parameters": {"command": "id"}},
]
LOOKS: list[dict[str, Any]] = [
    {"command": "screenshot"}, {"command": "wait", "parameters": {"ms": 0}}, {"command": "done"}, {"command": "fail"}
]  # fmt: skip
CLICK = {"command": "click", "parameters": {"x": 1, "y": 1}}


def terminal_of(api: Api) -> str:
    """A machine of kind terminal: in the live world as if it ran already."""
    machine = str(api.post("/machines", {"display_name": "T", "kind": "terminal"}).json()["id"])
    Machine.objects.filter(id=machine).update(status="running")
    return machine


def acted() -> int:
    return AuditEntry.objects.filter(verb__in=("machine.action", "machine.terminal")).count()


def scope_of(answer: Any) -> tuple[int, str, str]:
    return (*code(answer), answer.json()["error"].get("required_scope", ""))


@pytest.mark.parametrize("test", [False, True], ids=["live", "test"])
def test_T_185_no_input_reaches_a_terminal_without_its_scope(cast: Cast, test: bool) -> None:
    machine = terminal_of(cast.api(test=test))
    weak = only(cast, *HAND, test=test)
    path = f"/machines/{machine}/actions"
    refused = (403, "INSUFFICIENT_SCOPE", "terminal:exec")
    for body in INPUTS:
        assert scope_of(weak.post(path, body)) == refused, body
        assert scope_of(weak.post(f"{path}/batch", {"steps": [*LOOKS, body]})) == refused, body
    assert scope_of(weak.post(f"/machines/{machine}/terminal", {"command": "id"})) == refused
    lease = take(weak, machine)
    for body in INPUTS:
        assert scope_of(weak.post(path, body | {"lease_id": lease["id"]})) == refused, body
    assert acted() == 0


def test_T_185_a_default_live_key_is_no_shell(cast: Cast) -> None:
    machine = terminal_of(cast.api())
    answer = cast.api(scopes=LIVE_DEFAULT).post(f"/machines/{machine}/actions", INPUTS[0])
    assert scope_of(answer) == (403, "INSUFFICIENT_SCOPE", "terminal:exec")


def test_looking_at_a_terminal_by_hand_needs_no_shell(cast: Cast) -> None:
    machine = terminal_of(cast.api(test=True))
    weak = only(cast, *HAND, test=True)
    for body in LOOKS:
        assert weak.post(f"/machines/{machine}/actions", body).status_code == 200, body


def test_with_the_scope_every_input_is_taken(cast: Cast) -> None:
    machine = terminal_of(cast.api(test=True))
    strong = only(cast, *HAND, "terminal:exec", test=True)
    for body in INPUTS:
        assert strong.post(f"/machines/{machine}/actions", body).status_code == 200, body


def test_other_kinds_take_input_as_before(cast: Cast) -> None:
    machine = cast.api(test=True).post("/machines", {"display_name": "B", "kind": "browser"}).json()["id"]
    weak = only(cast, *HAND, test=True)
    for body in (body for body in INPUTS if body.get("command") != "run_line"):
        assert weak.post(f"/machines/{machine}/actions", body).status_code == 200, body


def test_a_right_is_missed_before_the_state_is_told(cast: Cast) -> None:
    machine, weak = terminal_of(cast.api(test=True)), only(cast, *HAND, test=True)
    take(cast.api(test=True), machine)
    assert code(weak.post(f"/machines/{machine}/actions", INPUTS[0])) == (403, "INSUFFICIENT_SCOPE")
    Machine.objects.filter(id=machine).update(status="stopped")
    assert code(weak.post(f"/machines/{machine}/actions", INPUTS[0])) == (403, "INSUFFICIENT_SCOPE")


# --- approvers


class Person:
    """A signed-in person who calls /v1 with the cookie."""

    def __init__(self, cast: Cast, name: str) -> None:
        self.client: Client = cast.browser(name, mode="test")

    def post(self, path: str, body: Any) -> Any:
        headers = {"X-Team-Mode": "test"}
        return self.client.post(f"/v1{path}", body, content_type="application/json", headers=headers)

    def take(self, machine: str) -> dict[str, Any]:
        answer = self.post(f"/machines/{machine}/takeover", {})
        assert answer.status_code == 200, answer.content
        return dict(answer.json())


@pytest.fixture
def ana(cast: Cast) -> Person:
    return Person(cast, "ana")


@pytest.fixture
def machine(test_key: Api) -> str:
    return simulated(test_key)


def doors(person: Person, machine: str, **more: Any) -> set[tuple[int, str]]:
    """What every door for hands answers."""
    path = f"/machines/{machine}/actions"
    bodies = [CLICK, *LOOKS, *(body for body in INPUTS if body.get("command") != "run_line")]
    calls = [(path, body | more) for body in bodies]
    calls += [(f"{path}/batch", {"steps": [body | more]}) for body in bodies]
    answers = [person.post(*call) for call in calls]
    return {code(answer) if answer.status_code != 200 else (200, "") for answer in answers}


def test_T_185_an_approver_without_a_lease_acts_nowhere(cast: Cast, ana: Person, machine: str) -> None:
    assert doors(ana, machine) == {(403, "INSUFFICIENT_SCOPE")}
    assert doors(ana, machine, lease_id="tko_made_up") == {(403, "INSUFFICIENT_SCOPE")}
    assert acted() == 0


def test_T_185_the_lease_of_somebody_else_is_of_no_use(cast: Cast, ana: Person, machine: str) -> None:
    theirs = Person(cast, "olga").take(machine)
    assert doors(ana, machine, lease_id=theirs["id"]) == {(403, "INSUFFICIENT_SCOPE")}


def test_T_185_a_lapsed_or_released_lease_is_of_no_use(cast: Cast, ana: Person, machine: str) -> None:
    lease = ana.take(machine)
    pass_time(lease, silent=30)
    assert doors(ana, machine, lease_id=lease["id"]) == {(403, "INSUFFICIENT_SCOPE")}
    lease = ana.take(machine)
    assert ana.post(f"/machines/{machine}/takeover/release", {"lease_id": lease["id"]}).status_code == 200
    assert doors(ana, machine, lease_id=lease["id"]) == {(403, "INSUFFICIENT_SCOPE")}


def test_T_185_a_lease_is_of_one_machine(test_key: Api, ana: Person, machine: str) -> None:
    lease = ana.take(simulated(test_key, "another"))
    assert doors(ana, machine, lease_id=lease["id"]) == {(403, "INSUFFICIENT_SCOPE")}


def test_T_185_the_lease_of_her_own_key_is_not_hers(cast: Cast, ana: Person, machine: str) -> None:
    lease = take(cast.api(test=True, owner="ana"), machine)
    assert doors(ana, machine, lease_id=lease["id"]) == {(403, "INSUFFICIENT_SCOPE")}


def test_an_approver_acts_while_the_lease_lives(ana: Person, machine: str) -> None:
    lease = ana.take(machine)
    assert doors(ana, machine) == {(200, "")}
    assert doors(ana, machine, lease_id=lease["id"]) == {(200, "")}


def test_T_185_a_lease_is_no_shell(cast: Cast, ana: Person) -> None:
    machine = terminal_of(cast.api(test=True))
    lease = ana.take(machine)
    for body in INPUTS:
        answer = ana.post(f"/machines/{machine}/actions", body | {"lease_id": lease["id"]})
        assert scope_of(answer) == (403, "INSUFFICIENT_SCOPE", "terminal:exec"), body
    assert ana.post(f"/machines/{machine}/actions", LOOKS[0]).status_code == 200
    assert scope_of(ana.post(f"/machines/{machine}/terminal", {"command": "id"}))[0] == 403


def test_an_operator_acts_without_a_lease(cast: Cast, machine: str) -> None:
    assert doors(Person(cast, "alice"), machine) == {(200, "")}


def test_a_key_that_decides_does_not_act(cast: Cast, machine: str) -> None:
    key = only(cast, "approvals:decide", "approvals:read", "machines:read", "runs:read", test=True)
    refused = (403, "INSUFFICIENT_SCOPE", "actions:exec")
    assert scope_of(key.post(f"/machines/{machine}/actions", CLICK)) == refused
    assert scope_of(key.post(f"/machines/{machine}/takeover", {})) == refused


# --- the screen page


def act_on_page(client: Client, machine: str, **fields: str) -> str:
    answer = client.post(f"/machines/{machine}/control/act", fields, follow=True)
    return answer.content.decode()


def test_T_185_the_screen_page_is_no_way_round(cast: Cast, machine: str) -> None:
    client = cast.browser("ana", mode="test")
    for fields in ({"text": "id", "enter": "1"}, {"key": "enter"}, {"scroll": "up"}, {"px": "1", "py": "1"}):
        act_on_page(client, machine, seen="99999999999", **fields)
        act_on_page(client, machine, seen="99999999999", lease="tko_made_up", **fields)
    assert acted() == 0


def test_T_185_the_screen_page_of_a_terminal_offers_no_typing_to_an_approver(cast: Cast) -> None:
    machine = terminal_of(cast.api(test=True))
    client = cast.browser("ana", mode="test")
    page = client.post(f"/machines/{machine}/control", {}, follow=True).content.decode()
    lease = Machine.objects.get(id=machine).lease
    assert lease is not None
    assert "You control this machine" in page
    assert "hand-text" not in page
    assert 'name="px"' not in page
    assert "Typing at a terminal needs the role operator" in page
    assert "hand-note" in page  # she gives it back
    assert "needs the scope terminal:exec" in act_on_page(client, machine, lease=lease.id, text="id", enter="1")
    assert acted() == 0
    mine = cast.browser("alice", mode="test")
    client.post(f"/machines/{machine}/control/give-back", {"lease": lease.id})
    assert "hand-text" in mine.post(f"/machines/{machine}/control", {}, follow=True).content.decode()


def test_a_run_at_a_terminal_is_a_run(cast: Cast) -> None:
    """What an agent types is guarded by policies and people: starting a run needs runs:write, not terminal:exec."""
    machine = terminal_of(cast.api(test=True))
    starter = only(cast, "runs:write", "runs:read", test=True)
    assert starter.post("/runs", {"task": "x", "machine_id": machine}).status_code == 200
