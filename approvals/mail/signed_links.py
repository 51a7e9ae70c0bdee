"""The link in a mail: signed, for one request, valid while its time runs and at most a week. It opens a page, no more."""

from datetime import timedelta

from django.core import signing
from django.utils import timezone

from approvals.models import Approval
from web.links import address, origin

SALT = "decide-link"
LONGEST = timedelta(days=7)


def link(approval: Approval, user_id: str) -> str:
    return address(origin(), "decide-link", signing.dumps([approval.id, user_id], salt=SALT))


def named_by(token: str) -> Approval:
    """As request_of(), also when the time of the request is over."""
    approval_id, _ = signing.loads(token, salt=SALT, max_age=LONGEST)
    approval = Approval.objects.select_related("team").filter(id=approval_id).first()
    if approval is None:
        raise signing.BadSignature
    return approval


def request_of(token: str) -> Approval:
    """The request that a link leads to, whoever follows it. Raises signing.SignatureExpired or signing.BadSignature."""
    approval = named_by(token)
    if approval.expires_at is not None and approval.expires_at <= timezone.now():
        raise signing.SignatureExpired
    return approval
