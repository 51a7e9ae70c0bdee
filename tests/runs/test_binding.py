"""An approval holds for what was shown, and for nothing else (docs/api/approvals.md section 10)."""

import io
from typing import Any

import pytest
from PIL import Image

from accounts.models import Team
from approvals.models import Approval, Decision
from machines import pictures
from machines.drivers.base import Action, MachineState
from machines.drivers.simulated import SimulatedSession
from machines.models import Machine
from runs.agents import registry
from runs.agents.action_summary import edited_act as edited
from runs.agents.base import Act, Context
from runs.agents.base import Decision as Move
from runs.agents.scripted import ScriptedAgent
from tests.cast import Api, Cast
from tests.runs.driving import data_of, drive_all, request_of, show, simulated, status_of, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}


def approve(api: Api, run: dict[str, Any], **body: Any) -> Approval:
    """Approve what is open and let the run go as far as it goes."""
    approval = Approval.objects.get(run_id=run["id"], status="pending")
    answer = api.post(f"/approvals/{approval.id}/decide", {"verdict": "approve", **body})
    assert answer.status_code == 200, answer.content
    drive_all()
    approval.refresh_from_db()
    return approval


def _check_replaced(api: Api, run: dict[str, Any], old: Approval, reason: str) -> dict[str, Any]:
    assert (old.status, old.void_reason) == ("void", reason)
    new = request_of(api, run)
    assert (new["previous_approval_id"], old.replaced_by) == (old.id, new["id"])
    receipt = api.get(f"/approvals/{old.id}").json()["decision"]["receipt"]
    assert (receipt["outcome"], receipt["executed_at"]) == ("not_executed", None)
    assert data_of(run["id"], "tool_call") == []
    assert [d["change"] for d in data_of(run["id"], "approval")][-1] == "void"
    late = api.post(f"/approvals/{old.id}/decide", {"verdict": "approve"}).json()["error"]
    assert (late["code"], late["replaced_by"]) == ("APPROVAL_VOID", new["id"])
    return new


# --- the action


def test_another_action_than_the_approved_one_is_asked_for_anew(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1][drift]", **ASKING)
    new = _check_replaced(test_key, run, approve(test_key, run), "action_changed")
    assert new["action"]["params"]["y"] == 199
    assert new["message"].startswith("The agent now wants another action than the one that was approved.")
    approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    assert [c["params"]["y"] for c in data_of(run["id"], "tool_call")] == [199]
    check_run(run["id"])


class Fickle(ScriptedAgent):
    """Wants to click until that is approved, and then something else."""

    def __init__(self, then: Action) -> None:
        self.then = then

    async def next(self, context: Context, session: Any) -> Move:
        move = await super().next(context, session)
        if isinstance(move.move, Act) and any(m.kind == "tool" for m in context.messages):
            return Move(Act(self.then), move.memory, move.text)
        return move


def test_an_edit_holds_for_the_action_that_was_edited(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._AGENTS, "scripted", Fickle(Action("type_text", {"text": "rm"})))
    run = waiting(test_key, "x [steps:1]", **ASKING)
    old = approve(test_key, run, edited_action={"name": "click", "params": {"x": 5, "y": 6}})
    assert _check_replaced(test_key, run, old, "action_changed")["action"]["name"] == "type_text"


def test_an_edit_runs_as_edited_whatever_the_agent_wants_the_parameters_to_be(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1][drift]", **ASKING)
    approve(test_key, run, edited_action={"name": "click", "params": {"x": 5, "y": 6}})
    (call,) = data_of(run["id"], "tool_call")
    assert (call["edited"], call["params"]) == (True, {"x": 5, "y": 6, "button": "left", "count": 1})


def test_a_policy_that_denies_comes_before_everything(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1][drift]", **ASKING)
    test_key.post("/permissions", {"tool": "click", "effect": "deny"})
    approval = approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    assert [d["skipped"] for d in data_of(run["id"], "tool_result")] == [True]
    assert Approval.objects.filter(run_id=run["id"]).count() == 1
    assert Decision.objects.get(approval=approval).outcome == "skipped"
    check_run(run["id"])


# --- the screen


@pytest.fixture
def _looking(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(screen_check=True)


def _was_seen(approval_id: str, share: float) -> None:
    """Let the approver have seen another screen, of which this share was different."""
    approval = Approval.objects.get(id=approval_id)
    now = Image.open(io.BytesIO(pictures.read(approval.context["picture"]))).convert("RGB")
    now.paste((0, 0, 0), (0, 0, now.width, round(now.height * share)))
    file = io.BytesIO()
    now.save(file, "PNG")
    approval.context["picture"] = pictures.store(file.getvalue())
    approval.save(update_fields=["context"])


@pytest.mark.usefixtures("_looking")
def test_T_084_a_changed_screen_voids_the_approval(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    asked = request_of(test_key, run)
    _was_seen(asked["id"], 0.2)
    new = _check_replaced(test_key, run, approve(test_key, run), "screen_changed")
    assert new["evidence"]["previous_screenshot_index"] == asked["evidence"]["screenshot_index"]
    assert new["evidence"]["screenshot_index"] > asked["evidence"]["screenshot_index"]
    assert new["action_hash"] == asked["action_hash"]
    approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


@pytest.mark.usefixtures("_looking")
def test_a_small_change_of_the_screen_is_none(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    _was_seen(run["open_approvals"][0], 0.02)
    approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"


@pytest.mark.usefixtures("_looking")
def test_T_084_another_host_is_another_screen(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1][spend]", **ASKING)
    row = Approval.objects.get(run_id=run["id"])
    assert row.action is not None
    row.action["host"] = "shop.example"
    row.save(update_fields=["action"])
    new = _check_replaced(test_key, run, approve(test_key, run), "screen_changed")
    assert new["action"]["host"] == "shop.test"


def test_who_does_not_look_is_not_stopped(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    _was_seen(run["open_approvals"][0], 1)
    approve(test_key, run)
    assert status_of(run["id"]) == "succeeded"


# --- the machine


def _on_a_machine(live: Api) -> tuple[dict[str, Any], str]:
    machine = simulated(live)
    return waiting(live, "x [steps:1]", machine_id=machine, agent="scripted", **ASKING), machine


def _power(machine: str, status: str) -> None:
    Machine.objects.filter(id=machine).update(status=status)


def test_what_cannot_start_is_asked_for_again(live: Api) -> None:
    run, machine = _on_a_machine(live)
    asked = request_of(live, run)
    _power(machine, "stopped")
    new = _check_replaced(live, run, approve(live, run), "execution_not_started")
    same = ("action", "action_hash", "title", "agent_message", "quorum", "four_eyes", "can_remember", "step_index")
    assert {name: new[name] for name in same} == {name: asked[name] for name in same}
    assert "The machine is stopped." in new["message"]
    _power(machine, "running")
    approve(live, run)
    done = show(live, run["id"])
    assert (done["status"], done["cost_cents"]) == ("succeeded", 5)
    check_run(run["id"])


def test_after_three_times_the_machine_is_unavailable(live: Api) -> None:
    run, machine = _on_a_machine(live)
    _power(machine, "stopped")
    for _ in range(3):
        approve(live, run)
        assert status_of(run["id"]) == "awaiting_human"
    last = approve(live, run)
    done = show(live, run["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert Approval.objects.filter(run_id=run["id"], void_reason="execution_not_started").count() == 3
    assert Decision.objects.get(approval=last).outcome == "not_executed"
    assert data_of(run["id"], "tool_call") == []
    check_run(run["id"])


def test_without_an_approval_a_lost_machine_ends_the_run(live: Api) -> None:
    machine = simulated(live)
    run = waiting(live, "x [steps:1] [pause:0]", machine_id=machine, agent="scripted")
    _power(machine, "stopped")
    approve(live, run)
    assert show(live, run["id"])["error"]["code"] == "MACHINE_UNAVAILABLE"


# --- the page


@pytest.mark.parametrize(
    ("task", "mode", "kind"),
    [
        ("x [steps:1]", ASKING, "tool"),
        ("x [pause]", {}, "approval"),
        ("x", ASKING | {"permission_mode": "plan"}, "plan"),
    ],
)
def test_in_a_browser_the_evidence_names_the_page(
    test_key: Api, monkeypatch: pytest.MonkeyPatch, task: str, mode: dict[str, Any], kind: str
) -> None:
    async def at_the_shop(self: SimulatedSession) -> MachineState:
        return MachineState(url="https://shop.test/pay")

    monkeypatch.setattr(SimulatedSession, "state", at_the_shop)
    machine = test_key.post("/machines", {"display_name": "b", "kind": "browser"}).json()["id"]
    request = request_of(test_key, waiting(test_key, task, machine_id=machine, **mode))
    assert (request["kind"], request["evidence"]["url"]) == (kind, "https://shop.test/pay")
    if kind == "tool":
        assert request["action"]["host"] == "shop.test"


def test_a_point_that_a_person_moved_is_meant_for_no_element_any_more() -> None:
    act = Act(Action("click", {"x": 5, "y": 6, "button": "left"}, ref="f/1", checked=True))
    moved = edited(act, {"name": "click", "params": {"x": 7, "y": 6, "button": "left"}})
    assert (moved.action.ref, moved.action.checked) == (None, None)
