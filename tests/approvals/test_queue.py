"""GET /v1/approvals: what waits, what is due first, how much it is (docs/api/approvals.md section 3)."""

from typing import Any

import pytest

from approvals.models import Approval
from approvals.queue.listing import held_up
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, simulated, waiting
from tests.workflows.engine import ran, task

pytestmark = pytest.mark.django_db


def _ids(api: Api, query: str = "") -> list[str]:
    return [a["id"] for a in api.get(f"/approvals{query}").json()["data"]]


def test_T_077_pending_only_and_earliest_expiry_first(test_key: Api) -> None:
    def opened(**fields: Any) -> str:
        return str(waiting(test_key, **fields)["open_approvals"][0])

    never = opened()
    high = opened(priority=9)
    later = opened(awaiting_human_timeout_seconds=900)
    soon = opened(awaiting_human_timeout_seconds=60)
    old = opened(priority=9)
    decided = opened()
    test_key.post(f"/approvals/{decided}/decide", {"verdict": "approve"})
    assert _ids(test_key) == [soon, later, high, old, never]
    assert _ids(test_key, "?sort=created") == [old, soon, later, high, never]
    assert _ids(test_key, "?status=approved") == [decided]
    assert len(_ids(test_key, "?status=all")) == 6
    page = test_key.get("/approvals?limit=1").json()
    assert page["summary"]["pending"] == page["summary"]["blocked_runs"] == 5
    assert page["summary"]["oldest_created_at"] == test_key.get(f"/approvals/{never}").json()["created_at"]
    rest = test_key.get(f"/approvals?limit=200&cursor={page['next_cursor']}").json()
    assert [a["id"] for a in page["data"] + rest["data"]] == [soon, later, high, old, never]


def test_filters(test_key: Api, cast: Cast) -> None:
    question = waiting(test_key, "x [question]")
    pause = waiting(test_key)
    assert _ids(test_key, "?kind=question") == question["open_approvals"]
    assert _ids(test_key, f"?run_id={pause['id']}") == pause["open_approvals"]
    Approval.objects.filter(run_id=pause["id"]).update(assignee="grp_finance")
    assert _ids(test_key, "?assignee=grp_finance") == pause["open_approvals"]
    assert _ids(test_key, "?assignee=none") == question["open_approvals"]
    assert _ids(test_key, "?assignee=me") == []
    Approval.objects.filter(run_id=pause["id"]).update(assignee=cast.people["olga"].id)
    assert _ids(test_key, "?assignee=me") == pause["open_approvals"], "her key asks for her"
    assert test_key.get("/approvals?kind=question").json()["summary"]["pending"] == 1
    for query, code in (
        ("status=zombie", "INVALID_STATUS_FILTER"),
        ("kind=zombie", "INVALID_FILTER"),
        ("sort=zombie", "INVALID_FILTER"),
    ):
        refused = test_key.get(f"/approvals?{query}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)


def test_an_empty_queue(test_key: Api) -> None:
    begin(test_key)
    drive_all()
    body = test_key.get("/approvals").json()
    assert (body["data"], body["summary"]) == ([], {"pending": 0, "blocked_runs": 0, "oldest_created_at": None})


def test_the_object_has_every_key(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="approval")
    (request,) = test_key.get("/approvals").json()["data"]
    assert set(request) == {
        "id", "request_id", "object", "subject", "run_id", "root_run_id", "workflow_id", "step_id", "step_index", "seq", "kind", "status",
        "reason_code", "input_kind", "title", "message", "agent_message", "action", "action_hash", "edited_action", "questions",
        "plan", "input_schema", "budget", "allowed_verdicts", "on_reject", "on_timeout", "can_remember", "remember_default",
        "priority", "expires_at", "quorum", "four_eyes", "eligible", "assignee", "claimed_by", "claim_expires_at", "votes",
        "comments", "evidence", "previous_approval_id", "replaced_by", "void_reason", "external_id", "source", "end_user",
        "metadata", "result", "decision", "created_at", "resolved_at", "effective_at", "undo_until", "version", "test",
    }  # fmt: skip
    assert (request["object"], request["run_id"], request["root_run_id"]) == ("approval_request", run["id"], run["id"])
    assert request["subject"] == {"type": "run", "id": run["id"]}
    assert request["quorum"] == [{"group": "anyone", "count": 1, "approved": 0}]
    assert (request["seq"], request["step_index"], request["version"], request["test"]) == (1, 1, 1, True)
    assert set(request["action"]) == {"name", "params", "host", "risk", "class", "read_only", "call_id", "machine_id"}


def test_a_request_holds_up_every_run_that_queues_behind_its_machine(live: Api) -> None:
    machine, other = simulated(live), simulated(live, "other")
    first = waiting(live, machine_id=machine, agent="scripted")
    queued = [begin(live, machine_id=machine, agent="scripted")["id"] for _ in range(3)]
    second = waiting(live, machine_id=other, agent="scripted", task="y [question]")
    drive_all()
    body = live.get("/approvals").json()
    assert body["summary"]["pending"] == 2
    assert body["summary"]["blocked_runs"] == 5
    (asked,), (alone,) = first["open_approvals"], second["open_approvals"]
    assert held_up([asked, alone]) == {asked: 4, alone: 1}
    assert live.get(f"/approvals?run_id={second['id']}").json()["summary"]["blocked_runs"] == 1
    listed = {run["id"]: run["waiting_on"] for run in live.get("/runs").json()["data"]}
    for run_id in queued:
        assert (listed[run_id]["code"], listed[run_id]["ref"]) == ("machine_busy", first["id"])
        assert asked in listed[run_id]["message"]


def test_runs_of_one_workflow_run_are_held_up_as_one(live: Api) -> None:
    machine = simulated(live)
    branches = [[task(f"s{n}", "x [pause]", agent="scripted")] for n in range(3)]
    ran(live, [{"id": "all", "type": "parallel", "branches": branches}], machine_id=machine)
    body = live.get("/approvals").json()
    assert (body["summary"]["pending"], body["summary"]["blocked_runs"]) == (1, 1)
    assert list(held_up(a["id"] for a in body["data"]).values()) == [1]
