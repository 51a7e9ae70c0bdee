"""Whatever goes wrong is said in one envelope, never in HTML (docs/api/README.md section 6)."""

import logging
from typing import Any

import pytest
from django.test import Client

from accounts import access
from runs.models import Run
from runs.starting import services
from tests.cast import Api
from tests.conventions.conftest import locs, refused
from tests.conventions.routes import ROUTES, filled
from web import errors

pytestmark = pytest.mark.django_db


def test_T_004_request_ids_are_unique_and_on_every_answer(live: Api, test_key: Api, run_id: str) -> None:
    answers = [
        live.get("/runs"), live.get("/runs"), live.get("/runs/run_none"), live.get("/no/such"), live.delete("/runs"),
        Api("wrong", live.client).get("/runs"), live.get("/health"), live.post("/runs", b"{"),
        test_key.get(f"/runs/{run_id}/events"), test_key.get(f"/runs/{run_id}/screenshots/0"),
    ]  # fmt: skip
    ids = [answer["X-Request-Id"] for answer in answers]
    assert all(i.startswith("req_") for i in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/runs/a/b/c", "/runs//x", "/../keys", "/%00", "/ключ"])
def test_T_005_an_unknown_path_is_404_in_the_envelope(live: Api, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert refused(live.request(method, path), 404, "NOT_FOUND")["type"] == "not_found_error"
    assert live.request("HEAD", path).status_code == 404


def test_T_005_a_wrong_method_is_405_and_names_the_right_ones(live: Api) -> None:
    for method, path, allowed in (
        ("DELETE", "/runs", {"GET", "POST"}),
        ("PUT", "/team/", {"GET", "PATCH"}),
        ("GET", "/runs/x/cancel", {"POST"}),
        ("POST", "/health", {"GET"}),
        ("OPTIONS", "/keys/", {"GET", "POST"}),
    ):
        answer = live.request(method, path)
        assert refused(answer, 405, "METHOD_NOT_ALLOWED")["type"] == "validation_error"
        assert {m.strip() for m in answer["Allow"].split(",")} == allowed


def test_a_wrong_method_still_tells_the_world(test_key: Api) -> None:
    answer = test_key.delete("/runs")
    assert (answer["X-Test-Mode"], answer["X-Key-Kind"]) == ("true", "test")


def test_T_006_broken_json_is_422(test_key: Api) -> None:
    for raw in (b"{", b"x", b"{'a': 1}", b'{"a": NaN}', b'{"a": 1e999}', b"\xff\xfe", b'{"a": 1}{', b"\xef\xbb\xbf{}"):
        error = refused(test_key.post("/runs", raw), 422, "VALIDATION_ERROR")
        assert [(d["loc"], d["type"]) for d in error["details"]] == [(["body"], "json_invalid")]
        assert error["type"] == "validation_error"


def test_T_006_a_body_that_is_no_object_is_422(test_key: Api) -> None:
    for raw in (b"[]", b'["a"]', b'"x"', b"5", b"null", b"true"):
        error = refused(test_key.post("/runs", raw), 422, "VALIDATION_ERROR")
        assert [(d["loc"], d["type"]) for d in error["details"]] == [(["body"], "type_error")]


def test_a_body_nested_without_end_is_422(test_key: Api) -> None:
    for depth in (101, 5_000, 200_000):
        raw = b'{"task": "x", "metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
        assert locs(test_key.post("/runs", raw)) == [["body"]]


def test_a_crash_is_500_and_its_words_stay_inside(test_key: Api, monkeypatch: Any, caplog: Any) -> None:
    def crash(*_: Any) -> None:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr(services, "create_run", crash)
    caplog.set_level(logging.CRITICAL)
    test_key.client.raise_request_exception = False
    answer = test_key.post("/runs", {"task": "x"}, Idempotency_Key="k")
    error = refused(answer, 500, "INTERNAL_ERROR")
    assert error["type"] == "server_error"
    assert b"secret" not in answer.content
    assert answer["X-Key-Kind"] == "test"
    assert not Run.objects.exists()


def test_a_crash_before_the_route_is_the_same_500(live: Api, monkeypatch: Any, caplog: Any) -> None:
    def crash(*_: Any) -> None:
        raise ConnectionError("no database")

    monkeypatch.setattr(access, "hash_key", crash)
    caplog.set_level(logging.CRITICAL)
    live.client.raise_request_exception = False
    refused(live.get("/runs"), 500, "INTERNAL_ERROR")


def test_a_wrong_host_name_is_refused_in_the_envelope(live: Api, caplog: Any) -> None:
    caplog.set_level(logging.CRITICAL)
    answer = Client().get("/v1/runs", headers={"Host": "evil.example", "X-API-Key": live.key})
    refused(answer, 400, "BAD_REQUEST")


def test_more_parameters_than_django_reads_are_refused_in_the_envelope(live: Api) -> None:
    assert live.get("/runs?" + "&".join(["a=1"] * 1000)).status_code == 200
    refused(live.get("/runs?" + "&".join(["a=1"] * 1001)), 400, "BAD_REQUEST")


def test_413_above_one_mib_and_not_at_it(live: Api) -> None:
    def body(size: int) -> bytes:
        return b'{"name": "n", "scopes": []' + b" " * (size - 27) + b"}"

    assert live.post("/keys", body(1_048_576)).status_code == 200
    answer = live.post("/keys", body(1_048_577))
    error = refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert (error["max_bytes"], error["type"]) == (1_048_576, "validation_error")
    assert answer["X-Key-Kind"] == "live"
    refused(Api("wrong", live.client).post("/keys", body(1_048_577)), 401, "INVALID_API_KEY")


ODD = ("x", "0", "-1", "null", "run_", "a b", "💥", "'; DROP TABLE x", "%", "x" * 3000, "..;", "%0A")


def test_T_012_an_id_of_any_shape_is_404_of_its_resource(live: Api) -> None:
    for index, (method, path, _) in enumerate(ROUTES):
        for odd in ("a%00b", "%ED%A0%80", ODD[index % len(ODD)]):
            if "{" in path:
                refused(live.request(method, filled(path, odd)), 404, missing(path))


def missing(path: str) -> str:
    """The code of what the first id of the path names."""
    nouns = {"runs": "RUN", "workflows": "WORKFLOW", "approvals": "APPROVAL", "permissions": "POLICY",
    "machines": "MACHINE",
             "keys": "KEY", "webhooks": "WEBHOOK", "sessions": "SESSION"}  # fmt: skip
    noun = "runs" if path.startswith("/workflows/runs") else path.split("/")[1]
    return f"{nouns[noun]}_NOT_FOUND" if noun in nouns else "NOT_FOUND"


def test_every_refusal_has_a_sentence_and_a_type() -> None:
    kinds = {401: "auth_error", 402: "billing_error", 403: "auth_error", 404: "not_found_error", 409: "state_error",
             429: "rate_limit_error", 400: "validation_error", 405: "validation_error", 413: "validation_error",
             422: "validation_error"}  # fmt: skip
    for status, kind in kinds.items():
        refusal = type("Some", (errors.Refusal,), {"code": "SOME_CODE", "status": status, "__doc__": "No."})()
        error = refusal.body("req_1")["error"]
        assert (error["type"], error["reason_code"], error["message"]) == (kind, "some_code", "No.")
    for status in (500, 502, 503, 504):
        refusal = type("Some", (errors.Refusal,), {"status": status, "__doc__": "No."})()
        assert refusal.body("req_1")["error"]["type"] == "server_error"
