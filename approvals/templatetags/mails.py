"""Text that stands in mails, and on cards what became of mails."""

from typing import Any

from django import template

from approvals.mail.outbox import troubles
from approvals.models import Approval
from web.templatetags.show import plain, unhidden

register = template.Library()


@register.filter
def line(text: Any) -> str:
    """On one line, with nothing hidden: what somebody else wrote cannot look like a line of ours."""
    return plain(" ".join(str(text).split()))


@register.filter
def quoted(text: str) -> str:
    """Each line marked as a quotation."""
    lines = unhidden(text.replace("\r\n", "\n")).replace("\t", "    ").split("\n")
    return "\n".join(f"> {each}".rstrip() for each in lines)


@register.inclusion_tag("approvals/_mails.html")
def mails(approval: Approval) -> dict[str, Any]:
    """Mails about the request that did not arrive, and why."""
    return {"troubles": troubles(approval)}
