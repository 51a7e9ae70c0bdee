"""Whether an action can be undone: on its request, its event and its card, and as a condition of policies
(docs/api/approvals.md section 14). The server says so, never the agent.
"""

from typing import Any

import pytest

from approvals.models import Policy
from machines.drivers.base import Action, Target
from machines.drivers.simulated import SimulatedSession
from runs.agents import registry
from runs.agents.base import Act, Context
from runs.agents.base import Decision as Move
from runs.agents.scripted import ScriptedAgent
from tests.cast import Api, Cast
from tests.runs.driving import begin, data_of, drive_all, request_of, show, status_of, waiting

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
AUTONOMOUS = ASKING | {"permission_mode": "autonomous"}
HARD = [{"class": "irreversible"}]
NEXT, DELETE = Target("button", "Next"), Target("button", "Delete account")


@pytest.fixture
def under(monkeypatch: pytest.MonkeyPatch) -> dict[str, Target | None]:
    """What the simulated browser says lies under every action."""
    seen: dict[str, Target | None] = {"target": NEXT}

    async def target(self: SimulatedSession, action: Action) -> Target | None:
        return seen["target"]

    monkeypatch.setattr(SimulatedSession, "target", target)
    return seen


class Wants(ScriptedAgent):
    """Wants this one action in every step, and says of it what it likes."""

    def __init__(self, act: Act) -> None:
        self.act = act

    async def next(self, context: Context, session: Any) -> Move:
        move = await super().next(context, session)
        return Move(self.act, move.memory, move.text) if isinstance(move.move, Act) else move


def wants(monkeypatch: pytest.MonkeyPatch, name: str, risk: str | None = None, **params: Any) -> None:
    monkeypatch.setitem(registry._AGENTS, "scripted", Wants(Act(Action(name, params), risk)))


def browser(api: Api) -> str:
    return str(api.post("/machines", {"display_name": "b", "kind": "browser"}).json()["id"])


def _approve(api: Api, run: dict[str, Any]) -> None:
    api.post(f"/approvals/{request_of(api, run)['id']}/decide", {"verdict": "approve"})
    drive_all()


@pytest.mark.parametrize(("target", "expected"), [(NEXT, "reversible"), (DELETE, "irreversible")])
def test_request_and_event_have_the_class(
    test_key: Api, under: dict[str, Target | None], target: Target, expected: str
) -> None:
    under["target"] = target
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    assert request_of(test_key, run)["action"]["class"] == expected
    _approve(test_key, run)
    (call,) = data_of(run["id"], "tool_call")
    assert call["class"] == expected


def test_what_only_looks_is_of_class_read(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    wants(monkeypatch, "scroll", "destroy", x=1, y=1, direction="down", amount=3)
    run = begin(test_key, "x [steps:1]")
    drive_all()
    assert [call["class"] for call in data_of(run["id"], "tool_call")] == ["read"]


@pytest.mark.parametrize("declared", [None, "spend", "destroy"])
def test_an_agent_neither_lowers_nor_raises_the_class(
    test_key: Api, monkeypatch: pytest.MonkeyPatch, declared: str | None
) -> None:
    for command, expected in (("rm -rf build", "irreversible"), ("ls", "reversible")):
        wants(monkeypatch, "run_line", declared, command=command)
        run = waiting(test_key, "x [steps:1]", **ASKING)
        assert request_of(test_key, run)["action"]["class"] == expected


def test_a_policy_asks_before_what_is_hard_to_undo_and_before_nothing_else(
    test_key: Api, under: dict[str, Target | None]
) -> None:
    made = test_key.post("/permissions", {"tool": "*", "effect": "ask", "when": HARD})
    assert (made.status_code, made.json()["when"]) == (201, HARD)
    calm = begin(test_key, "x [steps:1]", machine_id=browser(test_key), **AUTONOMOUS)
    drive_all()
    assert show(test_key, calm["id"])["status"] == "succeeded"
    under["target"] = DELETE
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **AUTONOMOUS)
    assert request_of(test_key, run)["message"].startswith("A policy asks before every action that is hard to undo.")
    _approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"


def test_a_policy_denies_what_is_hard_to_undo(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    test_key.post("/permissions", {"tool": "run_line", "effect": "deny", "when": HARD})
    wants(monkeypatch, "run_line", command="sh deploy.sh")
    run = begin(test_key, "x [steps:1]", **AUTONOMOUS)
    drive_all()
    assert [r["skipped"] for r in data_of(run["id"], "tool_result")] == [True]
    wants(monkeypatch, "run_line", command="ls -la")
    run = begin(test_key, "x [steps:1]", **AUTONOMOUS)
    drive_all()
    assert [r["skipped"] for r in data_of(run["id"], "tool_result")] == [False]


def test_an_allow_of_what_can_be_undone_allows_nothing_else(test_key: Api, under: dict[str, Target | None]) -> None:
    test_key.post("/permissions", {"tool": "click", "when": [{"class": "reversible"}]})
    calm = begin(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    drive_all()
    assert show(test_key, calm["id"])["status"] == "succeeded"
    under["target"] = Target("dialog", "Leave?", "confirm")  # no risk is raised by it
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    assert request_of(test_key, run)["action"]["class"] == "irreversible"


def test_equal_policies_are_of_equal_conditions(test_key: Api) -> None:
    bare = test_key.post("/permissions", {"tool": "click", "effect": "ask"})
    hard = test_key.post("/permissions", {"tool": "click", "effect": "ask", "when": HARD})
    twice = test_key.post("/permissions", {"tool": "click", "effect": "ask", "when": [*HARD, *HARD]})
    assert [answer.status_code for answer in (bare, hard, twice)] == [201, 201, 200]
    assert hard.json()["id"] == twice.json()["id"] != bare.json()["id"]
    assert (bare.json()["when"], test_key.get(f"/permissions/{hard.json()['id']}").json()["when"]) == ([], HARD)


@pytest.mark.parametrize(
    "when",
    [
        [{"class": "harmless"}], [{"class": None}], [{}], ["irreversible"], "irreversible", {"class": "irreversible"},
        [{"path": "amount", "op": "near", "value": 500}], [{"class": "irreversible", "path": "x"}], [{"action_class": "read"}],
        [{"class": "read"}, {"class": "irreversible"}], HARD * 11,
    ],
)  # fmt: skip
def test_other_conditions_are_refused(test_key: Api, when: Any) -> None:
    refused = test_key.post("/permissions", {"tool": "click", "effect": "ask", "when": when})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert not Policy.objects.exists()


def test_a_condition_of_a_newer_release_never_lets_an_action_through(test_key: Api, cast: Cast) -> None:
    newer = [{"path": "amount", "op": "near", "value": 5}]
    usual = {"team": cast.team, "test": True, "tool": "click", "when": newer, "created_by": {}}
    allow = Policy.objects.create(effect="allow", **usual)
    run = waiting(test_key, "x [steps:1]", **ASKING)
    assert request_of(test_key, run)["can_remember"] is True
    allow.delete()
    Policy.objects.create(effect="ask", **usual)
    run = waiting(test_key, "x [steps:1]", **AUTONOMOUS)
    assert request_of(test_key, run)["can_remember"] is False


def test_the_card_says_what_is_hard_to_undo(test_key: Api, cast: Cast, under: dict[str, Target | None]) -> None:
    ana = cast.browser("ana", mode="test")
    calm = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    under["target"] = Target("dialog", "Leave?", "confirm")
    hard = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    pages = [ana.get(f"/approvals/{request_of(test_key, run)['id']}").content.decode() for run in (calm, hard)]
    assert ['data-class="irreversible"' in page for page in pages] == [False, True]
    assert ["can be undone" in page for page in pages] == [True, False]
    assert "It is hard to undo." in pages[1]
