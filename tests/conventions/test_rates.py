"""How often one caller may call (docs/api/README.md section 9). The clock stands still inside a test."""

from typing import Any

import pytest

from accounts import limits
from accounts.models import RateWindow
from tests.cast import Api, Cast, actor_of_key
from tests.conventions.conftest import refused

pytestmark = pytest.mark.django_db
MINUTE = 29_000_000


@pytest.fixture
def clock(monkeypatch: Any) -> Any:
    """clock(seconds into the minute)."""

    def at(seconds: float) -> None:
        monkeypatch.setattr(limits.time, "time", lambda: MINUTE * 60 + seconds)

    at(18.2)
    return at


def spend(api: Api, bucket: str, count: int) -> None:
    caller = limits_caller(api)
    RateWindow.objects.update_or_create(caller=caller, bucket=bucket, minute=MINUTE, defaults={"count": count})


def limits_caller(api: Api) -> str:
    return actor_of_key(api.key).caller


def test_every_authenticated_answer_tells_the_rate(live: Api, clock: Any) -> None:
    for left, path in ((599, "/runs"), (598, "/runs/run_none"), (597, "/no/such"), (596, "/keys/x")):
        answer = live.get(path)
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        assert [answer[n] for n in names] == ["600", str(left), str((MINUTE + 1) * 60)]
    assert "X-RateLimit-Limit" not in Api("wrong", live.client).get("/runs")


def test_T_014_the_601st_request_of_a_minute_is_429_with_retry_after(live: Api, clock: Any) -> None:
    spend(live, "requests", 599)
    assert live.get("/runs").status_code == 200
    answer = live.get("/runs")
    error = refused(answer, 429, "RATE_LIMITED")
    assert (error["retry_after"], answer["Retry-After"], error["type"]) == (42, "42", "rate_limit_error")
    assert (answer["X-RateLimit-Remaining"], answer["X-Key-Kind"]) == ("0", "live")
    clock(59.999)
    assert live.get("/runs")["Retry-After"] == "1"
    clock(60)
    assert live.get("/runs").status_code == 200


def test_a_rate_belongs_to_one_key(live: Api, cast: Cast, clock: Any) -> None:
    spend(live, "requests", 600)
    refused(live.get("/runs"), 429, "RATE_LIMITED")
    assert cast.api().get("/runs").status_code == 200


def test_120_run_starts_a_minute(test_key: Api, clock: Any) -> None:
    spend(test_key, "runs", 119)
    assert test_key.post("/runs", {"task": "x"}).status_code == 200
    answer = test_key.post("/runs", {"task": "x"})
    error = refused(answer, 429, "RATE_LIMITED")
    assert answer["Retry-After"] == str(error["retry_after"]) == "42"
    refused(test_key.post("/runs", {"task": "x"}, Idempotency_Key="k"), 429, "RATE_LIMITED")
    assert test_key.get("/runs").status_code == 200
    clock(60)
    assert test_key.post("/runs", {"task": "x"}, Idempotency_Key="k").status_code == 200


def test_refused_starts_are_not_counted_as_starts(test_key: Api, clock: Any) -> None:
    for _ in range(3):
        refused(test_key.post("/runs", {"task": ""}), 422, "VALIDATION_ERROR")
    assert not RateWindow.objects.filter(bucket="runs").exists()


def test_30_stream_connects_per_minute_and_run(test_key: Api, run_id: str, clock: Any) -> None:
    spend(test_key, f"sse:{run_id}", 30)
    answer = test_key.get(f"/runs/{run_id}/events")
    error = refused(answer, 429, "RATE_LIMITED")
    assert answer["Retry-After"] == str(error["retry_after"])
    assert test_key.get(f"/runs/{run_id}/events?format=json").status_code == 200


def test_T_013_free_calls_have_no_credit_headers(live: Api, test_key: Api) -> None:
    for answer in (
        test_key.post("/runs", {"task": "x"}), test_key.post("/agents/playbook/parse", {"task": "stop"}),
        live.get("/usage"),
        live.get("/billing/balance"), test_key.get("/keys"),
    ):  # fmt: skip
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("X-Credits")]


def test_past_minutes_are_swept(live: Api) -> None:
    RateWindow.objects.create(caller="old", bucket="requests", minute=5, count=1)
    live.get("/runs")
    limits.sweep()
    assert list(RateWindow.objects.values_list("caller", flat=True)) == [limits_caller(live)]
