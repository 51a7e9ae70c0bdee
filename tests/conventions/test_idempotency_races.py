"""Several calls with one Idempotency-Key at the same moment, each on a connection of its own."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models import IdempotencyRecord
from runs.models import Run
from tests.cast import Api, actor_of_key
from tests.conventions.conftest import refused

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, call: Callable[[int], HttpResponse]) -> list[HttpResponse]:
    """The answers of `count` threads that begin together."""
    gate = threading.Barrier(count)

    def one(index: int) -> HttpResponse:
        try:
            connection.ensure_connection()
            gate.wait(30)
            return call(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def start(key: str, name: str = "k", **body: Any) -> HttpResponse:
    return Api(key, Client()).post("/runs", {"task": "x"} | body, Idempotency_Key=name)


def test_T_021_ten_concurrent_creates_make_one_run(test_key: Api) -> None:
    answers = at_once(10, lambda _: start(test_key.key))
    assert [a.status_code for a in answers] == [200] * 10
    assert len({a.content for a in answers}) == 1
    assert sum("Idempotency-Replayed" not in a for a in answers) == 1
    assert Run.objects.count() == 1


def test_of_ten_different_bodies_one_wins_and_nine_are_refused(test_key: Api) -> None:
    answers = at_once(10, lambda i: start(test_key.key, priority=i))
    assert sorted(a.status_code for a in answers) == [200] + [422] * 9
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 422} == {"IDEMPOTENCY_KEY_REUSED"}
    assert Run.objects.count() == 1


def test_ten_different_keys_make_ten_runs(test_key: Api) -> None:
    answers = at_once(10, lambda i: start(test_key.key, f"k{i}"))
    assert len({a.json()["id"] for a in answers}) == Run.objects.count() == 10


def test_ten_calls_on_an_expired_record_make_one_new_run(test_key: Api) -> None:
    first = start(test_key.key).json()["id"]
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    answers = at_once(10, lambda _: start(test_key.key))
    (second,) = {a.json()["id"] for a in answers}
    assert second != first
    assert Run.objects.count() == 2


class Unfinished:
    """A first call that holds its record uncommitted until told how to end."""

    def __init__(self, api: Api) -> None:
        self.caller = actor_of_key(api.key)
        self.begun, self.end, self.commit = threading.Event(), threading.Event(), False
        self.thread = threading.Thread(target=self._hold)
        self.thread.start()
        assert self.begun.wait(10)

    def _hold(self) -> None:
        with transaction.atomic():
            IdempotencyRecord.objects.create(
                team_id=self.caller.team_id, caller=self.caller.caller, method="POST", path="/v1/runs", key="k",
                fingerprint="of another body", request_id="req_1", expires_at=timezone.now() + timedelta(hours=1),
            )  # fmt: skip
            self.begun.set()
            self.end.wait(30)
            transaction.set_rollback(not self.commit)
        connection.close()

    def finish(self, *, commit: bool) -> None:
        self.commit = commit
        self.end.set()
        self.thread.join()


def test_a_call_that_waits_too_long_is_409_and_may_come_again(test_key: Api, settings: Any) -> None:
    settings.IDEMPOTENCY_WAIT_SECONDS = 0.3
    first = Unfinished(test_key)
    try:
        before = time.monotonic()
        answer = start(test_key.key)
        assert 0.25 < time.monotonic() - before < 5
        assert refused(answer, 409, "IDEMPOTENCY_IN_FLIGHT")["type"] == "state_error"
        assert answer["Retry-After"] == "1"
    finally:
        first.finish(commit=False)
    assert start(test_key.key).status_code == 200


@pytest.mark.parametrize(("commit", "status"), [(False, 200), (True, 422)])
def test_a_call_waits_for_the_end_of_the_first(test_key: Api, commit: bool, status: int) -> None:
    first = Unfinished(test_key)
    threading.Timer(0.3, first.finish, kwargs={"commit": commit}).start()
    before = time.monotonic()
    answer = start(test_key.key)
    assert time.monotonic() - before > 0.2
    assert answer.status_code == status
    assert Run.objects.count() == (status == 200)
    first.thread.join()


def test_other_keys_do_not_wait(test_key: Api, settings: Any) -> None:
    first = Unfinished(test_key)
    try:
        settings.IDEMPOTENCY_WAIT_SECONDS = 0.3
        assert start(test_key.key, "another").status_code == 200
        assert test_key.post("/runs", {"task": "x"}).status_code == 200
    finally:
        first.finish(commit=False)
