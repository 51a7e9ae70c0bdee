"""The API is a file: docs/openapi.json is the document as it is, and real answers are what it says they are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from config.management.commands.openapi import document
from tests.cast import Api
from tests.inference.shots import shot
from tests.runs.driving import drive_all

DOCUMENT = json.loads(document())
WORDS = frozenset({
    "additionalProperties", "allOf", "anyOf", "const", "default", "dependentRequired", "description", "discriminator", "else", "enum",
    "format", "if", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties",
    "minimum", "oneOf", "pattern", "properties", "propertyNames", "required", "then", "title", "type", "uniqueItems",
})  # fmt: skip
STORED = Path(settings.BASE_DIR) / "docs" / "openapi.json"


def test_the_stored_document_is_the_live_one() -> None:
    assert STORED.read_text() == document(), "The API changed: look at what changed, then `make openapi`."


def test_anybody_may_read_the_document() -> None:
    answer = Client().get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == DOCUMENT


def test_every_operation_says_how_to_call_it() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"ApiKey", "Bearer", "Session"}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"]
            answers = operation["responses"]
            assert answers["default"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
            assert {"401", "403", "429"} <= set(answers)
            assert all("content" in answer or status == "204" for status, answer in answers.items() if status < "3"), (
                path
            )
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


@pytest.mark.django_db
def test_answers_of_calls_that_few_tests_make(live: Api, test_key: Api) -> None:
    """Api holds every answer against the document (tests/documented.py)."""
    machine = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    run = test_key.post("/runs", {"task": "x [pause]", "max_steps": 5}, Idempotency_Key="k").json()["id"]
    drive_all()
    (approval,) = test_key.get(f"/runs/{run}").json()["open_approvals"]
    test_key.post(f"/approvals/{approval}/decide", {"verdict": "approve"})
    drive_all()
    key = live.post("/keys", {"name": "n"}).json()["key_id"]
    live.delete(f"/keys/{key}")
    live.post("/permissions", {"tool": "click", "effect": "allow"})
    steps = [{"id": "a", "type": "fail"}]
    workflow = live.post("/workflows", {"name": "w", "steps": steps}).json()["id"]
    live.put(f"/workflows/{workflow}", {"metadata": {}, "inputs_schema": {}})
    live.delete(f"/workflows/{workflow}")
    session = test_key.post("/sessions").json()["session_id"]
    test_key.post(f"/sessions/{session}/predict", {"screenshot": shot(), "instruction": "x"})
    places = {
        "run_id": run,
        "workflow_id": workflow,
        "machine_id": machine,
        "session_id": session,
        "key": "k",
        "number": "1",
    }
    for path, methods in DOCUMENT["paths"].items():
        if "get" in methods:
            for caller in (live, test_key):
                filled = re.sub(r"{(\w+)}", lambda place: places.get(place[1], "none"), path)
                caller.get(filled.removeprefix("/v1"), Accept="application/json")
