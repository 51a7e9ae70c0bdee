"""How the steps of a workflow run look on pages."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from web.templatetags.show import icon
from workflows.drawing.layout import MARKS, Mark

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
