"""Who decides too late is refused, and the refusal leaves behind what the clock would have done (docs/api/approvals.md section 9).

No clock runs here: nothing but the refused call settles the expiry.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from approvals import clock
from approvals.mail.signed_links import link
from approvals.models import Approval, Decision
from machines.models import TakeoverLease
from tests.cast import Api, Cast, make_cast
from tests.pages.conftest import visit  # noqa: F401
from tests.runs.driving import data_of, drive_all, kinds, shift, show, simulated, status_of, waiting
from tests.runs.invariants import check_run
from tests.takeover.control import take
from tests.workflows.engine import approval, ran, task, work

pytestmark = pytest.mark.django_db
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}
Call = Callable[[Api, str, str], Any]


def late(api: Api, task: str = "x [pause]", on_timeout: str = "cancel", **fields: Any) -> tuple[str, str]:
    """(run, request): its time is over, and no clock has come by."""
    run = waiting(api, task, awaiting_human_timeout_seconds=2, on_timeout=on_timeout, **fields)
    shift(run["id"], 3)
    return run["id"], run["open_approvals"][0]


CALLS: dict[str, Call] = {
    "decide": lambda api, run, asked: api.post(f"/approvals/{asked}/decide", {"verdict": "approve"}),
    "decide, reject": lambda api, run, asked: api.post(f"/approvals/{asked}/decide", {"verdict": "reject"}),
    "resume": lambda api, run, asked: api.post(f"/runs/{run}/resume"),
    "resume, no": lambda api, run, asked: api.post(f"/runs/{run}/resume", {"approved": False}),
    "resume by name": lambda api, run, asked: api.post(f"/runs/{run}/resume", {"approval_id": asked}),
    "resume as workflow": lambda api, run, asked: api.post(f"/workflows/runs/{run}/resume", {"approved": True}),
    "signal": lambda api, run, asked: api.post(f"/runs/{run}/signal", {"action": "approve"}),
    "signal, reject": lambda api, run, asked: api.post(f"/runs/{run}/signal", {"action": "reject"}),
    "allow": lambda api, run, asked: api.post(f"/runs/{run}/approve", {"request_id": asked, "decision": "allow"}),
    "deny": lambda api, run, asked: api.post(f"/runs/{run}/approve", {"request_id": asked, "decision": "deny"}),
    "claim": lambda api, run, asked: api.post(f"/approvals/{asked}/claim"),
    "assign": lambda api, run, asked: api.post(f"/approvals/{asked}/assign", {"assignee": None}),
    "extend": lambda api, run, asked: api.post(f"/approvals/{asked}/extend", {"seconds": 60}),
}


def refused(answer: Any) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "APPROVAL_EXPIRED"), answer.content


@pytest.mark.parametrize("call", CALLS)
def test_T_179_every_call_settles_what_it_is_too_late_for(test_key: Api, call: str) -> None:
    run_id, asked = late(test_key)
    refused(CALLS[call](test_key, run_id, asked))
    run = show(test_key, run_id)
    assert (run["status"], run["error"]["code"]) == ("cancelled", "SIGNAL_TIMEOUT")
    assert (run["open_approvals"], run["error"]["reason_code"]) == ([], "signal_timeout")
    assert Approval.objects.get().status == "expired"
    assert Decision.objects.get(counts=True).via == "timeout"
    assert kinds(run_id)[-3:] == ["approval", "cancelled", "done"]
    assert clock.expiries() == 0
    check_run(run_id)


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(
    ("on_timeout", "task", "status"),
    [
        ("cancel", "x [steps:1]", "cancelled"), ("fail", "x [steps:1]", "failed"), ("reject", "x [steps:1]", "running"),
        ("default_answer", "x [steps:1]", "running"), ("cancel", "x [question]", "cancelled"), ("fail", "x [question]", "failed"),
        ("reject", "x [question]", "running"), ("default_answer", "x [question:rec]", "running"),
        ("reject", "x [pause]", "failed"), ("default_answer", "x [input]", "failed"),
    ],
)  # fmt: skip
def test_T_179_each_effect_of_section_9(test_key: Api, on_timeout: str, task: str, status: str, keyed: bool) -> None:
    run_id, asked = late(test_key, task, on_timeout, **(ASKING if "steps" in task else {}))
    headers = {"Idempotency-Key": "once"} if keyed else {}
    refused(test_key.post(f"/approvals/{asked}/decide", {"verdict": "reject"}, **headers))
    assert status_of(run_id) == status
    decision = Decision.objects.get(counts=True)
    assert (decision.via, decision.actor["type"]) == ("timeout", "system")
    assert (decision.answers == {"q1": {"value": "Support", "custom": False}}) is ("rec" in task)
    lost = Decision.objects.get(counts=False)
    assert (lost.loss, lost.verdict, lost.actor["type"]) == ("APPROVAL_EXPIRED", "reject", "api_key")
    before = kinds(run_id)
    refused(test_key.post(f"/approvals/{asked}/decide", {"verdict": "reject"}, **headers))  # an error binds no key
    assert kinds(run_id) == before
    drive_all()
    check_run(run_id)


def test_T_179_a_key_that_was_refused_is_free_for_the_next_request(test_key: Api) -> None:
    run_id, _ = late(test_key, "x [steps:1]", "reject", **ASKING)
    refused(test_key.post(f"/runs/{run_id}/resume", **{"Idempotency-Key": "again"}))
    drive_all()
    assert status_of(run_id) == "succeeded"
    other = waiting(test_key)
    assert test_key.post(f"/runs/{other['id']}/resume", **{"Idempotency-Key": "again"}).status_code == 200


def test_T_179_what_is_refused_for_another_reason_settles_nothing(test_key: Api, cast: Cast) -> None:
    run_id, asked = late(test_key)
    reader = cast.api(test=True, scopes=frozenset({"runs:read", "approvals:read"}))
    for answer, status in (
        (test_key.post(f"/approvals/{asked}/decide", {"verdict": "answer", "answers": {"a": "b"}}), 422),
        (test_key.post(f"/runs/{run_id}/answer", {"answers": {"a": "b"}}), 409),
        (reader.post(f"/approvals/{asked}/decide", {"verdict": "approve"}), 403),
        (test_key.post(f"/approvals/{asked}/comment", {"text": "Too late?"}), 200),
        (test_key.get(f"/approvals/{asked}"), 200),
    ):
        assert answer.status_code == status, answer.content
    assert status_of(run_id) == "awaiting_human"


def test_T_179_a_late_vote_settles_it_too(test_key: Api, cast: Cast) -> None:
    need = [{"group": "anyone", "count": 2}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": need})
    run_id, asked = late(test_key, "x [steps:1]", "fail")
    refused(test_key.post(f"/approvals/{asked}/decide", {"verdict": "approve"}))
    assert (status_of(run_id), show(test_key, run_id)["error"]["code"]) == ("failed", "SIGNAL_TIMEOUT")


def test_T_179_a_claim_of_somebody_else_changes_nothing_of_it(test_key: Api, cast: Cast) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=2)
    [asked] = run["open_approvals"]
    cast.api(test=True, owner="ana").post(f"/approvals/{asked}/claim")
    shift(run["id"], 3)
    refused(test_key.post(f"/approvals/{asked}/decide", {"verdict": "approve"}))
    assert status_of(run["id"]) == "cancelled"


def test_T_179_switching_the_mode_settles_what_it_would_have_approved(test_key: Api) -> None:
    run_id, _ = late(test_key, "x [steps:1]", "reject", **ASKING)
    answer = test_key.patch(f"/runs/{run_id}/permission-mode", {"permission_mode": "autonomous"})
    assert (answer.status_code, answer.json()["resolved"]) == (200, [])
    assert status_of(run_id) == "running"
    assert Decision.objects.get(counts=True).via == "timeout"


def test_T_179_giving_a_machine_back_too_late(live: Api) -> None:
    machine = simulated(live)
    run_id, _ = late(live, "x [takeover]", machine_id=machine, agent="scripted")
    lease = take(live, machine)
    path = f"/machines/{machine}/takeover/release"
    refused(live.post(path, {"lease_id": lease["id"]}))
    assert status_of(run_id) == "cancelled"
    assert TakeoverLease.objects.get().ended_at is None
    assert live.post(path, {"lease_id": lease["id"]}).json()["status"] == "cancelled"
    check_run(run_id)


PAGES: dict[str, Callable[[Any, str], Any]] = {
    "card": lambda ana, asked: ana.post(f"/approvals/{asked}/decide", {"verdict": "approve"}),
    "claim": lambda ana, asked: ana.post(f"/approvals/{asked}/claim"),
    "extend": lambda ana, asked: ana.post(f"/approvals/{asked}/extend", {"seconds": "900"}),
    "together": lambda ana, asked: ana.post("/together", {"id": asked, "verdict": "approve"}),
    "mail": lambda ana, asked: ana.post(
        "/d/" + link(Approval.objects.get(id=asked), "ana").rsplit("/", 1)[1], {"verdict": "approve"}
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_T_179_pages_settle_it_too(test_key: Api, visit: Any, page: str) -> None:  # noqa: F811
    run_id, asked = late(test_key)
    answer = PAGES[page](visit("ana"), asked)
    assert answer.status_code == (410 if page == "mail" else 200)
    assert status_of(run_id) == "cancelled"
    assert Decision.objects.get(counts=True).via == "timeout"


@pytest.mark.parametrize(
    ("on_timeout", "status"),
    [({}, "cancelled"), ({"on_timeout": "fail"}, "failed"), ({"on_timeout": "reject"}, "failed")],
)
@pytest.mark.parametrize("call", ["decide", "resume as workflow", "signal", "deny"])
def test_T_179_a_step_of_a_workflow(test_key: Api, on_timeout: dict[str, str], status: str, call: str) -> None:
    run = ran(test_key, [approval("ok", timeout_seconds=60, **on_timeout)])
    [asked] = run["open_approvals"]
    shift(run["id"], 61)
    refused(CALLS[call](test_key, run["id"], asked))
    assert Decision.objects.get(counts=True).via == "timeout"
    work()
    assert status_of(run["id"]) == status


def test_T_179_a_task_of_a_workflow_ends_its_run(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [pause] [steps:1]")], awaiting_human_timeout_seconds=60)
    [asked] = run["open_approvals"]
    child = Approval.objects.get(id=asked).run_id
    shift(child, 61)
    refused(test_key.post(f"/runs/{run['id']}/resume", {"approved": True}))
    assert [status_of(each) for each in (run["id"], child)] == ["cancelled", "cancelled"]
    assert show(test_key, run["id"])["error"]["code"] == "SIGNAL_TIMEOUT"


@pytest.mark.django_db(transaction=True)
def test_T_179_late_calls_and_the_clock_at_once_settle_it_once() -> None:
    cast = make_cast("acme")
    api = cast.api(test=True)
    run_id, asked = late(api, "x [steps:1]", "reject", **ASKING)
    start = threading.Barrier(5)

    def call(which: int) -> int:
        try:
            start.wait()
            if which == 0:
                return clock.expiries()
            return int(CALLS["decide"](api, run_id, asked).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(5) as threads:
        codes = list(threads.map(call, range(5)))
    assert set(codes[1:]) == {409}
    assert Decision.objects.filter(counts=True).count() == 1
    assert len(data_of(run_id, "resumed")) == 1
    check_run(run_id)
