"""The drawing of a document: every step once, nothing on top of something else, and where a run went."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given

from tests.chance import TRIED
from tests.workflows.documents import (
    TRUE,
    approval,
    branch,
    check,
    eq,
    fail,
    loop,
    nested,
    parallel,
    retry,
    succeed,
    task,
)
from tests.workflows.test_any_document import documents, is_valid
from workflows.definition.step_types import walk
from workflows.drawing.layout import Drawing, Marks, Node, draw, listed


def drawn(*steps: Any, **marks: Any) -> Drawing:
    return draw({"steps": list(steps)}, marks)


def node(drawing: Drawing, step_id: str) -> Node:
    (found,) = [n for n in drawing.nodes if n.id == step_id]
    return found


def overlap(a: Any, b: Any) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def within(inner: Any, outer: Any) -> bool:
    return (
        inner.x >= outer.x and inner.x + inner.width <= outer.x + outer.width
        and inner.y >= outer.y and inner.y + inner.height <= outer.y + outer.height
    )  # fmt: skip


def holds(steps: list[Any]) -> None:
    drawing = draw({"steps": steps})
    ids = [n.id for n in drawing.nodes if n.id]
    assert sorted(ids) == sorted(step["id"] for _at, step in walk(steps))
    assert not [(a.id, b.id) for a, b in combinations(drawing.nodes, 2) if overlap(a, b)]
    sheet = Node("", "sheet", "", None, 0, 0, drawing.width, drawing.height)
    assert all(within(each, sheet) for each in (*drawing.nodes, *drawing.boxes))
    for box in drawing.boxes:
        assert all(within(n, box) or not overlap(n, box) for n in drawing.nodes)
        assert all(within(b, box) or within(box, b) or not overlap(b, box) for b in drawing.boxes)
    for edge in drawing.edges:
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in edge.points)
        assert all(x == x2 or y == y2 for (x, y), (x2, y2) in zip(edge.points, edge.points[1:], strict=False))


@TRIED
@given(documents.filter(is_valid))
def test_every_step_of_any_document_is_drawn_once_and_on_its_own_place(steps: list[Any]) -> None:
    holds(steps)


@pytest.mark.parametrize(
    "steps",
    [
        [task()],
        [task(f"t{n}") for n in range(200)],
        nested(8),
        [parallel("p", *([task(f"t{n}")] for n in range(16)))],
        [parallel("p", [])],
        [branch("i", TRUE, [])],
        [branch("i", TRUE, [succeed()], [fail()]), task()],
        [loop("l", [], count=0), retry("r", [loop("m", [branch("i", TRUE, [fail()])], count=2)])],
    ],
    ids=["one", "200", "deep", "16 branches", "empty branch", "empty choice", "both ways end", "boxes in boxes"],
)
def test_documents_at_the_bounds_are_drawn(steps: list[Any]) -> None:
    holds(steps)


def test_the_flow_goes_from_top_to_bottom_between_a_beginning_and_an_end() -> None:
    drawing = drawn(task("a"), task("b"))
    assert [n.type for n in drawing.nodes] == ["start", "task", "task", "end"]
    assert [n.y for n in drawing.nodes] == sorted(n.y for n in drawing.nodes)
    assert len({n.x + n.width / 2 for n in drawing.nodes}) == 1


def test_nothing_follows_a_step_that_ends_the_run() -> None:
    assert [n.type for n in drawn(succeed()).nodes] == ["start", "succeed"]
    drawing = drawn(branch("i", TRUE, [succeed()], [fail()]), task("never"))
    assert not any(edge.points[-1][1] == node(drawing, "never").y for edge in drawing.edges)


def test_both_ways_of_a_choice_stand_beside_each_other_and_have_a_name() -> None:
    drawing = drawn(branch("i", TRUE, [task("a")], [task("b")]))
    assert node(drawing, "a").y == node(drawing, "b").y > node(drawing, "i").y
    assert node(drawing, "a").x < node(drawing, "i").x < node(drawing, "b").x
    assert sorted(edge.label for edge in drawing.edges if edge.label) == ["no", "yes"]


def test_a_loop_is_a_titled_box_with_a_way_back() -> None:
    drawing = drawn(loop("l", [task("a")], count=3))
    (box,) = drawing.boxes
    title = node(drawing, "l")
    assert (title.x, title.y, title.width) == (box.x, box.y, box.width)
    assert within(node(drawing, "a"), box)
    assert [edge.back for edge in drawing.edges].count(True) == 1


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (task(text="File {{inputs.file}}"), "File {{inputs.file}}"),
        (check(condition=eq("{{go.passed}}", True)), "go.passed = true"),
        (branch("i", {"op": "exists", "value": "{{inputs.a}}"}, []), "inputs.a exists?"),
        (check(condition={"type": "field_equals", "field": "a.b", "value": "x"}), "a.b = “x”"),
        (check(condition={"op": "not", "condition": {"op": "or", "conditions": [TRUE, eq(1, None)]}}), "not (true or 1 = nothing)"),
        (loop("l", [], count=3), "×3"),
        (loop("l", [], count=30, max_iterations=5), "×5"),
        (loop("l", [], **{"while": TRUE}), "while true, at most 100 times"),
        (retry("r", [], 2), "up to 2 attempts"),
        (retry("r", [], 1), "up to 1 attempt"),
        (parallel("p", [], []), "2 branches"),
        (approval(message="Pay?"), "Pay?"),
        (approval(instruction="Pay?"), "Pay?"),
        (succeed(message="All filed."), "All filed."),
        (fail(), "Ends the run, failed"),
    ],
)  # fmt: skip
def test_a_step_says_what_it_does(step: Any, text: str) -> None:
    assert node(drawn(step), step["id"]).text == text


def test_a_text_that_is_too_long_is_shortened_and_whole_in_the_title() -> None:
    long = "Open the portal and file the invoice of the month with everything that belongs to it. " * 5
    found = node(drawn(task("x" * 64, long)), "x" * 64)
    assert found.text == long
    assert len(found.lines) == 3
    assert found.lines[0].name.endswith("…")
    assert found.lines[2].says.endswith("…")


def taken(drawing: Drawing, step_id: str) -> bool:
    """Is the line that enters this step marked?"""
    to = node(drawing, step_id)
    (edge,) = [e for e in drawing.edges if e.points[-1] == (to.x + to.width / 2, to.y) and not e.back]
    return edge.taken


def test_the_way_of_a_run_is_marked() -> None:
    marks: Marks = {"go": "done", "i": "done", "a": "failed"}
    drawing = drawn(task("go"), branch("i", TRUE, [task("a")], [task("b")]), task("z"), **marks)
    assert [taken(drawing, each) for each in ("go", "i", "a", "b", "z")] == [True, True, True, False, False]
    assert node(drawing, "a").state == "failed"


def test_a_way_without_steps_was_taken_when_the_other_was_not() -> None:
    marks: Marks = {"i": "done", "z": "running"}
    drawing = drawn(branch("i", TRUE, [task("a")]), task("z"), **marks)
    assert {edge.label: edge.taken for edge in drawing.edges if edge.label} == {"yes": False, "no": True}
    assert taken(drawing, "z")


def test_the_same_in_words_is_a_list_of_lists() -> None:
    steps = [branch("i", TRUE, [task("a")]), parallel("p", [], [task("b")]), loop("l", [task("c")], count=2)]
    found = listed({"steps": steps}, {"a": "done"})
    assert [step["kind"] for step in found] == ["Choice", "At once", "Loop"]
    assert [title for title, _inner in found[0]["lists"]] == ["If so", "If not"]
    assert found[0]["lists"][0][1][0]["mark"] == "done"
    assert [len(inner) for _title, inner in found[1]["lists"]] == [0, 1]
    assert found[2]["lists"][0][1][0]["id"] == "c"
