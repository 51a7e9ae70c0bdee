"""GET /v1/approvals/{id}?wait=: answered when the request is decided or the time is over (docs/api/approvals.md section 13)."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone

from accounts.actor import Actor, system
from accounts.models import ApiKey, RateWindow, Team
from approvals import deciding, handling, services
from approvals.models import Approval
from approvals.waiting import long_poll
from approvals.waiting.long_poll import LONGEST_WAIT
from approvals.waiting.waiters import Waiters
from config.server.asgi_handler import Handler
from tests.live import logs
from tests.live.test_hub import terminate
from tests.waiting.conftest import Call, Caller

LONG = f"wait={LONGEST_WAIT}"


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  nothing rings for it
            await asyncio.sleep(0.005)


async def waiting(caller: Caller, request_id: str, count: int = 1, query: str = LONG) -> list[Call]:
    """So many calls that wait at the bell."""
    before = Waiters.here().count
    calls = [caller.open(f"/approvals/{request_id}?{query}") for _ in range(count)]
    await until(lambda: Waiters.here().count == before + count)
    return calls


@sync_to_async
def close(request_id: str) -> None:
    """As a cancel closes it."""
    with transaction.atomic():
        approval = Approval.objects.select_for_update().get(id=request_id)
        services.close(approval, "cancelled", "cancel", _system(approval), timezone.now())


def _system(approval: Approval) -> Actor:
    return system(approval.team_id, approval.test)


async def test_a_decision_answers_who_waits(asker: Caller, decider: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    decided = await decider.post(f"/approvals/{request_id}/decide", {"verdict": "approve", "note": "go"})
    assert decided.status == 200, decided.body
    answer = await call
    assert (answer.status, answer.body["status"], answer.body["decision"]["note"]) == (200, "approved", "go")
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["content-type"].startswith("application/json")
    assert Waiters.here().count == 0
    assert Waiters.here().calls == {}


async def test_a_request_that_is_decided_is_answered_at_once(asker: Caller, request_id: str) -> None:
    await close(request_id)
    answer = await asker.get(f"/approvals/{request_id}?{LONG}")
    assert (answer.status, answer.body["status"]) == (200, "cancelled")


async def test_when_the_time_is_over_the_request_is_shown_as_it_is(asker: Caller, request_id: str) -> None:
    began = time.monotonic()
    answer = await asker.get(f"/approvals/{request_id}?wait=1")
    assert (answer.status, answer.body["status"]) == (200, "pending")
    assert time.monotonic() - began >= 1
    plain = await asker.get(f"/approvals/{request_id}")
    assert answer.body == plain.body


async def test_what_changes_while_it_waits_ends_no_wait_and_is_shown_after_it(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id, query="wait=2")
    await sync_to_async(handling.comment)(logs.actor_of(await _team_of(request_id)), request_id, "I am looking at it.")
    answer = await call
    assert answer.body["status"] == "pending"
    assert [comment["text"] for comment in answer.body["comments"]] == ["I am looking at it."]


@sync_to_async
def _team_of(request_id: str) -> Team:
    return Approval.objects.get(id=request_id).team


async def test_what_is_decided_between_the_read_and_the_bell_is_seen(
    asker: Caller, request_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The NOTIFY has come and gone when the call subscribes."""
    waiting_for = Waiters.waiting_for

    def late(waiters: Waiters, approval_id: str) -> Any:
        assert decided, "and nobody rings for it any more"
        return waiting_for(waiters, approval_id)

    async def after_the_decision(wait: Any, waiters: Waiters) -> bool:
        await close(request_id)
        decided.append(True)
        return await changes(wait, waiters)

    decided: list[bool] = []
    changes = long_poll._Wait._changes
    monkeypatch.setattr(long_poll._Wait, "_changes", after_the_decision)
    monkeypatch.setattr(Waiters, "waiting_for", late)
    answer = await asker.get(f"/approvals/{request_id}?{LONG}")
    assert answer.body["status"] == "cancelled"


async def test_a_second_wait_of_the_same_key_ends_the_first(asker: Caller, decider: Caller, request_id: str) -> None:
    first = asker.open(f"/approvals/{request_id}?{LONG}")
    await until(lambda: Waiters.here().count == 1)
    (other,) = await waiting(decider, request_id)
    second = asker.open(f"/approvals/{request_id}?{LONG}")
    answer = await first
    assert (answer.status, answer.body["status"]) == (200, "pending")
    assert not second.answering.done()
    assert not other.answering.done()
    await close(request_id)
    assert [(await call).body["status"] for call in (second, other)] == ["cancelled"] * 2


async def test_who_leaves_waits_no_longer(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    await call.leave()
    await until(lambda: Waiters.here().count == 0)
    call.answering.cancel()


async def test_a_server_that_ends_answers_first(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    call.server_ends()
    answer = await call
    assert (answer.status, answer.body["status"]) == (200, "pending")


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", "", "true", "٣", "9" * 5000, "1e1", " 1"])
async def test_a_wait_out_of_bounds_is_refused(asker: Caller, request_id: str, wait: str) -> None:
    answer = await asker.get(f"/approvals/{request_id}?wait={wait}".encode().decode("latin-1"))
    assert (answer.status, answer.body["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert answer.body["error"]["details"][0]["loc"] == ["query", "wait"]


async def test_a_missing_request_is_not_found_whatever_wait_says(asker: Caller) -> None:
    for query in ("wait=5", "wait=x"):
        answer = await asker.get(f"/approvals/apr_none?{query}")
        assert (answer.status, answer.body["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")


async def test_another_team_cannot_wait(handler: Handler, request_id: str) -> None:
    stranger = Caller(handler, await sync_to_async(lambda: logs.new_key(logs.new_team()))())
    assert (await stranger.get(f"/approvals/{request_id}?{LONG}")).status == 404


async def test_head_and_no_wait_are_answered_at_once(asker: Caller, request_id: str) -> None:
    head = await asker.open(f"/approvals/{request_id}?{LONG}", "HEAD")
    assert head.status == 200  # daphne leaves the body out
    assert (await asker.get(f"/approvals/{request_id}?wait=0")).body["status"] == "pending"
    assert (await asker.get(f"/approvals/{request_id}/?wait=00")).body["status"] == "pending"


async def test_waits_count_apart_from_other_calls(asker: Caller, request_id: str, settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE, settings.WAITS_PER_MINUTE, settings.WAITS_PER_REQUEST = 2, 5, 3
    await close(request_id)
    for remaining in ("4", "3", "2"):
        answer = await asker.get(f"/approvals/{request_id}?wait=1")
        assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (200, remaining)
    for remaining in ("1", "0"):
        answer = await asker.get(f"/approvals/{request_id}?wait=0")
        assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (200, remaining)
    assert (await asker.get("/runs")).status == 429
    assert [(await asker.get(f"/approvals/{request_id}?wait=1")).status for _ in range(3)] == [200, 200, 429]


async def test_one_request_is_not_waited_for_too_often(asker: Caller, request_id: str, settings: Any) -> None:
    settings.WAITS_PER_REQUEST = 2
    calls = [asker.open(f"/approvals/{request_id}?{LONG}") for _ in range(3)]
    answers = asyncio.as_completed([call.answering for call in calls])
    statuses = {(await next(answers)).status, (await next(answers)).status}
    assert statuses == {200, 429}, "one is refused, one is ended by the other"
    await close(request_id)
    assert (await next(answers)).body["status"] == "cancelled"
    windows = await sync_to_async(lambda: dict(RateWindow.objects.values_list("bucket", "count")))()
    assert windows[request_id] == 3


async def test_a_key_that_was_revoked_meanwhile_learns_nothing(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    await sync_to_async(ApiKey.objects.update)(revoked_at=timezone.now())
    await close(request_id)
    answer = await call
    assert (answer.status, answer.body["error"]["code"]) == (401, "INVALID_API_KEY")
    assert answer.body["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_right_that_was_taken_away_meanwhile_is_gone(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    await sync_to_async(ApiKey.objects.update)(scopes=["runs:read"])
    await close(request_id)
    answer = await call
    assert (answer.status, answer.body["error"]["required_scope"]) == (403, "approvals:read")


async def test_many_who_look_cost_few_queries(asker: Caller, team: Team, handler: Handler, request_id: str) -> None:
    keys = await sync_to_async(lambda: [logs.new_key(team) for _ in range(20)])()
    calls = [(await waiting(Caller(handler, key), request_id))[0] for key in keys]
    before = Waiters.here().readers.queries
    await close(request_id)
    assert [(await call).body["status"] for call in calls] == ["cancelled"] * 20
    assert Waiters.here().readers.queries - before <= 2


async def test_a_killed_listener_delays_and_loses_nothing(asker: Caller, request_id: str) -> None:
    (call,) = await waiting(asker, request_id)
    await sync_to_async(_kill_and_close)(request_id)
    answer = await call
    assert answer.body["status"] == "cancelled"


def _kill_and_close(request_id: str) -> None:
    """The listener is dead when the request is decided, so nobody hears of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'countersign-%%' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        pids = [row[0] for row in cursor.fetchall()]
    assert pids
    terminate(pids)
    Approval.objects.filter(id=request_id).update(status="cancelled", resolved_at=timezone.now())


async def test_a_database_that_is_away_at_the_end_leaves_the_caller_with_what_it_was(
    asker: Caller, request_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call finds out."""
    (call,) = await waiting(asker, request_id, query="wait=1")

    async def away(*args: object) -> list[Any]:
        raise OSError

    monkeypatch.setattr(Waiters.here().readers, "rows", away)
    Waiters.here().missed(outage=True)
    answer = await call
    assert (answer.status, answer.body["status"]) == (200, "pending")


async def test_a_look_that_one_leaves_still_serves_the_others(asker: Caller, request_id: str) -> None:
    waiters = Waiters.here()
    first, second = (asyncio.create_task(waiters.look(request_id)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    state = await second
    assert state is not None
    assert state.status == "pending"
    assert await waiters.look("apr_none") is None


async def test_a_program_that_may_only_ask_waits_for_what_it_asked(
    handler: Handler, decider: Caller, team: Team, request_id: str
) -> None:
    key = await sync_to_async(logs.new_key)(team, scopes=frozenset({"approvals:request"}))
    program = Caller(handler, key)
    asked = (await program.post("/approvals", {"kind": "question", "title": "Which?", "questions": QUESTIONS})).body
    (call,) = await waiting(program, asked["id"])
    assert (await program.get(f"/approvals/{request_id}?{LONG}")).status == 404
    body = {"verdict": "answer", "answers": {"q1": "Berlin"}}
    assert (await decider.post(f"/approvals/{asked['id']}/decide", body)).status == 200
    answer = await call
    assert (answer.body["status"], answer.body["decision"]["verdict"]) == ("answered", "answer")


QUESTIONS = [{"question": "Which office?", "header": "Office", "options": [{"label": "Berlin"}, {"label": "Rome"}]}]


async def test_a_request_that_another_one_replaces_is_waited_for_no_longer(asker: Caller) -> None:
    body = {"kind": "tool", "title": "Pay", "external_id": "pay-1", "action": {"name": "pay", "params": {"cents": 1}}}
    first = (await asker.post("/approvals", body)).body
    (call,) = await waiting(asker, first["id"])
    second = (await asker.post("/approvals", body | {"action": {"name": "pay", "params": {"cents": 2}}})).body
    answer = await call
    assert (answer.body["status"], answer.body["replaced_by"]) == ("void", second["id"])


async def test_silence_that_is_settled_by_the_clock_answers_who_waits(asker: Caller) -> None:
    body = {"kind": "approval", "title": "Deploy?", "timeout_seconds": 3600}
    asked = (await asker.post("/approvals", body)).body
    (call,) = await waiting(asker, asked["id"])
    await sync_to_async(Approval.objects.update)(expires_at=timezone.now())
    assert await sync_to_async(deciding.expire)(asked["id"])
    assert (await call).body["status"] == "expired"


async def test_more_waits_than_a_process_bears_are_told_to_come_again(
    asker: Caller, decider: Caller, request_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_poll, "MOST_WAITS", 1)
    (call,) = await waiting(asker, request_id)
    answer = await decider.get(f"/approvals/{request_id}?{LONG}")
    assert (answer.status, answer.body["error"]["reason_code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == str(answer.body["error"]["retry_after"])
    await close(request_id)
    assert (await call).body["status"] == "cancelled"
