"""How long a regular expression may take on a text: expressions of people are run by `re`, which tries every way.

The estimate multiplies the ways of all repeats and alternatives. An expression whose repeats hold repeats of their own, such
as (a+)+, has no bound and is refused.
"""

import math
import re
from functools import lru_cache
from re import _parser as parser  # the only parser that reads what `re` reads
from typing import Any

LONGEST = 500  # characters of an expression
MOST_WAYS = 20_000_000  # tried on one text: about a second
PROBE = 100  # characters of a text that any accepted expression can be tried on
_FEW = 16  # repeats that are counted out
_SINGLE = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "RANGE", "NEGATE"}


class Unbounded(Exception):
    """The expression can take longer than anybody would wait."""


def problem(pattern: str) -> str | None:
    """Why a pattern is not accepted; None when it is."""
    if len(pattern) > LONGEST:
        return f"has a pattern of more than {LONGEST} characters"
    try:
        re.compile(pattern)
        if ways(pattern, PROBE) <= MOST_WAYS:
            return None
    except (re.error, RecursionError, OverflowError) as error:
        return f"has the pattern {pattern[:60]!r}, which cannot be read: {error}"
    except Unbounded:
        pass
    return f"has the pattern {pattern[:60]!r}, which repeats what repeats itself and could take for ever"


def ways(pattern: str, length: int) -> float:
    """How many ways a search for the pattern may have to try on a text of this length. Raises Unbounded."""
    tree = _tree(pattern)
    anchored = (
        bool(tree) and tree[0][0] == parser.AT and tree[0][1] in (parser.AT_BEGINNING, parser.AT_BEGINNING_STRING)
    )
    return _ways(tree, length) * (1 if anchored else length + 1)


@lru_cache(maxsize=256)
def _tree(pattern: str) -> list[Any]:
    return list(parser.parse(pattern))


def _ways(items: Any, length: int) -> float:
    """Of a sequence: its free repeats share the length between them, so k of them have length^k / k! ways."""
    product, free = 1.0, 0
    for name, value in items:
        ways, is_free = _ways_of(str(name), value, length)
        free += is_free
        product *= ways / max(1, free) if is_free else ways
        if product > 1e30:
            raise Unbounded
    return product


def _ways_of(name: str, value: Any, length: int) -> tuple[float, bool]:
    if name in _SINGLE:
        return 1, False
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        return _repeated(least, most, inner, length)
    if name == "SUBPATTERN":
        return _ways(value[3], length), False
    if name == "BRANCH":
        return (1 if _told_apart(value[1]) else 2) * _sum_of(value[1], length), False
    if name in ("ASSERT", "ASSERT_NOT"):
        return _ways(value[1], length), False
    if name == "ATOMIC_GROUP":
        return _ways(value, length), False
    raise Unbounded  # references to groups, conditions


def _sum_of(alternatives: Any, length: int) -> float:
    if _told_apart(alternatives):
        return max(_ways(each, length) for each in alternatives)
    return math.fsum(_ways(each, length) for each in alternatives)


def _told_apart(alternatives: Any) -> bool:
    """Do all begin with different characters, so that at most one can match?"""
    first = [str(each[0][0]) == "LITERAL" and each[0][1] for each in alternatives if len(each)]
    return len(first) == len(alternatives) and False not in first and len(set(first)) == len(first)


def _repeated(least: int, most: int, inner: Any, length: int) -> tuple[float, bool]:
    once = _ways(inner, length)
    most = min(most, length)
    if most <= _FEW:
        return once**most * (most - least + 1 if most > least else 1), False
    if once > 1:
        raise Unbounded
    return (1, False) if most <= least else (most - least + 1, True)
