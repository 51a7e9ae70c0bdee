"""What loosens a policy, which needs the scope policies:write (docs/api/approvals.md section 11). Pure comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals.models import Effect, Policy

_STRICT = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DENY: 2}
ANYONE: list[Mapping[str, Any]] = [{"group": "anyone", "count": 1}]


@dataclass(frozen=True)
class Rule:
    """What a policy says, apart from what it is about."""

    effect: str
    ends: datetime | None
    quorum: Sequence[Mapping[str, Any]]
    four_eyes: bool

    @classmethod
    def of(cls, row: Policy, ids: Mapping[str, str]) -> "Rule":
        """`ids`: of the groups that it may name, by name and by id."""
        return cls(row.effect, row.expires_at, in_ids(row.quorum, ids), row.four_eyes)

    def over(self, now: datetime) -> bool:
        return self.ends is not None and self.ends <= now


def in_ids(quorum: Sequence[Mapping[str, Any]], ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Its groups named one way: a quorum may name one by its name or by its id."""
    return [{"group": ids.get(need["group"], need["group"]), "count": need["count"]} for need in quorum]


def lifting_loosens(rule: Rule, now: datetime) -> bool:
    """Would more be allowed without it?"""
    return rule.effect != Effect.ALLOW and not rule.over(now)


def loosens(before: Rule, after: Rule, now: datetime) -> bool:
    """Could anything run by `after` that `before` would not have let run so, or not for so long?"""
    if after.effect == Effect.ALLOW:
        return before.effect != Effect.ALLOW or _ends_earlier(before.ends, after.ends)
    if not lifting_loosens(before, now):
        return False
    if _STRICT[Effect(after.effect)] < _STRICT[Effect(before.effect)] or _ends_earlier(after.ends, before.ends):
        return True
    if after.effect != Effect.ASK:
        return False
    return (before.four_eyes and not after.four_eyes) or not covers(after.quorum, before.quorum)


def stricter(rule: Rule, other: Rule) -> dict[str, Any]:
    """What of an ask or deny has to change so that it asks for as much, and as long, as the other does as well."""
    changes: dict[str, Any] = {}
    if _ends_earlier(rule.ends, other.ends):
        changes["expires_at"] = other.ends
    if other.four_eyes and not rule.four_eyes:
        changes["four_eyes"] = True
    if not covers(rule.quorum, other.quorum):
        changes["quorum"] = _of_both(rule.quorum, other.quorum)
    return changes


def _of_both(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if covers(other, one):
        return [dict(need) for need in other]
    counts: dict[str, int] = {}
    for need in (*(one or ANYONE), *(other or ANYONE)):
        counts[need["group"]] = max(counts.get(need["group"], 0), need["count"])
    return [{"group": group, "count": count} for group, count in counts.items()]


def _ends_earlier(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one < other)


def covers(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether whoever satisfies the quorum `one` satisfies `other` too: as many of each group, and as many people in all,
    since one person counts once."""
    own, needed = one or ANYONE, other or ANYONE
    counts: dict[str, int] = {}
    for need in own:
        counts[need["group"]] = counts.get(need["group"], 0) + need["count"]
    named = all(counts.get(n["group"], 0) >= n["count"] for n in needed if n["group"] != "anyone")
    return named and sum(counts.values()) >= sum(n["count"] for n in needed)
