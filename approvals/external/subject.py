"""A program outside as the subject of requests (approvals/subjects.py is the port). It does itself what was decided: a decision
is recorded and announced, and the program reads it.

Locks: the external request, then its approval.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accounts.actor import Actor
from approvals import sql
from approvals.action_hash import action_hash
from approvals.answers.answer import Answer
from approvals.deciders.eligibility import asks_as_much
from approvals.external import judging, log, pictures, webhooks
from approvals.external.schemas import MAX_ACTION_BYTES
from approvals.models import Approval, ExternalRequest
from approvals.services import Settled
from approvals.subjects import Accepted, CardFacts, Change, Picture
from database.sql import fetch
from web.errors import Invalid
from web.json_values import size
from web.times import rfc3339


class ExternalSubject:
    """Programs outside, as approvals.subjects.Subject."""

    def lock(self, approval: Approval) -> "LockedRequest":
        request = fetch(ExternalRequest, sql.LOCKED, {"id": approval.external_request_id})
        assert request is not None
        return LockedRequest(request, approval.id)

    def card(self, actor: Actor, approval: Approval) -> CardFacts:
        return CardFacts()

    def page_url(self, subject_id: str) -> str:
        return ""

    def picture(self, approval: Approval, index: int) -> Picture | None:
        """What the program sent along, the first of them is 1."""
        picture = pictures.read(approval.evidence, index)
        return Picture(*picture) if picture else None

    def picture_url(self, approval: Approval, index: int) -> str:
        return reverse("approval-picture", args=[approval.id, index])

    def held_up(self, approval_ids: Collection[str]) -> list[tuple[str, str]]:
        """No run of ours waits for it."""
        return []

    def ended(self, team_id: str, test: bool, since: datetime, until: datetime) -> int:
        """What it is about is no run of ours."""
        return 0


@dataclass(frozen=True)
class LockedRequest:
    """An external request, locked, as approvals.subjects.Locked. `approval_id`: the one that is worked on."""

    request: ExternalRequest
    approval_id: str

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def status(self) -> str:
        return ""

    @property
    def requests(self) -> QuerySet[Approval]:
        return Approval.objects.filter(external_request=self.request)

    @property
    def is_stopped(self) -> bool:
        """A stop holds runs; what programs outside ask goes on."""
        return False

    @property
    def goes_on(self) -> bool:
        """The program does, with whatever was decided."""
        return True

    def accept(self, actor: Actor, approval: Approval, answer: Answer) -> Accepted:
        """Raises Invalid: for a changed name, parameters that are too large or that policies leave to others, and what is to be
        remembered for a run."""
        if answer.remember == "run":
            raise Invalid((("body", "remember"), "The request belongs to no run.", "value_error"))
        return Accepted(_checked_edit(approval, answer))

    def record(self, *changes: Change) -> None:
        for change in changes:
            log.record(self._approval, change["change"], change)

    def put_off(self, until: datetime | None, *changes: Change) -> None:
        """The change says until when the decision can be undone."""
        later = {"effective_at": rfc3339(until)} if until else {}
        self.record(*(change | later for change in changes))

    def take_effect(self, approval: Approval, settled: Settled) -> bool:
        decision = settled.decision
        assert decision is not None
        change = "effective" if approval.undo_until else "decided"
        log.record(approval, change, _decided(approval, settled, change))
        return True

    def end_unanswered(self, approval: Approval, change: Change) -> None:
        self.record(change)

    def announce(self, approval: Approval, change: str) -> None:
        event = "expired" if change == "expired" else "decided"
        webhooks.tell(self.request, approval, event, None if change == "expired" else change)

    @property
    def _approval(self) -> Approval:
        return self.requests.get(id=self.approval_id)


def _decided(approval: Approval, settled: Settled, change: str) -> Change:
    decision = settled.decision
    assert decision is not None
    return {
        "approval_id": approval.id,
        "change": change,
        "by": decision.actor,
        "at": rfc3339(approval.effective_at if change == "effective" else decision.at),
        "status": approval.status,
        "verdict": decision.verdict,
        "note": decision.note,
    }


def _checked_edit(approval: Approval, answer: Answer) -> Answer:
    """The answer with its edited action whole. Raises Invalid: the name must stay, the parameters are an object."""
    edited = answer.edited_action
    if edited is None or approval.action is None:
        return answer
    at = ("body", "edited_action")
    if set(edited) - {"name", "params"} or not isinstance(edited.get("params", {}), dict):
        raise Invalid((at, "Must be {name, params}.", "value_error"))
    name: str = approval.action["name"]
    if edited.get("name", name) != name:
        raise Invalid(((*at, "name"), f"Must stay {name}.", "value_error"))
    params: dict[str, Any] = edited.get("params", approval.action["params"])
    if size(params) > MAX_ACTION_BYTES:
        raise Invalid(((*at, "params"), f"Must be at most {MAX_ACTION_BYTES // 1024} KiB as JSON.", "value_error"))
    edited_hash = action_hash("", name, params)
    is_other = approval.is_open and edited_hash != action_hash("", name, approval.action["params"])
    if is_other and (problem := _policy_problem(approval, params)):
        raise Invalid((at, problem, "value_error"))
    return replace(answer, edited_action={"name": name, "params": params}, edited_hash=edited_hash)


def _policy_problem(approval: Approval, params: dict[str, Any]) -> str | None:
    """Why people who were asked about other parameters cannot approve these: an edited action falls under the rules for what it
    became, and the program would carry it out without asking again."""
    rules, action = judging.rules_of(approval.team_id, approval.test), (approval.action or {}) | {"params": params}
    ruling = judging.ruling_on(action, approval.context, rules, approval.team_id, approval.test)
    if ruling.verdict == "deny":
        return ruling.why
    if ruling.verdict == "ask" and not asks_as_much(approval, ruling.quorum, four_eyes=ruling.four_eyes):
        return f"{ruling.why} It wants other or more people than this request: reject it with a note, and let it be asked anew."
    return None
