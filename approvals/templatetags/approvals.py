"""How requests look on pages, and how many wait."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from approvals.access import open_count
from web.hidden_text import ascii_host
from web.templatetags.show import visible
from web.times import read_time

register = template.Library()
OUTCOMES = {"executed": "carried out", "skipped": "skipped", "failed": "it failed"}


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


@register.filter
def outcome_words(outcome: str) -> str:
    """What became of a decision, as the program that asked reports it."""
    return OUTCOMES.get(outcome, outcome)


@register.filter
def time(text: str) -> datetime | None:
    """A time that is kept as the API writes it."""
    return read_time(text)


@register.simple_tag
def outward(url: str) -> SafeString:
    """An address that somebody else wrote. Only one of the web can be followed, and where it leads stands beside it."""
    host = _host(url)
    if not host:
        return format_html(
            '<span class="mono untrusted">{}</span> <span class="faint">(not a web address)</span>', visible(url)
        )
    return format_html(
        '<a class="untrusted" href="{}" rel="noopener noreferrer nofollow" target="_blank">{}</a>'
        ' <span class="faint">(opens <span class="mono">{}</span> in a new tab)</span>',
        url,
        visible(url),
        host,
    )


def _host(url: str) -> str:
    """The host that a browser would go to, in ASCII; "" for what is no plain web address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    is_plain = url.isprintable() and "\\" not in url and " " not in url and "@" not in parts.netloc
    return ascii_host(host) if parts.scheme in ("http", "https") and is_plain else ""
