"""Which regular expressions a schema may hold."""

import pytest

from web.json_schema.patterns import LONGEST, problem, ways

SAFE = [
    "", "a", "^abc$", "[a-z]+", r"^\d{4}-\d{2}-\d{2}$", r"^[^@\s]+@[^@\s]+\.[^@\s]+$", r"^(\d{1,3}\.){3}\d{1,3}$", r"^https?://\S+$",
    "^(foo|bar)+$", "^(a|b|c)*$", r"^(?=.*\d)(?=.*[a-z]).{8,}$", r"^\+?[0-9 ()-]{7,20}$", "a||b", "(?i)abc", ".*", "^.*x.*$", "(?>a+)b",
    r"^(\d{3}-)+\d$", r"\bword\b", "x{1000}", "^(?:[0-9a-f]{8}-[0-9a-f]{4})$", r"^[A-Z]{2}\d{6,12}$",
]  # fmt: skip
RISKY = [
    "(a+)+", "(a*)*", "(a|ab)+", "(a|a)*b", r"^(\w+\s?)+$", "^([a-z]+-)+x", "(a{1,2})*", "(.*)*", "((a+)b)+", r"(a)\1", "(a+){20}",
    "a?" * 40, "a*" * 10, "(?:a{0,1000}){0,1000}", "(x+x+)+y", "(?=(a+)+b)", "(a)?(?(1)b|c)", "((a?){10}){10}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", SAFE)
def test_expressions_that_end_soon_are_accepted(pattern: str) -> None:
    assert problem(pattern) is None


@pytest.mark.parametrize("pattern", RISKY, ids=lambda pattern: pattern[:20])
def test_expressions_that_may_never_end_are_refused(pattern: str) -> None:
    assert "repeats" in (problem(pattern) or "")


@pytest.mark.parametrize(
    "pattern", ["(", "[", "*", r"\p{L}", "a{3,1}", "(?P<x", "x" * (LONGEST + 1)], ids=lambda p: p[:9]
)
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    assert problem(pattern) is not None


def test_the_ways_grow_with_the_text() -> None:
    assert ways("^abc$", 1000) == 1
    assert ways("^a+$", 1000) == 1000
    assert ways("a+", 1000) == 1001 * 1000
    assert ways("^a*b*$", 100) == 101 * 101 / 2
