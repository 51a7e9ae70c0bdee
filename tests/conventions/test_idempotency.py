"""One effect and one answer for each Idempotency-Key (docs/api/README.md section 7)."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from accounts import idempotency
from accounts.errors import IdempotencyKeyMismatch
from accounts.models import ApiKey, IdempotencyRecord
from database.sealing import keyed_hash
from runs import api as runs_api
from runs.models import Run
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, refused
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db
TASK = {"task": "x"}


def start(api: Api, key: str = "k", body: Any = None, path: str = "/runs") -> HttpResponse:
    return api.post(path, TASK if body is None else body, Idempotency_Key=key)


def test_T_018_a_repeated_create_answers_the_same_bytes(test_key: Api) -> None:
    body = TASK | {"webhook_url": "https://203.0.114.9/hook"}
    first = start(test_key, body=body)
    assert first.status_code == 200, first.content
    assert "Idempotency-Replayed" not in first
    drive_all()
    again = start(test_key, body=body)
    assert again.content == first.content
    assert (again.status_code, again["Idempotency-Replayed"], again["Content-Type"]) == (
        200,
        "true",
        first["Content-Type"],
    )
    assert again["X-Request-Id"] != first["X-Request-Id"]
    assert again.json()["status"] == "queued"
    assert again.json()["webhook_secret"].startswith("whsec_")
    assert again["Cache-Control"] == first["Cache-Control"] == "no-store"
    assert again["X-Test-Mode"] == "true"
    assert Run.objects.count() == 1


def test_T_019_another_body_with_the_same_key_is_422_without_effect(test_key: Api) -> None:
    start(test_key)
    for body in (TASK | {"priority": 4}, {"task": "y"}, TASK | {"metadata": None}, TASK | {"priority": 5}):
        refused(start(test_key, body=body), 422, "IDEMPOTENCY_KEY_REUSED")
    assert Run.objects.count() == 1


def test_whitespace_and_key_order_do_not_matter(test_key: Api) -> None:
    first = start(test_key, body=b'{"task": "x", "metadata": {"a": 1, "b": [2]}}')
    again = start(test_key, body=b' {"metadata":{"b":[ 2 ],"a":1},\n"task":"\\u0078"} ')
    assert again.json()["id"] == first.json()["id"]


def test_an_empty_object_and_an_explicit_null_differ(test_key: Api, run_id: str) -> None:
    path = f"/runs/{run_id}/cancel"
    assert start(test_key, body=b"{}", path=path).status_code == 200
    assert start(test_key, body=b"", path=path)["Idempotency-Replayed"] == "true"
    refused(start(test_key, body={"reason": None}, path=path), 422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("key", ["a b", "k" * 129, "", "ключ", "a/b", "a.b", "a\tb", "k\n"])
def test_T_020_a_key_of_another_form_is_422(test_key: Api, key: str) -> None:
    assert locs(start(test_key, key)) == [["header", "Idempotency-Key"]]
    assert not Run.objects.exists()


@pytest.mark.parametrize("key", ["k" * 128, "A-Z_a:9", "0"])
def test_every_key_of_the_right_form_works(test_key: Api, key: str) -> None:
    first = start(test_key, key)
    assert start(test_key, key).json()["id"] == first.json()["id"]


def test_T_022_a_key_of_another_caller_or_path_is_independent(test_key: Api, cast: Cast, run_id: str) -> None:
    ids = {start(caller).json()["id"] for caller in (test_key, cast.api(test=True), cast.api(test=True, owner="alice"))}
    assert len(ids) == 3
    cancelled = start(test_key, body={}, path=f"/runs/{run_id}/cancel")
    assert cancelled.json()["id"] == run_id
    assert "Idempotency-Replayed" not in cancelled
    assert len({start(test_key, path=p).json()["id"] for p in ("/runs", "/runs/")}) == 1


def test_a_persons_record_is_bound_to_the_person_the_team_and_the_world(cast: Cast, strangers: Cast) -> None:
    def post(name: str, mode: str) -> HttpResponse:
        headers = {"Idempotency-Key": "k", "X-Team-Mode": mode}
        return cast.browser(name).post("/v1/keys", {"name": "n"}, content_type="application/json", headers=headers)

    first = post("olga", "test")
    assert post("olga", "test").content == first.content
    assert post("olga", "live").json()["kind"] == "live"
    cast.people["ana"].memberships.update(roles=["admin"])
    assert post("ana", "test").json()["key_id"] != first.json()["key_id"]
    assert ApiKey.objects.count() == 3
    cast.people["olga"].memberships.update(team=strangers.team)
    assert post("olga", "test").json()["key_id"] != first.json()["key_id"]
    assert ApiKey.objects.filter(team=strangers.team).count() == 1


def test_errors_never_bind_a_key(test_key: Api, live: Api, cast: Cast) -> None:
    refused(start(test_key, body={"task": ""}), 422, "VALIDATION_ERROR")
    cast.team.max_active_runs = 0
    cast.team.save()
    refused(start(test_key), 429, "TOO_MANY_RUNS")
    refused(test_key.get("/idempotency/k"), 404, "NOT_FOUND")
    cast.team.max_active_runs = 9
    cast.team.save()
    assert "Idempotency-Replayed" not in start(test_key, body={"task": "other"})


def test_a_crash_between_effect_and_answer_leaves_neither(test_key: Api, monkeypatch: Any, caplog: Any) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    caplog.set_level(logging.CRITICAL)
    test_key.client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(runs_api, "show", crash)
        refused(start(test_key), 500, "INTERNAL_ERROR")
    assert not Run.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    assert "Idempotency-Replayed" not in start(test_key)
    assert Run.objects.count() == 1


def test_a_record_is_forgotten_after_24_hours(test_key: Api) -> None:
    first = start(test_key).json()["id"]
    record = IdempotencyRecord.objects.get()
    assert record.expires_at - record.created_at == timedelta(hours=24)
    IdempotencyRecord.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    assert start(test_key).json()["id"] == first
    assert idempotency.sweep() == 0
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    refused(test_key.get("/idempotency/k"), 404, "NOT_FOUND")
    assert start(test_key, body={"task": "y"}).json()["id"] != first
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    assert idempotency.sweep() == 1


def test_a_decision_repeated_with_its_key_succeeds_after_the_run_moved_on(test_key: Api) -> None:
    run = start(test_key, "create", {"task": "x [pause]"}).json()["id"]
    drive_all()
    (approval,) = test_key.get(f"/runs/{run}").json()["open_approvals"]
    path = f"/approvals/{approval}/decide"
    first = start(test_key, "decide", {"verdict": "approve"}, path)
    drive_all()
    again = start(test_key, "decide", {"verdict": "approve"}, path)
    assert (again.status_code, again.content) == (200, first.content)
    refused(start(test_key, "decide", {"verdict": "reject"}, path), 422, "IDEMPOTENCY_KEY_REUSED")


def test_secrets_in_stored_answers_are_sealed(live: Api) -> None:
    key = live.post("/keys", {"name": "n"}, Idempotency_Key="k").json()["key"]
    assert key.encode() not in bytes(IdempotencyRecord.objects.get().body or b"")
    replay = live.post("/keys", {"name": "n"}, Idempotency_Key="k")
    assert (replay.json()["key"], replay["Cache-Control"]) == (key, "no-store")


def test_reading_a_record(test_key: Api, cast: Cast) -> None:
    first = start(test_key)
    answer = cast_free(cast, test_key).get("/idempotency/k")
    refused(answer, 404, "NOT_FOUND")
    answer = test_key.get("/idempotency/k")
    body = answer.json()
    assert answer["Cache-Control"] == "no-store"
    assert body.pop("expires_at").endswith("Z")
    assert body == {
        "key": "k", "method": "POST", "path": "/v1/runs", "status": "completed", "original_status": 200,
        "request_id": first["X-Request-Id"], "result": first.json(),
    }  # fmt: skip
    for unknown in ("other", "a%00b", "x" * 500):
        refused(test_key.get(f"/idempotency/{unknown}"), 404, "NOT_FOUND")


def cast_free(cast: Cast, api: Api) -> Api:
    return cast.api(test=True, scopes=frozenset())


def test_any_key_reads_its_own_records_and_the_newest_counts(test_key: Api) -> None:
    run = start(test_key).json()["id"]
    start(test_key, body={}, path=f"/runs/{run}/cancel")
    assert test_key.get("/idempotency/k").json()["path"] == f"/v1/runs/{run}/cancel"


def billed(cast: Cast, calls: list[int], body: dict[str, Any], **given: Any) -> HttpResponse:
    """A route that bills 5 credits each time it really does something."""

    def effect() -> HttpResponse:
        calls.append(1)
        response = idempotency.answer({"n": len(calls)})
        response["X-Credits-Charged"], response["X-Credits-Remaining"] = "5", "95"
        return response

    headers = {"Idempotency-Key": "k"} if given.pop("header", True) else {}
    request = RequestFactory().post("/v1/predict", json.dumps(body), content_type="application/json", headers=headers)
    request.actor, request.request_id = cast.actor(), "req_1"  # type: ignore[attr-defined]
    return idempotency.once(request, effect, **given)


def test_T_023_a_replay_charges_nothing(cast: Cast) -> None:
    calls: list[int] = []
    first, again = billed(cast, calls, {}), billed(cast, calls, {})
    assert (first["X-Credits-Charged"], again["X-Credits-Charged"], again["X-Credits-Remaining"]) == ("5", "0", "95")
    assert (again.content, len(calls)) == (first.content, 1)


def test_a_key_inside_the_body_is_the_same_key_and_no_part_of_the_fingerprint(cast: Cast) -> None:
    calls: list[int] = []
    billed(cast, calls, {"a": 1})
    billed(cast, calls, {"a": 1, "idempotency_key": "k"}, body_key="k")
    billed(cast, calls, {"idempotency_key": "k", "a": 1}, body_key="k", header=False)
    assert len(calls) == 1
    with pytest.raises(IdempotencyKeyMismatch):
        billed(cast, calls, {"a": 1, "idempotency_key": "other"}, body_key="other")
    assert IdempotencyRecord.objects.get().fingerprint == keyed_hash('{"a": 1}')
