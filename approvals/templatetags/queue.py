"""How many requests wait: for the frame of every page."""

from typing import Any

from django import template

from approvals.access import open_count

register = template.Library()


@register.simple_tag(takes_context=True)
def pending_count(context: dict[str, Any]) -> int:
    """Open requests in the team and world the person looks at; 0 without the right to read them."""
    actor = context.get("frame_actor")
    if actor is None or not actor.may("approvals:read"):
        return 0
    return open_count(actor)
