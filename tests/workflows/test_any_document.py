"""What holds for any document and any order of triggers."""

import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.chance import TRIED
from tests.workflows.documents import is_valid, loop, numbered, task
from tests.workflows.play import Play
from web.errors import Invalid
from web.json_schema.validation import problem
from workflows.definition.documents import Form, check_document
from workflows.definition.estimate import estimate
from workflows.definition.field_checks import MOST_VIOLATIONS
from workflows.definition.inputs import read_inputs, schema_problem
from workflows.interpreter.advance import advance, iterations_used
from workflows.interpreter.effects import Finish, GoOn
from workflows.interpreter.triggers import Resumed, Started, TaskEnded

PRICES = {"v1": 8, "v3": 5, "v4": 5}
GUARD = 60  # iterations of a played run
WORDS = (
    "id", "type", "task", "steps", "definition", "name", "slug", "condition", "op", "left", "right", "value", "conditions", "then", "else",
    "body", "branches", "count", "while", "max_iterations", "max_attempts", "approvers", "group", "input_schema", "save_as", "message",
    "output", "inputs_schema", "metadata", "properties", "required", "$ref", "$defs", "a", "items", "allOf", "pattern", "default", "enum",
)  # fmt: skip
VALUES = (
    "task", "assert", "if", "loop", "parallel", "human_approval", "retry", "succeed", "fail", "eq", "and", "not", "exists", "field_equals",
    "string", "object", "#", "#/$defs/a", "{{inputs.a}}", "a", "\0", "\ud800", "", "x" * 200, 10**4000, 1e308, -1, 0, 1, 2, True, None,
)  # fmt: skip
scalars = (
    st.sampled_from(VALUES) | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
nonsense = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=40,
)
SEEDS = st.integers(0, 2**32)  # of what happens next


# --- documents

TEMPLATES = st.sampled_from(
    [
        "{{vars.iteration}}",
        "{{vars.attempt}}",
        "{{inputs.a}}",
        "{{t1.passed}}",
        "{{saved.result}}",
        "x{{t2.status}}",
        "",
        1,
        None,
        True,
    ]
)
BINARY = st.sampled_from(["eq", "ne", "lt", "gte", "contains"])
UNARY = st.sampled_from(["truthy", "falsy", "exists"])
conditions = st.recursive(
    st.fixed_dictionaries({"op": BINARY, "left": TEMPLATES, "right": TEMPLATES})
    | st.fixed_dictionaries({"op": UNARY, "value": TEMPLATES}),
    lambda inner: (
        st.fixed_dictionaries({"op": st.just("not"), "condition": inner})
        | st.fixed_dictionaries(
            {"op": st.sampled_from(["and", "or"]), "conditions": st.lists(inner, min_size=1, max_size=3)}
        )
    ),
    max_leaves=3,
)
leaves = (
    st.fixed_dictionaries({"type": st.just("task"), "task": st.sampled_from(["go", "go {{inputs.a}}", "{{inputs.gone}}"])},
                          optional={"save_as": st.just("saved"), "max_steps": st.just(2)})
    | st.fixed_dictionaries({"type": st.just("assert"), "condition": conditions})
)  # fmt: skip
ends = (
    st.just({"type": "human_approval"})
    | st.fixed_dictionaries({"type": st.just("succeed")}, optional={"output": st.fixed_dictionaries({"a": TEMPLATES})})
    | st.just({"type": "fail"})
)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    count = st.fixed_dictionaries({"type": st.just("loop"), "count": st.integers(0, 4), "body": lists})
    until = st.fixed_dictionaries(
        {"type": st.just("loop"), "while": conditions, "max_iterations": st.integers(1, 5), "body": lists}
    )
    either = st.fixed_dictionaries(
        {"type": st.just("if"), "condition": conditions, "then": lists}, optional={"else": lists}
    )
    again = st.fixed_dictionaries({"type": st.just("retry"), "max_attempts": st.integers(1, 3), "body": lists})
    at_once = st.fixed_dictionaries({"type": st.just("parallel"), "branches": st.lists(lists, min_size=1, max_size=3)})
    return count | until | either | again | at_once


documents = st.lists(st.recursive(leaves | ends, around, max_leaves=12), min_size=1, max_size=4).map(numbered)


def played(steps: list[Any], choose: Callable[[int], int]) -> Play:
    """Play to the end: `choose` picks, of n things that may happen next, one."""
    play = Play(steps, output={"a": "{{saved}}", "b": "{{vars.attempt}}"}, inputs={"a": 1}, max_iterations=GUARD)
    for _ in range(4000):
        if play.finish is not None:
            return play
        one_trigger(play, choose)
    raise AssertionError("it goes on and on")


def one_trigger(play: Play, choose: Callable[[int], int]) -> None:
    pending = sorted([*play.tasks, *play.requests])
    assert pending, "it neither waits nor has ended"
    ticket = pending[choose(len(pending))]
    if ticket in play.requests:
        play.decide(("approve", "reject")[choose(2)])
    else:
        play.end(play.tasks[ticket].step_id, passed=bool(choose(3)), result="Done {{inputs.a}}")


@TRIED
@given(documents.filter(is_valid), SEEDS)
def test_any_document_ends_within_its_guards_or_waits_for_somebody(steps: list[Any], seed: int) -> None:
    play = played(steps, Random(seed).randrange)
    assert iterations_used(play.state) <= GUARD + 1
    assert isinstance(play.effects[-1], Finish)
    assert sum(isinstance(e, Finish) for e in play.effects) == 1
    assert play.state["branches"] == []


@TRIED
@given(documents.filter(is_valid), SEEDS)
def test_the_same_triggers_give_the_same_state(steps: list[Any], seed: int) -> None:
    play = played(steps, Random(seed).randrange)
    state: dict[str, Any] = {}
    effects: list[Any] = []
    for trigger in play.told:
        state, more = advance(play.definition, json.loads(json.dumps(state)), trigger)
        effects += [effect for effect in more if not isinstance(effect, GoOn)]
    assert (state, effects) == (play.state, play.effects)


@TRIED
@given(documents.filter(is_valid), SEEDS)
def test_triggers_that_come_again_much_later_change_nothing(steps: list[Any], seed: int) -> None:
    play = Play(steps, inputs={"a": 1}, max_iterations=GUARD)
    chance = Random(seed)
    for _ in range(chance.randrange(12)):
        if play.finish is None:
            one_trigger(play, chance.randrange)
    for trigger in play.told:
        assert advance(play.definition, play.state, trigger) == (play.state, [])


@TRIED
@given(documents.filter(is_valid))
def test_no_run_costs_more_than_the_estimate(steps: list[Any]) -> None:
    play = Play(steps)
    for _ in range(3000):
        if play.finish is not None or play.requests:
            break
        play.end(passed=False)
    worst = estimate(play.definition, {}, PRICES, 1000)
    most = sum(started.options.get("max_steps", 50) for started in play.effects if hasattr(started, "task"))
    assert most <= worst["max_agent_steps"]


def test_a_run_without_guard_stays_as_small_as_it_began() -> None:
    steps = [loop("a", [loop("b", [loop("c", [task()], count=0)], count=100_000)], count=100_000)]
    play = Play(steps, begin=False)
    effects = play.tell_once(Started({}))
    size = len(json.dumps(play.state))
    for _ in range(10):
        assert len(effects) == 1
        effects = play.tell_once(Resumed(effects[0].slice))  # type: ignore[union-attr]
        assert len(json.dumps(play.state)) < size + 20


# --- nonsense


def survives(body: Any, form: Form) -> None:
    found = check_document(body, form, {"inputs"})
    assert len(found.violations) <= MOST_VIOLATIONS
    assert len(found.warnings) <= 200
    for loc, msg, kind in found.violations + found.warnings:
        assert loc[0] == "body"
        assert all(isinstance(part, str | int) for part in loc)
        assert 0 < len(msg) < 2000
        assert kind in ("missing", "type_error", "value_error", "extra_forbidden", "unknown_key")
    if not found.violations and not found.too_large and form != "put":
        Play(found.values["definition"]["steps"], max_iterations=10)
        assert estimate(found.values["definition"], {}, PRICES, 1000)["step_count"]


@TRIED
@given(nonsense, st.sampled_from(["create", "put", "start", "validate"]))
def test_nonsense_is_refused_by_violations_alone(body: Any, form: Form) -> None:
    survives(body, form)
    survives({"name": "A", "slug": "a", "definition": body}, form)
    survives({"name": "A", "steps": body}, form)


@TRIED
@given(st.lists(st.dictionaries(st.sampled_from(WORDS), nonsense, max_size=6), max_size=5))
def test_nonsense_in_steps_is_refused_by_violations_alone(steps: list[Any]) -> None:
    survives({"steps": steps}, "start")


@TRIED
@given(
    st.sampled_from(["task", "assert", "if", "loop", "parallel", "human_approval", "retry", "succeed", "fail"]),
    st.data(),
)
def test_nonsense_in_the_fields_of_a_step_is_refused_by_violations_alone(kind: str, data: st.DataObject) -> None:
    survives(
        {
            "steps": [
                {"id": "a", "type": kind} | data.draw(st.dictionaries(st.sampled_from(WORDS), nonsense, max_size=6))
            ]
        },
        "start",
    )


@TRIED
@given(nonsense, nonsense)
def test_nonsense_as_a_schema_is_refused_and_nonsense_as_inputs_too(schema: Any, inputs: Any) -> None:
    problem(schema)
    if schema_problem(schema) is None:
        with suppress(Invalid):
            assert isinstance(read_inputs(schema, inputs), dict)


def deep(levels: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = wrap(value)
    return value


def test_depth_without_end_is_refused() -> None:
    for wrap in (
        lambda v: [v],
        lambda v: {"then": [v]},
        lambda v: {"op": "not", "condition": v},
        lambda v: {"properties": {"a": v}},
    ):
        value = deep(50_000, wrap)
        for body in (
            value,
            {"definition": value},
            {"steps": [value]},
            {"name": "A", "slug": "a", "inputs_schema": value},
        ):
            assert [kind for _loc, _msg, kind in check_document(body, "create").violations] in (
                ["value_error"],
                ["type_error"],
            )


def test_depth_that_a_body_may_have_is_read() -> None:
    conditions_within = deep(80, lambda v: {"op": "not", "condition": v})
    steps = [{"id": "a", "type": "assert", "condition": conditions_within}]
    assert [loc[-1] for loc, *_ in check_document({"steps": steps}, "start").violations] == ["op"]
    lists = deep(40, lambda v: {"id": "a", "type": "loop", "count": 1, "body": [v]})
    assert len(check_document({"steps": [lists]}, "start").violations) == 8  # seven ids that repeat, and the ninth list


def test_width_without_end_is_bounded_too() -> None:
    many = [7] * 60_000
    assert len(check_document({"steps": many}, "start").violations) == MOST_VIOLATIONS
    assert len(check_document({"steps": [{"id": "p", "type": "parallel", "branches": many}]}, "start").violations) == 1
    conditions_beside = {"op": "and", "conditions": many}
    assert (
        len(
            check_document(
                {"steps": [{"id": "a", "type": "assert", "condition": conditions_beside}]}, "start"
            ).violations
        )
        == MOST_VIOLATIONS
    )
    keys = {f"k{n}": n for n in range(10_000)}
    assert len(check_document({"steps": [{"id": "f", "type": "fail"} | keys]}, "start").warnings) == 200
    assert len(check_document({"steps": [{"id": "f", "type": "fail"}]} | keys, "start").violations) == MOST_VIOLATIONS
    assert check_document({"steps": "x" * 300_000}, "start").too_large


def test_a_ticket_that_is_no_ticket_changes_nothing() -> None:
    play = Play([task()])
    assert play.tell(TaskEnded(-1, "run_1", "succeeded", True)) == []
