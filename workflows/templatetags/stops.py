"""The stops that stand: for the frame of every page."""

from typing import Any

from django import template

from runs.stops.access import in_force
from workflows.stops.scopes import NamedStop, with_names

register = template.Library()


@register.simple_tag(takes_context=True)
def standing_stops(context: dict[str, Any]) -> list[NamedStop]:
    """Those of the team and world that the person looks at, oldest first."""
    actor = context.get("frame_actor")
    return with_names(actor, list(in_force(actor))) if actor is not None else []
