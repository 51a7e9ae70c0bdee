"""Conditions of policies on what an action works with (docs/policies.md): what holds, what may be stored, what is equal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.models import Policy
from approvals.policies.conditions import MISSING, at, canonical, holds, problems, same
from approvals.policies.rules import fits
from approvals.policies.sentences import condition_words, sentence
from tests.approvals.test_policies import made, policy, proposal
from tests.cast import Api
from tests.chance import SOME_TRIED, TRIED

OPS = ("eq", "ne", "gt", "lt", "contains", "prefix", "in", "matches")
MAIL: dict[str, Any] = {
    "to": [{"email": "bob@shop.test"}, {"email": "eve@evil.test"}], "amount": 12.5, "count": 1, "body": "Dear Bob,\nhello",
    "urgent": True, "cc": None, "tags": ["a", 1, {"x": 1}], "0": "zero", "a b": "blank",
}  # fmt: skip


def when(path: str, op: str, value: Any) -> dict[str, Any]:
    return {"path": path, "op": op, "value": value}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("amount", 12.5), ("to.0.email", "bob@shop.test"), ("to.1.email", "eve@evil.test"), ("0", "zero"), ("a b", "blank"),
        ("cc", None), ("tags.2.x", 1), ("to.00.email", "bob@shop.test"),
        ("to.2.email", MISSING), ("to.-1.email", MISSING), ("to.+1.email", MISSING), ("to.².email", MISSING),
        ("to.99999999999999999999.email", MISSING), ("nothing", MISSING), ("amount.x", MISSING), ("body.0", MISSING),
        ("to.email", MISSING), ("cc.x", MISSING), ("", MISSING), ("to.0.", MISSING),
    ],
)  # fmt: skip
def test_a_path_leads_to_one_place_or_none(path: str, value: Any) -> None:
    found = at(MAIL, path)
    assert found is value if value is MISSING else found == value


@pytest.mark.parametrize(
    ("path", "op", "value", "is_met"),
    [
        ("amount", "eq", 12.5, True), ("count", "eq", 1.0, True), ("count", "eq", "1", False), ("count", "eq", True, False),
        ("urgent", "eq", True, True), ("urgent", "eq", 1, False), ("tags", "eq", ["a", 1.0, {"x": 1}], True),
        ("tags", "eq", ["a", True, {"x": 1}], False), ("body", "eq", "dear bob,\nhello", False),
        ("amount", "ne", 12, True), ("amount", "ne", 12.5, False), ("count", "ne", "1", True), ("nothing", "ne", 1, False),
        ("amount", "gt", 12, True), ("amount", "gt", 12.5, False), ("urgent", "gt", 0, False), ("body", "gt", 0, False),
        ("amount", "lt", 13, True), ("amount", "lt", 12.5, False), ("urgent", "lt", 2, False), ("nothing", "lt", 5, False),
        ("body", "contains", "Bob", True), ("body", "contains", "bob", False), ("tags", "contains", "a", True),
        ("tags", "contains", 1.0, True), ("tags", "contains", True, False), ("tags", "contains", {"x": 1}, True),
        ("amount", "contains", "1", False), ("to.0", "contains", "email", False), ("body", "contains", 1, False),
        ("body", "prefix", "Dear", True), ("body", "prefix", "ear", False), ("tags", "prefix", "a", False),
        ("to.0.email", "in", ["x", "bob@shop.test"], True), ("count", "in", ["1", True], False), ("nothing", "in", [1], False),
        ("to.0.email", "matches", "@shop\\.test$", True), ("to.0.email", "matches", "^shop", False),
        ("body", "matches", "^hello", False), ("body", "matches", "(?m)^hello$", True), ("body", "matches", "Bob,$", False),
        ("amount", "matches", "12", False), ("nothing", "matches", ".*", False),
    ],
)  # fmt: skip
def test_T_189_operators_and_their_types(path: str, op: str, value: Any, is_met: bool) -> None:
    assert holds(when(path, op, value), MAIL) is is_met


def test_all_conditions_must_hold() -> None:
    both = [when("amount", "gt", 10), when("to.0.email", "prefix", "bob")]
    assert fits(policy("allow", when=both), proposal(params=MAIL))
    assert not fits(policy("allow", when=[*both, when("urgent", "eq", False)]), proposal(params=MAIL))
    assert fits(policy("allow", when=[{"class": "irreversible"}, *both]), proposal(params=MAIL))
    assert not fits(policy("allow", when=[{"class": "read"}, *both]), proposal(params=MAIL))


@pytest.mark.parametrize(
    "condition", [when("amount", "newer", 1), {"path": "amount"}, {"newer": 1}, when("body", "matches", "(")]
)
def test_what_cannot_be_told_never_lets_an_action_through(condition: dict[str, Any]) -> None:
    wanted = proposal(params=MAIL)
    assert [fits(policy(effect, when=[condition]), wanted) for effect in ("allow", "ask", "deny")] == [
        False,
        True,
        True,
    ]


def test_half_a_character_cannot_be_matched_by_a_pattern() -> None:
    wanted = proposal(params={"body": "x\ud800"})
    rules = [policy(effect, when=[when("body", "matches", "x")]) for effect in ("allow", "deny")]
    assert [fits(rule, wanted) for rule in rules] == [False, True]


def test_who_denies_typing_a_word_denies_commands_with_it() -> None:
    command = proposal(tool="run_line", params={"command": "sudo reboot"})
    harmless = proposal(tool="run_line", params={"command": "ls"})
    rule = policy("deny", "type_text", when=[when("text", "contains", "sudo")])
    assert (fits(rule, command), fits(rule, harmless)) == (True, False)
    assert not fits(policy("allow", "type_text", when=[when("text", "contains", "sudo")]), command)


def test_a_pattern_takes_time_as_the_text_grows_and_no_more() -> None:
    assert holds(when("body", "matches", "(a+)+$"), {"body": "a" * 200_000 + "!"}) is False


# --- what may be stored


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ({}, None), ({"path": "a"}, None), ({"path": "a", "op": "eq"}, "value"), ({"path": "a", "op": "eq", "value": None}, "value"),
        ({"path": "a", "value": 1}, "op"), ({"op": "eq", "value": 1}, "path"), (when("a", "is", 1), "op"),
        (when("", "eq", 1), "path"), (when("a..b", "eq", 1), "path"), (when(".a", "eq", 1), "path"), (when("a.", "eq", 1), "path"),
        (when("a[0]", "eq", 1), "path"), (when("$.a", "eq", 1), "path"), (when("a.*", "eq", 1), "path"), (when(" a", "eq", 1), "path"),
        (when("a\u202eb", "eq", 1), "path"), (when("a\u200bb", "eq", 1), "path"), (when("a" * 201, "eq", 1), "path"),
        (when("a", "gt", "1"), "value"), (when("a", "lt", True), "value"), (when("a", "in", "x"), "value"),
        (when("a", "in", []), "value"), (when("a", "in", list(range(101))), "value"), (when("a", "prefix", 1), "value"),
        (when("a", "prefix", ""), "value"), (when("a", "contains", ""), "value"), (when("a", "matches", ""), "value"),
        (when("a", "matches", "("), "value"), (when("a", "matches", "(?=x)"), "value"), (when("a", "matches", r"(x)\1"), "value"),
        (when("a", "matches", "x" * 201), "value"), (when("a", "matches", "((a{100}){100}){100}"), "value"),
        ({"class": "read", "path": "a"}, "path"), ({"class": "mild"}, "class"), (when("a", "eq", 1) | {"more": 1}, "more"),
    ],
)  # fmt: skip
@pytest.mark.django_db
def test_what_no_condition_is(test_key: Api, condition: dict[str, Any], name: str | None) -> None:
    answer = test_key.post("/permissions", {"tool": "mail.send", "when": [when("ok", "eq", 1), condition]})
    assert answer.status_code == 422, answer.content
    places = [detail["loc"] for detail in answer.json()["error"]["details"]]
    assert places[0][:3] == ["body", "when", 1]
    assert name is None or places == [["body", "when", 1, name]]
    assert not Policy.objects.exists()


@pytest.mark.django_db
def test_there_are_at_most_ten_and_they_are_not_large(test_key: Api) -> None:
    def refused(*conditions: dict[str, Any]) -> Any:
        answer = test_key.post("/permissions", {"tool": "mail.send", "when": list(conditions)})
        return answer.status_code, [detail["loc"] for detail in answer.json()["error"]["details"]]

    assert refused(*[when("a", "eq", n) for n in range(11)]) == (422, [["body", "when"]])
    assert refused(when("a", "eq", "x" * 9000)) == (422, [["body", "when"]])
    assert refused(when("a", "eq", "x\0")) == (422, [["body", "when", 0, "value"]])
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    assert refused(when("a", "eq", deep)) == (422, [["body", "when", 0, "value"]])


@pytest.mark.django_db
def test_the_longest_conditions_can_be_stored_and_are_still_equal_to_themselves(test_key: Api) -> None:
    """More than fits into an entry of an index."""
    body = {
        "tool": "t" * 128, "host": ".".join(["h" * 62] * 4), "end_user": "ü" * 128,
        "when": [when(f"{n}{'p' * 199}", "matches", f"{n}{'ü' * 199}") for n in range(10)],
    }  # fmt: skip
    first = made(test_key, **body)
    assert made(test_key, 200, **body)["id"] == first["id"]


@pytest.mark.django_db
def test_equal_conditions_are_one_rule_however_they_are_written(test_key: Api) -> None:
    one = [when("b", "in", [2, 1, 2.0]), when("a", "eq", {"x": 1.0, "y": 2}), {"class": "irreversible"}]
    other = [
        {"class": "irreversible"},
        when("a", "eq", {"y": 2, "x": 1}),
        when("b", "in", [1, 2]),
        when("a", "eq", {"x": 1, "y": 2}),
    ]
    first = made(test_key, tool="mail.send", when=one)
    assert first["when"] == [
        {"class": "irreversible"}, {"op": "eq", "path": "a", "value": {"x": 1, "y": 2}},
        {"op": "in", "path": "b", "value": [1, 2]},
    ]  # fmt: skip
    assert made(test_key, 200, tool="mail.send", when=other)["id"] == first["id"]
    assert made(test_key, tool="mail.send", when=one[:2])["id"] != first["id"]
    assert made(test_key, tool="mail.send")["id"] != first["id"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc01"), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "-1"]), min_size=1, max_size=3).map(".".join)
CONDITIONS = st.builds(
    when, PATHS, st.sampled_from(["eq", "ne", "gt", "lt", "contains", "prefix", "in"]), JSON
) | st.builds(when, PATHS, st.just("matches"), st.sampled_from(["a", "^", "(a|b)+$", "[0-9]"]))


@given(st.lists(CONDITIONS, max_size=4), JSON)
@TRIED
def test_the_canonical_form_says_the_same(conditions: list[dict[str, Any]], params: Any) -> None:
    rows = canonical(conditions)
    assert canonical(rows) == rows
    assert canonical(list(reversed(conditions))) == rows
    assert canonical(json.loads(json.dumps(conditions))) == rows
    before, after = [all(holds(each, params) for each in some) for some in (conditions, rows)]
    assert before is after


@given(JSON, PATHS)
@TRIED
def test_what_stands_somewhere_is_equal_to_itself_and_a_pin_of_it_holds(params: Any, path: str) -> None:
    here = at(params, path)
    if here is MISSING:
        assert not any(holds(when(path, op, params), params) for op in ("eq", "ne", "in", "contains"))
        return
    assert same(here, json.loads(json.dumps(here)))
    assert holds(when(path, "eq", here), params)
    assert holds(when(path, "in", [here]), params)
    assert not holds(when(path, "ne", here), params)


@given(st.lists(CONDITIONS, max_size=4))
@TRIED
def test_any_condition_is_refused_in_words_or_can_be_said(conditions: list[dict[str, Any]]) -> None:
    assert all(message for _, message, _ in problems(conditions, ("when",)))
    assert len(condition_words(conditions)) < 4 * 400


ANYTHING = (
    JSON
    | st.text(max_size=30)
    | st.sampled_from(["a.0", "(", "[", "\\1", "(?P<a>x)", "\\C", "$", "x{1000}", "9" * 400])
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"path": ANYTHING, "op": ANYTHING | st.sampled_from(OPS), "value": ANYTHING, "class": ANYTHING}
        )
        | ANYTHING,
        max_size=3,
    ),
    st.none() | ANYTHING,
)
@SOME_TRIED
@pytest.mark.django_db
def test_whatever_is_sent_is_stored_or_refused_in_the_documented_way(
    test_key: Api, settings: Any, conditions: list[Any], max_uses: Any
) -> None:
    """The client holds each answer against the document."""
    settings.RATE_LIMIT_PER_MINUTE = 1_000_000
    body = json.loads(json.dumps({"tool": "mail.send", "when": conditions, "max_uses": max_uses}))
    answers = [test_key.post(path, body) for path in ("/permissions", "/permissions/preview")]
    assert [answer.status_code for answer in answers] in ([201, 200], [200, 200], [422, 422])
    for row in Policy.objects.all():
        assert sentence(row)
        fits(row, proposal(tool="mail.send", params=MAIL))


# --- in words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"when": [when("amount", "gt", 500)]}, "Every call of mail.send where amount is over 500 is allowed without asking"),
        (
            {"when": [{"class": "irreversible"}, when("to.0.email", "prefix", "bob"), when("urgent", "ne", True)]},
            "Every call of mail.send that is hard to undo, where to.0.email begins with “bob” and urgent is not true is allowed",
        ),
        ({"when": [when("to", "in", ["a", "b", "c", "d", "e"])]}, "where to is one of “a”, “b”, “c” or 2 more is allowed"),
        ({"when": [when("body", "contains", "x" * 99)]}, f"where body contains “{'x' * 60}…” is"),
        ({"when": [when("x", "newer", 1)]}, "where a condition of a newer release holds is"),
        ({"max_uses": 1}, "Every call of mail.send is allowed without asking once, until"),
        ({"max_uses": 3}, "is allowed without asking 3 times, until somebody revokes it"),
    ],
)  # fmt: skip
def test_a_policy_says_its_conditions(fields: dict[str, Any], words: str) -> None:
    assert words in sentence(policy("allow", "mail.send", **fields))
