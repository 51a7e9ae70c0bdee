"""Watching a machine's screen: who may, what they are sent, what it costs, and how it ends."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import OperationalError

from accounts.models import Membership
from machines.actions import typed_secrets
from machines.live import consumers, feeds
from tests.cast import Cast, make_cast
from tests.screens.conftest import Look, Screen, change, release, take, until


async def test_who_may_see_machines_gets_the_screen_and_each_change_of_it(
    look: Look, machine: str, screen: Screen
) -> None:
    async with look("bob", machine) as bob:
        assert await bob.picture() == b"first"
        assert bob.state["hello"]
        assert (bob.state["kind"], bob.state["width"], bob.state["height"]) == ("simulated", 1280, 800)
        assert (bob.state["control"], bob.state["status"]) == (None, "running")
        for picture in (b"second", b"third"):
            screen.draw(picture)
            assert await bob.picture() == picture
    assert screen.closed


async def test_the_picture_of_a_simulated_machine_is_a_jpeg_of_its_screen(look: Look, machine: str) -> None:
    async with look("bob", machine) as bob:
        assert (await bob.picture()).startswith(b"\xff\xd8\xff")


async def test_many_viewers_share_one_screen_and_one_who_comes_late_sees_it_at_once(
    look: Look, machine: str, screen: Screen
) -> None:
    async with look("bob", machine) as bob, look("ana", machine) as ana:
        assert await bob.picture() == await ana.picture() == b"first"
        assert set(await bob.hears("watching", lambda names: len(names) == 2)) == {"Bob", "Ana"}
        assert len(feeds.feeds()) == 1
        async with look("olga", machine) as olga:
            assert await olga.picture() == b"first"
            asked = screen.asked
            screen.draw(b"second")
            assert await olga.picture() == b"second"
            assert screen.asked <= asked + 2
        await ana.hears("watching", lambda names: len(names) == 2)


@pytest.mark.parametrize("who", ["", "charlie"])
async def test_nobody_else_gets_anything(look: Look, machine: str, screen: Screen, people: Cast, who: str) -> None:
    if who:
        strangers = await sync_to_async(make_cast)("others")
        look = Look(strangers)
    async with look("bob" if who else "", machine) as page:
        assert await page.code() == (4404 if who else 4401)
    assert screen.asked == 0


async def test_the_other_world_has_other_machines(look: Look, machine: str, screen: Screen) -> None:
    async with look("bob", machine, mode="live") as page:
        assert await page.code() == 4404


@pytest.mark.parametrize("end", ["sign-out", "membership"])
async def test_a_sign_out_and_a_removed_membership_end_the_stream_within_two_seconds(
    look: Look, machine: str, screen: Screen, people: Cast, end: str
) -> None:
    async with look("bob", machine) as bob:
        await bob.picture()
        await sync_to_async(_end)(people, end)
        assert await bob.code() == 4401
    assert consumers.CHECK_SECONDS <= 1


def _end(people: Cast, end: str) -> None:
    if end == "sign-out":
        Session.objects.all().delete()
    else:
        Membership.objects.filter(user=people.people["bob"]).delete()


async def test_who_does_not_read_gets_two_pictures_and_the_newest_when_they_read_again(
    look: Look, machine: str, screen: Screen
) -> None:
    async with look("bob", machine) as bob:
        bob.reads = False
        await bob.picture()
        screen.draw(b"second")
        await bob.picture()
        for number in range(20):
            screen.draw(b"%d" % number)
        assert await bob.pictures_for(0.5) == []
        await bob.say(seen=1)
        assert await bob.picture() == b"19"


async def test_for_nobody_who_reads_no_picture_is_made(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "REST_SECONDS", 0.1)
    async with look("bob", machine) as bob:
        await bob.picture()
        await bob.say(pause=True)
        (viewer,) = feeds.feeds()[machine].viewers
        await until(lambda: viewer.paused)
        screen.draw(b"second")
        await until(lambda: screen.rests)
        asked = screen.asked
        screen.draw(b"third")
        assert await bob.pictures_for(0.5) == []
        assert screen.asked == asked
        await bob.say(pause=False)
        assert await bob.picture() == b"third"


async def test_who_sees_nothing_for_long_is_let_go(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "SILENT_SECONDS", 0.1)
    async with look("bob", machine) as bob:
        bob.reads = False
        await bob.picture()
        assert await bob.code() == 4408


async def test_a_machine_has_so_many_viewers_and_a_person_so_many_screens(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with look("bob", machine) as one, look("bob", machine) as two, look("bob", machine) as three:
        for page in (one, two, three):
            await page.picture()
        async with look("bob", machine) as fourth:
            assert await fourth.code() == 4429
        monkeypatch.setattr(feeds, "MOST_VIEWERS", 3)
        async with look("ana", machine) as ana:
            assert await ana.code() == 4429


async def test_a_private_takeover_ends_the_streams_of_others_and_nothing_of_it_leaves(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    async with look("bob", machine) as bob, look("ana", machine) as ana:
        await bob.picture()
        await ana.picture()
        lease = await sync_to_async(take)(people, machine, private=True)
        screen.draw(b"secret")
        assert await bob.code(before=b"first") == 4403
        while await ana.picture() != b"secret":  # what was on its way before
            continue
        assert ana.state["control"] | {"lease": lease.id} == ana.state["control"]
        async with look("bob", machine) as again:
            assert await again.code() == 4403


async def test_a_picture_of_a_private_takeover_that_has_just_ended_is_not_shown(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await sync_to_async(take)(people, machine, private=True)
    await sync_to_async(release)(people, lease)
    async with look("bob", machine) as bob:
        assert await bob.picture() == b"first"
        screen.age = 30.0  # it was long on its way
        screen.draw(b"secret")
        await asyncio.sleep(0.3)
        screen.age, screen.now = 0.0, b"harmless"
        assert await bob.picture() == b"harmless"


async def test_control_is_told_and_only_its_holder_learns_the_lease(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    async with look("bob", machine) as bob, look("ana", machine) as ana:
        lease = await sync_to_async(take)(people, machine)
        seen = await bob.hears("control", bool)
        assert (seen["name"], seen["mine"], "lease" in seen) == ("Ana", False, False)
        assert (await ana.hears("control", bool))["lease"] == lease.id
        await sync_to_async(release)(people, lease)
        assert await bob.hears("control", lambda now: now is None) is None


async def test_a_screen_with_typed_secrets_is_asked_for_with_them_hidden(
    look: Look, machine: str, screen: Screen
) -> None:
    async with look("bob", machine) as bob:
        await bob.picture()
        await sync_to_async(typed_secrets.remember)(machine, ["hunter2-hunter2"])
        screen.draw(b"with the secret in it")
        await bob.picture()
        assert screen.hidden[-1] == ["hunter2-hunter2"] or ["hunter2-hunter2"] in screen.hidden


async def test_a_machine_that_stops_or_falls_over_is_told_of_and_shown_again_when_it_is_back(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RETRY_SECONDS", 0.05)
    async with look("bob", machine) as bob:
        await bob.picture()
        await sync_to_async(change)(machine, status="stopped")
        await bob.hears("status", lambda status: status == "stopped")
        await sync_to_async(change)(machine, status="running")
        await bob.hears("status", lambda status: status == "running")
        assert await bob.picture() == b"first"
        screen.gone = True
        screen.draw(b"second")
        await bob.hears("away", bool)
        screen.gone = False
        assert await bob.picture() == b"second"
        assert await bob.hears("away", lambda words: not words) == ""


async def test_nothing_is_shown_while_the_rows_cannot_be_asked(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = feeds.standing_of, True

    def standing_of(machine_id: str) -> Any:
        if away:
            raise OperationalError("the database system is in recovery mode")
        return real(machine_id)

    monkeypatch.setattr(feeds, "RETRY_SECONDS", 0.05)
    async with look("bob", machine) as bob:
        await bob.picture()
        monkeypatch.setattr(feeds, "standing_of", standing_of)
        screen.draw(b"second")
        await asyncio.sleep(0.3)
        away = False
        assert await bob.picture() == b"second"


@pytest.mark.parametrize(
    "words", ["[", "[]", "3", '{"seen": {}}', '{"pause": []}', "[" * 5000, '{"x":"%s"}' % ("y" * 9000)]
)
async def test_what_is_not_understood_is_passed_over(look: Look, machine: str, screen: Screen, words: str) -> None:
    async with look("bob", machine) as bob:
        await bob.picture()
        await bob.communicator.send_to(text_data=words)
        screen.draw(b"second")
        assert await bob.picture() == b"second"


async def test_a_small_picture_comes_once_a_second_at_most_and_counts_as_no_viewer(
    look: Look, machine: str, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "as_jpeg", lambda jpeg, width: b"small " + jpeg)
    monkeypatch.setattr(consumers, "SMALL_SECONDS", 3600)
    async with look("bob", machine, "?small=1") as bob:
        assert await bob.picture() == b"small first"
        assert screen.calm
        for number in range(20):
            screen.draw(b"%d" % number)
        assert await bob.pictures_for(0.5) == []
        feed = feeds.feeds()[machine]
        feed.viewers[0].rests_until = 0  # the second is over
        feed.renew()
        assert (await bob.picture()).startswith(b"small ")
        async with look("ana", machine) as ana:
            await ana.picture()
            assert not screen.calm
            assert ana.state["watching"] == ["Ana"]


async def test_who_watches_may_ask_for_control_and_only_its_holder_hears_it(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await sync_to_async(take)(people, machine)
    async with look("ana", machine) as ana, look("olga", machine) as olga, look("bob", machine) as bob:
        for page in (ana, olga, bob):
            await page.hears("hello", bool)
        await bob.say(ask=1)  # a viewer may not take control
        await ana.say(ask=1)  # nor does its holder ask
        await olga.say(ask=1)
        assert await ana.hears("asks", bool) == ["Olga"]
        await sync_to_async(release)(people, lease)
        await olga.hears("control", lambda control: control is None)
        await sync_to_async(take)(people, machine, "olga")
        assert (await olga.hears("control", bool))["mine"]
        assert "asks" not in olga.state
        assert "asks" not in bob.state
