"""The API is a file: docs/openapi.json is the document as it is, and real answers are what it says they are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from django.test import Client

from config.answers import ANSWERS, LISTS, SCHEMAS
from config.api import api
from config.management.commands.openapi import document
from config.openapi.document import operations
from tests.cast import Api
from tests.inference.shots import shot
from tests.runs.driving import drive_all

DOCUMENT = json.loads(document())
WORDS = frozenset({
    "additionalProperties", "anyOf", "const", "default", "description", "discriminator", "enum", "format", "items", "maxItems",
    "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum", "oneOf", "pattern", "properties",
    "propertyNames", "required", "title", "type", "uniqueItems",
})  # fmt: skip
STORED = Path(settings.BASE_DIR) / "docs" / "openapi.json"


def test_the_stored_document_is_the_live_one() -> None:
    assert STORED.read_text() == document(), "The API changed: look at what changed, then `make openapi`."


def test_anybody_may_read_the_document() -> None:
    answer = Client().get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == DOCUMENT


def test_only_routes_that_exist_are_said_to_answer() -> None:
    routes = {(method, path) for method, path, *_ in operations(api)}
    assert set(ANSWERS) | {("GET", path) for path in LISTS} <= routes, (
        "config/answers.py names routes that do not exist"
    )


def test_every_operation_says_how_to_call_it() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"ApiKey", "Bearer", "Session"}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"]
            error = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/Error"}
            names = [p["name"] for p in operation["parameters"]]
            assert ("Idempotency-Key" in names) == (method == "post"), path
            assert ("requestBody" in operation) == (method in {"post", "patch", "put"}), path
            assert len(names) == len(set(names))


def schemas_in(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and all that it holds."""
    yield schema
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for name in ("anyOf", "allOf", "oneOf"):
        below += schema.get(name) or []
    for each in below:
        if isinstance(each, dict):
            yield from schemas_in(each)


def test_bodies_are_in_words_of_JSON_Schema() -> None:
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {})
            for body in content.values():
                assert {word for schema in schemas_in(body["schema"]) for word in schema} <= WORDS


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in DOCUMENT["components"]["schemas"], name


def holds(name: str, body: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(body)


@pytest.mark.django_db
def test_real_answers_are_what_the_document_says(live: Api, test_key: Api) -> None:
    machine = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()
    run = test_key.post("/runs", {"task": "x [pause]", "max_steps": 5}, Idempotency_Key="k").json()["id"]
    drive_all()
    (approval,) = test_key.get(f"/runs/{run}").json()["open_approvals"]
    made = live.post("/keys", {"name": "n"}).json()
    steps, session = {"steps": [{"id": "a", "type": "fail"}]}, test_key.post("/sessions").json()["session_id"]
    workflow = f"/workflows/{live.post('/workflows', {'name': 'w'} | steps).json()['id']}"
    seen = {
        "Health": live.get("/health"), "Team": live.get("/team"),
        "MachineAnswer": live.get(f"/machines/{machine['id']}"),
        "MachineChange": live.post(f"/machines/{machine['id']}/stop"), "Run": test_key.get(f"/runs/{run}"),
        "Approval": test_key.get(f"/approvals/{approval}"), "IdempotencyRecord": test_key.get("/idempotency/k"),
        "DecisionResult": test_key.post(f"/approvals/{approval}/decide", {"verdict": "approve"}),
        "Models": live.get("/models"), "ParsedActions": live.post("/parse", {"code": "DONE"}),
        "Session": test_key.get(f"/sessions/{session}"),
        "SessionPrediction": test_key.post(f"/sessions/{session}/predict", {"screenshot": shot(), "instruction": "x"}),
        "Prediction": test_key.post("/predict", {"screenshot": shot(), "instruction": "x", "include_reasoning": False}),
        "Grounding": test_key.post("/ground", {"screenshot": shot(), "element": "x"}), "NewSession": test_key.post("/sessions"),
        "SessionEnd": test_key.post(f"/sessions/{session}/reset"), "Balance": live.get("/billing/balance"), "Usage": live.get("/usage"),
        "KeyRevoked": live.delete(f"/keys/{made['key_id']}"),
        "Plan": live.post("/agents/playbook/parse", {"task": "stop"}),
        "Workflow": live.put(workflow, {"metadata": {}, "inputs_schema": {}}),
        "WorkflowVersion": live.get(f"{workflow}/versions/1"), "WorkflowArchived": live.delete(workflow),
        "WorkflowExamination": live.post("/workflows/validate", steps),
        "Events": test_key.get(f"/runs/{run}/events?format=json"),
        "Error": live.get("/runs/run_none"),
    }  # fmt: skip
    holds("NewKey", made)
    holds("Policy", live.post("/permissions", {"tool": "click", "effect": "allow"}).json())
    for name, answer in seen.items():
        holds(name, answer.json())
    drive_all()
    holds("Run", test_key.get(f"/runs/{run}").json())
    for path, name in LISTS.items():
        for caller in (live, test_key):
            filled = path.replace("{run_id}", run).replace("/workflows/{workflow_id}", workflow)
            body = caller.get(filled.removeprefix("/v1")).json()
            if "data" in body:
                holds("List", body)
                for item in body["data"]:
                    holds(name, item)
