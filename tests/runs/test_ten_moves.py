"""The ten-move story on all four wires with the vendors' own SDKs, whoever dies when (simulated machine)."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from inference.wires import WIRES
from tests.cast import Api, Cast
from tests.chance import ROUNDS
from tests.emulator.server import Emulator
from tests.runs.driving import Dying, Falling, simulated
from tests.runs.ten_moves import ACTIONS, CALLS, Played, emulated, play, profile, story_for

pytestmark = pytest.mark.django_db
Acted = list[tuple[str, dict[str, Any]]]
STEPS, DENIAL = len(ACTIONS) + 1, 6  # one of the steps is denied: of that one the outcome is known whoever dies
EACH = (
    12 if ROUNDS < 50 else 1
)  # every so many commits on each wire, begun elsewhere on each: make test-deep dies at all


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, cast: Cast, settings: Any) -> Iterator[Emulator]:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    stories = {name: story_for(request.param, name) for name in ("again", "seen")}
    with emulated(request.param, stories) as emulator:
        profile(cast, emulator)
        yield emulator


def short(acted: Acted) -> list[tuple[str, int | None]]:
    return [(name, params.get("x")) for name, params in acted]


def first(vendor: Emulator) -> int:
    return 1 + list(WIRES).index(vendor.wires[0]) * EACH // len(WIRES)


def check_balance(live: Api, steps: int) -> None:
    balance = live.get("/billing/balance").json()
    assert (balance["held_cents"], balance["ledger_ok"]) == (0, True)
    assert balance["available_cents"] == 10_000 - 5 * steps


def check_played(played: Played, acted: Acted, at: object) -> None:
    assert (played.run["status"], short(acted)) == ("succeeded", ACTIONS), (at, played.run)
    assert (played.run["steps_completed"], played.calls) == (STEPS, played.asked), at
    assert played.run["result"]["summary"] == "Milk is bought."


def test_T_186_the_ten_moves_are_the_same_after_whichever_commit_the_worker_dies(
    live: Api, vendor: Emulator, acted: Acted
) -> None:
    """Begun and without an outcome: nobody knows, so the model is told and asked once more. That alone costs a call."""
    machine = simulated(live)
    whole = play(live, vendor, machine, "again")
    check_played(whole, acted, "whole")
    assert whole.asked == CALLS
    rounds = lost = 0
    for nth in count(first(vendor), EACH):
        acted.clear()
        host = Falling(nth)
        played = play(live, vendor, machine, "again", host)
        rounds += 1
        check_played(played, acted, (nth, host.last))
        if played.asked != CALLS:
            lost += 1
            assert (played.asked, host.last) == (CALLS + 1, "write_intent"), nth
        else:
            assert played.log == whole.log, (nth, host.last)
        if host.left > 0:
            break
    check_balance(live, STEPS * (rounds + 1))
    assert rounds * EACH > 40
    assert lost == len(ACTIONS) or EACH > 1


@pytest.mark.again
def test_T_186_what_was_done_before_the_worker_died_is_not_done_again(
    live: Api, vendor: Emulator, acted: Acted
) -> None:
    """Dead between the machine's word and the outcome: the model sees that it happened, and wants what came after it."""
    machine = simulated(live)
    for nth in range(1 + list(WIRES).index(vendor.wires[0]) % 2, STEPS + 1, 2 if EACH > 1 else 1):
        acted.clear()
        played = play(live, vendor, machine, "seen", Dying("write_outcome", nth))
        assert (played.run["status"], short(acted)) == ("succeeded", ACTIONS), (nth, played.run)
        # Only the first of a batch is asked about again.
        assert played.asked == played.calls == CALLS + (nth == 1), nth
        assert played.run["steps_completed"] == STEPS - (nth != DENIAL), nth
