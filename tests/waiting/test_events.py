"""GET /v1/approvals/{id}/events: the log of what a program asked (docs/api/approvals.md section 13)."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import Team
from approvals import deciding
from approvals.models import Approval
from approvals.waiting.waiters import Waiters
from config.server.asgi_handler import Handler
from tests.live import logs
from tests.waiting.conftest import SECONDS, Caller
from tests.waiting.test_long_poll import until

BLOCK = re.compile(r"event: (\w+)\ndata: (\{.*\})\nid: (\d+)\n\n")


@pytest.fixture
async def asked(asker: Caller) -> str:
    """What a program asked."""
    answer = await asker.post("/approvals", {"kind": "approval", "title": "Deploy?"})
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


@dataclass
class Stream:
    """What comes of it, while it comes."""

    caller: Caller
    path: str
    text: str = ""
    has_ended: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    async def open(self, **headers: str) -> "Stream":
        self.asked = self.caller.communicator(self.path, headers=headers)
        await self.asked.send_input({"type": "http.request"})
        start = await self.asked.receive_output(SECONDS)
        self.status = start["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return self

    async def until(self, word: str) -> None:
        while word not in self.text and not self.has_ended:
            await self._part()

    async def end(self) -> list[tuple[str, int]]:
        """(type, seq) of all that came."""
        while not self.has_ended:
            await self._part()
        return self.events

    @property
    def events(self) -> list[tuple[str, int]]:
        return [(kind, int(seq)) for kind, _, seq in BLOCK.findall(self.text)]

    async def _part(self) -> None:
        part = await self.asked.receive_output(SECONDS)
        self.text += part.get("body", b"").decode()
        self.has_ended = not part.get("more_body", False)

    async def leave(self) -> None:
        await self.asked.send_input({"type": "http.disconnect"})


async def test_a_stream_tells_what_happens_and_ends_with_the_request(
    asker: Caller, decider: Caller, asked: str
) -> None:
    stream = await Stream(asker, f"/approvals/{asked}/events").open()
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    await stream.until("id: 1")
    for path, body, seen in (
        ("claim", {}, "event: claimed"),
        ("comment", {"text": "one\nline \u2028 or two"}, "event: comment"),
        ("decide", {"verdict": "approve", "note": "go"}, "event: decided"),
    ):
        answer = await decider.post(f"/approvals/{asked}/{path}", body)
        assert answer.status == 200, answer.body
        await stream.until(seen)
    assert await stream.end() == [("requested", 1), ("claimed", 2), ("comment", 3), ("decided", 4)]
    assert Waiters.here().count == 0


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(asker: Caller, decider: Caller, asked: str) -> None:
    await decider.post(f"/approvals/{asked}/comment", {"text": "hm"})
    await decider.post(f"/approvals/{asked}/decide", {"verdict": "reject"})
    path = f"/approvals/{asked}/events"
    assert await (await Stream(asker, path).open(**{"Last-Event-ID": "1"})).end() == [("comment", 2), ("decided", 3)]
    assert await (await Stream(asker, f"{path}?after=2").open()).end() == [("decided", 3)]
    assert (await Stream(asker, path).open(**{"Last-Event-ID": "3"})).status == 204
    assert await (await Stream(asker, f"{path}?after=3").open()).end() == []


async def test_silence_keeps_alive_and_who_leaves_is_forgotten(asker: Caller, asked: str, settings: Any) -> None:
    settings.SSE_KEEPALIVE_SECONDS = 0.1
    stream = await Stream(asker, f"/approvals/{asked}/events?after=1").open()
    await stream.until(": keepalive\n\n: keepalive")
    await stream.leave()
    await until(lambda: Waiters.here().count == 0)


async def test_a_stream_lives_through_an_undo(asker: Caller, decider: Caller, asked: str, team: Team) -> None:
    await sync_to_async(Team.objects.filter(id=team.id).update)(undo_window_seconds=60)
    stream = await Stream(asker, f"/approvals/{asked}/events").open()
    for path, body, seen in (
        ("decide", {"verdict": "approve"}, "event: decided"),
        ("undo", {}, "event: undone"),
        ("decide", {"verdict": "approve"}, "id: 4"),
    ):
        assert (await decider.post(f"/approvals/{asked}/{path}", body)).status == 200
        await stream.until(seen)
    assert not stream.has_ended
    await sync_to_async(_window_is_over)(asked)
    assert [kind for kind, _ in await stream.end()][-1] == "effective"


def _window_is_over(approval_id: str) -> None:
    Approval.objects.filter(id=approval_id).update(effective_at=timezone.now(), undo_until=timezone.now())
    assert deciding.make_effective(approval_id)


async def test_the_log_page_by_page(asker: Caller, decider: Caller, asked: str) -> None:
    for text in ("a", "b"):
        await decider.post(f"/approvals/{asked}/comment", {"text": text})
    path = f"/approvals/{asked}/events?format=json&limit=2"
    first = (await asker.get(path)).body
    assert ([row["type"] for row in first["data"]], first["has_more"]) == (["requested", "comment"], True)
    second = (await asker.get(f"{path}&after={first['next_after']}")).body
    assert ([row["seq"] for row in second["data"]], second["has_more"], second["next_after"]) == ([3], False, 3)
    assert (await asker.get(f"{path}&after=3")).body["next_after"] == 3


async def test_what_is_done_with_it_stands_in_the_log_of_a_request_that_is_over(
    asker: Caller, decider: Caller, asked: str
) -> None:
    await decider.post(f"/approvals/{asked}/decide", {"verdict": "approve"})
    answer = await asker.open(f"/approvals/{asked}/result", "PUT", b'{"outcome": "executed"}')
    assert answer.status == 200, answer.body
    kinds = [kind for kind, _ in await (await Stream(asker, f"/approvals/{asked}/events").open()).end()]
    assert kinds == ["requested", "decided", "result"]


async def test_a_request_of_a_run_has_the_log_of_its_run(asker: Caller, request_id: str) -> None:
    answer = await asker.get(f"/approvals/{request_id}/events")
    assert (answer.status, answer.body["error"]["code"]) == (404, "NOT_FOUND")
    assert answer.body["error"]["run_id"] in answer.body["error"]["message"]


async def test_whose_it_is_not_sees_no_log(handler: Handler, asked: str, team: Team) -> None:
    scopes = frozenset({"approvals:request"})
    strangers = await sync_to_async(
        lambda: [logs.new_key(logs.new_team()), logs.new_key(team, test=False), logs.new_key(team, scopes=scopes)]
    )()
    for key in strangers:
        for path in ("events", "events?format=json"):
            answer = await Caller(handler, key).get(f"/approvals/{asked}/{path}")
            assert (answer.status, answer.body["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")


async def test_streams_have_places(asker: Caller, asked: str, settings: Any) -> None:
    settings.STREAMS_PER_KEY = 1
    stream = await Stream(asker, f"/approvals/{asked}/events").open()
    assert (await asker.get(f"/approvals/{asked}/events")).status == 429
    await stream.leave()


async def test_an_outage_ends_no_stream(asker: Caller, decider: Caller, asked: str, monkeypatch: Any) -> None:
    stream = await Stream(asker, f"/approvals/{asked}/events").open()
    await stream.until("id: 1")
    readers = Waiters.here().readers
    rows, calls = readers.rows, 0

    async def away_once(*args: Any) -> list[Any]:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise OSError
        return await rows(*args)

    monkeypatch.setattr("approvals.waiting.events.LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(readers, "rows", away_once)
    await decider.post(f"/approvals/{asked}/decide", {"verdict": "approve"})
    assert await stream.end() == [("requested", 1), ("decided", 2)]
    assert calls > 2
    await asyncio.sleep(0)
