"""T-191: links to a machine's live screen: what they open, for whom, and how they end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, Membership
from config.asgi import application
from machines.live import hands, tokens
from tests.cast import Api, Cast
from tests.screens.conftest import PATIENCE, Look, Screen, Viewer, release, take, until

ALL = frozenset({"connection:read", "machines:read", "actions:exec"})


def links(
    people: Cast, machine: str, *, status: int = 200, scopes: frozenset[str] = ALL, **more: Any
) -> dict[str, Any]:
    answer = people.api(test=True, scopes=scopes, **more).get(f"/machines/{machine}/connection")
    assert answer.status_code == status, answer.content
    if status == 200:
        assert answer["Cache-Control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def token_of(url: str) -> str:
    return urlsplit(url).fragment


@asynccontextmanager
async def linked(token: str, *headers: tuple[bytes, bytes]) -> AsyncIterator[Viewer]:
    communicator = WebsocketCommunicator(application, "/ws/screen", headers=[(b"host", b"localhost"), *headers])
    accepted, _ = await communicator.connect(PATIENCE)
    assert accepted
    await communicator.send_to(text_data=token)
    try:
        yield Viewer(communicator)
    finally:
        await communicator.disconnect(timeout=PATIENCE)


async def test_a_program_watches_with_the_token_as_its_first_message(
    machine: str, screen: Screen, people: Cast
) -> None:
    found = await sync_to_async(links)(people, machine)
    assert (found["screen_width"], found["screen_height"], found["control_url"]) == (1280, 800, None)
    assert found["websocket_url"].endswith("/ws/screen")
    assert token_of(found["view_url"]) == found["token"]
    async with linked(found["token"]) as program:
        assert await program.picture() == b"first"
        screen.draw(b"second")
        assert await program.picture() == b"second"


def test_the_page_of_a_link_needs_no_session_and_holds_no_token(machine: str, people: Cast) -> None:
    found = links(people, machine)
    answer = Client().get(urlsplit(found["view_url"]).path)
    assert answer.status_code == 200
    assert answer["Referrer-Policy"] == "no-referrer"
    assert found["token"] not in answer.content.decode()


async def test_a_view_link_sends_no_input_even_of_who_holds_the_lease(
    machine: str, screen: Screen, people: Cast
) -> None:
    key = await sync_to_async(people.api)(test=True, scopes=ALL)
    lease = await sync_to_async(_taken)(key, machine)
    found = await sync_to_async(lambda: key.get(f"/machines/{machine}/connection").json())()
    async with linked(found["token"]) as program:
        await program.picture()
        assert program.state["control"]["mine"] is False
        await program.say(lease=lease, events=[["text", "a"]])
        assert await program.hears("refused", bool) == hands.ONLY_WATCHING
        assert screen.given == []
    async with linked(token_of(found["control_url"])) as program:
        await program.picture()
        await program.say(lease="tko_other", events=[["text", "a"]])
        assert await program.hears("refused", bool) == hands.ONLY_WATCHING
        await program.say(lease=lease, events=[["text", "a"]])
        await until(lambda: len(screen.given) == 1)


def _taken(key: Api, machine: str) -> str:
    answer = key.post(f"/machines/{machine}/takeover", {})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["id"])


@pytest.mark.parametrize("end", ["key", "expiry"])
async def test_a_link_ends_with_the_key_that_made_it(machine: str, screen: Screen, people: Cast, end: str) -> None:
    found = await sync_to_async(links)(people, machine)
    fields = {"revoked_at": timezone.now()} if end == "key" else {"expires_at": timezone.now()}
    async with linked(found["token"]) as program:
        await program.picture()
        await sync_to_async(ApiKey.objects.update)(**fields)
        assert await program.code() == 4401
    async with linked(found["token"]) as program:
        assert await program.code() == 4401


async def test_a_persons_link_ends_with_their_membership(machine: str, screen: Screen, people: Cast) -> None:
    token = await sync_to_async(lambda: tokens.issue(people.actor("olga", test=True), machine))()
    async with linked(token) as page:
        await page.picture()
        await sync_to_async(Membership.objects.filter(user=people.people["olga"]).delete)()
        assert await page.code() == 4401


@pytest.mark.parametrize("token", ["", "made up", "a:b:c", "x" * 9000])
async def test_no_other_token_opens_anything(machine: str, screen: Screen, token: str) -> None:
    if not token:
        with pytest.raises(tokens.BadToken):
            tokens.read(token)
        return
    async with linked(token) as program:
        assert await program.code() == 4401
    assert screen.asked == 0


async def test_a_token_is_over_after_an_hour_and_for_its_machine_only(
    machine: str, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await sync_to_async(people.actor)("olga", test=True)
    token = tokens.issue(actor, machine)
    assert tokens.read(token).machine == machine
    monkeypatch.setattr(tokens, "LIFE", tokens.LIFE * 0)
    with pytest.raises(tokens.BadToken):
        tokens.read(token)


async def test_pages_of_others_may_not_open_it(machine: str, people: Cast) -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"https://elsewhere.example")]
    accepted, _ = await WebsocketCommunicator(application, "/ws/screen", headers=headers).connect(PATIENCE)
    assert not accepted


async def test_a_view_link_shows_no_private_takeover_not_even_its_holders(
    machine: str, screen: Screen, people: Cast
) -> None:
    token = await sync_to_async(lambda: tokens.issue(people.actor("ana", test=True), machine))()
    await sync_to_async(Membership.objects.filter(user=people.people["ana"]).update)(roles=["operator"])
    lease = await sync_to_async(take)(people, machine, private=True)
    async with linked(token) as page:
        assert await page.code() == 4403
    await sync_to_async(release)(people, lease)
    async with linked(token) as page:
        assert await page.picture() == b"first"


async def test_a_link_for_control_ends_with_its_lease_and_shows_nothing_of_the_next(
    machine: str, screen: Screen, people: Cast
) -> None:
    lease = await sync_to_async(take)(people, machine, "olga")
    token = await sync_to_async(lambda: tokens.issue(people.actor("olga", test=True), machine, lease.id))()
    async with linked(token) as page:
        assert await page.picture() == b"first"
        await sync_to_async(release)(people, lease, "olga")
        await sync_to_async(take)(people, machine, "olga", private=True)
        screen.draw(b"private")
        assert await page.code() == 4401
    async with linked(token) as page:
        assert await page.code() == 4401


async def test_strangers_with_a_link_take_no_place_of_who_made_it(
    machine: str, screen: Screen, people: Cast, look: Look
) -> None:
    token = await sync_to_async(lambda: tokens.issue(people.actor("olga", test=True), machine))()
    async with linked(token) as one, linked(token) as two, linked(token) as three:
        for page in (one, two, three):
            await page.picture()
        async with linked(token) as fourth:
            assert await fourth.code() == 4429
        async with look("olga", machine) as olga:
            await olga.picture()


def test_who_may_not_read_connections_gets_no_link(machine: str, people: Cast) -> None:
    links(people, machine, status=403, scopes=frozenset({"machines:read"}))
