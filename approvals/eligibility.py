"""Who may decide a request (contract/approvals.md section 6)."""

from accounts.access import team_setting
from accounts.actor import Actor
from accounts.errors import InsufficientScope, NotEligible, SelfApprovalForbidden
from accounts.times import rfc3339
from approvals.errors import ApprovalClaimed
from approvals.models import Approval
from approvals.quorum import lacking

APPROVING = frozenset({"approve", "answer", "submit"})


def require_decider(actor: Actor, approval: Approval, verdict: str) -> None:
    """Raises InsufficientScope, NotEligible or SelfApprovalForbidden when the actor has no right to decide so."""
    if actor.kind == "system":
        return
    if not actor.may("approvals:decide"):
        if actor.kind == "user":
            raise NotEligible(eligible=eligible(approval))
        raise InsufficientScope(required_scope="approvals:decide", current_scopes=sorted(actor.scopes))
    if verdict in APPROVING and _is_own(actor, approval) and _self_approval_forbidden(actor, approval):
        raise SelfApprovalForbidden(started_by=approval.context.get("started_by"))
    if verdict == "approve" and _lifts_a_shared_limit(approval) and not actor.is_admin:
        raise NotEligible(eligible=["admin"])


def _lifts_a_shared_limit(approval: Approval) -> bool:
    """A budget of the run is its own; one of a workflow, key or team is lifted by admins only (contract/billing.md section 5)."""
    return approval.kind == "budget" and (approval.budget or {}).get("scope") != "run"


def require_unclaimed(actor: Actor, approval: Approval) -> None:
    """Raises ApprovalClaimed while somebody else works on the pending request."""
    if actor.kind == "system":
        return
    holder = approval.holder
    if holder and holder["id"] != actor.id:
        raise ApprovalClaimed(claimed_by=holder, claim_expires_at=rfc3339(approval.claim_expires_at))


def _self_approval_forbidden(actor: Actor, approval: Approval) -> bool:
    rule = team_setting(actor.team_id, "forbid_self_approval")
    return rule == "always" or (rule == "four_eyes" and approval.four_eyes)


def _is_own(actor: Actor, approval: Approval) -> bool:
    """Is the actor the starter of the root run: the key, its owner, another key of that owner, or the person?"""
    started_by = approval.context.get("started_by") or {}
    owner = approval.context.get("starter_owner_id")
    return started_by.get("id") == actor.id or (owner is not None and owner == actor.owner_id)


def eligible(approval: Approval) -> list[str]:
    """The groups still lacking votes, or "anyone" with the right to decide."""
    return lacking(approval) if approval.status == "pending" else [q["group"] for q in approval.quorum] or ["anyone"]
