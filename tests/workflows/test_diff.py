"""Two versions of a workflow compared."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given

from tests.chance import TRIED
from tests.workflows.documents import TRUE, approval, branch, loop, task
from tests.workflows.test_any_document import documents
from workflows.drawing.diff import Row, rows, summary


@dataclass
class Version:
    definition: dict[str, Any]
    name: str = "Invoices"
    inputs_schema: dict[str, Any] | None = None
    description: str | None = None


def version(*steps: Any, **more: Any) -> Version:
    beside = {key: more.pop(key) for key in ("output", "budget_cents") if key in more}
    return Version({"steps": list(steps)} | beside, **more)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (version(task("a")), version(task("a")), "Nothing was changed."),
        (version(task("a")), version(task("a"), task("b")), "1 step added (b)."),
        (version(task("a"), task("b")), version(task("a")), "1 step removed (b)."),
        (version(task("a", "x")), version(task("a", "y")), "1 step changed (a)."),
        (version(task("a"), task("b"), task("c")), version(task("c"), task("a"), task("b")), "1 step moved (c)."),
        (version(task("a"), loop("l", [], count=2)), version(loop("l", [task("a")], count=2)), "1 step moved (a)."),
        (version(branch("i", TRUE, [task("a")], [])), version(branch("i", TRUE, [], [task("a")])), "1 step moved (a)."),
        (version(loop("l", [task("a")], count=2)), version(loop("l", [task("a")], count=3)), "1 step changed (l)."),
        (version(task("a")), version(approval("g"), task("a", "y"), name="B"), "1 step added (g), 1 step changed (a). The name changed."),
        (version(task("a")), version(task("a"), inputs_schema={}, description="x"), "The description changed. The inputs changed."),
        (version(task("a")), version(task("a"), budget_cents=5), "The output or the limits of the run changed."),
        (version(task("a")), version(*[task(f"t{n}") for n in range(7)]),
         "7 steps added (t0, t1, t2, t3, t4 and 2 more), 1 step removed (a)."),
    ],
)  # fmt: skip
def test_a_change_is_said_in_one_sentence(old: Version, new: Version, said: str) -> None:
    assert summary(old, new) == said


def unfolded(found: list[Row]) -> list[Row]:
    return [each for row in found for each in (row.hidden or (row,))]


def text_of(found: list[Row], *kinds: str) -> str:
    return "\n".join(row.text for row in unfolded(found) if row.kind in kinds)


@TRIED
@given(documents, documents)
def test_the_rows_hold_both_versions_whole_and_in_order(old: list[Any], new: list[Any]) -> None:
    found = rows(version(*old), version(*new))
    assert json.loads(text_of(found, "same", "removed"))["definition"]["steps"] == old
    assert json.loads(text_of(found, "same", "added"))["definition"]["steps"] == new
    before = [row.before for row in unfolded(found) if row.before]
    after = [row.after for row in unfolded(found) if row.after]
    assert before == list(range(1, len(before) + 1))
    assert after == list(range(1, len(after) + 1))


def test_long_stretches_without_a_change_are_folded() -> None:
    many = [task(f"t{n}") for n in range(40)]
    found = rows(version(*many), version(*many[:-1], task("t39", "Another")))
    assert [row.kind for row in found][:4] == ["folded", "same", "same", "same"]
    assert len(found[0].hidden) > 100
    assert [row.kind for row in found].count("removed") == 1


def test_versions_that_are_the_same_are_one_fold() -> None:
    assert [row.kind for row in rows(version(task()), version(task()))] == ["folded"]


def test_very_long_documents_are_not_compared_line_by_line() -> None:
    old = version(task(), output={f"a{n}": n for n in range(9000)})
    new = version(task(), output={f"b{n}": n for n in range(9000)})
    found = [row.kind for row in rows(old, new) if row.kind != "folded"]
    assert (found.count("removed"), found.count("added")) == (9000, 9000)
