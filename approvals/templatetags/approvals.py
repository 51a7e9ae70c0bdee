"""How requests look on pages, and how many wait."""

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


@register.filter
def answer_words(answer: Any) -> str:
    """An answer as one text: of choices what was chosen, else what was written."""
    if isinstance(answer, dict) and answer.get("value"):
        return str(answer["value"])
    if isinstance(answer, list) and answer and isinstance(answer[0], dict) and answer[0].get("value"):
        return ", ".join(str(choice.get("value", "")) for choice in answer)
    return str(answer)
