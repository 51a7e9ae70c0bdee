"""Actions that take their time: nobody else waits for them, and who has the machine meanwhile has it alone."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, IdempotencyRecord
from machines.drivers.base import Action, ActResult
from machines.drivers.simulated import SimulatedSession
from machines.models import Machine, TakeoverLease
from machines.takeover.services import lapses
from tests.cast import Api, Cast
from tests.runs.driving import simulated, until
from tests.takeover.control import code, take

pytestmark = pytest.mark.django_db(transaction=True)
LONG = {"command": "wait", "params": {"ms": 1}}  # and as long as the test holds it


class Beside:
    """beside(api, path, body, **headers): a call in a thread of its own that has begun to act, and waits to be let go."""

    def __init__(self) -> None:
        self.pool, self.begun, self.let_go = ThreadPoolExecutor(4), list[str](), threading.Event()

    def __call__(self, api: Api, path: str, body: Any, **headers: str) -> "Future[Any]":
        before = len(self.begun)
        future = self.pool.submit(self._call, api, path, body, headers)
        until(lambda: future.done() or len(self.begun) > before)
        return future

    def answer(self, future: "Future[Any]") -> Any:
        assert not future.done()
        self.let_go.set()
        return future.result()

    def _call(self, api: Api, path: str, body: Any, headers: dict[str, str]) -> Any:
        try:
            return Api(api.key, Client()).post(path, body, **headers)
        finally:
            connections.close_all()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Beside]:
    calls, real = Beside(), SimulatedSession.act

    async def act(self: SimulatedSession, action: Action) -> ActResult:
        calls.begun.append(action.name)
        await asyncio.to_thread(calls.let_go.wait, 10)
        return await real(self, action)

    monkeypatch.setattr(SimulatedSession, "act", act)
    yield calls
    calls.let_go.set()
    calls.pool.shutdown()


@pytest.fixture
def machine(live: Api) -> str:
    return simulated(live)


def test_a_long_action_with_a_key_does_not_cost_its_actor_the_lease(live: Api, machine: str, beside: Beside) -> None:
    """The heartbeat that keeps control, and the clock that ends silent leases, wait for no action."""
    lease = take(live, machine)
    acting = beside(live, f"/machines/{machine}/actions", LONG, Idempotency_Key="long")
    assert live.post(f"/machines/{machine}/takeover/heartbeat", {"lease_id": lease["id"]}).status_code == 200
    TakeoverLease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert lapses() == 1
    assert beside.answer(acting).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Idempotency_Key": "long"}])
def test_a_long_action_holds_no_connection_to_the_database(
    live: Api, machine: str, beside: Beside, headers: dict[str, str]
) -> None:
    def connected() -> set[tuple[int, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid, backend_start FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend'"
            )
            return set(cursor.fetchall())

    before = connected()  # also what tests before are still closing
    acting = beside(live, f"/machines/{machine}/actions", LONG, **headers)
    until(lambda: connected() <= before)
    assert beside.answer(acting).status_code == 200


def test_the_same_call_meanwhile_gets_the_answer_of_the_first(live: Api, machine: str, beside: Beside) -> None:
    path, slow = f"/machines/{machine}/actions", {"command": "wait", "params": {"ms": 1000}}
    beside.let_go.set()  # the one who waits cannot let go, too
    first = beside(live, path, slow, Idempotency_Key="k")
    assert live.get("/idempotency/k").json()["status"] == "processing"
    again = live.post(path, slow, Idempotency_Key="k")
    assert (again.status_code, again["Idempotency-Replayed"]) == (200, "true")
    assert again.content == first.result().content
    assert AuditEntry.objects.filter(verb="machine.action").count() == 1
    assert code(live.post(path, {"command": "done"}, Idempotency_Key="k")) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert live.get("/idempotency/k").json()["status"] == "completed"


def test_the_same_call_waits_no_longer_than_it_may(live: Api, machine: str, beside: Beside, settings: Any) -> None:
    settings.IDEMPOTENCY_WAIT_SECONDS = 0.2
    path = f"/machines/{machine}/actions"
    first = beside(live, path, LONG, Idempotency_Key="k")
    assert code(live.post(path, LONG, Idempotency_Key="k")) == (409, "IDEMPOTENCY_IN_FLIGHT")
    assert beside.answer(first).status_code == 200


def test_a_refused_action_binds_no_key(live: Api, cast: Cast, machine: str) -> None:
    path = f"/machines/{machine}/actions"
    Machine.objects.update(current_run_id="run_1")
    assert code(live.post(path, {"command": "done"}, Idempotency_Key="k")) == (409, "MACHINE_BUSY")
    Machine.objects.update(current_run_id=None)
    assert live.post(path, {"command": "done"}, Idempotency_Key="k").status_code == 200


def test_a_key_whose_process_died_is_free_again_after_a_while(live: Api, machine: str, settings: Any) -> None:
    settings.IDEMPOTENCY_WAIT_SECONDS = 0.1
    path = f"/machines/{machine}/actions"
    assert live.post(path, {"command": "done"}, Idempotency_Key="k").status_code == 200
    IdempotencyRecord.objects.update(status=None, body=None)
    assert code(live.post(path, {"command": "done"}, Idempotency_Key="k")) == (409, "IDEMPOTENCY_IN_FLIGHT")
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    answer = live.post(path, {"command": "done"}, Idempotency_Key="k")
    assert (answer.status_code, answer.has_header("Idempotency-Replayed")) == (200, False)


def _taken_by_a_run(cast: Cast, machine: str) -> None:
    Machine.objects.filter(id=machine).update(current_run_id="run_1")


def _taken_by_a_person(cast: Cast, machine: str) -> None:
    take(cast.api(), machine)


@pytest.mark.parametrize("meanwhile", [_taken_by_a_run, _taken_by_a_person])
def test_a_batch_ends_when_somebody_else_gets_the_machine(
    live: Api, cast: Cast, machine: str, beside: Beside, meanwhile: Callable[[Cast, str], None]
) -> None:
    steps = [LONG, {"command": "click", "params": {"x": 1, "y": 1}}]
    batch = beside(live, f"/machines/{machine}/actions/batch", {"steps": steps})
    meanwhile(cast, machine)
    done = beside.answer(batch).json()
    assert [r["command"] for r in done["results"]] == ["wait"]
    assert (done["completed_count"], done["aborted"]) == (1, True)


def test_a_batch_ends_with_the_lease_it_was_done_under(live: Api, machine: str, beside: Beside) -> None:
    lease = take(live, machine)
    steps = [LONG, {"command": "click", "params": {"x": 1, "y": 1}}]
    batch = beside(live, f"/machines/{machine}/actions/batch", {"steps": steps})
    live.post(f"/machines/{machine}/takeover/release", {"lease_id": lease["id"]})
    assert beside.answer(batch).json()["aborted"] is True
