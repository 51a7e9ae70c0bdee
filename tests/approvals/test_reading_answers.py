"""What people send, read against what was asked: approvals/answers/reading.py as tables (docs/api/approvals.md section 4)."""

from pathlib import Path
from typing import Any

import pytest
from django.http import QueryDict

from approvals.answers import reading
from approvals.cards import forms
from approvals.errors import AnswerRequired
from web.errors import Invalid


def _question(key: str = "q1", header: str = "Inbox", text: str = "Which inbox?", **more: Any) -> dict[str, Any]:
    return {"id": key, "header": header, "question": text, "options": ["Sales", "Support"]} | more


ONE = [_question()]
TWO = [_question(), _question("q2", "Tone", "Which tone?", options=["Formal", "Friendly"])]
SAME = [_question("q1", "A", "Which one?"), _question("q2", "B", "Which one?")]
MANY = [_question(multi_select=True)]
STRICT = [_question(allow_custom=False)]
FREE = [_question(options=[])]
FREE_STRICT = [_question(options=[], allow_custom=False)]
COMMA = [_question(multi_select=True, options=["Rome, Italy", "Oslo"])]
TWISTED = [_question("q1", "q2", "First?"), _question("q2", "q1", "Second?")]  # ids win over headers


def _is(value: str, custom: bool = False) -> dict[str, Any]:
    return {"value": value, "custom": custom}


READ: list[tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = [
    (ONE, {"q1": "Sales"}, {"q1": _is("Sales")}),
    (ONE, {"Which inbox?": "Sales"}, {"q1": _is("Sales")}),
    (ONE, {"Inbox": "Sales"}, {"q1": _is("Sales")}),
    (ONE, {"q1": "sales"}, {"q1": _is("sales", True)}),
    (ONE, {"q1": "sales "}, {"q1": _is("sales ", True)}),
    (ONE, {"q1": "Sales, Support"}, {"q1": _is("Sales, Support", True)}),
    (ONE, {"q1": "x" * 4000}, {"q1": _is("x" * 4000, True)}),
    (FREE, {"q1": "anything"}, {"q1": _is("anything", True)}),
    (FREE_STRICT, {"q1": "anything"}, {"q1": _is("anything", True)}),  # no options: there is nothing else to say
    (STRICT, {"q1": "Support"}, {"q1": _is("Support")}),
    (TWO, {"q1": "Sales", "Tone": "Formal"}, {"q1": _is("Sales"), "q2": _is("Formal")}),
    (SAME, {"A": "Sales", "q2": "Support"}, {"q1": _is("Sales"), "q2": _is("Support")}),
    (TWISTED, {"q1": "Sales", "q2": "Support"}, {"q1": _is("Sales"), "q2": _is("Support")}),
    (MANY, {"q1": ["Sales", "Support"]}, {"q1": [_is("Sales"), _is("Support")]}),
    (MANY, {"q1": "Sales, Support"}, {"q1": [_is("Sales"), _is("Support")]}),
    (MANY, {"q1": "Sales"}, {"q1": [_is("Sales")]}),
    (MANY, {"q1": "Sales,,other"}, {"q1": [_is("Sales"), _is("other", True)]}),
    (MANY, {"q1": ["Sales", "Sales"]}, {"q1": [_is("Sales")]}),
    (MANY, {"q1": ["sales "]}, {"q1": [_is("sales ", True)]}),
    (COMMA, {"q1": "Rome, Italy"}, {"q1": [_is("Rome, Italy")]}),
    (COMMA, {"q1": ["Rome, Italy", "Oslo"]}, {"q1": [_is("Rome, Italy"), _is("Oslo")]}),
]


@pytest.mark.parametrize(("questions", "given", "expected"), READ)
def test_T_068_T_069_T_070_answers(
    questions: list[dict[str, Any]], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert reading.read_answers(reading.tidy_questions(questions), given, ("body", "answers")) == (expected, {})


REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = [
    (ONE, {"nope": "Sales"}, ["nope"]),
    (ONE, {"INBOX": "Sales"}, ["INBOX"]),
    (ONE, {"q1": "Sales", "nope": 1, "no": 2}, ["nope", "no"]),
    (ONE, {"q1": "Sales", "Inbox": "Sales"}, ["Inbox"]),  # the same question twice
    (SAME, {"Which one?": "Sales"}, ["Which one?"]),  # fits two
    (ONE, {"q1": ""}, ["q1"]),
    (ONE, {"q1": "  "}, ["q1"]),
    (ONE, {"q1": None}, ["q1"]),
    (ONE, {"q1": 5}, ["q1"]),
    (ONE, {"q1": True}, ["q1"]),
    (ONE, {"q1": ["Sales"]}, ["q1"]),
    (ONE, {"q1": {"value": "Sales"}}, ["q1"]),
    (ONE, {"q1": "x" * 4001}, ["q1"]),
    (STRICT, {"q1": "Marketing"}, ["q1"]),
    (MANY, {"q1": []}, ["q1"]),
    (MANY, {"q1": ""}, ["q1"]),
    (MANY, {"q1": " , "}, ["q1"]),
    (MANY, {"q1": ["Sales", ""]}, ["q1"]),
    (MANY, {"q1": ["Sales", 5]}, ["q1"]),
    (MANY, {"q1": 5}, ["q1"]),
    (MANY, {"q1": None}, ["q1"]),
    ([_question(multi_select=True, allow_custom=False)], {"q1": ["Sales", "Other"]}, ["q1"]),
]


@pytest.mark.parametrize(("questions", "given", "at"), REFUSED)
def test_T_070_T_071_answers_that_do_not_fit(
    questions: list[dict[str, Any]], given: dict[str, Any], at: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        reading.read_answers(reading.tidy_questions(questions), given, ("body", "answers"))
    assert [d["loc"] for d in refused.value.facts["details"]] == [["body", "answers", key] for key in at]


@pytest.mark.parametrize(
    ("given", "missing"), [({}, ["q1", "q2"]), ({"q1": "Sales"}, ["q2"]), ({"Tone": "Formal"}, ["q1"])]
)
def test_every_question_must_be_answered(given: dict[str, Any], missing: list[str]) -> None:
    with pytest.raises(AnswerRequired) as refused:
        reading.read_answers(reading.tidy_questions(TWO), given, ("body", "answers"))
    assert refused.value.facts["missing"] == missing
    assert (refused.value.status, refused.value.code) == (422, "ANSWER_REQUIRED")


LENIENT: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"q1": "Sales", "mood": "good"}, {"q1": _is("Sales")}, {"mood": "good"}),
    ({"answer": "Sales"}, {"q1": _is("Sales")}, {}),
    ({"answer": "other"}, {"q1": _is("other", True)}, {}),
]


@pytest.mark.parametrize(("given", "expected", "context"), LENIENT)
def test_T_071_by_signal_unknown_keys_are_context(
    given: dict[str, Any], expected: dict[str, Any], context: dict[str, Any]
) -> None:
    assert reading.read_answers(reading.tidy_questions(ONE), given, (), lenient=True) == (expected, context)


def test_one_answer_does_not_answer_two_questions() -> None:
    with pytest.raises(AnswerRequired):
        reading.read_answers(reading.tidy_questions(TWO), {"answer": "Sales"}, (), lenient=True)


OPTIONS: list[tuple[Any, str, bool]] = [
    ("Sales (Recommended)", "Sales", True),
    ("Sales (recommended) ", "Sales", True),
    ("Sales", "Sales", False),
    ("(Recommended) Sales", "(Recommended) Sales", False),
    ({"label": "Sales"}, "Sales", False),
    ({"label": "Sales", "recommended": True}, "Sales", True),
    ({"label": "Sales (Recommended)", "recommended": False}, "Sales", True),
    ({"label": "Sales", "recommended": None, "description": None}, "Sales", False),
]


@pytest.mark.parametrize(("given", "label", "recommended"), OPTIONS)
def test_T_072_the_suffix_recommended(given: Any, label: str, recommended: bool) -> None:
    (question,) = reading.tidy_questions([_question(options=[given])])
    assert question["options"] == [{"label": label, "description": "", "recommended": recommended}]


def test_a_question_has_every_field() -> None:
    (question,) = reading.tidy_questions([{"id": 7, "question": "Well?"}])
    assert question == {
        "id": "7", "header": "", "question": "Well?", "multi_select": False, "allow_custom": True, "secret": False, "options": []
    }  # fmt: skip


def test_what_is_recommended() -> None:
    marked = [{"label": "A", "recommended": True}, {"label": "B", "recommended": True}]
    assert reading.recommended(reading.tidy_questions([_question(options=marked)])) == {"q1": "A"}
    assert reading.recommended(reading.tidy_questions([_question(options=marked, multi_select=True)])) == {
        "q1": ["A", "B"]
    }
    assert reading.recommended(reading.tidy_questions(TWO)) is None
    assert reading.recommended(reading.tidy_questions([_question(options=marked), TWO[1]])) is None


# --- values by JSON Schema

MAIL: dict[str, Any] = {
    "type": "object", "required": ["recipient"],
    "properties": {"recipient": {"type": "string"}, "subject": {"type": "string", "default": "Hello"}, "copies": {"type": "integer"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        (MAIL, {"recipient": "a"}, {"recipient": "a", "subject": "Hello"}),
        (MAIL, {"recipient": "a", "subject": "Hi", "more": 1}, {"recipient": "a", "subject": "Hi", "more": 1}),
        (None, {"anything": [1, {"a": None}]}, {"anything": [1, {"a": None}]}),
        (None, {}, {}),
        ({}, {"a": 1}, {"a": 1}),
    ],
)
def test_values_and_defaults(schema: Any, given: dict[str, Any], expected: dict[str, Any]) -> None:
    before = str(schema)
    assert reading.read_values(schema, given, ("body", "values")) == expected
    assert str(schema) == before


@pytest.mark.parametrize(
    ("given", "locs"),
    [
        ({}, [["recipient"]]),
        ({"recipient": 5}, [["recipient"]]),
        ({"recipient": None}, [["recipient"]]),
        ({"recipient": "a", "copies": "two"}, [["copies"]]),
        ({"copies": 1.5}, [["copies"], ["recipient"]]),
    ],
)
def test_T_074_values_that_violate_the_schema(given: dict[str, Any], locs: list[list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        reading.read_values(MAIL, given, ("body", "values"))
    assert sorted(d["loc"] for d in refused.value.facts["details"]) == [["body", "values", *loc] for loc in locs]


def test_violations_deep_inside_are_named() -> None:
    schema = {"properties": {"rows": {"type": "array", "items": {"type": "object", "required": ["n"]}}}}
    with pytest.raises(Invalid) as refused:
        reading.read_values(schema, {"rows": [{"n": 1}, {}]}, ("body", "values"))
    assert refused.value.facts["details"][0]["loc"] == ["body", "values", "rows", 1, "n"]


# --- secrets


def test_secret_answers_are_redacted() -> None:
    questions = reading.tidy_questions([_question(secret=True), TWO[1]])
    shown = reading.redact_answers(questions, {"q1": _is("hunter2", True), "q2": _is("Formal")})
    assert shown == {"q1": "[redacted]", "q2": _is("Formal")}


def test_passwords_are_redacted_at_any_depth() -> None:
    secret = {"type": "string", "format": "password"}
    schema = {
        "properties": {
            "user": {"type": "string"}, "password": secret,
            "more": {"properties": {"pin": secret}}, "all": {"items": {"properties": {"key": secret}}},
        }
    }  # fmt: skip
    given = {"user": "a", "password": "p", "more": {"pin": "1", "x": 2}, "all": [{"key": "k"}, {"id": 1}], "extra": 1}
    assert reading.redact_values(schema, given) == {
        "user": "a", "password": "[redacted]", "more": {"pin": "[redacted]", "x": 2},
        "all": [{"key": "[redacted]"}, {"id": 1}], "extra": 1,
    }  # fmt: skip


SECRET = {"type": "string", "format": "password"}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"pin": SECRET}}]},
        {"oneOf": [{"properties": {"pin": {"type": "integer"}}}, {"properties": {"pin": SECRET}}]},
        {"if": {"required": ["pin"]}, "then": {"properties": {"pin": SECRET}}},
        {"properties": {"pin": {"anyOf": [SECRET, {"type": "null"}]}}},
        {"properties": {"pin": {"$ref": "#/$defs/secret"}}, "$defs": {"secret": SECRET}},
        {"additionalProperties": SECRET},
        {"patternProperties": {"^p": SECRET}},
        {"$ref": "#"} | {"properties": {"pin": SECRET}},
    ],
)
def test_passwords_are_redacted_however_the_schema_says_it(schema: dict[str, Any]) -> None:
    assert reading.redact_values(schema, {"pin": "1234"}) == {"pin": "[redacted]"}


def test_passwords_in_lists_are_redacted() -> None:
    schema = {"properties": {"pins": {"prefixItems": [{}, SECRET]}, "all": {"items": SECRET}}}
    values = {"pins": ["a", "1234"], "all": ["1", "2"]}
    assert reading.redact_values(schema, values) == {"pins": ["a", "[redacted]"], "all": ["[redacted]"] * 2}


def test_a_schema_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "object"}')
    with pytest.raises(Invalid):
        reading.read_values({"$ref": f"file://{tmp_path}/s.json"}, {}, ("body", "values"))


NO_USE: list[Any] = [
    {"$ref": "#"}, {"properties": {"a": {"pattern": "(a+)+$"}}}, {"properties": {"a": {"$ref": "#/$defs/none"}}},
    {"allOf": 5}, {"properties": []}, {"required": 5}, {"type": "text"}, {"$dynamicRef": "#x"}, {"anyOf": [{}] * 1000},
    {"patternProperties": {"(a|a)*b": {}}}, {"properties": {"a": {"type": "string", "maxLength": -1}}}, {"pattern": "("},
]  # fmt: skip


@pytest.mark.parametrize("schema", NO_USE, ids=lambda schema: str(schema)[:40])
def test_a_schema_that_is_no_use_is_said_to_be_so(schema: Any) -> None:
    with pytest.raises(Invalid) as refused:
        reading.read_values(schema, {"a": "a" * 60 + "b"}, ("body", "values"))
    (detail,) = refused.value.facts["details"]
    assert detail["loc"] == ["body", "values"]
    assert detail["msg"].startswith("The schema ")


def test_values_that_take_too_long_to_check_are_refused() -> None:
    schema = {"properties": {"a": {"pattern": "a*b*c*d"}}}
    assert reading.read_values(schema, {"a": "abcd"}, ()) == {"a": "abcd"}
    with pytest.raises(Invalid) as refused:
        reading.read_values(schema, {"a": "a" * 100_000}, ("body", "values"))
    assert refused.value.facts["details"][0]["loc"] == ["body", "values"]


def test_a_password_behind_an_escaped_reference_or_a_slow_pattern_is_redacted() -> None:
    schema = {"properties": {"pin": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": SECRET}}
    assert reading.redact_values(schema, {"pin": "1234"}) == {"pin": "[redacted]"}
    slow = {"patternProperties": {"a*b*c*d": SECRET}}
    assert reading.redact_values(slow, {"a" * 5000: "1"}) == {"a" * 5000: "[redacted]"}


@pytest.mark.parametrize(
    "schema", [{"properties": {"a": True}}, {"properties": {"a": 5}, "required": 5}, *NO_USE], ids=str
)
def test_a_form_is_shown_and_read_whatever_the_schema(schema: Any) -> None:
    assert forms.value_fields(schema)
    assert isinstance(forms.read_values(schema, QueryDict("")), dict)


def test_fields_stand_in_the_order_in_which_they_were_required() -> None:
    schema = {
        "properties": {"pin": SECRET, "note": {}, "customer number": {}},
        "required": ["customer number", "pin", ["x"], "gone"],
    }
    assert [field.name for field in forms.value_fields(schema)] == ["v.customer number", "v.pin", "v.note"]
