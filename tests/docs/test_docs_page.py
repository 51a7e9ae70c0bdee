"""/v1/docs works under our Content-Security-Policy and without any other host, and what it offers to try can be tried."""

import json
import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from jsonschema import Draft202012Validator

from config.api import api
from config.openapi.docs_page import groups
from tests.cast import Api, Cast
from tests.runs.driving import waiting

OPERATIONS = [o for group in groups() for o in group.operations]


def body_of(method: str, path: str) -> dict[str, Any] | None:
    operation = api.get_openapi_schema()["paths"][path][method.lower()]
    content: dict[str, Any] | None = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return content


def test_every_operation_is_on_the_page_once() -> None:
    document = {(m.upper(), p) for p, methods in api.get_openapi_schema()["paths"].items() for m in methods}
    assert sorted((o.method, o.path) for o in OPERATIONS) == sorted(document)
    assert len({o.id for o in OPERATIONS}) == len(OPERATIONS)


def test_every_body_has_an_example_that_fits_it() -> None:
    for o in OPERATIONS:
        content = body_of(o.method, o.path)
        assert (content is None) == (o.example is None), o
        if content is not None:
            Draft202012Validator(content["schema"]).validate(content["example"])


@pytest.mark.django_db
def test_the_first_execute_of_each_operation_succeeds_or_says_why(test_key: Api) -> None:
    """As the page sends it, with the ids of things that are there: what is refused is refused for its state, in words."""
    machine = test_key.post("/machines", {"display_name": "m", "kind": "terminal"}).json()["id"]
    run = waiting(test_key, "x [question]", machine_id=machine)
    workflow = test_key.post("/workflows", {"name": "w", "steps": [{"id": "a", "type": "task", "task": "x"}]}).json()[
        "id"
    ]
    ids = {
        "machine_id": machine, "run_id": run["id"], "approval_id": run["open_approvals"][0], "workflow_id": workflow,
        "session_id": test_key.post("/sessions", {}).json()["session_id"],
        "policy_id": test_key.post("/permissions", {"tool": "click"}).json()["id"], "number": "1", "index": "1", "key": "k",
        "webhook_id": test_key.post("/webhooks", {"url": "https://example.com/"}).json()["id"],
        "name": test_key.post("/secrets", {"name": "s", "value": "v", "hosts": ["a.test"]}).json()["name"],
        "delivery_id": "whd_1", "key_id": "key_1", "stop_id": "stp_1",
    }  # fmt: skip
    for o in sorted(OPERATIONS, key=lambda o: (o.ends, o.path.endswith("/stop"))):
        path = re.sub(r"{(\w+)}", lambda m: ids[m[1]], o.path).removeprefix("/v1")
        if path.endswith(("/events", "/events/stream")):
            path += "?format=json"
        answer = test_key.request(o.method, path, json.loads(o.example) if o.example else None)
        if answer.status_code >= 400:
            error = answer.json()["error"]
            assert error["code"] not in {"VALIDATION_ERROR", "INTERNAL_ERROR"} or "…" in (o.example or ""), (o, error)
            assert error["message"]


@pytest.mark.django_db
@pytest.mark.parametrize("signed_in", [False, True])
def test_the_page_has_no_inline_script_or_style_and_no_foreign_file(cast: Cast, signed_in: bool) -> None:
    client = cast.browser("ana") if signed_in else Client()
    for path in ("/v1/docs", "/v1/docs/"):
        answer = client.get(path)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert ("Calls are made as you" in " ".join(page.split())) is signed_in
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
            assert "src=" in attributes, content
        assert not re.search(r"<style| style=| on\w+=", page)
        for address in set(re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', page)):
            assert address.startswith(settings.STATIC_URL), address
            assert finders.find(address.removeprefix(settings.STATIC_URL)), address
