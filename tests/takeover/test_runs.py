"""What taking control does to the run that drives the machine, and how the run goes on."""

from typing import Any

import pytest

from approvals import clock
from approvals.models import Approval, Decision
from machines.models import Machine, TakeoverLease
from machines.services import reserve
from machines.takeover.services import lapses
from runs.driving import leases
from runs.models import Run, Step
from tests.cast import Api, Cast
from tests.runs.driving import (
    Inline,
    begin,
    data_of,
    drive_all,
    drive_and_die,
    kinds,
    log,
    request_of,
    show,
    simulated,
    status_of,
    waiting,
)  # fmt: skip
from tests.runs.invariants import check_run
from tests.takeover.control import code, drive_with, lapse, pass_time, release, take

CLICK = {"command": "click", "parameters": {"x": 1, "y": 2}}


@pytest.fixture
def other(cast: Cast) -> Api:
    """Another key of the same team with every scope."""
    return cast.api(owner="ana")


@pytest.fixture
def operator(cast: Cast) -> Api:
    """A key that may act on machines but not decide."""
    return cast.api(owner="alice", scopes=frozenset({"actions:exec", "machines:read", "runs:read"}))


@pytest.fixture
def machine(live: Api) -> str:
    return simulated(live)


def taken_while(api: Api, machine: str, before: str, task: str = "x", note: str = "", **run: Any) -> dict[str, Any]:
    """The lease of who takes control right before the first database work of that name for a new run."""
    begin(api, task, machine_id=machine, agent="scripted", **run)
    made: list[dict[str, Any]] = []
    drive_with(before, lambda: made.append(take(api, machine, note=note)))
    return made[0]


def changes(run_id: str) -> list[str]:
    return [data["change"] for data in data_of(run_id, "takeover")]


# --- the run stands


@pytest.mark.parametrize(("before", "steps"), [("write_intent", 0), ("write_outcome", 1)])
def test_T_171_a_driving_run_stands_at_the_next_boundary(live: Api, machine: str, before: str, steps: int) -> None:
    lease = taken_while(live, machine, before, note="I log in first.")
    run = show(live, lease["run_id"])
    assert (run["status"], run["steps_completed"]) == ("awaiting_human", steps)
    assert Step.objects.filter(status="acting").count() == 0
    approval = request_of(live, run)
    assert (approval["kind"], approval["reason_code"]) == ("takeover", "AWAITING_TAKEOVER")
    assert approval["on_reject"] == "fail_run"
    assert approval["message"] == f"{lease['holder']['name']} took control of the machine. I log in first."
    assert live.get(f"/machines/{machine}/takeover").json()["approval_id"] == approval["id"]
    assert run["waiting_on"]["code"] == "takeover"
    assert lease["holder"]["name"] in run["waiting_on"]["message"]
    check_run(run["id"])


def test_T_171_while_the_lease_lives_the_agent_does_nothing(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    before = kinds(lease["run_id"])
    drive_all()
    assert kinds(lease["run_id"]) == before
    assert "tool_call" not in before
    assert before[-3:] == ["takeover", "awaiting_human", "awaiting_human"]


def test_an_action_whose_intent_waits_for_the_taker_is_refused(live: Api, machine: str) -> None:
    """Even where the status says running: the bar is part of the intent's own condition."""
    run = begin(live, machine_id=machine, agent="scripted")

    def bar() -> None:
        lease = take(live, machine)["id"]
        Run.objects.filter(id=run["id"]).update(controlled_by=lease, status="running", awaiting_human_reason=None)
        Approval.objects.all().delete()

    drive_with("write_intent", bar)
    assert Step.objects.count() == 0
    assert status_of(run["id"]) == "awaiting_human"


@pytest.mark.parametrize("before", ["ask", "end"])
def test_an_ask_or_an_end_decided_before_the_taking_is_decided_anew(live: Api, machine: str, before: str) -> None:
    lease = taken_while(live, machine, before, "x [pause] [steps:1]" if before == "ask" else "x [steps:1]")
    assert request_of(live, show(live, lease["run_id"]))["kind"] == "takeover"
    release(live, lease)
    drive_all()
    run = show(live, lease["run_id"])
    assert run["status"] == ("awaiting_human" if before == "ask" else "succeeded")
    check_run(run["id"])


def test_a_run_that_waits_already_gets_no_second_request(live: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    lease = take(live, machine)
    assert (lease["run_id"], lease["approval_id"]) == (run["id"], None)
    assert [a["kind"] for a in live.get(f"/approvals?run_id={run['id']}").json()["data"]] == ["approval"]
    assert show(live, run["id"])["waiting_on"]["code"] == "takeover"


def test_the_taker_of_an_asking_run_answers_its_request(live: Api, machine: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    lease = take(live, machine)
    assert lease["approval_id"] == run["open_approvals"][0]
    assert release(live, lease)["status"] == "running"


def test_the_holder_acts_while_the_run_stands_and_others_do_not(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    path = f"/machines/{machine}/actions"
    assert code(live.post(path, CLICK)) == (409, "MACHINE_BUSY")
    lease = take(live, machine)
    assert live.post(path, CLICK | {"lease_id": lease["id"]}).status_code == 200
    assert code(other.post(path, CLICK)) == (409, "MACHINE_IN_TAKEOVER")
    release(live, lease)
    assert code(live.post(path, CLICK | {"lease_id": lease["id"]})) == (409, "MACHINE_BUSY")
    check_run(run["id"])


def test_a_run_that_must_not_wait_ends_when_control_is_taken(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent", human_in_the_loop=False)
    run = show(live, lease["run_id"])
    assert (run["status"], run["error"]["code"]) == ("failed", "AWAITING_HUMAN")
    assert live.get(f"/machines/{machine}/takeover").status_code == 200
    assert release(live, lease)["status"] == "failed"


def test_the_interrupted_step_of_a_dead_worker_does_not_hide_the_taking(live: Api, machine: str) -> None:
    run = begin(live, machine_id=machine, agent="scripted")
    drive_and_die("write_outcome")
    lease = take(live, machine)
    assert lease["approval_id"] is None
    drive_all()
    assert request_of(live, show(live, run["id"]))["kind"] == "takeover"
    release(live, lease)
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


# --- giving back


def test_release_lets_the_run_go_on_with_the_note_and_a_fresh_picture(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_outcome")
    answer = release(live, lease, note="I closed the dialog.")
    assert (answer["released"], answer["run_id"], answer["status"]) == (True, lease["run_id"], "running")
    shots = len(data_of(lease["run_id"], "screenshot"))
    drive_all()
    run = show(live, lease["run_id"])
    assert run["status"] == "succeeded"
    assert 'Received: {"note":"I closed the dialog."}' in run["result"]["summary"]
    assert data_of(run["id"], "screenshot")[shots]["phase"] == "before"
    assert changes(run["id"]) == ["taken", "released"]
    assert data_of(run["id"], "takeover")[1]["note"] == "I closed the dialog."
    assert data_of(run["id"], "resumed")[0]["decided_by"]["id"] == lease["holder"]["id"]
    check_run(run["id"])


def test_release_before_the_run_came_to_stand_makes_the_agent_look_again(live: Api, machine: str) -> None:
    run = begin(live, machine_id=machine, agent="scripted")

    def there_and_back() -> None:
        release(live, take(live, machine), note="quick")

    drive_with("write_outcome", there_and_back)
    ended = show(live, run["id"])
    assert ended["status"] == "succeeded"
    assert '"quick"' in ended["result"]["summary"]
    assert "awaiting_human" not in kinds(run["id"])
    check_run(run["id"])


def test_release_without_resume_leaves_the_request_open(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    assert release(live, lease, resume=False, note="not yet")["status"] == "awaiting_human"
    run = show(live, lease["run_id"])
    assert run["waiting_on"]["code"] == "human"
    approval = request_of(live, run)
    assert live.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve"}).json()["resumed"] is True
    drive_all()
    assert '"not yet"' in show(live, run["id"])["result"]["summary"]


def test_release_without_resume_before_the_run_stood_opens_the_request(live: Api, machine: str) -> None:
    run = begin(live, machine_id=machine, agent="scripted")
    drive_with("write_outcome", lambda: release(live, take(live, machine), resume=False))
    approval = request_of(live, show(live, run["id"]))
    assert approval["kind"] == "takeover"
    assert show(live, run["id"])["waiting_on"]["code"] == "human"
    live.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


def test_who_took_control_may_give_it_back_without_the_right_to_decide(live: Api, operator: Api, machine: str) -> None:
    run = begin(live, machine_id=machine, agent="scripted")
    made: list[dict[str, Any]] = []
    drive_with("write_intent", lambda: made.append(take(operator, machine)))
    assert release(operator, made[0])["status"] == "running"
    decision = Decision.objects.get(counts=True)
    assert (decision.verdict, decision.actor["id"]) == ("approve", made[0]["holder"]["id"])
    check_run(run["id"])


def test_the_agents_own_request_needs_the_right_to_decide(live: Api, operator: Api, machine: str) -> None:
    waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    lease = take(operator, machine)
    path = f"/machines/{machine}/takeover/release"
    assert code(operator.post(path, {"lease_id": lease["id"]})) == (403, "INSUFFICIENT_SCOPE")
    assert operator.get(f"/machines/{machine}/takeover").status_code == 200
    assert release(operator, lease, resume=False)["status"] == "awaiting_human"


def test_a_starter_who_may_not_approve_may_still_give_back(cast: Cast, live: Api, machine: str) -> None:
    cast.team.forbid_self_approval = "always"
    cast.team.save()
    lease = taken_while(live, machine, "write_intent")
    assert release(live, lease)["status"] == "running"


# --- deciding calls meanwhile


def test_resume_by_the_holder_releases_and_by_others_is_refused(live: Api, other: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    path = f"/runs/{lease['run_id']}/resume"
    answer = other.post(path)
    assert code(answer) == (409, "MACHINE_IN_TAKEOVER")
    assert answer.json()["error"]["holder"] == lease["holder"]
    approval = show(live, lease["run_id"])["open_approvals"][0]
    assert code(other.post(f"/approvals/{approval}/decide", {"verdict": "approve"})) == (409, "MACHINE_IN_TAKEOVER")
    answer = live.post(path, {"note": "done"})
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert live.get(f"/machines/{machine}/takeover").status_code == 404
    drive_all()
    assert status_of(lease["run_id"]) == "succeeded"
    check_run(lease["run_id"])


def test_deciding_the_takeover_request_gives_the_machine_back(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    approval = show(live, lease["run_id"])["open_approvals"][0]
    assert live.post(f"/approvals/{approval}/decide", {"verdict": "approve"}).json()["resumed"] is True
    assert TakeoverLease.objects.get().end == "released"


def test_anyone_who_decides_may_reject_and_the_lease_stays(live: Api, other: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    approval = show(live, lease["run_id"])["open_approvals"][0]
    assert other.post(f"/approvals/{approval}/decide", {"verdict": "reject"}).status_code == 200
    assert status_of(lease["run_id"]) == "failed"
    assert live.get(f"/machines/{machine}/takeover").status_code == 200


def test_a_decision_on_another_request_takes_effect_after_the_release(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    lease = take(live, machine)
    approval = run["open_approvals"][0]
    answer = other.post(f"/approvals/{approval}/decide", {"verdict": "approve", "note": "go"}).json()
    assert (answer["resumed"], answer["run"]["status"]) == (False, "awaiting_human")
    assert answer["approval"]["status"] == "approved"
    assert answer["approval"]["effective_at"] is None
    assert (clock.effects(), show(live, run["id"])["waiting_on"]["code"]) == (0, "takeover")
    drive_all()
    assert status_of(run["id"]) == "awaiting_human"
    again = other.post(f"/approvals/{approval}/decide", {"verdict": "approve", "note": "go"}).json()
    assert (again["resumed"], again["decision"]["id"]) == (False, answer["decision"]["id"])
    assert release(live, lease, note="mine")["status"] == "running"
    drive_all()
    summary = show(live, run["id"])["result"]["summary"]
    assert '"mine"' in summary
    assert '"go"' in summary
    assert data_of(run["id"], "resumed")[0]["decided_by"]["id"] != lease["holder"]["id"]
    check_run(run["id"])


def test_a_put_off_rejection_ends_the_run_after_the_release(live: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    lease = take(live, machine)
    live.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "reject"})
    assert status_of(run["id"]) == "awaiting_human"
    assert release(live, lease)["status"] == "failed"


def test_the_holders_resume_of_another_request_releases_and_decides(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    take(live, machine)
    assert code(other.post(f"/runs/{run['id']}/resume")) == (409, "MACHINE_IN_TAKEOVER")
    assert live.post(f"/runs/{run['id']}/resume").json()["status"] == "running"
    assert TakeoverLease.objects.get().end == "released"


def test_the_holders_resume_after_somebody_decided_releases(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    take(live, machine)
    other.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve"})
    answer = live.post(f"/runs/{run['id']}/resume")
    assert (answer.status_code, answer.json()["status"]) == (200, "running")


def test_the_undo_window_and_the_lease_both_hold_back(cast: Cast, live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    cast.team.undo_window_seconds = 5
    cast.team.save()
    lease = take(live, machine)
    other.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve"})
    Approval.objects.update(effective_at=TakeoverLease.objects.get().taken_at)
    assert clock.effects() == 1
    assert status_of(run["id"]) == "awaiting_human"
    assert release(live, lease)["status"] == "running"
    assert len(data_of(run["id"], "approval")) == 1
    check_run(run["id"])


HAND_BACK: dict[str, Any] = {
    "release": lambda api, run, asked, lease: api.post(
        f"/machines/{lease['machine_id']}/takeover/release", {"lease_id": lease["id"]}
    ),
    "resume": lambda api, run, asked, lease: api.post(f"/runs/{run}/resume"),
    "resume by name": lambda api, run, asked, lease: api.post(f"/runs/{run}/resume", {"approval_id": asked}),
    "signal": lambda api, run, asked, lease: api.post(f"/runs/{run}/signal", {"action": "approve"}),
    "approve": lambda api, run, asked, lease: api.post(
        f"/runs/{run}/approve", {"request_id": asked, "decision": "allow"}
    ),
    "decide": lambda api, run, asked, lease: api.post(f"/approvals/{asked}/decide", {"verdict": "approve"}),
}


@pytest.mark.parametrize("way", HAND_BACK)
@pytest.mark.parametrize("asked_by", ["agent", "taking control"])
def test_T_183_the_holder_hands_back_what_somebody_else_claimed(
    live: Api, other: Api, machine: str, way: str, asked_by: str
) -> None:
    if asked_by == "agent":
        run_id = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")["id"]
        lease = take(live, machine)
    else:
        lease = taken_while(live, machine, "write_intent")
        run_id = lease["run_id"]
    [asked] = show(live, run_id)["open_approvals"]
    assert other.post(f"/approvals/{asked}/claim").status_code == 200
    assert code(HAND_BACK[way](other, run_id, asked, lease)) == (409, "MACHINE_IN_TAKEOVER")
    answer = HAND_BACK[way](live, run_id, asked, lease)
    assert answer.status_code == 200, answer.content
    assert status_of(run_id) == "running"
    assert TakeoverLease.objects.get().end == "released"
    assert (Decision.objects.get(counts=True).approval_id, Approval.objects.get().claimed_by) == (asked, None)
    check_run(run_id)


@pytest.mark.parametrize("way", [way for way in HAND_BACK if way != "release"])
def test_T_183_a_claim_still_binds_who_holds_no_lease(live: Api, other: Api, machine: str, way: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    [asked] = run["open_approvals"]
    other.post(f"/approvals/{asked}/claim")
    assert code(HAND_BACK[way](live, run["id"], asked, {})) == (409, "APPROVAL_CLAIMED")


def test_T_183_the_holder_decides_no_other_request_that_somebody_claimed(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [pause]", machine_id=machine, agent="scripted")
    [asked] = run["open_approvals"]
    lease = take(live, machine)
    other.post(f"/approvals/{asked}/claim")
    for way in ("resume", "decide"):
        assert code(HAND_BACK[way](live, run["id"], asked, lease)) == (409, "APPROVAL_CLAIMED")
    assert TakeoverLease.objects.get().ended_at is None
    assert release(live, lease)["status"] == "awaiting_human"


# --- silence


def test_T_171_thirty_silent_seconds_return_control_and_continue_the_run(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    lapse(lease)
    run = show(live, lease["run_id"])
    assert run["status"] == "running"
    decision = Decision.objects.get(counts=True)
    assert (decision.via, decision.verdict, decision.actor["type"]) == ("lease_expired", "approve", "system")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert changes(run["id"]) == ["taken", "lapsed"]
    assert data_of(run["id"], "takeover")[1]["by"] == lease["holder"]
    check_run(run["id"])


def test_ten_idle_minutes_return_control_too(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    pass_time(lease, idle=600)
    assert lapses() == 1
    assert status_of(lease["run_id"]) == "running"


def test_a_request_of_the_agent_stays_open_when_the_lease_lapses(live: Api, machine: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    lapse(take(live, machine))
    now = show(live, run["id"])
    assert (now["status"], now["waiting_on"]["code"]) == ("awaiting_human", "human")
    assert now["open_approvals"] == run["open_approvals"]
    check_run(run["id"])


def test_a_lapse_before_the_run_stood_lets_it_go_on(live: Api, machine: str) -> None:
    run = begin(live, machine_id=machine, agent="scripted")
    drive_with("write_outcome", lambda: lapse(take(live, machine)))
    assert status_of(run["id"]) == "succeeded"
    assert "awaiting_human" not in kinds(run["id"])


def test_who_takes_an_overdue_lease_over_makes_the_run_stand_again(live: Api, other: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    pass_time(lease, silent=30)
    second = take(other, machine)
    assert second["approval_id"] not in (None, lease["approval_id"])
    assert changes(lease["run_id"]) == ["taken", "lapsed", "taken"]
    release(other, second)
    drive_all()
    assert status_of(lease["run_id"]) == "succeeded"
    check_run(lease["run_id"])


# --- beside the run


def test_cancelling_the_run_does_not_end_the_lease(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    assert live.post(f"/runs/{lease['run_id']}/cancel").json()["status"] == "cancelled"
    before = log(lease["run_id"])
    assert live.get(f"/machines/{machine}/takeover").json()["id"] == lease["id"]
    answer = release(live, lease)
    assert (answer["run_id"], answer["status"]) == (lease["run_id"], "cancelled")
    assert log(lease["run_id"]) == before


def test_a_queued_run_does_not_start_on_a_controlled_machine(live: Api, machine: str) -> None:
    lease = take(live, machine)
    run = begin(live, machine_id=machine, agent="scripted")
    assert leases.claim(Inline.name, 5) == []
    assert not reserve(machine, run["id"])
    shown = show(live, run["id"])
    assert shown["status"] == "queued"
    assert (shown["waiting_on"]["code"], shown["waiting_on"]["ref"]) == ("takeover", lease["id"])
    release(live, lease)
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert Machine.objects.get(id=machine).current_run_id is None


def test_what_a_person_does_is_in_the_log_with_the_name_and_costs_nothing(live: Api, machine: str) -> None:
    lease = taken_while(live, machine, "write_intent")
    cost = show(live, lease["run_id"])["cost_cents"]
    path = f"/machines/{machine}/actions"
    live.post(path, CLICK | {"lease_id": lease["id"]})
    live.post(path, {"command": "type_text", "parameters": {"text": "hunter2"}})
    release(live, lease)
    told = [data for data in data_of(lease["run_id"], "text") if "by" in data]
    name = lease["holder"]["name"]
    assert [t["text"] for t in told] == [f"{name}, by hand: Click at 1, 2", f"{name}, by hand: Type 7 characters"]
    assert all(t["by"] == lease["holder"] and t["cost_cents"] == 0 for t in told)
    assert show(live, lease["run_id"])["cost_cents"] == cost
    assert "hunter2" not in str(log(lease["run_id"]))
    drive_all()
    check_run(lease["run_id"])
