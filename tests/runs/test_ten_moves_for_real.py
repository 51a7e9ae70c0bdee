"""The ten-move story on a real browser, over each vendor's SDK: the page's own record of events says what was done."""

from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from inference.wires import WIRES
from tests.cast import Api, Cast
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.emulator.server import Emulator
from tests.emulator.story import Turn
from tests.runs.driving import Dying, Falling
from tests.runs.ten_moves import CALLS, HEARD, PAGE, emulated, play, profile, story_for
from tests.runs.test_model_for_real import driven, machine  # noqa: F401

pytestmark = pytest.mark.browser
DEATHS = ("commits", pytest.param("actions", marks=pytest.mark.again))


def deaths_at(where: str) -> tuple[Falling | Dying, ...]:
    """After a commit of each kind; or after actions, before what came of them is written."""
    if where == "commits":
        kinds = {"thought": 2, "ask_before": 1, "write_intent": 1, "write_outcome": 2, "ask": 1, "end": 1}
        return tuple(Falling(nth, kind) for kind, nth in kinds.items())
    return Dying("write_outcome", 2), Dying("write_outcome", 3)


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, cast: Cast, site: Site) -> Iterator[Emulator]:  # noqa: F811
    opens = Turn([("open_url", {"url": site.page(PAGE)})], text="I open the shop.", thinking="It has a page.")
    stories = {name: story_for(request.param, name, opens) for name in ("again", "seen")}
    with emulated(request.param, stories) as emulator:
        profile(cast, emulator)
        yield emulator


def heard(site: Site) -> list[str]:  # noqa: F811
    """What the page told of what was done on it; a scroll tells more than once."""
    events = [unquote(line.split()[1]).removeprefix("/heard?") for line in site.asked if "/heard?" in line]
    return [
        event for n, event in enumerate(events) if n == 0 or event != events[n - 1] or not event.startswith("wheel")
    ]


@pytest.mark.parametrize("where", DEATHS)
def test_T_186_the_page_hears_each_move_once_whoever_dies(
    live: Api,
    machine: str,  # noqa: F811
    site: Site,  # noqa: F811
    vendor: Emulator,
    where: str,
) -> None:
    """One call more where an action in a batch was begun and nobody knows what came of it."""
    site.asked.clear()
    played = play(live, vendor, machine, "seen" if where == "actions" else "again", *deaths_at(where))
    assert (played.run["status"], heard(site)) == ("succeeded", HEARD), played.run
    assert played.asked == played.calls == CALLS + 2
    assert site.asked.count("GET /") == 1
