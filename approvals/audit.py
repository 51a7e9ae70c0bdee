"""What approvals add to the audit: decisions with the losing attempts, and comments; the names of requests and policies."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.urls import reverse

from accounts.actor import Actor
from accounts.audit import sources, things
from accounts.audit.entries import Entry, channel, note_of
from accounts.audit.query import LOST, Query
from accounts.audit.sources import Source
from accounts.audit.things import Thing, Things
from accounts.audit.values import Change, difference, redacted, without_secrets
from accounts.audit.words import KIND_ICONS
from approvals.access import approvals_of
from approvals.models import HANDLINGS, ApprovalEvent, Comment, Decision
from approvals.policies.access import policies_of
from approvals.policies.sentences import what_for

DECIDED = {
    "approve": "Approved", "reject": "Rejected", "answer": "Answered", "submit": "Submitted data", "revise": "Sent back",
    "expired": "Ran out of time", "cancelled": "Cancelled with its run",
}  # fmt: skip
TRIED = {
    "approve": "Tried to approve", "reject": "Tried to reject", "answer": "Tried to answer", "submit": "Tried to submit data",
    "revise": "Tried to send back",
}  # fmt: skip
LOSSES = {
    "ALREADY_DECIDED": "it was decided already", "APPROVAL_EXPIRED": "its time was over", "APPROVAL_CANCELLED": "it was cancelled",
    "APPROVAL_VOID": "it was void", "APPROVAL_CLAIMED": "somebody else worked on it", "UNDONE": "undone later",
}  # fmt: skip
HANDLED = {
    "vote": "Voted for", "claimed": "Claimed", "released": "Gave back", "assigned": "Assigned", "extended": "Gave more time",
    "commented": "Commented on", "undone": "Undid the decision", "void": "Became void", "result": "Reported the result of",
}  # fmt: skip
_TONES = {"approve": "good", "answer": "good", "submit": "good", "reject": "bad"}
_ICONS = {"reject": "x", "revise": "undo-2", "expired": "timer-off", "cancelled": "ban"}
_LARGE = ("questions", "plan", "input_schema", "context", "evidence", "action", "edited_action")  # of a request
_SHOWN = ("id", "title", "run_id", "kind", "void_reason", "replaced_by")  # of a request


def register() -> None:
    sources.register("decisions", Source("at", _decisions, lambda row: (), _decision))
    sources.register("comments", Source("at", _comments, lambda row: (row.approval_id,), _comment))
    sources.register("external", Source("created_at", _external, lambda row: mentions(row.data), _external_handling))
    things.register("apr", _requests)
    things.register("pol", _policies)


def _decisions(actor: Actor, query: Query) -> QuerySet[Decision]:
    if query.kind not in ("", "decision") or not query.is_about("apr"):
        return Decision.objects.none()
    rows = Decision.objects.filter(team_id=actor.team_id, test=actor.test).select_related("approval")
    rows = rows.defer("sealed", *(f"approval__{name}" for name in _LARGE))
    if query.verdict == LOST:
        rows = rows.filter(counts=False).exclude(loss="UNDONE")
    elif query.verdict:
        rows = rows.filter(verdict=query.verdict)
    return _narrowed(rows, actor, query)


def _comments(actor: Actor, query: Query) -> QuerySet[Comment]:
    if not asks_for_handling(query):
        return Comment.objects.none()
    return _narrowed(Comment.objects.filter(team_id=actor.team_id, test=actor.test), actor, query)


def asks_for_handling(query: Query) -> bool:
    """Whether what is done with requests, but for decisions, is among what is asked for."""
    return query.kind in ("", "request") and not query.verdict and query.is_about("apr")


def _narrowed(rows: QuerySet[Any], actor: Actor, query: Query) -> QuerySet[Any]:
    if query.run:
        rows = rows.filter(approval__run_id__in=things.below(actor, "run", query.run))
    if query.subject:
        rows = rows.filter(approval_id=query.subject)
    return rows.alias(who=KT("actor__id")).filter(who=query.who) if query.who else rows


def _decision(actor: Actor, row: Decision, named: Things) -> Entry:
    approval, lost = row.approval, "" if row.counts else row.loss
    tried = bool(lost) and lost != "UNDONE"
    gave_back = approval.traits.hands_over and row.verdict == "approve" and not tried
    words = "Gave back control" if gave_back else (TRIED if tried else DECIDED).get(row.verdict, row.verdict)
    if row.verdict == "cancelled" and approval.subject_type == "external":
        words = "Took back"
    return Entry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        via=row.via,
        kind="decision",
        action=f"decision.{row.verdict}",
        what=words,
        about=without_secrets(approval.title),
        test=row.test,
        lost=lost,
        why_lost=LOSSES.get(lost, lost),
        changes=_edited(row),
        facts=_facts(row),
        note=note_of(row.note),
        run_id=approval.run_id,
        approval_id=approval.id,
        subject=approval.id,
        href=reverse("approval", args=[approval.id]),
        tone="lost" if tried else _TONES.get(row.verdict, ""),
        icon="ban" if tried else _ICONS.get(row.verdict, "check"),
    )


def _edited(row: Decision) -> list[Change]:
    before, after = row.action_before or {}, row.action_after or {}
    return difference(before.get("params"), after.get("params")) if row.action_after else []


def _facts(row: Decision) -> dict[str, Any]:
    action = row.action_after or row.action_before
    facts = {
        "asked": row.approval.message if not row.approval.traits.runs_action else None,
        "action": {name: action.get(name) for name in ("name", "params", "host", "machine_id")} if action else None,
        "answers": row.answers,
        "values": row.values,
        "remembered_as": row.policy_id if row.remembered else None,
        "outcome": row.outcome,
        "error": row.error,
        "effect": None if row.effect == "none" else row.effect,
    }
    return {name: redacted(value, name) for name, value in facts.items() if value}


def _comment(actor: Actor, row: Comment, named: Things) -> Entry:
    approval = named.row_of(row.approval_id)
    return Entry(
        id=f"comment_{row.pk}",
        at=row.at,
        note=note_of(row.text),
        test=row.test,
        run_id=approval.run_id if approval else None,
        **handling(row.approval_id, row.actor, "commented", named),
    )


def _external(actor: Actor, query: Query) -> QuerySet[ApprovalEvent]:
    """What was done with requests of programs; those of runs stand in the logs of the runs."""
    if not asks_for_handling(query) or query.run:
        return ApprovalEvent.objects.none()
    rows = ApprovalEvent.objects.filter(type__in=HANDLINGS, approval__team_id=actor.team_id, approval__test=actor.test)
    if query.subject:
        rows = rows.filter(approval_id=query.subject)
    return rows.alias(who=KT("data__by__id")).filter(who=query.who) if query.who else rows


def mentions(data: dict[str, Any]) -> Iterable[str]:
    """Of an event about a request: the request, and who it was assigned to."""
    values = (data.get("before") or {}, data.get("after") or {})
    return (data["approval_id"], *(each["assignee"] for each in values if each.get("assignee")))


def _external_handling(actor: Actor, row: ApprovalEvent, named: Things) -> Entry:
    return handled(actor, f"{row.approval_id}:{row.seq}", row.created_at, None, row.data, named)


def handled(
    actor: Actor, entry_id: str, at: datetime, run_id: str | None, data: dict[str, Any], named: Things
) -> Entry:
    """The entry of an event about a request."""
    approval = named.row_of(data["approval_id"])
    before, after = ({k: named.name_of(v) for k, v in (data.get(side) or {}).items()} for side in ("before", "after"))
    facts: dict[str, Any] = {"outcome": data.get("outcome")}
    if approval and data["change"] == "void":
        facts = {"reason": approval.void_reason, "replaced_by": approval.replaced_by}
    return Entry(
        id=entry_id,
        at=at,
        note=note_of(data.get("note") or data.get("text")),
        test=actor.test,
        run_id=run_id,
        changes=difference(before, after),
        facts={name: value for name, value in facts.items() if value},
        **handling(data["approval_id"], data["by"], data["change"], named),
    )


def handling(approval_id: str, by: dict[str, Any], change: str, named: Things) -> dict[str, Any]:
    """What every entry says of something that was done with a request, but for decisions."""
    return {
        "actor": by,
        "via": channel(by),
        "kind": "request",
        "action": f"request.{change}",
        "what": HANDLED[change],
        "icon": KIND_ICONS["request"],
        "approval_id": approval_id,
        "subject": approval_id,
        "about": named.name_of(approval_id),
        "href": named.href_of(approval_id),
    }


def _requests(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    rows = approvals_of(actor).filter(id__in=ids).only(*_SHOWN)
    return {row.id: Thing(without_secrets(row.title), reverse("approval", args=[row.id]), row) for row in rows}


def _policies(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    rows = policies_of(actor).filter(id__in=ids)
    return {row.id: Thing(what_for(row), reverse("policy", args=[row.id])) for row in rows}
