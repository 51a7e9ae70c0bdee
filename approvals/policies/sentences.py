"""What a policy means, in one sentence, and where it stands."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from django.utils import timezone

from approvals.deciders.quorum import ANYONE
from approvals.models import Effect, Policy
from approvals.policies.conditions import Condition

State = Literal["active", "used_up", "expired", "revoked"]
_NOUNS = {
    "*": "action", "click": "click", "type_text": "typing of text", "fill": "filling of a field", "key_press": "key press",
    "key_combo": "key combination", "scroll": "scrolling", "drag": "drag", "move": "move of the mouse", "wait": "wait",
    "open_url": "opening of an address", "select_option": "choice of an option", "screenshot": "picture of the screen",
    "run_line": "command at a terminal’s prompt",
    "upload": "upload of a file", "go_back": "way back to the page before", "reload": "loading of the page anew",
}  # fmt: skip
OP_WORDS = {
    "eq": "is", "ne": "is not", "gt": "is over", "lt": "is under", "contains": "contains", "prefix": "begins with",
    "in": "is one of", "matches": "matches the pattern",
}  # fmt: skip
LONGEST_SHOWN = 60  # characters of a value
MOST_SHOWN = 3  # values of a list
CLASS_WORDS = {
    "irreversible": " that is hard to undo",
    "reversible": " that can be undone",
    "read": " that only looks",
}


def state_of(row: Policy, now: datetime | None = None) -> State:
    """A policy that is replaced after its end was not revoked by anybody: it had expired."""
    if row.effect == Effect.ALLOW and row.max_uses is not None and row.uses >= row.max_uses:
        return "used_up"
    over = row.expires_at is not None and row.expires_at <= (row.revoked_at or now or timezone.now())
    return "expired" if over else "revoked" if row.revoked_at else "active"


def sentence(row: Policy) -> str:
    """For example "Every click on shop.test is allowed without asking, until 3 Jan"."""
    return f"{what_for(row)} {_ruling(row)}{_how_often(row)}, {_until(row.expires_at)}"


def what_for(row: Policy) -> str:
    """The actions it is about: "Every click on shop.test for the end user “bob”"."""
    words = f"Every {_noun(row.tool)}{_place(row.host)}{condition_words(row.when)}"
    words += f" for the end user “{row.end_user}”" if row.end_user else ""
    return f"{words} in one run" if row.run_id else words


def reach(row: Policy) -> str:
    """What the sentence leaves out: an allow for the whole team does not cover runs with an end user by itself."""
    if row.effect != "allow" or row.end_user or row.run_id:
        return ""
    return "Also in runs with an end user." if row.include_end_users else "Only in runs without an end user."


def _noun(tool: str) -> str:
    if tool in _NOUNS:
        return _NOUNS[tool]
    return f"action whose name begins with “{tool[:-1]}”" if tool.endswith(".*") else f"call of {tool}"


def _place(host: str | None) -> str:
    if host is None:
        return ""
    return f" on the subdomains of {host[2:]}" if host.startswith("*.") else f" on {host}"


def condition_words(when: Sequence[Condition]) -> str:
    """ " that is hard to undo, where amount is over 500 and to.0.email begins with “u1”"; values of any length are cut."""
    classes = [CLASS_WORDS.get(str(each["class"]), " under a condition") for each in when if "class" in each]
    others = [_words_of(each) for each in when if "class" not in each]
    return " and".join(classes) + (("," if classes else "") + " where " + " and ".join(others) if others else "")


def in_full(when: Sequence[Condition]) -> list[str]:
    """Each condition, nothing cut: "amount is over 500"."""
    return [
        CLASS_WORDS.get(str(each["class"]), "a condition").strip() if "class" in each else _words_of(each, 0)
        for each in when
    ]


def _words_of(condition: Condition, longest: int = LONGEST_SHOWN) -> str:
    """`longest`: characters of a value, 0 for any number."""
    words = OP_WORDS.get(str(condition.get("op")))
    if words is None or condition.keys() != {"path", "op", "value"}:
        return "a condition of a newer release holds"
    value = condition["value"]
    values = value if condition["op"] == "in" and isinstance(value, list) else [value]
    shown = [_value(each, longest) for each in (values[:MOST_SHOWN] if longest else values)]
    more = f" or {len(values) - len(shown)} more" if len(values) > len(shown) else ""
    return f"{_cut(condition['path'], longest)} {words} {', '.join(shown)}{more}"


def _value(value: object, longest: int) -> str:
    """Text in quotation marks, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"“{_cut(text, longest)}”" if isinstance(value, str) else _cut(text, longest)


def _cut(text: str, longest: int) -> str:
    return f"{text[:longest]}…" if longest and len(text) > longest else text


def _how_often(row: Policy) -> str:
    if row.effect != Effect.ALLOW or row.max_uses is None:
        return ""
    return " once" if row.max_uses == 1 else f" {row.max_uses} times"


def _ruling(row: Policy) -> str:
    if row.effect == "allow":
        return "is allowed without asking"
    if row.effect == "deny":
        return "is refused without asking"
    return f"needs {_approval(row)}{', not that of who started the run' if row.four_eyes else ''}"


def _approval(row: Policy) -> str:
    needs = [(need["group"], need["count"]) for need in row.quorum]
    if not needs or needs == [(ANYONE, 1)]:
        return "an approval"
    return "the approval of " + " and ".join(_people(group, count) for group, count in needs)


def _people(group: str, count: int) -> str:
    people = f"{count} {'person' if count == 1 else 'people'}"
    return people if group == ANYONE else f"{people} of {group}"


def _until(end: datetime | None) -> str:
    if end is None:
        return "until somebody revokes it"
    now = timezone.now()
    time = f" {end:%H:%M} UTC" if abs(end - now) < timedelta(days=2) else ""
    year = "" if end.year == now.year else f" {end:%Y}"
    return f"until {end:%-d %b}{year}{time}"
