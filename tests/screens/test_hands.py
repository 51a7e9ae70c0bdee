"""A person's hands at a live screen: done only with the living lease of the very person, and never anything else."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import AuditEntry, Membership
from machines.drivers.live_screen import Input
from machines.live import feeds, hands, input_events
from machines.models import TakeoverLease
from tests.cast import Cast
from tests.chance import TRIED
from tests.screens.conftest import PATIENCE, Look, Screen, Viewer, change, release, take, until

WATCH = hands.ONLY_WATCHING
A, CLICK = ["text", "a"], ["down", 5, 6, "left", 1, []]


async def hand(viewer: Viewer, lease: str, *events: Any) -> None:
    await viewer.hears("hello", bool)
    viewer.state.pop("refused", None)
    await viewer.say(lease=lease, events=list(events))


async def refused(viewer: Viewer) -> str:
    return str(await viewer.hears("refused", bool))


async def taken(look: Look, people: Cast, machine: str, name: str = "ana", **more: Any) -> str:
    return (await sync_to_async(take)(people, machine, name, **more)).id


async def test_what_the_holder_does_is_done_in_order(look: Look, machine: str, screen: Screen, people: Cast) -> None:
    lease = await taken(look, people, machine)
    async with look("ana", machine) as ana:
        await ana.picture()
        await hand(ana, lease, ["key", "Enter", ["ctrl"]], ["text", "é✓漢\n"], ["move", 0, 0, []], CLICK)
        await hand(ana, lease, ["up", 5, 6, "left", 1, []], ["wheel", 1, 2, 0, -300])
        await until(lambda: len(screen.given) == 6)
    assert screen.given == [
        Input("key", key="enter", modifiers=("ctrl",)),
        Input("text", text="é✓漢\n"),
        Input("move"),
        Input("down", x=5, y=6),
        Input("up", x=5, y=6),
        Input("wheel", x=1, y=2, by=(0, -300)),
    ]


async def test_without_the_lease_nothing_is_done_whatever_is_sent(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await taken(look, people, machine)
    async with look("bob", machine) as bob, look("olga", machine) as olga, look("ana", machine) as ana:
        for page in (bob, olga):  # a viewer, and one who might take control but has not
            await page.picture()
            for named in (lease, "", "tko_made_up"):
                await hand(page, named, A)
                assert await refused(page) == WATCH
        await hand(ana, "tko_made_up", A)
        assert await refused(ana) == WATCH
        for named in (None, 3, {}, [lease]):
            await ana.say(lease=named, events=[A])
    assert screen.given == []


async def test_a_lease_that_was_given_back_or_lapsed_does_nothing_any_more(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    row = await sync_to_async(take)(people, machine)
    async with look("ana", machine) as ana:
        await hand(ana, row.id, A)
        await until(lambda: len(screen.given) == 1)
        await sync_to_async(TakeoverLease.objects.filter(id=row.id).update)(expires_at=timezone.now())
        await hand(ana, row.id, A)
        assert await refused(ana) == WATCH
        await sync_to_async(release_by_clock)()
        again = await sync_to_async(take)(people, machine)
        await hand(ana, row.id, A)
        assert await refused(ana) == WATCH
        await hand(ana, again.id, A)
        await until(lambda: len(screen.given) == 2)
        await sync_to_async(release)(people, again)
        await hand(ana, again.id, A)
        assert await refused(ana) == WATCH
    assert len(screen.given) == 2


def release_by_clock() -> None:
    from machines.takeover.services import lapses

    lapses()


async def test_control_that_is_lost_between_two_events_of_a_message_ends_there_and_nothing_stays_pressed(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await sync_to_async(take)(people, machine)
    async with look("ana", machine) as ana:
        await ana.picture()
        screen.on_give = lambda: sync_to_async(release)(people, lease)
        await hand(ana, lease.id, CLICK, *[["text", str(number)] for number in range(60)])
        assert await refused(ana) == WATCH
    assert len(screen.given) == hands.AT_ONCE
    assert screen.let_gos == 1


async def test_what_comes_before_the_screen_is_there_is_done_when_it_is(
    look: Look, machine: str, screen: Screen, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, ready, asked = await taken(look, people, machine), asyncio.Event(), asyncio.Event()
    attach = feeds.attach

    async def slowly(facts: Any) -> Any:
        asked.set()
        await ready.wait()
        return await attach(facts)

    monkeypatch.setattr(feeds, "attach", slowly)
    async with look("ana", machine) as ana:
        await hand(ana, lease, A)
        await asked.wait()
        ready.set()
        await until(lambda: screen.given == [Input("text", text="a")])


async def test_control_that_is_lost_while_a_slow_machine_is_at_it_ends_that_too(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await sync_to_async(take)(people, machine)
    never, began = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await never.wait()

    screen.on_give = work
    async with look("ana", machine) as ana:
        await hand(ana, lease.id, CLICK)
        await began.wait()
        await sync_to_async(release)(people, lease)
        assert await refused(ana) == WATCH
    assert screen.let_gos == 1


async def test_who_loses_the_right_a_stopped_machine_and_a_stop_end_it_too(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await taken(look, people, machine)
    async with look("ana", machine) as ana:
        await ana.picture()
        await sync_to_async(change)(machine, status="stopped")
        await hand(ana, lease, A)
        assert await refused(ana) == WATCH
        assert screen.given == []
        await sync_to_async(Membership.objects.filter(user=people.people["ana"]).delete)()
        assert await ana.code() == 4401


async def test_a_button_does_not_stay_pressed_when_the_page_is_closed(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await taken(look, people, machine)
    async with look("bob", machine) as bob:
        await bob.picture()
        async with look("ana", machine) as ana:
            await hand(ana, lease, CLICK)
            await until(lambda: len(screen.given) == 1)
        await until(lambda: screen.let_gos == 1)


async def test_too_much_at_once_is_passed_over(look: Look, machine: str, screen: Screen, people: Cast) -> None:
    lease = await taken(look, people, machine)
    async with look("ana", machine) as ana:
        for _ in range(10):
            await hand(ana, lease, *[A] * 60)
        assert "passed over" in await refused(ana)
        await until(lambda: len(screen.given) > 0)
    assert len(screen.given) < 600


async def test_the_lease_lives_as_long_as_its_holders_screen_is_open(
    look: Look, machine: str, screen: Screen, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "HEARTBEAT_SECONDS", 0.1)
    row = await sync_to_async(take)(people, machine)
    async with look("ana", machine) as ana:
        await ana.picture()
        async with asyncio.timeout(PATIENCE):
            while (await TakeoverLease.objects.aget(id=row.id)).expires_at == row.expires_at:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_the_audit_tells_how_much_was_done_and_never_what(
    look: Look, machine: str, screen: Screen, people: Cast
) -> None:
    lease = await taken(look, people, machine)
    async with look("ana", machine) as ana:
        await hand(ana, lease, ["text", "hunter2"])
        await until(lambda: len(screen.given) == 1)
        await hand(ana, lease, ["text", "hunter2"], CLICK, ["key", "enter", []])
        await until(lambda: len(screen.given) == 4)
    rows = await sync_to_async(
        lambda: list(AuditEntry.objects.filter(verb="machine.action").values_list("data", flat=True))
    )()
    done = [step for row in rows for step in row["actions"]]
    assert done == [
        {"command": "input", "params": {"characters": 7}},
        {"command": "input", "params": {"characters": 7, "clicks": 1, "keys": 1}},
    ]
    assert {row["lease_id"] for row in rows} == {lease}


@pytest.mark.parametrize(
    "events",
    [
        {}, [], [A] * 65, [[]], [["key"]], [["key", "hyper", []]], [["key", "a", ["hyper"]]], [["key", "a", "ctrl"]],
        [["text", ""]], [["text", "x" * 5000]], [["text", "\x1b[2J"]], [["text", "\ud800"]], [["text", 3]],
        [["move", -1, 0, []]], [["move", 1280, 0, []]], [["move", 0, 800, []]], [["move", 1.5, 0, []]],
        [["move", True, 0, []]], [["down", 0, 0, "fourth", 1, []]], [["down", 0, 0, "left", 4, []]],
        [["wheel", 0, 0, 0, 10**9]], [["eval", "x"]], [A, ["eval"]],
    ],
)  # fmt: skip
def test_what_no_page_of_ours_would_say_is_no_input(events: Any) -> None:
    with pytest.raises(input_events.NoInput):
        input_events.read(events, 1280, 800)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
)
KINDS = st.sampled_from(["key", "text", "move", "down", "up", "wheel"])


@TRIED
@given(st.lists(st.tuples(KINDS, JSON, JSON, JSON, JSON, JSON).map(list) | JSON, max_size=4))
def test_any_json_is_input_inside_the_screen_or_none(message: list[Any]) -> None:
    try:
        events = input_events.read(message, 1280, 800)
    except input_events.NoInput:
        return
    assert all(0 <= event.x < 1280 and 0 <= event.y < 800 for event in events)
