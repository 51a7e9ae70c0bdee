"""Who acts, on pages: names, and the team and world that a page is of."""

import json
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def world_fields(context: dict[str, Any]) -> SafeString | str:
    """Fields that say of which team and world the page of a form is: the session may look at another one by now."""
    actor = context.get("frame_actor")
    if actor is None:
        return ""
    world = "test" if actor.test else "live"
    field = '<input type="hidden" name="{}" value="{}">'
    return format_html_join("", field, (("in_world", world), ("in_team", actor.team_id)))


@register.simple_tag(takes_context=True)
def page_world(context: dict[str, Any], form: str) -> str:
    """The same for requests of htmx (`headers`, as JSON) and for addresses (`query`)."""
    actor = context.get("frame_actor")
    if actor is None:
        return "{}" if form == "headers" else ""
    world = "test" if actor.test else "live"
    if form == "headers":
        return json.dumps({"X-In-World": world, "X-In-Team": actor.team_id})
    return urlencode({"in_world": world, "in_team": actor.team_id})


@register.simple_tag
def person(actor: dict[str, Any] | None, me: Any) -> str:
    """`you`, a name, or what acted."""
    if not actor:
        return "somebody"
    if actor.get("id") == getattr(me, "id", None):
        return "you"
    return str(actor.get("name") or actor.get("type") or "somebody")
