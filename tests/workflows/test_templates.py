"""Templates (docs/api/workflows.md 5)."""

from typing import Any

import pytest

from workflows.definition.templates import expand, expand_text, fill, lookup, too_large
from workflows.definition.value_rules import TooMuchWork, Work

SCOPE = {
    "inputs": {
        "n": 3, "f": 1.5, "one": 1.0, "yes": True, "no": False, "none": None, "s": "text", "empty": "", "list": ["a", ["b", {"c": 4}]],
        "object": {"a": 1, "0": "zero", "ä": "ö"}, "evil": "{{inputs.n}}", "half": "{{inputs.", "": {"": "blank"}, "größe": 7,
        "a-b": {"c_d": 1},
    },
    "vars": {"iteration": 2, "attempt": 1},
    "go-1": {"passed": True, "error": None, "result": "Done: {{x}}"},
}  # fmt: skip
ALONE: list[tuple[str, Any]] = [
    ("{{inputs.n}}", 3), ("{{ inputs.n }}", 3), ("  {{inputs.n}}\n", 3), ("{{\tinputs.n\t}}", 3), ("{{inputs.f}}", 1.5),
    ("{{inputs.yes}}", True), ("{{inputs.none}}", None), ("{{inputs.s}}", "text"), ("{{inputs.empty}}", ""),
    ("{{inputs.list}}", ["a", ["b", {"c": 4}]]), ("{{inputs.list.0}}", "a"), ("{{inputs.list.1.1.c}}", 4), ("{{inputs.list.2}}", None),
    ("{{inputs.list.-1}}", None), ("{{inputs.list.00}}", "a"), ("{{inputs.list." + "9" * 5000 + "}}", None), ("{{inputs.list.a}}", None),
    ("{{inputs.list.١}}", None), ("{{inputs.object.a}}", 1), ("{{inputs.object.0}}", "zero"), ("{{inputs.object.ä}}", "ö"),
    ("{{inputs.s.0}}", None), ("{{inputs.n.0}}", None), ("{{inputs.yes.a}}", None), ("{{inputs.none.a}}", None),
    ("{{inputs.gone}}", None), ("{{gone}}", None), ("{{gone.a.b}}", None), ("{{inputs..}}", "blank"), ("{{inputs.n.}}", None),
    ("{{inputs.a-b.c_d}}", 1), ("{{inputs.größe}}", 7), ("{{go-1.passed}}", True), ("{{go-1.error.code}}", None),
    ("{{vars.iteration}}", 2), ("{{vars}}", {"iteration": 2, "attempt": 1}), ("{{_x}}", None), ("{{0}}", None),
    ("{{inputs.evil}}", "{{inputs.n}}"), ("{{go-1.result}}", "Done: {{x}}"),
]  # fmt: skip
MIXED: list[tuple[str, str]] = [
    ("n={{inputs.n}}", "n=3"), ("n={{ inputs.n }}!", "n=3!"), ("{{inputs.n}}{{inputs.n}}", "33"), ("{{inputs.n}} {{inputs.s}}", "3 text"),
    ("{{inputs.f}}x", "1.5x"), ("{{inputs.one}}x", "1.0x"), ("is {{inputs.yes}}", "is true"), ("is {{inputs.no}}", "is false"),
    ("<{{inputs.none}}>", "<>"), ("<{{inputs.gone}}>", "<>"), ("<{{gone.a}}>", "<>"), ("<{{inputs.empty}}>", "<>"),
    ("o: {{inputs.object}}", 'o: {"a":1,"0":"zero","ä":"ö"}'), ("l: {{inputs.list}}", 'l: ["a",["b",{"c":4}]]'),
    ("e: {{inputs.evil}}", "e: {{inputs.n}}"), ("{{inputs.half}}n}}", "{{inputs.n}}"), ("{{inputs.evil}}{{inputs.n}}", "{{inputs.n}}3"),
    # anything else stays literal
    ("{{}}", "{{}}"), ("{{ }}", "{{ }}"), ("{{.a}}", "{{.a}}"), ("{{-a}}", "{{-a}}"), ("{{a b}}", "{{a b}}"), ("{{a|b}}", "{{a|b}}"),
    ("{{inputs.n}", "{{inputs.n}"), ("{inputs.n}", "{inputs.n}"), ("{{inputs.n", "{{inputs.n"), ("{{inputs['n']}}", "{{inputs['n']}}"),
    ("{{inputs.n\n}}", "{{inputs.n\n}}"), ("{ {inputs.n}}", "{ {inputs.n}}"), ("{{{inputs.n}}}", "{3}"), ("}}{{", "}}{{"),
    ("{{a()}}", "{{a()}}"), ("{{$a}}", "{{$a}}"), ("no template", "no template"), ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), ALONE, ids=lambda value: str(value)[:40])
def test_T_142_a_text_that_is_one_template_keeps_the_type_of_its_value(text: str, value: Any) -> None:
    found = expand(text, SCOPE, Work())
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "expected"), MIXED, ids=lambda value: str(value)[:40])
def test_T_142_in_mixed_text_values_become_text(text: str, expected: str) -> None:
    assert expand(text, SCOPE, Work()) == expected
    assert fill(text, SCOPE, 1000) == expected


def test_T_143_a_missing_path_is_null_alone_and_empty_in_text() -> None:
    assert expand("{{inputs.gone}}", SCOPE, Work()) is None
    assert expand("{{inputs.gone}}.", SCOPE, Work()) == "."


def test_templates_are_filled_in_at_any_depth_but_not_in_keys() -> None:
    given = {
        "{{inputs.n}}": [{"a": "{{inputs.n}}", "b": [None, True, 1.5, "x{{inputs.n}}"]}],
        "c": {"d": "{{inputs.list}}"},
    }
    assert expand(given, SCOPE, Work()) == {
        "{{inputs.n}}": [{"a": 3, "b": [None, True, 1.5, "x3"]}], "c": {"d": ["a", ["b", {"c": 4}]]},
    }  # fmt: skip


def test_expanding_changes_nothing_of_what_it_was_given() -> None:
    given = {"a": ["{{inputs.n}}"]}
    expand(given, SCOPE, Work())
    assert given == {"a": ["{{inputs.n}}"]}


@pytest.mark.parametrize(
    ("text", "expected"), [(" {{inputs.n}} ", "3"), ("{{inputs.gone}}", ""), (" x ", " x "), ("{{inputs.yes}}", "true")]
)
def test_where_text_is_wanted_one_template_becomes_text_too(text: str, expected: str) -> None:
    assert expand_text(text, SCOPE, 100, Work()) == expected


def test_text_is_cut_where_it_grows_too_long() -> None:
    scope = {"inputs": {"big": "x" * 1000}}
    assert expand_text("{{inputs.big}}" * 1000, scope, 16, Work()) == "x" * 16
    assert expand_text("{{inputs.big}}", scope, 16, Work()) == "x" * 16
    assert fill("ab{{inputs.big}}", scope, 1) == "a"


def test_a_few_templates_cannot_fill_the_memory() -> None:
    scope = {"inputs": {"big": "x" * 1_000_000}}
    with pytest.raises(TooMuchWork):
        expand(["a{{inputs.big}}"] * 1000, scope, Work())


def test_values_that_are_large_only_together_are_too_large() -> None:
    scope = {"inputs": {"big": {"k": ["x" * 100_000]}}}
    found = expand(["{{inputs.big}}"] * 1000, scope, Work())
    assert too_large(found, 1_000_000)
    assert not too_large(found[:9], 1_000_000)
    assert not too_large({"a": [None, True, 1.5, "x" * 50]}, 100)
    assert too_large({"a" * 100: None}, 100)


def test_braces_without_end_are_read_in_one_go() -> None:
    work = Work()
    assert expand("{{" * 100_000, SCOPE, work) == "{{" * 100_000
    assert expand("{{" + "a" * 100_000, SCOPE, work) == "{{" + "a" * 100_000
    assert expand("{{ " * 100_000, SCOPE, work) == "{{ " * 100_000
    assert lookup("inputs" + ".a" * 100_000, SCOPE) is None
