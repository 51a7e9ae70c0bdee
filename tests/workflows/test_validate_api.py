"""POST /v1/workflows/validate: what is wrong, what is odd, and what it may cost; nothing is stored (docs/api/workflows.md 9)."""

from typing import Any

import pytest
from pydantic import BaseModel

from accounts.models import AuditEntry
from tests.cast import Api
from tests.workflows.documents import TRUE, approval, check, loop, parallel, retry, task, whole
from workflows.definition.documents import Form, check_document
from workflows.models import Workflow
from workflows.schemas import WorkflowCreate, WorkflowPut, WorkflowValidate

pytestmark = pytest.mark.django_db
START = {
    "inputs": {"a": 1}, "machine_id": "mch_x", "deadline_seconds": 60, "deadline_clock": "wall",
    "awaiting_human_timeout_seconds": 60, "on_timeout": "fail", "budget_cents": 100, "on_budget": "ask",
    "webhook_url": "https://93.184.216.34/x", "human_in_the_loop": True, "permission_mode": "plan", "end_user": "u",
    "agent": "playbook", "priority": 1, "max_iterations": 9, "cua_version": "v1", "instructions": "i", "system_prompt": "s",
    "max_steps": 9, "on_awaiting_human": "fail", "task": "",
}  # fmt: skip


def examined(api: Api, body: Any) -> dict[str, Any]:
    answer = api.post("/workflows/validate", body)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"valid", "errors", "warnings", "estimate"}
    assert (found["errors"] == []) == found["valid"] == (found["estimate"] is not None)
    return found


def places(api: Api, body: Any) -> list[list[Any]]:
    return [each["loc"] for each in examined(api, body)["errors"]]


def test_T_162_an_invalid_document_is_answered_with_all_its_errors(live: Api) -> None:
    at = ["body", "definition", "steps"]
    steps = [task(), check("c", {"op": "is"}), loop("go", []), task("t", agent="nobody")]
    found = examined(live, whole(steps) | {"max_steps": 0, "colour": 1})
    assert [each["loc"] for each in found["errors"]] == [
        [*at, 1, "condition", "op"], [*at, 2, "id"], [*at, 2], ["body", "colour"], [*at, 3, "agent"], ["body", "max_steps"]
    ]  # fmt: skip
    assert all(each.keys() == {"loc", "msg", "type"} and each["msg"] for each in found["errors"])


def test_a_secret_that_is_not_there_yet_is_a_warning(live: Api) -> None:
    assert live.post("/secrets", {"name": "pin", "value": "1", "hosts": ["a.test"]}).status_code == 201
    steps = [
        task(),
        task("t", task="{{secret:pin}}"),
        loop("l", [task("u", task="{{secret:no}} {{secret:no}}")], count=2),
    ]
    (warning,) = examined(live, whole(steps))["warnings"]
    loc = ["body", "definition", "steps", 2, "body", 0, "task"]
    assert warning == {"loc": loc, "msg": 'There is no secret "no" yet.', "type": "unknown_secret"}
    assert live.post("/workflows", whole(steps)).status_code == 200


def test_T_162_a_valid_document_has_an_estimate_and_nothing_is_stored(live: Api) -> None:
    steps = [
        retry("r", [loop("l", [task(max_steps=10)], count=3)], 2),
        parallel("p", [task("a", max_steps=1, cua_version="v1")], [task("b")]),
        approval(timeout_seconds=30),
        approval("open"),
    ]
    found = examined(live, whole(steps))
    assert found["estimate"] == {
        "step_count": 8, "depth": 3, "max_agent_steps": 111, "max_cost_cents": 60 * 5 + 8 + 50 * 5,
        "max_wait_seconds": None, "unbounded": ["open"],
    }  # fmt: skip
    assert not Workflow.objects.exists()
    assert not AuditEntry.objects.filter(verb__startswith="workflow").exists()


def test_fields_of_a_start_change_the_estimate(live: Api, settings: Any) -> None:
    body = whole([task(), approval()])
    more = {"max_steps": 10, "cua_version": "v1", "awaiting_human_timeout_seconds": 60}
    found = examined(live, body | more)["estimate"]
    assert (found["max_agent_steps"], found["max_cost_cents"], found["max_wait_seconds"]) == (10, 80, 60)
    assert examined(live, body | more | {"budget_cents": 33})["estimate"]["max_cost_cents"] == 33
    settings.MAX_STEPS_CEILING = 4
    assert examined(live, body | more)["estimate"]["max_agent_steps"] == 4
    assert examined(live, body | dict.fromkeys(START))["estimate"]["max_agent_steps"] == 4, "null is not given"


def test_every_field_of_a_start_is_taken(live: Api) -> None:
    assert examined(live, whole([task()]) | START)["valid"]
    assert examined(live, {"steps": [task()]})["valid"]


BAD = {
    "inputs": [], "machine_id": "", "deadline_seconds": 0, "deadline_clock": "x", "awaiting_human_timeout_seconds": 86_401,
    "on_timeout": "x", "budget_cents": -1, "on_budget": "x", "webhook_url": 1, "metadata": [], "human_in_the_loop": "yes",
    "permission_mode": "x", "end_user": "", "agent": "nobody", "priority": 10, "max_iterations": 0, "cua_version": "v2",
    "instructions": 1, "system_prompt": 1, "max_steps": True, "on_awaiting_human": "x", "task": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_field_of_a_start_has_its_bounds(live: Api, name: str) -> None:
    assert places(live, whole([task()]) | {name: BAD[name]}) == [["body", name]]


def test_all_fields_of_a_start_are_complained_of_together(live: Api) -> None:
    assert sorted(map(str, places(live, whole([task()]) | BAD))) == sorted(str(["body", name]) for name in BAD)


def test_unknown_keys_are_warnings(live: Api) -> None:
    found = examined(live, whole([task(colour=1)], note="n"))
    assert found["valid"]
    assert [(each["loc"][2:], each["type"]) for each in found["warnings"]] == [
        (["steps", 0, "colour"], "unknown_key"), (["note"], "unknown_key")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [["body", "definition"]]), ({"inputs": {}}, [["body", "definition"]]),
        ({"definition": {}}, [["body", "definition", "steps"]]), ({"definition": []}, [["body", "definition"]]),
        ({"steps": []}, [["body", "steps"]]), ({"steps": {}}, [["body", "steps"]]),
        ({"steps": [task(text="a\0")]}, [["body", "steps", 0, "task"]]),
        ({"definition": {"steps": [task()]}, "steps": [task()]}, [["body", "steps"]]),
        ({"slug": "-", "steps": [check("a", TRUE)]}, [["body", "slug"]]),
    ],
)  # fmt: skip
def test_every_object_is_answered_with_200(live: Api, body: dict[str, Any], expected: list[list[Any]]) -> None:
    assert places(live, body) == expected


FORMS: list[tuple[Form, type[BaseModel], set[str]]] = [
    ("create", WorkflowCreate, set()), ("put", WorkflowPut, set()), ("validate", WorkflowValidate, set(START)),
]  # fmt: skip


@pytest.mark.parametrize(("form", "model", "others"), FORMS)
def test_the_openapi_document_names_the_fields_that_are_read(
    form: Form, model: type[BaseModel], others: set[str]
) -> None:
    body = dict.fromkeys([*model.model_fields, "colour"]) | {"steps": [task()]}
    found = check_document(body, form, others).violations
    assert [loc for loc, _, kind in found if kind == "extra_forbidden"] == [("body", "colour")]
    assert others <= set(model.model_fields)
