"""Calls at the same moment: one of them counts, and the others are told the truth."""

from typing import Any

import pytest
from django.test import Client

from approvals import clock
from approvals.models import Approval, ApprovalEvent, Decision, Policy
from tests.approvals.external.asking import BODIES, MAIL, NO, ask, asker, decide
from tests.approvals.external.test_deciding import pass_time
from tests.at_once import at_once
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db(transaction=True)


def own(api: Api) -> Api:
    """The same key for another thread."""
    return Api(api.key, Client())


def codes(answers: list[Any]) -> list[str]:
    return sorted(str(each.status_code) if each.status_code < 400 else each.json()["error"]["code"] for each in answers)


def check(row: dict[str, Any]) -> None:
    """One decision at most, a log without gaps, and no end that is told twice."""
    assert Decision.objects.filter(approval_id=row["id"], counts=True).count() <= 1
    events = list(ApprovalEvent.objects.filter(approval_id=row["id"]).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(event.type in ("decided", "expired", "cancelled") for event in events) <= 1


def test_the_same_question_asked_ten_times_at_once_is_one_request(cast: Cast) -> None:
    program = asker(cast)
    body = BODIES["tool"] | {"external_id": "a"}
    answers = at_once(*[lambda: own(program).post("/approvals", body)] * 10)
    assert codes(answers) == ["200"] * 9 + ["201"]
    assert len({each.json()["id"] for each in answers}) == 1
    assert Approval.objects.count() == 1


def test_the_same_idempotency_key_ten_times_at_once_is_one_request(cast: Cast) -> None:
    program = asker(cast)
    answers = at_once(*[lambda: own(program).post("/approvals", BODIES["tool"], Idempotency_Key="k")] * 10)
    assert codes(answers) == ["201"] * 10
    assert Approval.objects.count() == 1


def test_the_last_free_place_is_taken_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.external.services.MOST_OPEN", 3)
    program = asker(cast)
    answers = at_once(*[lambda: own(program).post("/approvals", BODIES["tool"])] * 8)
    assert codes(answers) == ["201"] * 3 + ["TOO_MANY_REQUESTS_OPEN"] * 5
    assert Approval.objects.count() == 3


def test_of_contrary_decisions_one_counts(cast: Cast) -> None:
    deciders = [cast.api(owner="ana"), cast.api(owner="adam")]
    for _ in range(5):
        row = ask(asker(cast))
        answers = at_once(lambda: decide(own(deciders[0]), row), lambda: decide(own(deciders[1]), row, **NO))  # noqa: B023
        assert codes(answers) == ["200", "ALREADY_DECIDED"]
        check(row)


def test_a_decision_against_taking_it_back(cast: Cast, live: Api) -> None:
    program = asker(cast)
    for _ in range(5):
        row = ask(program)
        path = f"/approvals/{row['id']}/cancel"
        answers = at_once(lambda: decide(own(live), row), lambda: own(program).post(path))  # noqa: B023
        assert codes(answers) in (["200", "ALREADY_DECIDED"], ["200", "APPROVAL_CANCELLED"])
        check(row)


def test_a_decision_against_the_clock(cast: Cast, live: Api) -> None:
    program = asker(cast)
    for _ in range(5):
        row = ask(program, timeout_seconds=60)
        pass_time(row, 61)
        answers = at_once(lambda: decide(own(live), row), clock.expiries, clock.expiries)  # noqa: B023
        assert codes(answers[:1]) == ["APPROVAL_EXPIRED"]
        assert Approval.objects.get(id=row["id"]).status == "expired"
        check(row)


def test_a_decision_against_a_changed_action(cast: Cast, live: Api) -> None:
    """Whoever wins: nothing that is approved is about another action than the one that people saw."""
    program = asker(cast)
    for number in range(5):
        row = ask(program, external_id=str(number))
        changed = BODIES["tool"] | {"external_id": str(number), "action": MAIL | {"params": {"to": "z"}}}
        decided, asked = at_once(lambda: decide(own(live), row), lambda: own(program).post("/approvals", changed))  # noqa: B023
        assert asked.status_code == 201
        assert codes([decided]) in (["200"], ["APPROVAL_VOID"])
        assert Approval.objects.get(id=row["id"]).status == "void"
        assert Approval.objects.get(id=asked.json()["id"]).status == "pending"
        check(row)


def test_a_result_is_reported_once(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row)
    path = f"/approvals/{row['id']}/result"
    answers = at_once(*[lambda n=n: own(program).put(path, {"outcome": "executed", "text": str(n)}) for n in range(6)])
    assert codes(answers) == ["200"] + ["INVALID_STATE"] * 5
    assert ApprovalEvent.objects.filter(type="result").count() == 1


def test_two_votes_at_once_complete_a_quorum_once(cast: Cast) -> None:
    for _ in range(3):
        row = ask(asker(cast), quorum=[{"group": "anyone", "count": 2}])
        answers = at_once(lambda: decide(cast.api(owner="ana"), row), lambda: decide(cast.api(owner="adam"), row))  # noqa: B023
        assert codes(answers) == ["200", "200"]
        assert Approval.objects.get(id=row["id"]).status == "approved"
        check(row)


def test_a_policy_counts_from_its_commit(cast: Cast, live: Api) -> None:
    """A request that is answered after the deny was is not allowed by what stood before."""
    program = asker(cast, owner="ana")
    live.post("/permissions", {"tool": "mail.send", "effect": "allow"})
    deny = {"tool": "mail.send", "effect": "deny"}
    calls = [lambda: own(program).post("/approvals", BODIES["tool"])] * 4
    *answers, denied = at_once(*calls, lambda: own(live).post("/permissions", deny))
    assert denied.status_code == 201
    assert {each.json()["status"] for each in answers} <= {"approved", "rejected"}
    assert ask(program)["status"] == "rejected"


def test_the_last_use_of_a_policy_is_taken_once(cast: Cast, live: Api) -> None:
    program = asker(cast, owner="ana")
    live.post("/permissions", {"tool": "mail.send", "effect": "allow", "max_uses": 2})
    answers = at_once(*[lambda: own(program).post("/approvals", BODIES["tool"])] * 6)
    assert sorted(each.json()["status"] for each in answers) == ["approved"] * 2 + ["pending"] * 4
    assert Policy.objects.get().uses == 2
