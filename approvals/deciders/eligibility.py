"""Who may decide a request (docs/api/approvals.md section 6)."""

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.access import team_setting
from accounts.actor import Actor
from accounts.errors import InsufficientScope
from accounts.keys.owners import person_behind, person_named, person_of
from approvals.deciders.quorum import group_ids, lacking
from approvals.errors import ApprovalClaimed, NotEligible, SelfApprovalForbidden
from approvals.kinds import VERDICTS
from approvals.models import Approval, Decision
from approvals.policies.loosening import covers, in_ids
from web.times import rfc3339


def require_decider(actor: Actor, approval: Approval, verdict: str) -> None:
    """Raises InsufficientScope, NotEligible or SelfApprovalForbidden when the actor has no right to decide so."""
    if actor.kind == "system":
        return
    if not actor.may("approvals:decide"):
        if actor.kind == "user":
            raise NotEligible(eligible=eligible(approval))
        raise InsufficientScope(required_scope="approvals:decide", current_scopes=sorted(actor.scopes))
    if _asked(actor, approval) or (VERDICTS[verdict].approves and barred_from(actor, approval)):
        raise SelfApprovalForbidden(started_by=approval.context.get("started_by"))
    if verdict == "approve" and _lifts_a_shared_limit(approval) and not actor.is_admin:
        raise NotEligible(eligible=["admin"])


def _asked(actor: Actor, approval: Approval) -> bool:
    """The key with which a program asks never decides what it asked, not even against itself: it cancels."""
    return actor.kind == "api_key" and approval.asker_id == actor.id


def _lifts_a_shared_limit(approval: Approval) -> bool:
    """A budget of the run is its own; one of a workflow, key or team is lifted by admins only (docs/api/billing.md section 5)."""
    return approval.traits.lifts_budget and (approval.budget or {}).get("scope") != "run"


def require_unclaimed(actor: Actor, approval: Approval) -> None:
    """Raises ApprovalClaimed while somebody else works on the pending request."""
    if actor.kind == "system":
        return
    holder = approval.holder
    if holder and holder["id"] != actor.id:
        raise ApprovalClaimed(claimed_by=holder, claim_expires_at=rfc3339(approval.claim_expires_at))


def barred_from(actor: Actor, approval: Approval) -> bool:
    """May the actor not approve this request, because the run is their own?"""
    return is_own(actor, approval) and _self_approval_forbidden(approval)


def _self_approval_forbidden(approval: Approval) -> bool:
    """By the team's rule now, or by the one with which the request was opened: what waits is not freed by a new setting."""
    now = team_setting(approval.team_id, "forbid_self_approval")
    rules = {now, approval.context.get("self_approval", now)}
    return "always" in rules or ("four_eyes" in rules and approval.four_eyes)


def is_own(actor: Actor, approval: Approval) -> bool:
    """Is the actor the starter of the root run: the key, its owner, another key of that owner, or the person?"""
    started_by = approval.context.get("started_by") or {}
    return person_of(actor) == person_behind(started_by, approval.context.get("starter_owner_id"))


def satisfies(approval: Approval, quorum: Sequence[Mapping[str, Any]], *, four_eyes: bool) -> bool:
    """Whether the approval that the request got would do as well where this quorum, and perhaps somebody else, is asked for."""
    if not asks_as_much(approval, quorum):
        return False
    if not four_eyes or approval.four_eyes or team_setting(approval.team_id, "forbid_self_approval") == "never":
        return True
    starter = person_behind(approval.context.get("started_by") or {}, approval.context.get("starter_owner_id"))
    people = Decision.objects.filter(approval=approval, counts=True).values_list("actor", flat=True)
    return all(person_named(actor) != starter for actor in people)


def asks_as_much(approval: Approval, quorum: Sequence[Mapping[str, Any]], *, four_eyes: bool = False) -> bool:
    """Whether who may decide the request are those whom this quorum, and perhaps four eyes, would ask for."""
    ids = group_ids(approval.team_id)
    return (approval.four_eyes or not four_eyes) and covers(in_ids(approval.quorum, ids), in_ids(quorum, ids))


def eligible(approval: Approval) -> list[str]:
    """The groups still lacking votes, or "anyone" with the right to decide."""
    return lacking(approval) if approval.status == "pending" else [q["group"] for q in approval.quorum] or ["anyone"]
