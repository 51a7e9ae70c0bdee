"""Whatever is done with what a program asks, in any order and at the same moment, leaves one truth."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from accounts.keys.services import revoke_key
from accounts.models import Team, WebhookEvent
from approvals import clock
from approvals.models import Approval, ApprovalEvent, Decision
from tests.approvals.external.asking import BODIES, MAIL, NO, asker
from tests.approvals.external.test_deciding import pass_time
from tests.at_once import at_once
from tests.cast import Api, Cast
from tests.chance import ROUNDS

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 8  # of a sequence
AT_ONCE = 4  # calls of a step
HOOK = "https://93.184.216.34/x"
ENDS = {
    "pending": [(0, 0)],
    "void": [(1, 0), (1, 1)],
}  # how often it may have been replaced, and closed; all others: once closed


@dataclass
class Game:
    """One external_id, its program, and two people who decide."""

    cast: Cast
    chance: random.Random
    program: Api
    people: list[Api]
    ids: list[str] = field(default_factory=list)
    is_revoked: bool = False

    def ask(self) -> Callable[[], Any]:
        to = self.chance.choice("xyz")
        body = BODIES["tool"] | {
            "external_id": "a",
            "action": MAIL | {"params": {"to": to}},
            "timeout_seconds": 60,
            "on_timeout": self.chance.choice(("expire", "reject")),
            "webhook_url": HOOK,
        }
        return lambda: own(self.program).post("/approvals", body)

    def decide(self) -> Callable[[], Any]:
        answer = self.chance.choice(({"verdict": "approve"}, {"verdict": "approve", "remember": True}, NO))
        return self.by_person("decide", answer)

    def by_person(self, call: str, body: dict[str, Any] | None = None) -> Callable[[], Any]:
        person, approval_id = self.chance.choice(self.people), self.chance.choice(self.ids[-2:])
        return lambda: own(person).post(f"/approvals/{approval_id}/{call}", body)

    def cancel(self) -> Callable[[], Any]:
        approval_id = self.chance.choice(self.ids[-2:])
        return lambda: own(self.program).post(f"/approvals/{approval_id}/cancel")

    def report(self) -> Callable[[], Any]:
        approval_id, outcome = self.chance.choice(self.ids[-2:]), self.chance.choice(("executed", "skipped", "failed"))
        return lambda: own(self.program).put(f"/approvals/{approval_id}/result", {"outcome": outcome, "text": outcome})

    def revoke(self) -> Callable[[], Any]:
        self.is_revoked = True
        key_id = Approval.objects.get(id=self.ids[0]).asker_id
        return lambda: revoke_key(self.cast.actor("olga"), key_id)

    def call(self) -> Callable[[], Any]:
        calls = [
            self.ask,
            self.ask,
            self.decide,
            self.decide,
            self.decide,
            self.cancel,
            self.report,
            lambda: self.by_person("undo"),
            lambda: self.by_person("undo"),
            lambda: self.by_person("claim"),
            lambda: self.by_person("comment", {"text": "Hm."}),
            lambda: clock.expiries,
            lambda: clock.effects,
        ]
        return self.revoke() if self.chance.random() < 0.03 else self.chance.choice(calls)()


def own(api: Api) -> Api:
    """The same key for another thread."""
    return Api(api.key, Client())


@pytest.mark.parametrize("seed", range(2 * ROUNDS))
def test_whatever_happens_at_once(cast: Cast, seed: int) -> None:
    Team.objects.update(undo_window_seconds=seed % 2 * 30)
    people = [cast.api(owner="ana"), cast.api(owner="adam")]
    game = Game(cast, random.Random(seed), asker(cast), people)
    game.ids = [game.ask()().json()["id"]]
    for _ in range(STEPS):
        if game.chance.random() < 0.2:
            pass_time({"id": game.ids[-1]}, game.chance.choice((31, 61)))
        for answer in at_once(*[game.call() for _ in range(AT_ONCE)]):
            check_answer(answer, game)
        game.ids = asked()
        check(game.ids)


def asked() -> list[str]:
    """The requests of the one external_id, each after the one that it replaces."""
    after = dict(Approval.objects.values_list("previous_approval_id", "id"))
    ids = [after.pop(None)]
    while ids[-1] in after:
        ids.append(after.pop(ids[-1]))
    assert not after
    assert len(ids) == Approval.objects.count()
    return ids


def check_answer(answer: Any, game: Game) -> None:
    """Done, or refused with a reason; nothing breaks. Refused for who they are: a revoked key, and who would undo the decision of
    somebody else."""
    if not hasattr(answer, "status_code"):
        assert not isinstance(answer, Exception), answer
        return
    if answer.status_code == 403:
        assert answer.json()["error"]["code"] == "NOT_ELIGIBLE"
    else:
        assert answer.status_code in (200, 201, 409, 410, *([401] if game.is_revoked else [])), answer.content


def check(ids: list[str]) -> None:
    """At most the newest request is open, each that was replaced names the next, and each has one end."""
    rows = [Approval.objects.get(id=each) for each in ids]
    for row, newer in zip(rows, [*rows[1:], None], strict=True):
        assert newer is None or row.status != "pending"
        if row.status == "void":
            assert newer is not None
            assert row.replaced_by == newer.id == next(each.id for each in rows if each.previous_approval_id == row.id)
        check_log(row)
        check_decision(row)


def check_log(row: Approval) -> None:
    events = list(ApprovalEvent.objects.filter(approval=row).order_by("seq"))
    types = [event.type for event in events]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert types[0] == "requested"
    assert types.count("result") <= 1
    is_closed = sum(types.count(each) for each in ("decided", "expired", "cancelled")) - types.count("undone")
    assert (types.count("void"), is_closed) in ENDS.get(row.status, [(0, 1)]), types
    assert row.status in ("approved", "rejected") or not row.effect_pending
    bodies = [json.loads(body) for body in WebhookEvent.objects.values_list("body", flat=True)]
    heard = [body["change"] or body["event"] for body in bodies if body["approval_id"] == row.id]
    names = ("decided", "approval.expired", "approval.cancelled")
    assert heard.count("approval.created") == 1
    assert sum(heard.count(each) for each in names) - heard.count("undone") == is_closed, heard


def check_decision(row: Approval) -> None:
    decision = Decision.objects.filter(approval=row, counts=True).first()
    assert decision is not None or row.status in ("pending", "void")
    if decision is None:
        return
    if decision.outcome in ("executed", "failed"):
        assert row.status == "approved"
        assert row.context["result"]["outcome"] == decision.outcome
    elif decision.outcome == "skipped":
        assert row.status in ("approved", "rejected")
    elif row.status == "void":
        assert decision.outcome == "not_executed"
