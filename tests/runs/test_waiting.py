"""Waiting for people: what is shown, what it costs, and runs that do not wait (docs/api/runs.md sections 3 and 5)."""

import pytest

from approvals.models import Approval, Decision
from runs.models import Screenshot
from tests.cast import Api
from tests.runs.driving import (
    data_of,
    drive_all,
    ended,
    kinds,
    log,
    request_of,
    shift,
    show,
    simulated,
    status_of,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def test_a_waiting_run_says_why(test_key: Api) -> None:
    run = waiting(test_key)
    (approval,) = run["open_approvals"]
    assert run["awaiting_human_reason"] == "Scripted run asks for approval after step 1."
    assert run["awaiting_human_since"]
    assert run["waiting_on"]["code"] == "human"
    assert run["waiting_on"]["ref"] == approval
    (event,) = data_of(run["id"], "awaiting_human")
    assert event == {
        "reason": run["awaiting_human_reason"], "message": run["awaiting_human_reason"], "approval_id": approval,
        "request_id": approval, "kind": "approval", "reason_code": "AWAITING_APPROVAL", "input_kind": "approval",
        "expires_at": None, "step_id": None, "awaiting_step_id": None,
    }  # fmt: skip
    check_run(run["id"])


def test_T_033_polling_neither_advances_nor_bills(live: Api) -> None:
    machine = simulated(live)
    run = waiting(live, machine_id=machine, agent="scripted")
    before = (
        live.get(f"/runs/{run['id']}").content,
        live.get("/billing/balance").json()["available_cents"],
        log(run["id"]),
    )
    for _ in range(3):
        drive_all()
        assert live.get(f"/machines/{machine}").json()["current_run_id"] == run["id"]
    after = (
        live.get(f"/runs/{run['id']}").content,
        live.get("/billing/balance").json()["available_cents"],
        log(run["id"]),
    )
    assert after == before
    assert live.get("/billing/balance").json()["held_cents"] == 0
    check_run(run["id"])


def test_T_034_resuming_costs_nothing_and_is_no_step(test_key: Api) -> None:
    run = waiting(test_key, "x [pause:1]")
    assert (run["steps_completed"], run["cost_cents"]) == (1, 5)
    resumed = test_key.post(f"/runs/{run['id']}/resume").json()
    assert (resumed["status"], resumed["awaiting_human_reason"], resumed["open_approvals"]) == ("running", None, [])
    assert resumed["awaiting_human_since"] == run["awaiting_human_since"]
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 3, 15)
    check_run(run["id"])


def test_T_036_two_pauses_are_two_waits(test_key: Api) -> None:
    run = waiting(test_key, "x [pause:1][pause:2]")
    first = run["open_approvals"]
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    second = show(test_key, run["id"])["open_approvals"]
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert first != second
    assert [e["approval_id"] for e in data_of(run["id"], "awaiting_human")] == first + second
    assert [e["approval_id"] for e in data_of(run["id"], "resumed")] == first + second
    assert list(Approval.objects.filter(run_id=run["id"]).order_by("seq").values_list("seq", "id")) == [
        (1, first[0]), (2, second[0])
    ]  # fmt: skip
    check_run(run["id"])


@pytest.mark.parametrize(("word", "status"), [("fail", "failed"), ("cancel", "cancelled")])
@pytest.mark.parametrize("task", ["x [pause]", "x [question]", "x [takeover]"])
def test_T_035_runs_that_do_not_wait(test_key: Api, word: str, status: str, task: str) -> None:
    run = ended(test_key, task, on_awaiting_human=word)
    assert run["status"] == status
    assert (run["error"]["code"], run["error"]["reason_code"]) == ("AWAITING_HUMAN", "awaiting_human")
    assert (run["result"] or {}).get("passed", None) is (False if status == "failed" else None)
    assert "awaiting_human" not in kinds(run["id"])
    assert test_key.get("/approvals").json()["data"] == []
    (kept,) = test_key.get("/approvals?status=all").json()["data"]
    assert (kept["status"], kept["decision"]["via"]) == ("cancelled", "on_awaiting_human")
    assert Decision.objects.get(approval_id=kept["id"]).actor["type"] == "system"
    check_run(run["id"])


def test_without_people_the_agent_does_not_ask(test_key: Api) -> None:
    run = ended(test_key, "x [pause] [question]", human_in_the_loop=False)
    assert run["status"] == "succeeded"
    assert not Approval.objects.exists()


@pytest.mark.parametrize(
    ("task", "kind", "code", "input_kind"),
    [
        ("[pause]", "approval", "AWAITING_APPROVAL", "approval"),
        ("[question]", "question", "AWAITING_ANSWER", "input"),
        ("[input]", "input", "AWAITING_INPUT", "input"),
        ("[takeover]", "takeover", "AWAITING_TAKEOVER", "approval"),
    ],
)
def test_the_kinds_of_requests(test_key: Api, task: str, kind: str, code: str, input_kind: str) -> None:
    run = waiting(test_key, task)
    (event,) = data_of(run["id"], "awaiting_human")
    assert (event["kind"], event["reason_code"], event["input_kind"]) == (kind, code, input_kind)
    request = request_of(test_key, run)
    assert (request["kind"], request["reason_code"], request["input_kind"]) == (kind, code, input_kind)
    assert request["request_id"] == request["id"]
    assert request["on_reject"] == {"question": "continue"}.get(kind, "fail_run")
    assert request["evidence"]["step"] == 1
    assert Screenshot.objects.filter(run_id=run["id"], index=request["evidence"]["screenshot_index"]).exists()


def test_each_request_has_its_own_full_timeout(test_key: Api) -> None:
    run = waiting(test_key, "x [pause:1][pause:2]", awaiting_human_timeout_seconds=60)
    shift(run["id"], 50)
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    second = request_of(test_key, run)
    assert second["expires_at"] > second["created_at"]
    row = Approval.objects.get(id=second["id"])
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).total_seconds() == 60


def test_T_048_after_a_resume_a_fresh_picture_comes_first(test_key: Api) -> None:
    run = waiting(test_key)
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    after = kinds(run["id"])[kinds(run["id"]).index("resumed") :]
    assert next(k for k in after if k in ("screenshot", "tool_call")) == "screenshot"
