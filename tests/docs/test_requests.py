"""What the document refuses the server refuses, and the reverse: bodies with one field changed, filters with another word."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse

from tests.cast import Api
from tests.documented import DOCUMENT, misfit
from tests.doors import without_trace
from tests.runs.driving import waiting

Json = dict[str, Any]
BODIES = {
    (method.upper(), path): operation["requestBody"]["content"]["application/json"]
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
}
# Only the server knows: whether what is named is there, what fits the request, the machine or the other fields, times.
DEPENDS = frozenset({
    "action", "agent", "answers", "assignee", "command", "default_agent", "definition", "edited_action", "expires_at", "host",
    "inputs_schema", "max_uses", "note", "os", "os_type", "parameters", "params", "permission_mode", "remember_when", "steps",
    "totp_seed", "values", "verdict",
})  # fmt: skip
TELLS = "/v1/workflows/validate"  # answers what is wrong with a body, whatever that is


def forms_of(schema: Json) -> list[Json]:
    return [form for form in schema.get("anyOf", [schema]) if form != {"type": "null"}]


def values_for(schema: Json) -> Iterator[Any]:
    """Some that fit, at the bounds, and some that do not."""
    yield from (None, "x", "", -1, True, [], {}, ["x"], {"x": 1})
    for form in forms_of(schema):
        yield from form.get("enum", ())
        for word in ("minimum", "maximum"):
            if word in form:
                yield from (form[word] - 1, form[word], form[word] + 1)
        if form.get("maxLength", 10**6) < 10**5:
            yield from ("x" * form["maxLength"], "x" * (form["maxLength"] + 1))
        if "maxItems" in form:
            yield ["x"] * (form["maxItems"] + 1)


def changed(body: Json, schema: Json) -> Iterator[tuple[str, Json]]:
    """(the field, the body with another value of it, or without it)."""
    yield "", {}
    yield "", body | {"no_such_field": 1}
    for name, of_field in schema.get("properties", {}).items():
        yield name, {key: value for key, value in body.items() if key != name}
        for value in values_for(of_field):
            yield name, body | {name: value}


def refused(answer: HttpResponse, body: Json) -> bool:
    """For what the body says; not an update of nothing but nulls, nor what answers too little to the one question."""
    if answer.status_code not in (400, 422):
        return False
    code = answer.json()["error"]["code"]
    return code != "ANSWER_REQUIRED" and not (code == "EMPTY_UPDATE" and body)


@pytest.fixture
def things(test_key: Api) -> dict[str, str]:
    machine = test_key.post("/machines", {"display_name": "m", "kind": "terminal"}).json()["id"]
    run = waiting(test_key, "x [question]", machine_id=machine)
    steps = [{"id": "a", "type": "task", "task": "x"}]
    return {
        "machine_id": machine,
        "run_id": run["id"],
        "approval_id": run["open_approvals"][0],
        "workflow_id": test_key.post("/workflows", {"name": "w", "steps": steps}).json()["id"],
        "session_id": test_key.post("/sessions", {}).json()["session_id"],
        "policy_id": test_key.post("/permissions", {"tool": "click"}).json()["id"],
        "webhook_id": test_key.post("/webhooks", {"url": "https://example.com/"}).json()["id"],
        "name": test_key.post("/secrets", {"name": "s", "value": "v", "hosts": ["a.test"]}).json()["name"],
        "stop_id": test_key.post("/stop", {"scope": "machine", "id": machine, "reason": "x"}).json()["id"],
    }


def distinct() -> Iterator[tuple[str, str, Json]]:
    """(method, path, content) of each body once; what is said of workflow runs is said of runs too."""
    schemas = set()
    for (method, path), content in BODIES.items():
        schema = json.dumps(content["schema"])
        if schema not in schemas and path != TELLS and "{delivery_id}" not in path:
            schemas.add(schema)
            yield method, path, content


@pytest.mark.django_db
def test_bodies_that_the_document_refuses_the_server_refuses_and_the_reverse(
    test_key: Api, things: dict[str, str]
) -> None:
    wrong = []
    for method, path, content in distinct():
        filled = re.sub(r"{(\w+)}", lambda place: things[place[1]], path).removeprefix("/v1")
        for name, body in changed(content["example"], content["schema"]):
            with without_trace(test_key.client):
                answer = test_key.request(method, filled, body)
            problem = misfit(content["schema"], body)
            if bool(problem) != refused(answer, body) and (problem or name not in DEPENDS):
                wrong.append(
                    f"{method} {path} {json.dumps(body)[:200]}: document {problem}, server {answer.content[:200]!r}"
                )
    assert not wrong, "\n".join(wrong)


@pytest.mark.django_db
def test_a_call_without_a_body_that_is_required_is_refused(test_key: Api, things: dict[str, str]) -> None:
    for method, path, _ in distinct():
        if DOCUMENT["paths"][path][method.lower()]["requestBody"]["required"]:
            filled = re.sub(r"{(\w+)}", lambda place: things[place[1]], path).removeprefix("/v1")
            with without_trace(test_key.client):
                assert refused(test_key.request(method, filled), {}), (method, path)


FILTERS = [
    (path, parameter)
    for path, methods in DOCUMENT["paths"].items()
    for parameter in methods.get("get", {}).get("parameters", ())
    if parameter["in"] == "query" and parameter["schema"].keys() & {"enum", "pattern", "minimum"}
]


@pytest.mark.django_db
def test_filters_that_the_document_refuses_the_server_refuses_and_the_reverse(
    test_key: Api, things: dict[str, str]
) -> None:
    for path, parameter in FILTERS:
        schema, name = parameter["schema"], parameter["name"]
        named = schema.get("enum") or re.findall(r"[a-z_]+", schema.get("pattern", "").replace("\\s", ""))
        for word in {*named, ",".join(named), "x", "0", "1", "200", "201", "2026-03", "2026-13", "all", "all,pending"}:
            if name == "format" or (name == "type" and not word):
                continue
            filled = re.sub(r"{(\w+)}", lambda place: things.get(place[1], "none"), path).removeprefix("/v1")
            answer = test_key.get(f"{filled}?{name}={word}", Accept="application/json")
            value = int(word) if schema["type"] == "integer" and word.isdecimal() else word
            if answer.status_code != 404:
                assert (misfit(schema, value) is not None) == (answer.status_code in (400, 422)), (path, name, word)
