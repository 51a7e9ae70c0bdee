"""What programs outside ask, without a run: asking, taking it back, and reporting what became of it.

Locks: the turn of who asks, the external request, its approval, the version of the team's rules.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import Actor, system
from accounts.team.rules_version import rules_still
from accounts.webhooks import targets
from accounts.webhooks.signing import new_secret
from approvals import handling, sql
from approvals.access import get_readable, locked_approval
from approvals.action_hash import action_hash, json_hash
from approvals.answers.answer import Answer
from approvals.deciders.quorum import checked_quorum
from approvals.deciding import change_of, settling_expiry
from approvals.errors import NotEligible, TooManyRequestsOpen, WrongEndpoint
from approvals.external import judging, log, pictures, webhooks
from approvals.external.pictures import StoredPicture
from approvals.external.schemas import RISKS, AskBody, misfits
from approvals.external.subject import ExternalSubject, LockedRequest
from approvals.kinds import KINDS
from approvals.mail import outbox
from approvals.models import Approval, Decision, ExternalRequest
from approvals.policies.rules import Ruling
from approvals.policies.services import count_use
from approvals.services import close, drop_effects, open_request, raise_closed, settle, void
from database.sealing import seal
from database.sql import fetch, insert, one_after_the_other, prepared
from web.errors import Invalid, InvalidState
from web.json_values import Detail
from web.times import rfc3339

MOST_OPEN = 1000  # requests of one key
SUPERSEDED = "superseded"  # void_reason
# What people are shown, and who has to agree: what is asked again with the same is the same request.
_CONTENT = {
    "kind", "title", "message", "action", "questions", "input_schema", "evidence", "source", "end_user", "quorum",
    "four_eyes",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """`fresh`: people are asked now; False where the same was asked before. `webhook_secret` is shown once."""

    approval: Approval
    fresh: bool
    webhook_secret: str | None = None


def ask(actor: Actor, body: AskBody, stored: Sequence[StoredPicture] = ()) -> Asked:
    """Ask people, or find what was asked with this external_id before; changed content takes the place of the earlier.

    Policies that allow or deny the action answer at once. `stored`: the pictures of the body, by store_pictures(). Raises Invalid,
    TooManyRequestsOpen.
    """
    if wrong := violations(actor, body):
        raise Invalid(*wrong)
    content_hash = json_hash(body.model_dump(include=_CONTENT))
    with transaction.atomic():
        one_after_the_other(f"requests of {actor.id}")
        earlier = _earlier(actor, body.external_id)
        if earlier is not None and earlier.content_hash == content_hash:
            return Asked(_latest(earlier), fresh=False)
        _require_room(actor, earlier)
        previous = _latest(earlier) if earlier is not None else None
        request, secret = _external_request(actor, body, content_hash, earlier)
        approval = _open(actor, request, body, previous, stored)
        if previous is not None:
            _supersede(actor, request, locked_approval(previous.id), approval)
        return Asked(approval, True, secret)


def store_pictures(body: AskBody) -> list[StoredPicture]:
    """Keep the pictures of the body; before ask() and in no transaction, for they are files. Raises Invalid."""
    at = ("body", "evidence", "pictures")
    sent: list[bytes] = []
    wrong: list[Detail] = []
    for index, text in enumerate(body.evidence.pictures if body.evidence else ()):
        try:
            sent.append(base64.b64decode(text, validate=True))
        except ValueError:
            wrong.append(((*at, index), "Must be Base64 of a PNG or JPEG.", "value_error"))
    if wrong:
        raise Invalid(*wrong)
    return pictures.store(sent, at)


def violations(actor: Actor, body: AskBody) -> list[Detail]:
    """What is wrong with a request beyond the form of each field."""
    wrong: list[Detail] = list(misfits(vars(body)))
    if body.quorum:
        wrong += checked_quorum(actor.team_id, _needs(body), ("body", "quorum"))
    if body.assignee is not None and (problem := handling.assignee_problem(actor.team_id, body.assignee)):
        wrong.append((("body", "assignee"), problem, "value_error"))
    if body.webhook_url is not None and (problem := targets.problem(body.webhook_url)):
        wrong.append((("body", "webhook_url"), problem, "value_error"))
    return wrong


def _needs(body: AskBody) -> list[dict[str, Any]]:
    return [need.model_dump() for need in body.quorum or ()]


def _earlier(actor: Actor, external_id: str | None) -> ExternalRequest | None:
    """What this caller asked before under its own name for it, locked."""
    if external_id is None:
        return None
    of = {"team": actor.team_id, "test": actor.test, "asker": actor.id, "external_id": external_id}
    return fetch(ExternalRequest, sql.BY_EXTERNAL_ID, of)


def _latest(request: ExternalRequest) -> Approval:
    """The one that no other follows: a clock that was set back says nothing of the order."""
    earlier = request.approvals.exclude(previous_approval_id=None).values("previous_approval_id")
    return request.approvals.exclude(id__in=earlier).get()


def _require_room(actor: Actor, earlier: ExternalRequest | None) -> None:
    """What takes the place of an open request needs no room of its own. Raises TooManyRequestsOpen."""
    of = {"asker": actor.id, "earlier": earlier.id if earlier else None, "most": MOST_OPEN}
    if prepared(sql.NO_ROOM, of) is not None:
        raise TooManyRequestsOpen(limit=MOST_OPEN, retry_after=5)


def _external_request(
    actor: Actor, body: AskBody, content_hash: str, earlier: ExternalRequest | None
) -> tuple[ExternalRequest, str | None]:
    """The row that is asked about, and the secret of its webhooks where that is new."""
    request = earlier or ExternalRequest(
        team_id=actor.team_id,
        test=actor.test,
        asker_id=actor.id,
        asker=actor.ref(),
        owner_id=actor.owner_id,
        external_id=body.external_id,
    )
    secret = new_secret() if body.webhook_url and request.webhook_secret is None else None
    request.content_hash = content_hash
    request.source = body.source.model_dump() if body.source else {"name": actor.name, "url": None, "ref": None}
    request.end_user, request.metadata = body.end_user, body.metadata or {}
    request.webhook_url = body.webhook_url or request.webhook_url
    request.webhook_secret = seal(secret) if secret else request.webhook_secret
    if earlier is None:
        insert(request)
    else:
        request.save()
    return request, secret


def _open(
    actor: Actor,
    request: ExternalRequest,
    body: AskBody,
    previous: Approval | None,
    stored: Sequence[StoredPicture],
) -> Approval:
    action = _action(body)
    ruling = _judged(actor, body, action) if action else None
    approval = open_request(
        team_id=actor.team_id,
        test=actor.test,
        external_request=request,
        asker_id=actor.id,
        kind=body.kind,
        title=body.title,
        agent_message=body.message,
        action=action,
        action_hash=action_hash("", action["name"], action["params"]) if action else None,
        questions=[question.model_dump() for question in body.questions or ()],
        input_schema=body.input_schema,
        on_reject="none",
        on_timeout=body.on_timeout,
        timeout_seconds=body.timeout_seconds,
        priority=body.priority,
        assignee=body.assignee,
        evidence=_evidence(body, stored),
        previous_approval_id=previous.id if previous else None,
        context=_context(actor, body, ruling.why if ruling else ""),
        **_of_rules(body, ruling),
    )
    log.record(approval, "requested", _requested(approval))
    webhooks.tell(request, approval, "created")
    if ruling is None or not _settled_by_policy(request, approval, ruling):
        outbox.opened(approval)
    return approval


def _of_rules(body: AskBody, ruling: Ruling | None) -> dict[str, Any]:
    """What the request takes from the policies that ask about its action."""
    asks = ruling if ruling and ruling.verdict == "ask" else None
    server_words = ruling.why if ruling else ""
    return {
        "message": server_words if body.kind == "tool" else body.message or "",
        "can_remember": bool(asks and asks.can_remember and body.kind == "tool"),
        "quorum": _all_needs(_needs(body), asks.quorum if asks else ()),
        "four_eyes": body.four_eyes or bool(asks and asks.four_eyes),
        "by_rule": bool(asks and asks.by_rule),
        "policy_ids": list(asks.policy_ids) if asks else [],
    }


def _action(body: AskBody) -> dict[str, Any] | None:
    """As requests show it. Nobody but the program knows what it does: it is never read-only, its risk at least write, and
    hard to undo (docs/api/approvals.md section 14)."""
    if body.action is None:
        return None
    action = body.action
    risk = max("write", action.risk or "write", key=RISKS.index)
    return {
        "name": action.name,
        "params": action.params,
        "host": action.host,
        "url": action.url,
        "risk": risk,
        "class": "irreversible",
        "read_only": False,
        "call_id": None,
        "machine_id": None,
    }


def _judged(actor: Actor, body: AskBody, action: dict[str, Any]) -> Ruling:
    """By the rules as they are when this commits: they cannot change any more once they are held, and the use of the allow that
    answers is taken."""
    context = _context(actor, body)
    while True:
        rules = judging.rules_of(actor.team_id, actor.test)
        ruling = judging.ruling_on(action, context, rules, actor.team_id, actor.test)
        if rules_still(actor.team_id, actor.test, rules.version) and _is_covered(body, ruling):
            return ruling


def _is_covered(body: AskBody, ruling: Ruling) -> bool:
    """False: somebody else had the last use of the policy that allows it."""
    answers = ruling.verdict == "allow" and not KINDS[body.kind].takes_data
    return not answers or ruling.policy_id is None or count_use(ruling.policy_id)


def _all_needs(asked: Iterable[dict[str, Any]], by_policy: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both quorums together: of a group that both name, the larger count."""
    counts: dict[str, int] = {}
    for need in (*asked, *by_policy):
        counts[need["group"]] = max(counts.get(need["group"], 0), need["count"])
    return [{"group": group, "count": count} for group, count in counts.items()]


def _evidence(body: AskBody, stored: Sequence[StoredPicture]) -> dict[str, Any]:
    links = [link.model_dump() for link in body.evidence.links] if body.evidence else []
    return {"url": body.action.url if body.action else None, "pictures": list(stored), "links": links}


def _context(actor: Actor, body: AskBody, why: str = "") -> dict[str, Any]:
    return {
        "started_by": actor.ref(),
        "starter_owner_id": actor.owner_id,
        "self_approval": team_setting(actor.team_id, "forbid_self_approval"),
        "end_user": body.end_user,
        "why": why,
    }


def _requested(approval: Approval) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "kind": approval.kind,
        "title": approval.title,
        "action_hash": approval.action_hash,
        "expires_at": rfc3339(approval.expires_at),
        "previous_approval_id": approval.previous_approval_id,
    }


def _settled_by_policy(request: ExternalRequest, approval: Approval, ruling: Ruling) -> bool:
    """A policy that denies answers whatever is asked about the action; one that allows can say yes, and no more."""
    if ruling.verdict == "ask" or (ruling.verdict == "allow" and approval.traits.takes_data):
        return False
    actor = system(approval.team_id, approval.test)
    answer = Answer("approve" if ruling.verdict == "allow" else "reject", note=ruling.why or None)
    settled = settle(actor, approval, answer, "policy")
    decision = settled.decision
    assert decision is not None
    decision.policy_id = ruling.policy_id
    decision.save(update_fields=["policy_id"])
    subject = LockedRequest(request, approval.id)
    subject.take_effect(approval, settled)
    subject.announce(approval, "decided")
    return True


def _supersede(actor: Actor, request: ExternalRequest, previous: Approval, approval: Approval) -> None:
    """What the program would do has changed: the earlier request is void, also where it was approved and not carried out."""
    decision = Decision.objects.filter(approval=previous, counts=True).first()
    if previous.status not in ("pending", "approved") or (decision is not None and decision.outcome is not None):
        _end_undo_window(previous)
        return
    drop_effects(request.approvals.filter(id=previous.id))
    previous.refresh_from_db()
    void(previous, SUPERSEDED, approval.id)
    log.record(previous, "void", change_of(previous, "void", actor.ref(), replaced_by=approval.id))


def _end_undo_window(previous: Approval) -> None:
    """What was said of it stands: taken back, it would be open beside the request that took its place."""
    if previous.effect_pending:
        previous.undo_until = previous.effective_at = timezone.now()
        previous.save(update_fields=["undo_until", "effective_at"])


# --- taking back, and the receipt


def cancel(actor: Actor, approval_id: str, reason: str | None = None) -> Approval:
    """Nobody is asked any more. By who asked or an admin; again is the same.

    Raises ApprovalNotFound, WrongEndpoint, NotEligible, or as a late decision.
    """
    approval = _external(actor, approval_id, "POST /v1/runs/{run_id}/cancel")
    if approval.asker_id != actor.id and not actor.is_admin:
        raise NotEligible("Only who asked it, or an admin, takes it back.", eligible=_names(approval, "admin"))
    with settling_expiry(), transaction.atomic():
        subject = ExternalSubject().lock(approval)
        approval = locked_approval(approval_id)
        if approval.status == "cancelled":
            return approval
        if not approval.is_open:
            raise_closed(approval)
        close(approval, "cancelled", "cancel", actor, timezone.now(), note=reason)
        subject.record(change_of(approval, "cancelled", actor.ref(), approval.resolved_at, note=reason))
        webhooks.tell(subject.request, approval, "cancelled")
        return approval


def complete(actor: Actor, approval_id: str, outcome: str, text: str | None = None) -> Approval:
    """What the program did with the decision; once, and the same again changes nothing. By who asked.

    Raises ApprovalNotFound, WrongEndpoint, NotEligible, InvalidState.
    """
    approval = _external(actor, approval_id, "GET /v1/runs/{run_id}")
    if approval.asker_id != actor.id:
        raise NotEligible("Only the key that asked it reports the result.", eligible=_names(approval))
    with transaction.atomic():
        subject = ExternalSubject().lock(approval)
        approval = locked_approval(approval_id)
        before = approval.context.get("result")
        if before is not None and (before["outcome"], before["text"]) == (outcome, text):
            return approval
        _require_reportable(approval, outcome)
        _complete(subject, actor, approval, outcome, text)
        return approval


def _external(actor: Actor, approval_id: str, instead: str) -> Approval:
    approval = get_readable(actor, approval_id)
    if approval.external_request_id is None:
        raise WrongEndpoint(kind=approval.kind, use=instead.format(run_id=approval.run_id))
    return approval


def _names(approval: Approval, *others: str) -> list[str]:
    return [str(approval.context["started_by"]["name"]), *others]


def _require_reportable(approval: Approval, outcome: str) -> None:
    """Raises InvalidState: only what was decided, and counts, has a result; what was rejected is skipped."""
    if approval.context.get("result") is not None:
        raise InvalidState("Its result was reported before.", current_state="completed", allowed_from=["decided"])
    if approval.effect_pending:
        raise InvalidState(
            "It can still be undone.", current_state="undo_window", allowed_from=["approved", "answered"]
        )
    allowed = ["approved", "answered", *(["rejected"] if outcome == "skipped" else [])]
    if approval.status not in allowed:
        raise InvalidState(current_state=approval.status, allowed_from=allowed)


def _complete(subject: LockedRequest, actor: Actor, approval: Approval, outcome: str, text: str | None) -> None:
    now = timezone.now()
    approval.context["result"] = {"outcome": outcome, "text": text, "at": rfc3339(now)}
    approval.version += 1
    approval.save(update_fields=["context", "version"])
    error = text if outcome == "failed" else None
    executed_at = None if outcome == "skipped" else now
    Decision.objects.filter(approval=approval, counts=True).update(
        outcome=outcome, error=error, delivered_at=now, executed_at=executed_at
    )
    facts = change_of(approval, "result", actor.ref(), now, outcome=outcome, text=text)
    subject.record(facts)
