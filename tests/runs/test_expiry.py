"""Requests that nobody answers in time (docs/api/approvals.md section 9). Time passes by moving rows into the past."""

from typing import Any

import pytest

from approvals import clock
from approvals.models import Approval, Decision
from runs.models import RunEvent
from tests.cast import Api
from tests.runs.driving import data_of, drive_all, kinds, log, shift, show, status_of, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}


def _expired(api: Api, task: str = "x [pause]", on_timeout: str = "cancel", **fields: Any) -> dict[str, Any]:
    run = waiting(api, task, awaiting_human_timeout_seconds=2, on_timeout=on_timeout, **fields)
    assert clock.expiries() == 0
    shift(run["id"], 3)
    assert clock.expiries() == 1
    assert clock.expiries() == 0
    drive_all()
    return show(api, run["id"])


def test_T_108_cancel(test_key: Api) -> None:
    run = _expired(test_key)
    assert (run["status"], run["result"]) == ("cancelled", None)
    assert (run["error"]["code"], run["error"]["reason_code"]) == ("SIGNAL_TIMEOUT", "signal_timeout")
    assert kinds(run["id"])[-3:] == ["approval", "cancelled", "done"]
    approval = Approval.objects.get(run_id=run["id"])
    assert data_of(run["id"], "approval")[0]["change"] == approval.status == "expired"
    assert Decision.objects.get().via == "timeout"
    late = test_key.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "APPROVAL_EXPIRED")
    assert test_key.post(f"/runs/{run['id']}/resume").json()["error"]["code"] == "RESUME_CONFLICT"
    check_run(run["id"])


def test_T_108_the_envelope_tells_why(test_key: Api) -> None:
    run = _expired(test_key)
    page = test_key.get(f"/runs/{run['id']}/events/stream?format=json").json()["data"]
    (end,) = [e for e in page if e["type"] == "run.cancelled"]
    assert end["payload"]["value"]["reason_code"] == "signal_timeout"
    assert RunEvent.objects.filter(run_id=run["id"], type="done").count() == 1


def test_T_109_fail(test_key: Api) -> None:
    run = _expired(test_key, on_timeout="fail")
    assert (run["status"], run["error"]["code"], run["result"]["passed"]) == ("failed", "SIGNAL_TIMEOUT", False)
    check_run(run["id"])


def test_T_109_reject_skips_a_tool_action_and_goes_on(test_key: Api) -> None:
    run = _expired(test_key, "x [steps:1]", "reject", **ASKING)
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == ("succeeded", 1, 5)
    (result,) = data_of(run["id"], "tool_result")
    assert (result["skipped"], result["success"]) == (True, False)
    assert "No answer in time." in run["result"]["summary"]
    decision = Decision.objects.get()
    assert (decision.verdict, decision.via, decision.actor["type"], decision.note) == (
        "reject",
        "timeout",
        "system",
        "No answer in time.",
    )
    assert Approval.objects.get().status == "rejected"
    check_run(run["id"])


def test_reject_ends_a_pause(test_key: Api) -> None:
    run = _expired(test_key, on_timeout="reject")
    assert (run["status"], run["error"]["code"], run["error"]["message"]) == (
        "failed",
        "REJECTED",
        "No answer in time.",
    )
    check_run(run["id"])


def test_T_110_the_recommended_option_is_taken(test_key: Api) -> None:
    run = _expired(test_key, "x [question:rec]", "default_answer")
    assert run["status"] == "succeeded"
    decision = Decision.objects.get()
    assert (decision.via, decision.verdict, decision.answers) == (
        "timeout",
        "answer",
        {"q1": {"value": "Support", "custom": False}},
    )
    check_run(run["id"])


@pytest.mark.parametrize(
    ("task", "status"),
    [("x [pause]", "failed"), ("x [question]", "succeeded"), ("x [input]", "failed"), ("x [takeover]", "failed")],
)
def test_T_110_elsewhere_it_is_a_rejection(test_key: Api, task: str, status: str) -> None:
    run = _expired(test_key, task, "default_answer")
    assert run["status"] == status
    assert Decision.objects.get().verdict == "reject"
    (resumed,) = data_of(run["id"], "resumed")
    assert resumed["approved"] is False
    check_run(run["id"])


def test_silence_never_approves_an_action(test_key: Api) -> None:
    for word in ("cancel", "fail", "reject", "default_answer"):
        run = _expired(test_key, "x [steps:1]", word, **ASKING)
        assert not [d for d in data_of(run["id"], "tool_result") if not d["skipped"]]
        assert not Decision.objects.filter(verdict="approve").exists()


@pytest.mark.parametrize("on_timeout", ["cancel", "fail", "reject", "default_answer"])
@pytest.mark.parametrize("swept", [True, False])
def test_T_111_late_is_late_whether_or_not_the_sweeper_came(test_key: Api, swept: bool, on_timeout: str) -> None:
    run = waiting(test_key, "x [question:rec]", awaiting_human_timeout_seconds=2, on_timeout=on_timeout)
    [asked] = run["open_approvals"]
    shift(run["id"], 3)
    if swept:
        clock.expiries()
    default = {"verdict": "answer", "answers": {"q1": "Support"}}
    for _ in range(2):
        for body in ({"verdict": "reject", "note": "No answer in time."}, default, {"verdict": "reject"}):
            answer = test_key.post(f"/approvals/{asked}/decide", body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "APPROVAL_EXPIRED")
        answer = test_key.post(f"/runs/{run['id']}/resume", {"approval_id": asked})
        assert answer.json()["error"]["code"] == "APPROVAL_EXPIRED"
    assert Decision.objects.get(counts=True).via == "timeout"


def test_T_111_a_decision_in_time_stands(test_key: Api) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=2)
    test_key.post(f"/runs/{run['id']}/resume")
    shift(run["id"], 3)
    before = log(run["id"])
    assert clock.expiries() == 0
    assert log(run["id"]) == before
    drive_all()
    assert status_of(run["id"]) == "succeeded"


def test_without_a_timeout_nothing_expires(test_key: Api) -> None:
    run = waiting(test_key)
    shift(run["id"], 10_000_000)
    assert clock.expiries() == 0
