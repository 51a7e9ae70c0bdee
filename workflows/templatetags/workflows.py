"""How the steps of a workflow run look on pages."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from web.templatetags.show import icon, plain
from workflows.drawing.layout import MARKS, Mark, Node

register = template.Library()
_LOOKS: dict[Mark, str] = {
    "done": "is-good",
    "failed": "is-bad",
    "running": "is-live",
    "waiting": "is-warn",
    "skipped": "",
}


@register.filter
def mark_icon(mark: Mark | None) -> SafeString:
    """The icon of a step's mark with its words; an empty circle for a step that nobody has come to."""
    words, shape = MARKS[mark] if mark else ("not reached", "circle-dashed")
    look = _LOOKS[mark] if mark else ""
    return format_html('<span class="step-state {}">{}<span class="unseen">{}</span></span>', look, icon(shape), words)


@register.filter
def node_label(node: Node) -> str:
    """A drawn step for those who hear it: what stands in its shape, then its kind, id and state."""
    shown = " ".join(f"{line.name} {plain(line.says)}".strip() for line in node.lines)
    state = f", {node.state}" if node.mark else ""
    return f"{shown} ({node.kind} {node.id}: {plain(Truncator(node.text).chars(200))}{state})"
