"""Bodies are strict; null means "not given" (docs/api/README.md section 1)."""

from typing import Any

import pytest

from runs.models import Run
from tests.cast import Api
from tests.conventions.conftest import locs, refused

pytestmark = pytest.mark.django_db


def kinds(api: Api, body: Any) -> list[tuple[list[Any], str]]:
    error = refused(api.post("/runs", body), 422, "VALIDATION_ERROR")
    assert not Run.objects.exists()
    return [(d["loc"], d["type"]) for d in error["details"]]


def test_T_007_an_unknown_field_is_422_and_creates_nothing(test_key: Api) -> None:
    assert kinds(test_key, {"task": "x", "colour": "red"}) == [(["body", "colour"], "extra_forbidden")]


def test_an_unknown_field_is_unknown_when_it_is_null_too(test_key: Api) -> None:
    assert kinds(test_key, {"task": "x", "colour": None}) == [(["body", "colour"], "extra_forbidden")]


def test_T_007_all_violations_are_named_together(test_key: Api) -> None:
    found = kinds(test_key, {"task": "x", "colour": 1, "size": 2, "max_steps": "3", "priority": 10})
    assert sorted(found) == [
        (["body", "colour"], "extra_forbidden"),
        (["body", "max_steps"], "type_error"),
        (["body", "priority"], "value_error"),
        (["body", "size"], "extra_forbidden"),
    ]


def test_T_007_what_does_not_fit_together_is_named_with_the_rest(test_key: Api) -> None:
    assert sorted(kinds(test_key, {"colour": 1, "permission_mode": "plan", "agent": "nobody"})) == [
        (["body", "agent"], "value_error"),
        (["body", "colour"], "extra_forbidden"),
        (["body", "permission_mode"], "value_error"),
        (["body", "task"], "missing"),
    ]
    assert sorted(kinds(test_key, {"task": 5, "input": {"goal": 5}, "agent": 5, "webhook_url": "x" * 2049})) == [
        (["body", "agent"], "type_error"),
        (["body", "input", "goal"], "type_error"),
        (["body", "task"], "type_error"),
        (["body", "webhook_url"], "value_error"),
    ]
    assert kinds(test_key, {"input": {"goal": None}}) == [(["body", "input", "goal"], "missing")]


WRONG: list[dict[str, Any]] = [
        {"max_steps": 0}, {"max_steps": 1001}, {"deadline_seconds": 0}, {"deadline_seconds": 86_401},
        {"metadata": {str(i): i for i in range(51)}}, {"metadata": {"a": "x" * 16_384}}, {"max_steps": True},
        {"max_steps": "5"}, {"max_steps": 5.5}, {"max_steps": 1e300}, {"max_steps": []}, {"priority": -1},
        {"human_in_the_loop": "true"}, {"human_in_the_loop": 1}, {"human_in_the_loop": 0}, {"metadata": []},
        {"metadata": "x"}, {"cua_version": "v2"}, {"end_user": ""}, {"end_user": "x" * 129}, {"agent": "nobody"},
        {"instructions": "x" * 16_001}, {"end_user": "a\0b"}, {"metadata": {"a\0": 1}}, {"metadata": {"a": ["\0"]}},
]  # fmt: skip


def test_T_050_bounds_and_types_of_a_run(test_key: Api) -> None:
    for body in WRONG:
        found = locs(test_key.post("/runs", {"task": "x"} | body))
        assert [loc[:2] for loc in found] == [["body", next(iter(body))]]
    assert not Run.objects.exists()


def test_T_050_the_bounds_themselves_are_fine(test_key: Api) -> None:
    for body in ({"max_steps": 1}, {"max_steps": 1000}, {"max_steps": 7.0}, {"deadline_seconds": 86_400}):
        made = test_key.post("/runs", {"task": "x"} | body).json()
        assert {name: made[name] for name in body} == body


def test_50_keys_of_metadata_are_fine(test_key: Api) -> None:
    metadata = {str(i): None if i else {"deep": [1, 2.5, "é", None, True]} for i in range(50)}
    assert test_key.post("/runs", {"task": "x", "metadata": metadata}).json()["metadata"] == metadata


def test_null_for_an_optional_field_is_its_default(test_key: Api) -> None:
    names = (
        "machine_id", "input", "cua_version", "instructions", "system_prompt", "max_steps", "deadline_seconds",
        "deadline_clock", "on_awaiting_human", "awaiting_human_timeout_seconds", "on_timeout", "budget_cents",
        "on_budget",
        "webhook_url", "metadata", "human_in_the_loop", "permission_mode", "end_user", "agent", "priority",
    )  # fmt: skip
    left_out = test_key.post("/runs", {"task": "x"}).json()
    with_null = test_key.post("/runs", {"task": "x"} | dict.fromkeys(names)).json()
    own = {"id", "run_id", "root_id", "machine_id", "created_at", "request_id"}
    assert {k: v for k, v in with_null.items() if k not in own} == {k: v for k, v in left_out.items() if k not in own}


def test_null_for_a_required_field_is_missing(live: Api) -> None:
    error = refused(live.post("/keys", {"name": None}), 422, "VALIDATION_ERROR")
    assert [(d["loc"], d["type"]) for d in error["details"]] == [(["body", "name"], "missing")]


def test_the_body_is_json_whatever_its_type_says(test_key: Api) -> None:
    headers = {"X-API-Key": test_key.key}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        made = test_key.client.generic("POST", "/v1/runs", b'{"task": "x"}', content_type=kind, headers=headers)
        assert made.json()["task"] == "x"


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}"])
def test_an_empty_body_counts_as_an_empty_object(test_key: Api, run_id: str, raw: bytes) -> None:
    assert test_key.post(f"/runs/{run_id}/cancel", raw).json()["status"] == "cancelled"


def test_times_have_milliseconds_and_z(test_key: Api) -> None:
    at = test_key.post("/runs", {"task": "x"}).json()["created_at"]
    assert len(at) == len("2026-03-26T14:35:01.000Z")
    assert at.endswith("Z")


def test_text_keeps_every_character(test_key: Api) -> None:
    task = "naïve “quotes” 💥 \u2028 \t\n end"
    assert test_key.post("/runs", {"task": task}).json()["task"] == task


def test_text_that_no_database_can_hold_is_422(test_key: Api) -> None:
    for raw in (b'{"task": "\\ud800"}', b'{"task": "x", "\\ud800": 1}', b'{"task": "x", "end_user": "\\u0000"}'):
        refused(test_key.post("/runs", raw), 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["/predict", "/ground", "/approvals"])
@pytest.mark.parametrize("value", ["[],", "0,", '{"a":1},', '"",'])
def test_room_for_pictures_is_no_room_for_a_million_values(test_key: Api, path: str, value: str) -> None:
    """Reading them would hold up the whole web process for many seconds."""
    body = b'{"metadata":[' + value.encode() * (8 * 2**20 // len(value)) + b"0]}"
    error = refused(test_key.post(path, body), 413, "PAYLOAD_TOO_LARGE")
    assert error["max_bytes"] == 2**20
    assert "Apart from pictures" in error["message"]


def test_long_texts_with_commas_are_taken_where_there_is_room(test_key: Api) -> None:
    body = {"screenshot": "A" * 3 * 2**20, "instruction": "x, " * 300_000}
    assert locs(test_key.post("/predict", body)) == [["body", "instruction"]]
