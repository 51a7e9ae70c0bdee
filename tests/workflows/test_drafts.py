"""What stands in the editor, and which line a violation is about."""

import json
from typing import Any

import pytest

from tests.workflows.documents import task, whole
from workflows.definition.documents import check_document
from workflows.definition.drafts import Draft, read_draft

STEPS = '{\n  "steps": [\n    {"id": "go", "type": "task"}\n  ]\n}'


def draft(definition: str = STEPS, schema: str = "", *, new: bool = True, **beside: Any) -> Draft:
    return read_draft({"definition": definition, "inputs_schema": schema} | beside, new=new)


def found(given: Draft) -> list[tuple[str, int, str]]:
    """(field, line, where) of every problem."""
    wrong = check_document(given.body, "validate").violations
    said = given.unreadable() + given.problems(wrong)
    return [(p.field, p.place.line if p.place else 0, p.where) for p in said]


def test_a_violation_is_said_beside_its_line() -> None:
    assert found(draft()) == [("definition", 3, "steps.0.task")]


def test_a_text_that_cannot_be_read_is_said_once() -> None:
    assert found(draft('{\n"steps": [')) == [("definition", 2, "")]
    assert found(draft(json.dumps({"steps": [task()]}), "{\n\n!")) == [("inputs_schema", 3, "")]


def test_what_is_wrong_with_the_inputs_is_said_in_their_text() -> None:
    text = '{\n  "type": "object",\n  "properties": {"a": {"type": "nonsense"}}}'
    (problem,) = found(draft(json.dumps({"steps": [task()]}), text))
    assert problem[:2] == ("inputs_schema", 1)


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        (whole([task()], output={"a": 1}), 1),
        ({"name": "Invoices", "version": "1.0.0", "steps": [task()], "output": {}}, 1),
    ],
    ids=["with a definition", "with steps"],
)
def test_a_whole_body_that_was_pasted_is_read_as_one(body: dict[str, Any], steps: int) -> None:
    given = draft(json.dumps(body, indent=1), name="Something else", slug="other")
    assert given.whole
    assert given.body["name"] == "Invoices"
    assert check_document(given.body, "create").violations == []


def test_violations_of_a_pasted_body_have_their_lines_in_it() -> None:
    text = '{\n"name": 5,\n"slug": "x",\n"definition": {\n"steps": [{"id": "go", "type": "task"}]}}'
    assert sorted(found(draft(text))) == [("definition", 2, "name"), ("definition", 5, "definition.steps.0.task")]


def test_what_is_wrong_beside_the_texts_has_no_line() -> None:
    assert ("slug", 0, "") in found(draft(slug="No slug"))


def test_the_slug_of_a_new_workflow_is_made_of_its_name() -> None:
    assert draft(name="Monthly invoices").body["slug"] == "monthly-invoices"
    assert "slug" not in draft(name="?").body
    assert "slug" not in draft(name="Monthly invoices", new=False).body


def test_what_was_emptied_is_empty_in_the_next_version() -> None:
    emptied = draft(new=False).body
    assert (emptied["description"], emptied["inputs_schema"]) == ("", {})
    assert "description" not in draft().body
