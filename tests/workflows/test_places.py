"""Where the values of a JSON text stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chance import TRIED
from workflows.definition.positions import START, Place, Text, read

TEXT = """{
  "steps": [
    {"id": "go", "type": "task",
     "task": "a \\"quoted\\" [text]"},
    {"id": "i", "type": "if", "condition": {"op": "is"}, "then": []}
  ]
}
"""


def at(path: tuple[Any, ...]) -> tuple[int, int]:
    place = read(TEXT).place(path)
    return place.line, place.column


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("steps",), (2, 12)),
        (("steps", 0), (3, 5)),
        (("steps", 0, "task"), (4, 14)),
        (("steps", 1, "condition", "op"), (5, 51)),
        (("steps", 1, "then"), (5, 66)),
    ],
)
def test_a_value_is_found_by_its_path(path: tuple[Any, ...], place: tuple[int, int]) -> None:
    assert at(path) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("steps", 1, "condition", "left"), (5, 31)),  # the key of what lacks it
        (("steps", 0, "message"), (3, 5)),
        (("steps", 7, "id"), (2, 3)),
        (("inputs_schema",), (1, 1)),
    ],
)
def test_what_is_missing_is_said_beside_what_lacks_it(path: tuple[Any, ...], place: tuple[int, int]) -> None:
    assert at(path) == place


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, 1, "There is no text."),
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3, "A comma is missing here, or something is not closed."),
        ('{\n  "a" 1}', 2, 7, "A colon is missing here."),
        ("{\n  a: 1}", 2, 3, "A name in double quotes is expected here."),
        ('{"steps": [', 1, 12, "The text ends too early: something is not closed."),
        ('{"a": }', 1, 7, "A value is expected here."),
        ("{}\n{}", 2, 1, "The document ends before this."),
        ('{"a": "x\ny"}', 1, 9, "A line break or tab inside quotes must be written as \\n or \\t."),
        ('{"a": "\\x"}', 1, 8, "An unknown sequence after \\; write \\\\ for a backslash."),
    ],
)
def test_a_fault_in_the_text_has_its_line_too(text: str, line: int, column: int, problem: str) -> None:
    found = read(text)
    assert (found.problem, found.at[:2]) == (problem, (line, column))


def test_line_ends_of_forms_count_once() -> None:
    assert read('{\r\n"a": 1,\r\n"b": x}').at.line == 3
    assert read(TEXT.replace("\n", "\r\n")) == read(TEXT)


REFUSED = [
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": ' + "9" * 5000 + "}",
    "[" * 100_000,
    "[" * 120 + "]" * 120,
    '"' + "x" * 300_000 + '"',
]


@pytest.mark.parametrize("text", REFUSED, ids=["NaN", "infinite", "digits", "endless", "deep", "long"])
def test_what_the_api_would_refuse_is_refused(text: str) -> None:
    assert read(text).problem
    assert read(text).value is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value)] + [found for key, item in items for found in paths(item, (*path, key))]


def from_place(text: str, place: Place) -> str:
    return text.split("\n")[place.line - 1][place.column - 1 :]


@TRIED
@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_every_value_of_any_text_begins_where_it_is_said(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found: Text = read(text)
    assert found.value == value
    assert set(found.values) == {path for path, _value in paths(value)}
    for path, each in paths(value):
        place = found.place(path)
        first = (
            "{"
            if isinstance(each, dict)
            else "["
            if isinstance(each, list)
            else json.dumps(each, ensure_ascii=ascii_only)
        )
        assert from_place(text, place).startswith(first)
        assert place == START or place.end - place.column == len(first)
