"""Every route about an external request, with every kind of caller, and each state that it may be in."""

import pytest

from approvals import clock
from approvals.models import Approval
from tests.approvals.external.asking import NO, ask, asker, decide
from tests.approvals.external.test_deciding import pass_time
from tests.cast import Api, Cast
from tests.conventions.routes import statuses
from tests.doors import CALLERS, read_table, without_trace

pytestmark = pytest.mark.django_db
# owner, admin, approver, operator, viewer, the owner of another team, nobody signed in, a key without the scope, an agent
TABLE = """
GET    /approvals/{approval_id}             200 200 200 200 200 404 401 403 403
POST   /approvals/{approval_id}/assign      200 200 200 403 403 404 401 403 403 {"assignee":null}
POST   /approvals/{approval_id}/cancel      200 200 403 403 403 404 401 403 403
POST   /approvals/{approval_id}/claim       200 200 200 403 403 404 401 403 403
POST   /approvals/{approval_id}/comment     200 200 200 200 200 404 401 403 403 {"text":"t"}
POST   /approvals/{approval_id}/decide      200 200 200 403 403 404 401 403 403 {"verdict":"approve"}
POST   /approvals/{approval_id}/extend      200 200 200 403 403 404 401 403 403 {"seconds":60}
GET    /approvals/{approval_id}/pictures/{index} 404 404 404 404 404 404 401 403 403
POST   /approvals/{approval_id}/release     200 200 200 403 403 404 401 403 403
PUT    /approvals/{approval_id}/result      403 403 403 403 403 404 401 403 403 {"outcome":"executed"}
POST   /approvals/{approval_id}/undo        409 409 409 403 403 404 401 403 403
"""
DOORS = read_table(TABLE)


@pytest.mark.parametrize("who", CALLERS)
def test_each_caller_gets_what_the_table_says(cast: Cast, strangers: Cast, who: str) -> None:
    things = {"approval_id": ask(asker(cast), timeout_seconds=600)["id"], "index": "1"}
    assert statuses(DOORS, who, cast, strangers, things) == {door.name: door.expected[who] for door in DOORS}


# What the asking key, and somebody who may decide, are answered once it is in this state; no window was open, so nothing is undone.
CALLS = ("cancel", "result", "decide", "reject", "claim")
STATES = {
    "pending": ("200", "INVALID_STATE", "200", "200", "200"),
    "approved": ("ALREADY_DECIDED", "200", "200", "ALREADY_DECIDED", "ALREADY_DECIDED"),
    "rejected": ("ALREADY_DECIDED", "INVALID_STATE", "ALREADY_DECIDED", "200", "ALREADY_DECIDED"),
    "expired": ("APPROVAL_EXPIRED", "INVALID_STATE", "APPROVAL_EXPIRED", "APPROVAL_EXPIRED", "APPROVAL_EXPIRED"),
    "cancelled": ("200", "INVALID_STATE", "APPROVAL_CANCELLED", "APPROVAL_CANCELLED", "APPROVAL_CANCELLED"),
    "void": ("APPROVAL_VOID", "INVALID_STATE", "APPROVAL_VOID", "APPROVAL_VOID", "APPROVAL_VOID"),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_answers_each_call(cast: Cast, live: Api, state: str) -> None:
    program = asker(cast)
    row = ask(program, timeout_seconds=60, external_id="a")
    path = f"/approvals/{row['id']}"
    if state in ("approved", "rejected"):
        decide(live, row, **({"verdict": "approve"} if state == "approved" else NO))
    elif state == "expired":
        pass_time(row, 61)
        clock.expiries()
    elif state == "cancelled":
        program.post(f"{path}/cancel")
    elif state == "void":
        ask(program, external_id="a", title="Another")
    assert Approval.objects.get(id=row["id"]).status == state
    answers = {}
    for name, call in {
        "cancel": lambda: program.post(f"{path}/cancel"),
        "result": lambda: program.put(f"{path}/result", {"outcome": "executed"}),
        "decide": lambda: decide(live, row, verdict="approve"),
        "reject": lambda: decide(live, row, **NO),
        "claim": lambda: live.post(f"{path}/claim"),
        "undo": lambda: live.post(f"{path}/undo"),
    }.items():
        with without_trace(live.client):
            answer = call()
        answers[name] = "200" if answer.status_code == 200 else answer.json()["error"]["code"]
    assert answers == dict(zip(CALLS, STATES[state], strict=True)) | {"undo": "UNDO_NOT_POSSIBLE"}


@pytest.mark.parametrize("verb", ["signal", "resume", "approve", "answer"])
def test_the_verbs_of_runs_know_nothing_of_it(cast: Cast, live: Api, verb: str) -> None:
    row = ask(asker(cast))
    assert live.post(f"/runs/{row['id']}/{verb}", {}).status_code == 404
