"""The table of kinds is whole, and only it knows what differs between them (approvals/kinds.py)."""

import re
from pathlib import Path

import pytest

from approvals.kinds import KINDS, VERDICTS, Kind
from approvals.models import APPROVAL_MOVES

ROOT = Path(__file__).resolve().parents[2]
COMPARISON = re.compile(r"\b(approval|asked|request|row|first|a)\.kind (==|!=|in|not in) \(?['\"](\w+)['\"]")


def test_every_kind_has_a_row() -> None:
    assert set(KINDS) == set(Kind.values)


@pytest.mark.parametrize("kind", Kind.values)
def test_a_row_names_what_there_is(kind: str) -> None:
    traits = KINDS[kind]
    assert set(traits.verdicts) <= set(VERDICTS)
    assert {VERDICTS[verdict].status for verdict in traits.verdicts} <= APPROVAL_MOVES["pending"]
    assert VERDICTS[traits.verdict].approves
    assert "reject" in traits.verdicts
    assert f'id="{traits.icon}"' in (ROOT / "static" / "icons.svg").read_text()


def test_nothing_else_asks_for_the_kind() -> None:
    files = [
        path
        for folder in ("approvals", "runs", "workflows", "machines", "templates/approvals", "templates/runs")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".html", ".txt")
    ]
    assert len(files) > 100
    comparisons = [
        (path.name, match[0]) for path in files for match in COMPARISON.finditer(path.read_text()) if match[3] in KINDS
    ]
    assert not comparisons
