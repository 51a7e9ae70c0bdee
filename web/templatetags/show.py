"""How values look on pages: money, durations, times, icons, and text that somebody else wrote."""

import functools
import json
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from web.hidden_text import Piece, is_plain, pieces

register = template.Library()


@register.simple_tag
@functools.cache
def icon(name: str) -> SafeString:
    """A shape from static/icons.svg; the word beside it carries the meaning."""
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("icons.svg"), name)


@register.filter
def visible(value: Any) -> SafeString:
    """Untrusted text: escaped, with whatever would hide something named in its place (web.hidden_text)."""
    text = _text(value).replace("\r\n", "\n")
    if is_plain(text):  # nearly always
        return conditional_escape(text)
    return mark_safe("".join(_shown(piece) for piece in pieces(text)))  # noqa: S308 - each piece is escaped


def _text(value: Any) -> str:
    """Lists and objects as JSON, which is what was sent."""
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value if value is not None else "")


@register.filter
def plain(text: Any) -> str:
    """As `visible`, where neither markup nor a second line can stand: titles, subjects and alternative texts."""
    words = unhidden(str(text if text is not None else ""))
    return words.replace("\n", "[U+000A]").replace("\t", "[U+0009]")


def unhidden(text: str) -> str:
    """As `visible`, in lines without markup."""
    return text if is_plain(text) else "".join(f"[{p.text}]" if p.names else p.text for p in pieces(text))


def _shown(piece: Piece) -> str:
    if not piece.names:
        return str(conditional_escape(piece.text))
    return format_html('<span class="ctl" title="{}">{}</span>', piece.title or piece.text, piece.text)


@register.filter
def line_count(value: Any) -> int:
    return len(_text(value or "").splitlines()) or 1


@register.filter
def extent(value: Any) -> str:
    """How much there is to read, where it is much: `301 lines`, `20,000 characters`; else ""."""
    lines, length = line_count(value), len(_text(value or ""))
    if lines > 8:
        return f"{lines:,} lines"
    return f"{length:,} characters" if length > 600 else ""


@register.filter
def is_tall(value: Any) -> bool:
    """May it need scrolling in its box, on some screen? Then the box can be reached by keyboard."""
    return line_count(value) > 4 or len(_text(value or "")) > 150


@register.filter
def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


@register.filter
def money(cents: int | None) -> str:
    """Cents as dollars: `$0.05`, `$1,250.00`."""
    value = cents or 0
    return f"{'−' if value < 0 else ''}${abs(value) / 100:,.2f}"


@register.filter
def amount(count: int | None) -> str:
    """`1,250`."""
    return f"{count or 0:,}"


@register.filter
def share(part: float | None) -> str:
    """A part of one as whole percent, `37 %`; what is neither none nor all never reads as if it were. `–` for None."""
    if part is None:
        return "–"
    percent = round(part * 100)
    if percent == 0 and part > 0:
        return "<1 %"
    return ">99 %" if percent == 100 and part < 1 else f"{percent} %"


@register.filter
def duration(seconds: float | None) -> str:
    """The two largest units: `38 s`, `2 min 5 s`, `26 min`, `2 h 14 min`, `3 d 4 h`."""
    whole = max(0, int(seconds or 0))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


@register.filter
def brief(seconds: float | None) -> str:
    """As `duration`, with one digit more below ten seconds: `0.3 s`."""
    value = seconds or 0.0
    return f"{value:.1f} s" if value < 10 else duration(value)


@register.simple_tag
def ticking(seconds: float, goes_on: bool) -> SafeString | str:
    """A duration; one that goes on is counted on by the page."""
    if not goes_on:
        return duration(seconds)
    since = timezone.now() - timedelta(seconds=seconds)
    return format_html('<time datetime="{}" data-age>{}</time>', since.isoformat(), duration(seconds))


@register.filter
def clock(at: datetime | None) -> SafeString:
    """The time of day in UTC; static/js/times.js turns it into the reader's own."""
    if at is None:
        return mark_safe("")
    shown = f"{at:%H:%M}" if at.date() == timezone.now().date() else f"{at:%-d %b %H:%M}"
    return format_html('<time datetime="{}" data-clock title="{}">{} UTC</time>', at.isoformat(), _full(at), shown)


@register.filter
def moment(at: datetime | None) -> SafeString:
    """Date and time to the second."""
    if at is None:
        return mark_safe("")
    return format_html('<time datetime="{}" data-moment>{}</time>', at.isoformat(), _full(at))


@register.filter
def age(at: datetime | None) -> SafeString:
    """How long ago: `26 min`; counts on in the page."""
    if at is None:
        return mark_safe("")
    text = duration((timezone.now() - at).total_seconds())
    return format_html('<time datetime="{}" data-age title="{}">{}</time>', at.isoformat(), _full(at), text)


@register.simple_tag
def left(start: datetime, end: datetime) -> SafeString:
    """Time left until `end`; amber in the last fifth of the span, which the page says in words too."""
    now = timezone.now()
    remaining = (end - now).total_seconds()
    late = remaining <= (end - start).total_seconds() / 5
    words = f"{duration(remaining)} left" if remaining > 0 else "time is up"
    warn = mark_safe(" late") if late else ""
    return format_html(
        '<time class="left{}" datetime="{}" data-left data-start="{}" title="{}">{}</time>',
        warn,
        end.isoformat(),
        start.isoformat(),
        _full(end),
        words,
    )


def _full(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


@register.filter
def get(mapping: Any, key: Any) -> Any:
    return mapping.get(key) if isinstance(mapping, dict) else None


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The page's query string with these changes; None removes. Paging starts anew with every change."""
    params = context["request"].GET.copy()
    params.pop("cursor", None)
    for name, value in changes.items():
        params.pop(name, None)
        if value not in (None, ""):
            params[name] = value
    encoded: str = params.urlencode()
    return f"?{encoded}" if encoded else "?"
