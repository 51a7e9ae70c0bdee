"""Both forms of a workflow document and the fields beside its steps (docs/api/workflows.md 2 and 8)."""

import json
from typing import Any

import pytest

from tests.workflows.documents import (
    TOP,
    approval,
    branch,
    check,
    eq,
    loop,
    parallel,
    read_document,
    succeed,
    task,
    whole,
    wrong,
)
from web.errors import Invalid
from workflows.definition.documents import check_document, run_defaults, slug_of

STEPS = [task()]
FLAT = {"name": "Invoices", "version": "1.0.0", "steps": STEPS}
LONG = "x" * 129
DOCUMENT = {"steps": STEPS}
CREATE: list[tuple[dict[str, Any], list[tuple[Any, ...]]]] = [
    ({"name": None}, [("body", "name", "missing")]),
    ({"name": ""}, [("body", "name", "value_error")]),
    ({"name": "x" * 128}, []),
    ({"name": LONG}, [("body", "name", "value_error")]),
    ({"name": 1}, [("body", "name", "type_error")]),
    ({"slug": None}, [("body", "slug", "missing")]),
    ({"slug": ""}, [("body", "slug", "value_error")]),
    ({"slug": "a"}, []),
    ({"slug": "0_-"}, []),
    ({"slug": "x" * 63}, []),
    ({"slug": "x" * 64}, [("body", "slug", "value_error")]),
    ({"slug": "-a"}, [("body", "slug", "value_error")]),
    ({"slug": "_a"}, [("body", "slug", "value_error")]),
    ({"slug": "A"}, [("body", "slug", "value_error")]),
    ({"slug": "a\n"}, [("body", "slug", "value_error")]),
    ({"slug": "ä"}, [("body", "slug", "value_error")]),
    ({"slug": 7}, [("body", "slug", "type_error")]),
    ({"version": "x" * 64}, []),
    ({"version": "x" * 65}, [("body", "version", "value_error")]),
    ({"version": 2}, [("body", "version", "type_error")]),
    ({"description": "x" * 2000}, []),
    ({"description": "x" * 2001}, [("body", "description", "value_error")]),
    ({"description": []}, [("body", "description", "type_error")]),
    ({"metadata": {str(n): n for n in range(50)}}, []),
    ({"metadata": {str(n): n for n in range(51)}}, [("body", "metadata", "value_error")]),
    ({"metadata": {"a": "x" * 17_000}}, [("body", "metadata", "value_error")]),
    ({"metadata": []}, [("body", "metadata", "type_error")]),
    ({"budget_cents_month": 0}, []),
    ({"budget_cents_month": 100_000_000}, []),
    ({"budget_cents_month": 100_000_001}, [("body", "budget_cents_month", "value_error")]),
    ({"budget_cents_month": -1}, [("body", "budget_cents_month", "value_error")]),
    ({"budget_cents_month": True}, [("body", "budget_cents_month", "type_error")]),
    ({"budget_cents_month": "5"}, [("body", "budget_cents_month", "type_error")]),
    ({"inputs_schema": {}}, []),
    ({"inputs_schema": {"type": "nope"}}, [("body", "inputs_schema", "value_error")]),
    ({"inputs_schema": []}, [("body", "inputs_schema", "type_error")]),
    ({"status": "active"}, [("body", "status", "extra_forbidden")]),
    ({"tags": None}, [("body", "tags", "extra_forbidden")]),
    ({"output": {}}, [("body", "output", "extra_forbidden")]),
    ({"steps": STEPS}, [("body", "steps", "value_error")]),
    ({"definition": None}, [("body", "definition", "missing")]),
    ({"definition": []}, [("body", "definition", "type_error")]),
    ({"definition": "steps"}, [("body", "definition", "type_error")]),
    ({"definition": {}}, [("body", "definition", "steps", "missing")]),
    ({"definition": {"steps": None}}, [("body", "definition", "steps", "missing")]),
    ({"definition": {"steps": {}}}, [("body", "definition", "steps", "type_error")]),
    ({"definition": {"steps": []}}, [("body", "definition", "steps", "value_error")]),
    ({"definition": {"steps": STEPS, "output": {"a": [1]}}}, []),
    ({"definition": {"steps": STEPS, "output": []}}, [("body", "definition", "output", "type_error")]),
    ({"definition": {"steps": STEPS, "output": "{{go}}"}}, [("body", "definition", "output", "type_error")]),
    ({"definition": {"steps": STEPS, "budget_cents": 10_000_000, "max_iterations": 100_000, "deadline_seconds": 86_400}}, []),
    ({"definition": {"steps": STEPS, "budget_cents": 10_000_001}}, [("body", "definition", "budget_cents", "value_error")]),
    ({"definition": {"steps": STEPS, "budget_cents": -1}}, [("body", "definition", "budget_cents", "value_error")]),
    ({"definition": {"steps": STEPS, "max_iterations": 0}}, [("body", "definition", "max_iterations", "value_error")]),
    ({"definition": {"steps": STEPS, "max_iterations": 1.5}}, [("body", "definition", "max_iterations", "type_error")]),
    ({"definition": {"steps": STEPS, "deadline_seconds": 0}}, [("body", "definition", "deadline_seconds", "value_error")]),
    ({"definition": {"steps": STEPS, "deadline_seconds": 86_401}}, [("body", "definition", "deadline_seconds", "value_error")]),
    ({"definition": {"steps": STEPS, "colour": "red"}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CREATE, ids=lambda value: str(value)[:60])
def test_every_field_of_a_create_body_has_its_bounds(change: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    found = wrong({"name": "Invoices", "slug": "invoices", "definition": DOCUMENT} | change)
    assert [(*loc, kind) for loc, kind in found] == expected


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Invoices", "invoices"), ("March invoices", "march-invoices"), ("  A & B!  ", "a-b"), ("Über_uns", "ber_uns"),
        ("--x--", "x"), ("v1.2", "v1-2"), ("x" * 100, "x" * 63), ("x" * 62 + " y", "x" * 62), ("日本", ""), ("_", ""),
    ],
)  # fmt: skip
def test_with_top_level_steps_the_slug_is_made_from_the_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug
    found = check_document({"name": name, "steps": STEPS}, "create")
    if slug:
        assert found.values["slug"] == slug
    else:
        assert [(loc, kind) for loc, _msg, kind in found.violations] == [(("body", "slug"), "value_error")]


def test_T_137_all_violations_of_a_document_come_at_once_each_with_its_path() -> None:
    steps = [
        {"id": "a", "type": "task"},
        {"id": "l", "type": "loop", "count": 1, "while": eq(1, 1), "body": [check("c", {"op": "is"})]},
        {"id": "p", "type": "parallel", "branches": [[branch("i", eq(1, 1), [], [succeed("s"), task("a")])]]},
        check("d", {"op": "and", "conditions": [eq(1, 1), {"op": "eq", "right": 1}]}),
    ]
    assert wrong({"slug": "x", "definition": {"steps": steps, "output": 1}, "more": 1}) == [
        (("body", "name"), "missing"),
        ((*TOP, 0, "task"), "missing"),
        ((*TOP, 1), "value_error"),
        ((*TOP, 1, "body", 0, "condition", "op"), "value_error"),
        ((*TOP, 2, "branches", 0, 0, "else", 0, "type"), "value_error"),
        ((*TOP, 2, "branches", 0, 0, "else", 1, "id"), "value_error"),
        ((*TOP, 3, "condition", "conditions", 1, "left"), "missing"),
        (("body", "definition", "output"), "type_error"),
        (("body", "more"), "extra_forbidden"),
    ]


def test_the_refusal_carries_all_violations() -> None:
    with pytest.raises(Invalid) as refused:
        read_document({"steps": [1, 2]}, "create")
    details = refused.value.facts["details"]
    assert [d["loc"] for d in details] == [["body", "name"], ["body", "steps", 0], ["body", "steps", 1]]
    assert all(d["msg"] and d.keys() == {"loc", "msg", "type"} for d in details)


def test_T_141_the_form_with_name_version_and_steps_is_accepted() -> None:
    steps = [
        task("start_up"),
        check("c", {"type": "field_equals", "field": "start_up.status", "value": "succeeded"}),
        approval("gate", instruction="Look at {{start_up.result}}"),
        succeed("end", message="All done"),
    ]
    body = {"name": "Daily check", "version": "1.0.0", "steps": steps, "output": {"a": 1}}
    assert read_document(body, "create") == {
        "name": "Daily check", "slug": "daily-check", "declared_version": "1.0.0",
        "definition": {"steps": steps, "output": {"a": 1}},
    }  # fmt: skip


def test_T_141_definition_together_with_steps_is_refused_at_steps() -> None:
    assert wrong(whole(STEPS) | {"steps": STEPS}) == [(("body", "steps"), "value_error")]


def test_with_top_level_steps_the_part_definition_is_left_out_of_paths() -> None:
    assert wrong(FLAT | {"steps": [{"id": "a", "type": "task"}], "output": 1}) == [
        (("body", "steps", 0, "task"), "missing"),
        (("body", "output"), "type_error"),
    ]


def test_run_defaults_stand_in_a_definition_only() -> None:
    assert wrong(FLAT | {"max_iterations": 5}) == [(("body", "max_iterations"), "extra_forbidden")]
    assert run_defaults({"steps": STEPS, "max_iterations": 5.0, "budget_cents": None}) == {"max_iterations": 5}


def test_a_definition_is_kept_exactly_as_sent() -> None:
    sent = {"steps": [task(x=[1.0]), approval(message=None)], "output": None, "colour": "red"}
    assert read_document({"name": "A", "slug": "a", "definition": sent}, "create")["definition"] == sent


PUT: list[tuple[dict[str, Any], list[tuple[Any, ...]]]] = [
    ({}, []),
    ({"name": "B"}, []),
    ({"status": "active"}, []),
    ({"status": "archived"}, []),
    ({"status": "gone"}, [("body", "status", "value_error")]),
    ({"slug": "b"}, [("body", "slug", "extra_forbidden")]),
    ({"definition": DOCUMENT}, []),
    ({"steps": STEPS, "output": {}}, []),
    ({"output": {}}, [("body", "output", "extra_forbidden")]),
    ({"definition": DOCUMENT, "steps": STEPS}, [("body", "steps", "value_error")]),
    ({"definition": {"steps": []}}, [("body", "definition", "steps", "value_error")]),
    ({"name": None, "inputs_schema": None}, []),
]


@pytest.mark.parametrize(("body", "expected"), PUT, ids=str)
def test_every_field_of_a_put_is_optional(body: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    found = check_document(body, "put")
    assert [(*loc, kind) for loc, _msg, kind in found.violations] == expected
    assert set(found.values) <= {"name", "status", "definition", *body}


def test_what_is_null_is_not_given() -> None:
    assert read_document({"name": None, "definition": None, "status": "archived"}, "put") == {"status": "archived"}


def test_an_ad_hoc_start_needs_steps_but_no_name() -> None:
    assert read_document({"steps": STEPS, "version": "9"}, "start") == {"definition": DOCUMENT, "declared_version": "9"}
    assert read_document({"definition": DOCUMENT, "inputs_schema": {}}, "start")["inputs_schema"] == {}
    assert wrong({}, "start") == [(("body", "definition"), "missing")]


def test_fields_that_the_caller_reads_itself_are_left_to_it() -> None:
    body = {"steps": STEPS, "inputs": 7, "machine_id": None}
    assert not check_document(body, "start", {"inputs", "machine_id"}).violations
    assert wrong(body, "start") == [
        (("body", "inputs"), "extra_forbidden"),
        (("body", "machine_id"), "extra_forbidden"),
    ]


def test_validate_takes_any_part_of_a_create_body() -> None:
    assert not check_document({"definition": DOCUMENT}, "validate").violations
    assert not check_document({"steps": STEPS, "name": "日本"}, "validate").violations
    assert wrong({"name": ""}, "validate") == [(("body", "name"), "value_error"), (("body", "definition"), "missing")]


def test_unknown_keys_of_definition_and_steps_are_warnings() -> None:
    steps = [
        task(retries=1),
        loop("l", [check("c", comment="why")], count=1, task="x"),
        parallel("p", [approval("g")][:0]),
    ]
    found = check_document(whole(steps, colour="red"), "create")
    assert not found.violations
    assert [(loc, kind) for loc, _msg, kind in found.warnings] == [
        ((*TOP, 0, "retries"), "unknown_key"),
        ((*TOP, 1, "task"), "unknown_key"),
        ((*TOP, 1, "body", 0, "comment"), "unknown_key"),
        (("body", "definition", "colour"), "unknown_key"),
    ]


def test_what_every_step_knows_is_no_warning() -> None:
    steps = [
        task(machine_id="m", cua_version="v4", instructions="i", system_prompt="s", max_steps=1, on_awaiting_human="fail",
             agent="scripted", save_as="t"),
        check(message="m"), branch("i", eq(1, 1), [], []), loop("w", [], count=1, max_iterations=2),
        loop("v", [], **{"while": eq(1, 2)}), parallel("p", []),
        approval("a", message="m", instruction="i", timeout_seconds=1, on_timeout="reject", approvers=[], four_eyes=True,
                 assignee="usr_1", input_schema={}, save_as="b"),
        {"id": "r", "type": "retry", "max_attempts": 1, "body": []}, succeed(output={}, message="m"),
        {"id": "f", "type": "fail", "message": "m"},
    ]  # fmt: skip
    found = check_document(whole(steps, output={}, budget_cents=0, max_iterations=1, deadline_seconds=1), "create")
    assert (found.violations, found.warnings) == ([], [])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_document_may_have_256_KiB(extra: int) -> None:
    steps = [task(note="")]
    size = len(json.dumps([{"steps": steps}]))
    steps[0]["note"] = "x" * (256 * 1024 - size + extra)
    found = check_document(whole(steps), "create")
    assert found.too_large is (extra > 0)
    assert not found.violations


def test_the_inputs_schema_counts_to_the_size_of_the_document() -> None:
    half = "x" * (140 * 1024)
    body = whole([task(note=half)]) | {"inputs_schema": {"a": {"description": half}}}
    assert check_document(body, "create").too_large
