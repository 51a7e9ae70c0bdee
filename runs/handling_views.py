"""Working on a request without deciding it, by page: claim, release, hand over, more time, words."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponseBase
from django.views.decorators.http import require_POST

from accounts.pages import PageRequest, go, refusals_as_messages, signed_in, whole_number
from approvals.access import get_approval
from runs import handling


def _do(request: PageRequest, approval_id: str, work: Callable[[], object]) -> HttpResponseBase:
    """Do it and go back to where the card was; what is refused is said there."""
    get_approval(request.actor, approval_id)
    with refusals_as_messages(request):
        work()
    return go(request, "approval", approval_id)


@require_POST
@signed_in("approvals:decide")
def claim(request: PageRequest, approval_id: str) -> HttpResponseBase:
    take_over = bool(request.POST.get("take_over"))
    return _do(request, approval_id, lambda: handling.claim(request.actor, approval_id, take_over=take_over))


@require_POST
@signed_in("approvals:decide")
def release(request: PageRequest, approval_id: str) -> HttpResponseBase:
    return _do(request, approval_id, lambda: handling.release(request.actor, approval_id))


@require_POST
@signed_in("approvals:decide")
def assign(request: PageRequest, approval_id: str) -> HttpResponseBase:
    """Hand over to a person or a group with a note, or to nobody in particular."""
    assignee, note = request.POST.get("assignee") or None, request.POST.get("note", "").strip()[:2000] or None
    return _do(request, approval_id, lambda: handling.assign(request.actor, approval_id, assignee, note))


@require_POST
@signed_in("approvals:decide")
def extend(request: PageRequest, approval_id: str) -> HttpResponseBase:
    seconds = whole_number(request.POST.get("seconds", ""), 7) or 0
    if not 1 <= seconds <= handling.LONGEST_EXTENSION:
        messages.error(request, "Choose by how much the time is extended.")
        return go(request, "approval", approval_id)
    return _do(request, approval_id, lambda: handling.extend(request.actor, approval_id, seconds))


@require_POST
@signed_in("approvals:read")
def comment(request: PageRequest, approval_id: str) -> HttpResponseBase:
    text = request.POST.get("text", "").strip().replace("\0", "\ufffd")[:4000]
    if not text:
        messages.error(request, "Write something first.")
        return go(request, "approval", approval_id)
    return _do(request, approval_id, lambda: handling.comment(request.actor, approval_id, text))
