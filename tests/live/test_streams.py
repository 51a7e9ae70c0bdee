"""The streams over HTTP, through the whole of Django."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import Client

from accounts.models import Team
from runs.live.hub import Hub
from runs.models import RunEvent
from tests.live import logs
from tests.live.reading import Block, Streams, first, leave

write = sync_to_async(logs.write)
new_run = sync_to_async(logs.new_run)


async def test_T_112_ids_are_gapless_and_each_replay_is_the_same(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    blocks = await streams.all(f"{run.id}/events")
    assert [b.id for b in blocks] == list(range(1, len(logs.WHOLE) + 1))
    assert [(b.event, b.data) for b in blocks] == logs.WHOLE
    assert [b.event for b in blocks].count("done") == 1
    assert [b.raw for b in await streams.all(f"{run.id}/events")] == [b.raw for b in blocks]


async def test_T_114_the_larger_cursor_counts(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    cases: list[tuple[str, dict[str, str], int]] = [
        ("", {"Last-Event-ID": "5"}, 6),
        ("?after=5", {}, 6),
        ("?after=3", {"Last-Event-ID": "5"}, 6),
        ("?after=5", {"Last-Event-ID": "3"}, 6),
        ("?after=-5", {}, 1),
        ("?after=5.0", {"Last-Event-ID": "²"}, 1),
        ("?after=", {"Last-Event-ID": "words"}, 1),
        (f"?after={'9' * 5000}", {}, len(logs.WHOLE) + 1),
        (f"?after={'0' * 5000}5", {}, 6),
    ]
    for query, headers, start in cases:
        blocks = await streams.all(f"{run.id}/events{query}", **headers)
        assert [b.id for b in blocks] == list(range(start, len(logs.WHOLE) + 1)), query


async def test_T_115_a_cursor_at_the_end_of_a_finished_run_closes_at_once(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    for after in (len(logs.WHOLE), len(logs.WHOLE) + 1, 10**30):
        for path in ("events", "events/stream"):
            response = await streams.open(f"{run.id}/{path}?after={after}")
            assert [chunk async for chunk in response.streaming_content if chunk] == []


@pytest.mark.parametrize("path", ["events", "events/stream"])
async def test_T_175_a_finished_run_has_no_more_for_who_comes_again(streams: Streams, team: Team, path: str) -> None:
    run, end = await new_run(team, *logs.WHOLE), len(logs.WHOLE)
    codes = {
        ("", str(end)): 204, ("", str(end + 7)): 204, ("", "9" * 40): 204, ("?after=0", str(end)): 204,
        (f"?after={end + 7}", str(end)): 204, (f"?after={end}", ""): 200, (f"?after={end}", "0"): 200,
        (f"?after={end}", str(end - 1)): 200, ("", str(end - 1)): 200, ("", f"-{end}"): 200, ("", f"{end}.0"): 200,
        ("?format=json", str(end)): 200,
    }  # fmt: skip
    for (query, header), code in codes.items():
        address = f"{run.id}/{path}{query}"
        head = await streams.client.head(
            f"/v1/runs/{address}", headers={"X-API-Key": streams.key, "Last-Event-ID": header}
        )
        answer = await streams.open(address, **{"Last-Event-ID": header})
        assert (answer.status_code, head.status_code) == (code, code), (query, header)
        if code == 204:
            assert answer.content == head.content == b""
            assert "Content-Type" not in answer
            assert answer["Cache-Control"] == "no-cache, no-transform"
        answer.close()


async def test_T_175_a_log_that_was_forgotten_ends_for_who_saw_its_end(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    await RunEvent.objects.filter(run_id=run.id).adelete()
    [again] = await streams.all(f"{run.id}/events", **{"Last-Event-ID": "3"})
    assert (await streams.open(f"{run.id}/events", **{"Last-Event-ID": str(again.id)})).status_code == 204


async def test_a_run_that_goes_on_waits_for_who_saw_all_of_it(
    streams: Streams, team: Team, fast_keepalive: None
) -> None:
    run = await new_run(team, logs.status("queued"), logs.status("running"), *logs.opening())
    for path in ("events", "events/stream"):
        stream = await streams.live(f"{run.id}/{path}", **{"Last-Event-ID": "4"})
        assert await first(stream, str) == ": keepalive"
        await leave(stream)


async def test_T_116_a_waiting_stream_keeps_alive_and_goes_on(
    streams: Streams, team: Team, fast_keepalive: None
) -> None:
    run = await new_run(team, logs.status("queued"), logs.status("running"), *logs.opening())
    stream = await streams.live(f"{run.id}/events")
    assert [(await first(stream)).event for _ in range(4)] == ["status", "status", "status", "awaiting_human"]
    assert [await first(stream, str) for _ in range(3)] == [": keepalive"] * 3
    await write(run, *logs.decision(), *logs.end())
    rest = [part async for part in stream if isinstance(part, Block)]
    assert [b.event for b in rest] == ["resumed", "status", "status", "done"]


async def test_T_118_headers_and_form_of_the_plain_stream(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE, status="succeeded", finished_at="2026-03-26T14:35:01Z")
    response = await streams.open(f"{run.id}/events")
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response["Cache-Control"] == "no-cache, no-transform"
    assert response["X-Accel-Buffering"] == "no"
    assert response["X-Request-Id"].startswith("req_")
    assert response["X-Test-Mode"] == "true"
    raw = b"".join([chunk async for chunk in response.streaming_content])
    assert raw.startswith(b'id: 1\nevent: status\ndata: {"status":"queued"}\n\nid: 2\n')
    assert raw.endswith(b"}\n\n")


async def test_T_120_envelopes_keep_the_seq_of_the_log(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    blocks = await streams.all(f"{run.id}/events/stream")
    assert {b.event for b in blocks} == {"run_event"}
    assert [b.id for b in blocks] == [b.data["seq"] for b in blocks]
    assert list(blocks[0].data) == ["seq", "type", "timestamp", "payload"]
    assert blocks[-1].data["type"] == "run.worker.succeeded"
    for after in (1, 7, 12, 17):
        assert [b.raw for b in await streams.all(f"{run.id}/events/stream?after={after}")] == [
            b.raw for b in blocks if b.id > after
        ]


async def test_a_cursor_beyond_the_end_of_an_active_run_waits(
    streams: Streams, team: Team, fast_keepalive: None
) -> None:
    run = await new_run(team, logs.status("queued"), logs.status("running"))
    for path in ("events", "events/stream"):
        stream = await streams.live(f"{run.id}/{path}?after=4")
        assert await first(stream, str) == ": keepalive"
        await leave(stream)
    stream, far = await streams.live(f"{run.id}/events?after=4"), await streams.live(f"{run.id}/events?after=400")
    await write(run, *logs.step(1), *logs.end())
    assert [part.id async for part in stream if isinstance(part, Block)] == list(range(5, 12))
    assert [part async for part in far if isinstance(part, Block)] == []


@pytest.mark.parametrize("path", ["events", "events/stream"])
async def test_T_124_a_cursor_older_than_the_log_gives_one_resync(streams: Streams, team: Team, path: str) -> None:
    run = await new_run(team, *logs.WHOLE, metadata={"a": 1})
    await RunEvent.objects.filter(run_id=run.id, seq__lte=10).adelete()
    again, *kept = await streams.all(f"{run.id}/{path}?after=4")
    assert again.id == 10
    value = again.data if path == "events" else again.data["payload"]["value"]
    assert (value["after"], value["oldest_seq"], value["latest_seq"]) == (4, 11, len(logs.WHOLE))
    assert value["run"]["id"] == run.id
    if path == "events":
        assert again.event == "resync"
        assert [b.id for b in kept] == list(range(11, len(logs.WHOLE) + 1))
    else:
        assert again.data["type"] == "run.resync"
        assert not {"task", "metadata", "input"} & set(value["run"])
        assert again.data["payload"]["redacted"] is True
    assert (await streams.all(f"{run.id}/events?after=10"))[0].id == 11
    page = await streams.page(f"{run.id}/{path}?format=json&after=4&limit=1")
    assert (page["data"][0]["seq"], page["next_after"], page["has_more"]) == (10, 10, True)


async def test_T_124_a_log_without_any_row_left_is_one_resync(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    await RunEvent.objects.filter(run_id=run.id).adelete()
    [again] = await streams.all(f"{run.id}/events")
    assert (again.id, again.data["oldest_seq"]) == (len(logs.WHOLE), len(logs.WHOLE) + 1)
    assert await streams.all(f"{run.id}/events?after={again.id}") == []


async def test_T_125_pages_of_the_log(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE[:-2])
    page = await streams.page(f"{run.id}/events?format=json&limit=5")
    assert list(page) == ["object", "data", "has_more", "next_after", "request_id"]
    assert page["object"] == "list"
    assert [row["seq"] for row in page["data"]] == [1, 2, 3, 4, 5]
    assert list(page["data"][0]) == ["seq", "type", "created_at", "data"]
    assert (page["has_more"], page["next_after"]) == (True, 5)
    rest = await streams.page(f"{run.id}/events?after=5", Accept="application/json")
    assert [row["seq"] for row in rest["data"]] == list(range(6, len(logs.WHOLE) - 1))
    assert (rest["has_more"], rest["next_after"]) == (False, len(logs.WHOLE) - 2)
    none = await streams.page(f"{run.id}/events?format=json&after={rest['next_after']}")
    assert (none["data"], none["has_more"], none["next_after"]) == ([], False, rest["next_after"])


async def test_T_125_pages_of_envelopes_add_up_to_the_stream(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    found: list[dict[str, Any]] = []
    after, more = 0, True
    while more:
        page = await streams.page(f"{run.id}/events/stream?format=json&limit=3&after={after}")
        found += page["data"]
        after, more = page["next_after"], page["has_more"]
    assert found == [b.data for b in await streams.all(f"{run.id}/events/stream")]


async def test_T_125_a_wrong_limit_is_400(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    for limit in ("0", "201", "-1", "x", ""):
        response = await streams.open(f"{run.id}/events?format=json&limit={limit}")
        assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_LIMIT")


async def test_accept_with_event_stream_streams(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    response = await streams.open(f"{run.id}/events", Accept="application/json, text/event-stream")
    assert response["Content-Type"].startswith("text/event-stream")


async def test_an_unknown_run_is_404_before_any_byte(streams: Streams, team: Team) -> None:
    foreign = await new_run(await sync_to_async(logs.new_team)(), *logs.WHOLE)
    for run_id in ("run_nobody", foreign.id):
        for path in ("events", "events/stream", "events?format=json", "events?format=json&limit=0"):
            response = await streams.open(f"{run_id}/{path}")
            assert (response.status_code, response["Content-Type"]) == (404, "application/json")
            assert response.json()["error"]["code"] == "RUN_NOT_FOUND"


async def test_a_key_without_the_scope_reads_nothing(streams: Streams, team: Team) -> None:
    run = await new_run(team, *logs.WHOLE)
    poor = Streams(streams.client, await sync_to_async(logs.new_key)(team, scopes=frozenset({"usage"})))
    response = await poor.open(f"{run.id}/events")
    assert (response.status_code, response.json()["error"]["required_scope"]) == (403, "runs:read")


async def test_so_many_streams_per_key_and_a_closed_one_makes_room(
    streams: Streams, team: Team, settings: Any, fast_keepalive: None
) -> None:
    settings.STREAMS_PER_KEY = 2
    run = await new_run(team, logs.status("queued"))
    held = [await streams.live(f"{run.id}/events") for _ in range(2)]
    assert (await first(held[0])).id == 1
    refused = await streams.open(f"{run.id}/events")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
    assert int(refused["Retry-After"]) == refused.json()["error"]["retry_after"] > 0
    other = Streams(streams.client, await sync_to_async(logs.new_key)(team))
    assert (await first(await other.live(f"{run.id}/events"))).id == 1
    await leave(held.pop(0))
    unread = await streams.open(f"{run.id}/events")
    assert unread.status_code == 200
    assert (await streams.open(f"{run.id}/events")).status_code == 429
    unread.close()  # the client left before the stream began
    await asyncio.sleep(0.1)
    assert (await streams.open(f"{run.id}/events")).status_code == 200


async def test_so_many_connects_per_minute_and_run(streams: Streams, team: Team, settings: Any) -> None:
    settings.STREAM_CONNECTS_PER_MINUTE = 3
    run, other = await new_run(team, *logs.WHOLE), await new_run(team, *logs.WHOLE)
    codes = [(await streams.open(f"{run.id}/events")).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert (await streams.open(f"{other.id}/events")).status_code == 200
    assert (await streams.open(f"{run.id}/events?format=json")).status_code == 200


async def test_a_stream_ends_after_its_longest_life(
    streams: Streams, team: Team, monkeypatch: pytest.MonkeyPatch, fast_keepalive: None
) -> None:
    monkeypatch.setattr("runs.live.streams.LIFE_SECONDS", 0.3)
    run = await new_run(team, logs.status("queued"))
    assert [b.id for b in await streams.all(f"{run.id}/events")] == [1]


async def test_rows_without_an_envelope_do_not_silence_the_keepalive(
    streams: Streams, team: Team, fast_keepalive: None
) -> None:
    run = await new_run(team, logs.status("queued"))
    stream = await streams.live(f"{run.id}/events/stream")
    await first(stream)
    for words in "abcd":
        await write(run, logs.text(words))
        assert await first(stream, str, seconds=0.4) == ": keepalive"


async def test_leaving_unsubscribes(streams: Streams, team: Team, hub: Hub) -> None:
    run = await new_run(team, logs.status("queued"))
    stream = await streams.live(f"{run.id}/events")
    await first(stream)
    assert len(hub.topics[run.id].bells) == 1
    await leave(stream)
    assert hub.topics == {}


def test_a_server_that_cannot_wait_gives_what_is_stored(team: Team, key: str) -> None:
    run = logs.new_run(team, logs.status("queued"), logs.status("running"))
    response = Client().get(f"/v1/runs/{run.id}/events?after=1", headers={"X-API-Key": key})
    assert response.getvalue() == b'id: 2\nevent: status\ndata: {"status":"running"}\n\n'
    connections.close_all()
