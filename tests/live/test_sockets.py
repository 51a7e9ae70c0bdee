"""The websockets of the pages, through the whole ASGI application."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import OperationalError, ProgrammingError
from django.test import Client

from accounts import sockets
from accounts.models import Membership, Team, User
from config.asgi import application
from runs.live import consumers
from runs.live.hub import Hub
from tests.cast import BY_PASSWORD
from tests.live import logs
from tests.live.test_hub import terminate

write = sync_to_async(logs.write)
new_run = sync_to_async(logs.new_run)
Dial = Callable[..., Awaitable[WebsocketCommunicator]]


def sign_in(team: Team, mode: str = "test") -> str:
    """Bob only looks on; his session's cookie."""
    bob = User.objects.create_user(f"bob@{team.slug}.test", "correct horse", "Bob")
    Membership.objects.create(user=bob, team=team, roles=["viewer"])
    client = Client()
    client.force_login(bob, backend=BY_PASSWORD)
    session = client.session
    session["mode"] = mode
    session.save()
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def socket(path: str, cookie: str = "", origin: str | None = "http://localhost") -> WebsocketCommunicator:
    headers = [(b"host", b"localhost")]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    if cookie:
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()))
    return WebsocketCommunicator(application, path, headers=headers)


@asynccontextmanager
async def opened(path: str, cookie: str = "") -> AsyncIterator[WebsocketCommunicator]:
    communicator = socket(path, cookie)
    accepted, _ = await communicator.connect()
    assert accepted
    yield communicator
    await communicator.disconnect()


async def hears(communicator: WebsocketCommunicator, seconds: float = 3) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(await communicator.receive_from(seconds))
    return said


async def code(communicator: WebsocketCommunicator) -> int:
    """The code it is closed with, whatever was said before."""
    while (said := await communicator.receive_output(3))["type"] != "websocket.close":
        pass
    return int(said["code"])


@pytest.fixture
def cookie(team: Team) -> str:
    return sign_in(team)


@pytest.fixture
def strangers_cookie(transactional_db: None) -> str:
    return sign_in(logs.new_team())


async def test_a_run_pokes_with_its_seq_and_its_status(hub: Hub, team: Team, cookie: str) -> None:
    run = await new_run(team, logs.status("queued"), logs.status("running"))
    async with opened(f"/ws/runs/{run.id}?after=2", cookie) as page:
        assert await hears(page) == {"hello": True, "seq": 2}
        await write(run, logs.text("a"))
        assert await hears(page) == {"run": run.id, "seq": 3}
        await write(run, *logs.opening())
        assert await hears(page) == {"run": run.id, "seq": 5, "status": "awaiting_human"}
        await write(run, *logs.decision(), *logs.end())
        assert await hears(page) == {"run": run.id, "seq": 9, "status": "succeeded"}
    assert hub.topics == {}


async def test_a_page_that_is_behind_is_poked_at_once(hub: Hub, team: Team, cookie: str) -> None:
    run = await new_run(team, *logs.WHOLE)
    for query in ("", "?after=3", "?after=x"):
        async with opened(f"/ws/runs/{run.id}{query}", cookie) as page:
            assert await hears(page) == {"hello": True, "seq": len(logs.WHOLE)}
            assert await hears(page) == {"run": run.id, "seq": len(logs.WHOLE), "status": "succeeded"}


async def test_many_events_are_few_pokes_and_the_last_one_comes(hub: Hub, team: Team, cookie: str) -> None:
    run = await new_run(team, logs.status("queued"))
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page:
        await hears(page)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index in range(60):
            await write(run, logs.text(str(index)))
        said = [await hears(page)]
        while said[-1]["seq"] < 61:
            said.append(await hears(page))
        assert len(said) <= 2 + (loop.time() - start) * 10
        assert await page.receive_nothing(0.3)


async def test_who_is_not_signed_in_is_turned_away(hub: Hub, team: Team) -> None:
    run = await new_run(team, logs.status("queued"))
    for path in (f"/ws/runs/{run.id}", "/ws/team"):
        for cookie in ("", "made-up"):
            async with opened(path, cookie) as page:
                assert await code(page) == 4401


async def test_a_run_of_another_team_or_world_does_not_exist(hub: Hub, team: Team, cookie: str) -> None:
    elsewhere = await sync_to_async(logs.new_team)()
    foreign = await new_run(elsewhere, logs.status("queued"))
    live = await sync_to_async(sign_in)(elsewhere, "live")
    for run_id, who in ((foreign.id, cookie), ("run_nobody", cookie), (foreign.id, live)):
        async with opened(f"/ws/runs/{run_id}", who) as page:
            assert await code(page) == 4404


async def test_another_origin_may_not_open_a_socket(hub: Hub, team: Team, cookie: str) -> None:
    """Which origins are others: test_origins.py."""
    for origin in ("https://elsewhere.example", "http://localhost:9000", "null", None):
        accepted, _ = await socket("/ws/team", cookie, origin=origin).connect()
        assert not accepted, origin


async def test_the_team_is_poked_by_each_of_its_runs(hub: Hub, team: Team, cookie: str) -> None:
    foreign = await sync_to_async(logs.new_team)()
    async with opened("/ws/team", cookie) as page:
        assert (await hears(page))["hello"]
        assert (await hears(page))["queue"]["waiting"] == 0
        while not await page.receive_nothing(0.4):  # the first connect of the hub pokes once more
            assert (await hears(page))["team"] == 1
        await new_run(foreign, logs.status("queued"))
        assert await page.receive_nothing(0.4)
        await new_run(team, logs.status("queued"))
        assert await hears(page) == {"team": 1}


async def test_a_socket_beats_until_the_right_is_gone(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.sockets.PersonConsumer.heartbeat", 0.3)
    run = await new_run(team, logs.status("queued"))
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page, opened("/ws/team", cookie) as queue:
        assert await hears(page) == {"hello": True, "seq": 1}
        assert [await hears(page) for _ in range(2)] == [{"beat": 1}] * 2
        while await hears(queue) != {"beat": 1}:
            pass
        await Membership.objects.all().adelete()
        assert [await code(page), await code(queue)] == [4401, 4401]


async def test_signing_out_closes_the_socket(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.sessions.models import Session

    monkeypatch.setattr("accounts.sockets.PersonConsumer.heartbeat", 0.3)
    async with opened("/ws/team", cookie) as queue:
        await hears(queue)
        await Session.objects.all().adelete()
        assert await code(queue) == 4401


async def test_looking_at_the_other_world_elsewhere_leaves_the_socket_alone(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def switch() -> None:
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
        session = client.session
        session["mode"] = "live"
        session.save()

    monkeypatch.setattr("accounts.sockets.PersonConsumer.heartbeat", 0.2)
    run = await new_run(team, logs.status("queued"))
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page:
        await hears(page)
        await sync_to_async(switch)()
        assert [await hears(page) for _ in range(2)] == [{"beat": 1}] * 2


async def test_a_broken_socket_closes_with_a_word_in_the_log(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("runs.live.consumers.pokes", broken)
    async with opened("/ws/team", cookie) as page:
        assert await code(page) == 4500
    assert "/ws/team" in caplog.text


# --- while the database is away


class Outage:
    """The rights of people cannot be asked for, as if PostgreSQL were down, until `over` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: type[Exception] = OperationalError) -> None:
        self.over = False
        self.asked = 0
        real = sockets.person_behind

        def person_behind(*args: Any) -> Any:
            self.asked += 1
            if not self.over:
                raise error("the database system is in recovery mode")
            return real(*args)

        monkeypatch.setattr(sockets, "person_behind", person_behind)


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets.PersonConsumer, "heartbeat", 0.2)


def test_every_close_code_is_one_that_a_server_may_send() -> None:
    """daphne sends no other: the socket would stay open, with nobody behind it."""
    names = {name: value for module in (sockets, consumers) for name, value in vars(module).items()}
    codes = {value for name, value in names.items() if name.isupper() and isinstance(value, int) and value > 999}
    assert codes - {consumers.MOST_BYTES} == {4401, 4404, 4500, 4503}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  nothing rings for it
            await asyncio.sleep(0.01)


async def test_a_socket_waits_for_the_database_and_goes_on(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, quick_beats: None
) -> None:
    run = await new_run(team, logs.status("queued"))
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page:
        assert await hears(page) == {"hello": True, "seq": 1}
        outage = Outage(monkeypatch)
        await until(lambda: outage.asked > 2)
        outage.over = True
        while await hears(page) != {"beat": 1}:
            pass
        await write(run, logs.text("a"))
        while await hears(page) != {"run": run.id, "seq": 2}:
            pass


@pytest.mark.parametrize("path", ["/ws/team", "/ws/runs/{run}?after=1"])
async def test_a_database_that_stays_away_closes_the_socket_by_name(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, quick_beats: None, path: str
) -> None:
    run = await new_run(team, logs.status("queued"))
    async with opened(path.format(run=run.id), cookie) as page:
        await hears(page)
        monkeypatch.setattr(sockets, "PATIENCE", 0.3)
        Outage(monkeypatch)
        assert await code(page) == 4503
    async with opened(path.format(run=run.id), cookie) as page:  # who comes again meanwhile hears the same
        assert await code(page) == 4503


async def test_who_lost_the_right_meanwhile_hears_no_more_of_it(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, quick_beats: None
) -> None:
    run = await new_run(team, logs.status("queued"))
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page:
        await hears(page)
        outage = Outage(monkeypatch)
        await until(lambda: outage.asked > 0)
        await Membership.objects.all().adelete()
        await write(run, logs.text("a"))
        outage.over = True
        while (said := await page.receive_output(3))["type"] != "websocket.close":
            assert "seq" not in said["text"]
        assert said["code"] == 4401


async def test_after_an_outage_the_right_is_asked_for_before_anything_is_said(
    hub: Hub, team: Team, cookie: str, backends: Any
) -> None:
    """However long it is until the next heartbeat."""
    async with opened("/ws/team", cookie) as page:
        while not await page.receive_nothing(0.4):
            await hears(page)
        await Membership.objects.all().adelete()
        await sync_to_async(terminate)(await sync_to_async(backends)("listen"))
        said = await page.receive_output(3)
        assert (said["type"], said.get("code")) == ("websocket.close", 4401)


async def test_a_fault_that_is_no_outage_is_not_waited_for(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Outage(monkeypatch, ProgrammingError)
    async with opened("/ws/team", cookie) as page:
        assert await code(page) == 4500


async def test_a_look_that_cannot_be_looked_up_is_passed_over(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, quick_beats: None
) -> None:
    def away(*args: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(consumers, "get_approval", away)
    async with opened("/ws/team", cookie) as page:
        await hears(page)
        await page.send_to(text_data=json.dumps({"look": "apr_x"}))
        for _ in range(2):
            while await hears(page) != {"beat": 1}:
                pass


async def test_a_page_that_leaves_while_the_database_hangs_leaves_nothing_behind(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = asyncio.Event()

    async def say_look(*args: Any) -> None:
        if args[-1] == "":
            hanging.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(consumers, "say_look", say_look)
    request = await sync_to_async(logs.new_request)(team)
    page = socket("/ws/team", cookie)
    await page.connect()
    await hears(page)
    await page.send_to(text_data=json.dumps({"look": request.id}))
    await until(lambda: bool(hub.teams))
    await page.send_input({"type": "websocket.disconnect", "code": 1001})
    async with asyncio.timeout(5):
        await hanging.wait()
    assert hub.teams == {}  # nobody watches any more
    page.future.cancel()  # as the server does after a while
    with suppress(asyncio.CancelledError):
        await page.future


async def queue_news(page: WebsocketCommunicator) -> dict[str, Any]:
    """The next word about the queue."""
    while "queue" not in (said := await hears(page)):
        pass
    return dict(said["queue"])


async def test_pages_hear_what_left_the_queue_and_how_many_wait(hub: Hub, team: Team, cookie: str) -> None:
    first, second = [await sync_to_async(logs.new_request)(team) for _ in range(2)]
    async with opened("/ws/team", cookie) as page:
        assert (await queue_news(page))["waiting"] == 2
        await sync_to_async(logs.close_request)(first)
        while (said := await queue_news(page))["waiting"] != 1:
            pass
        assert said["closed"] == [first.id]
        assert second.id not in said["closed"]


async def test_news_that_could_not_be_read_come_when_the_database_is_back(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync_to_async(logs.new_request)(team)
    read, tries = hub.readers.rows, 0

    async def rows(*args: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise psycopg.OperationalError
        return await read(*args)

    monkeypatch.setattr(hub.readers, "rows", rows)
    monkeypatch.setattr("runs.live.team_changes.LONGEST_PAUSE", 0.05)
    async with opened("/ws/team", cookie) as page:
        assert await queue_news(page) == {"waiting": 1, "closed": [], "spread": 0.01}


async def test_what_breaks_the_hub_is_logged_and_it_goes_on(
    hub: Hub, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = await new_run(team, logs.status("queued"))
    heard, calls = Hub.heard, 0

    def breaks_once(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        heard(*args)

    monkeypatch.setattr(Hub, "heard", breaks_once)
    async with opened(f"/ws/runs/{run.id}?after=1", cookie) as page:
        await hears(page)
        await until(lambda: bool(hub.topics))
        for index in range(3):
            await write(run, logs.text(str(index)))
        while (await hears(page)).get("seq") != 4:
            pass
    assert "Live updates failed" in caplog.text


async def test_a_step_of_a_run_is_no_news_of_the_queue(hub: Hub, team: Team, cookie: str) -> None:
    run = await new_run(team, logs.status("queued"))
    async with opened("/ws/team", cookie) as page:
        while not await page.receive_nothing(0.4):
            await hears(page)
        await write(run, logs.text("a step"))
        assert await hears(page) == {"team": 1}


async def test_who_looks_at_a_request_is_told_to_the_team_until_they_leave(
    hub: Hub, team: Team, cookie: str, strangers_cookie: str
) -> None:
    request = await sync_to_async(logs.new_request)(team)
    async with opened("/ws/team", cookie) as page, opened("/ws/team", strangers_cookie) as elsewhere:
        async with opened("/ws/team", cookie) as other:
            await hears(other)
            await other.send_to(text_data=json.dumps({"look": request.id}))
            while not (looks := (await hears(page)).get("looks")):
                pass
            assert [[approval, name] for approval, _, name in looks] == [[request.id, "Bob"]]
        while (await hears(page)).get("looks") != []:
            pass
        while not await elsewhere.receive_nothing(0.3):
            assert not (await hears(elsewhere)).get("looks")


async def test_what_a_page_says_wrongly_is_passed_over(hub: Hub, team: Team, cookie: str) -> None:
    async with opened("/ws/team", cookie) as page:
        for word in ("[]", "{", '{"look": 7}', '{"look": "apr_of_somebody_else"}', "x" * 5000):
            await page.send_to(text_data=word)
            await asyncio.sleep(0.25)  # sooner words are passed over anyway
        while not await page.receive_nothing(0.3):
            assert not (await hears(page)).get("looks")
