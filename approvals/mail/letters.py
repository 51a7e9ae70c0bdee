"""What a letter says. Sentences are the server's own; words of agents are quoted, marked, and can hide nothing.

Never in a letter: pictures, values, what is typed. An address shows neither its query nor a password.
"""

import re
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import User
from approvals.cards.card import repeats
from approvals.mail import recipients
from approvals.mail.signed_links import link
from approvals.models import NEVER, Approval, Notice
from web.links import address, origin
from web.mail_server import has_server
from web.templatetags.show import duration, plain

LONGEST_SUBJECT = 160
LONGEST_TITLE = 300  # characters; what is longer is quoted in full further down, or on the page
LONGEST_QUOTE = 2000  # characters
LISTED = 30  # requests that a letter lists one by one
NAMED = 5  # others who may decide

_ADDRESS = re.compile(r"(https?://)(?:[^/?#\s]*@)?([^?#\s]*)([?#]?)\S*")


def compose(user: User, notices: list[Notice]) -> EmailMultiAlternatives:
    """One request in full, or a list of several, the most urgent first."""
    by_request = {row.approval_id: row for row in notices}  # of several about one request the last
    rows = sorted(by_request.values(), key=lambda row: (row.approval.expires_at or NEVER, row.created_at))
    start = origin()
    stop = address(start, "notifications")
    teams = sorted({row.approval.team.name for row in rows})
    context: dict[str, Any] = {
        "items": [_item(row) for row in rows[:LISTED]],
        "more": max(0, len(rows) - LISTED),
        "count": len(rows),
        "stop": stop,
        "queue": address(start, "queue"),
        "teams": ", ".join(teams),
        "several_teams": len(teams) > 1,
    }
    if len(rows) == 1:
        context |= {"deciders": _deciders(user, rows[0].approval), "quote": _quote(rows[0].approval)}
    name = "one" if len(rows) == 1 else "several"
    text = render_to_string(f"approvals/mail/{name}.txt", context)
    headers = {"List-Unsubscribe": f"<{stop}>", "Auto-Submitted": "auto-generated"}
    mail = EmailMultiAlternatives(_subject(rows), text, to=[user.email], headers=headers)
    if has_server():  # else a log shows the text only
        mail.attach_alternative(render_to_string(f"approvals/mail/{name}.html", context), "text/html")
    return mail


def _subject(rows: list[Notice]) -> str:
    """One line, whatever stands in titles and names."""
    world = "[Test] " if all(row.approval.test for row in rows) else ""
    if len(rows) > 1:
        return f"{world}{len(rows)} requests wait for you"
    line = plain(f"{world}{rows[0].words}: {_without_secrets(rows[0].approval.shown_title)}")
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"


def _item(row: Notice) -> dict[str, Any]:
    approval, now = row.approval, timezone.now()
    left = (approval.expires_at - now).total_seconds() if approval.expires_at else None
    started = approval.context.get("started_by") or {}
    return {
        "words": row.words,
        "approval": approval,
        "title": _without_secrets(approval.shown_title),
        "left": left,
        "subject": approval.subject_title,
        "started_by": str(started.get("name") or "somebody"),
        "asks": _without_secrets(_shortened(approval.headline)),
        "waits": duration((now - approval.created_at).total_seconds()),
        "link": link(approval, row.user_id),
        "why": _why(approval),
        "context": approval.context,
    }


def _why(approval: Approval) -> str:
    if approval.of_program:
        return approval.why
    return approval.message if approval.traits.has_own_message else ""


def _without_secrets(text: str) -> str:
    """Passwords and queries of addresses may open doors: a title shows where it leads, not how to get in."""
    return _ADDRESS.sub(lambda match: match[1] + match[2] + (f"{match[3]}…" if match[3] else ""), text)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else f"{text[:LONGEST_TITLE]}…"


def _deciders(user: User, approval: Approval) -> str:
    """Who may decide, the reader first: `you, Olga, Pia and 3 more`."""
    others = [each.name for each in recipients.deciders(approval) if each.id != user.id]
    if not others:
        return "only you"
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return ", ".join(["you", *others[:NAMED]]) + more


def _quote(approval: Approval) -> str:
    """The agent's words: what it says, asks or plans; values that people gave are not among them."""
    words = "" if repeats(approval) else approval.words
    parts = [words, *(str(question["question"]) for question in approval.questions)]
    parts.append(str((approval.plan or {}).get("text") or ""))
    text = "\n".join(dict.fromkeys(part.strip() for part in parts if part.strip()))
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "\n… (the rest is on the page)"
