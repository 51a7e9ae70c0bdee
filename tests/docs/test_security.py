"""SECURITY.md names for each promise the test that holds it: those tests are there."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
AISVS = [f"9.1.{n}" for n in range(1, 4)] + [f"9.2.{n}" for n in range(1, 11)] + [f"9.6.{n}" for n in range(1, 4)]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TEXT)
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or (name and name not in functions(path))
    ]
    assert len(named) > 40
    assert not missing


def test_every_row_of_the_threats_names_a_test() -> None:
    threats = TEXT.split("## Threats", 1)[1].split("\n## ", 1)[0]
    rows = [row for row in threats.splitlines() if row.startswith("| ") and not row.startswith(("| Who", "| --"))]
    assert len(rows) > 20
    assert not [row for row in rows if not NAMED.search(row)]


def test_each_requirement_of_aisvs_has_an_answer() -> None:
    rows = re.findall(r"^\| (9\.\d\.\d+) \|", TEXT, re.MULTILINE)
    assert rows == AISVS
