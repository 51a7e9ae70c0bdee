"""Every team has a machine of each usual kind that this computer can run: at the first start, at a later one, after a fetch."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Membership, Team
from billing.models import Wallet
from config.first_run import provide, set_up
from machines.drivers.browser.driver import BrowserDriver
from machines.drivers.terminal.driver import TerminalDriver
from machines.models import Machine
from tests.cast import Cast, make_cast
from tests.runs.test_machine_choice import row

pytestmark = pytest.mark.django_db
ENDED = {"status": "terminated", "terminated_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The kinds of machine that this computer cannot run; a test adds and removes some."""
    kinds: set[str] = set()
    for driver in (TerminalDriver, BrowserDriver):
        monkeypatch.setattr(driver, "missing", lambda self: ["It is missing."] if self.kind in kinds else [])
    return kinds


def default_of(team: Team) -> str | None:
    """Name of the team's default machine."""
    team.refresh_from_db()
    return Machine.objects.filter(id=team.default_machine_id).values_list("display_name", flat=True).first()


def names() -> list[str]:
    return list(Machine.objects.order_by("created_at").values_list("display_name", flat=True))


def test_the_first_start_makes_one_of_each_kind_and_the_terminal_is_the_default(lacking: set[str]) -> None:
    made = set_up()
    assert made
    assert list(made.machines) == ["Terminal 1", "Browser 1"]
    assert default_of(Team.objects.get()) == "Terminal 1"
    assert provide() == []
    assert set_up() is None


def test_what_could_not_be_made_appears_when_it_can(lacking: set[str]) -> None:
    lacking |= {"terminal", "browser"}
    made = set_up()
    assert made
    assert made.machines == {}
    assert provide() == []
    lacking -= {"browser"}
    assert [m.display_name for m in provide()] == ["Browser 1"]
    assert default_of(Team.objects.get()) == "Browser 1"
    lacking.clear()
    assert [m.display_name for m in provide()] == ["Terminal 1"]
    assert default_of(Team.objects.get()) == "Browser 1"
    assert provide() == []
    assert Machine.objects.values_list("created_by__name", flat=True).distinct().get() == "Countersign"


def test_what_somebody_ended_stays_away_as_long_as_there_is_a_default(lacking: set[str]) -> None:
    set_up()
    Machine.objects.filter(kind="browser").update(**ENDED)
    assert provide() == []
    Machine.objects.update(**ENDED)
    assert [m.display_name for m in provide()] == ["Terminal 1", "Browser 1"]
    team = Team.objects.get()
    assert (default_of(team), Machine.objects.get(id=team.default_machine_id).status) == ("Terminal 1", "creating")


def test_a_team_with_machines_but_no_default_gets_its_oldest_real_one(cast: Cast, lacking: set[str]) -> None:
    row(cast, "simulated", "Drawn")
    row(cast, "browser", "Web")
    lacking |= {"terminal"}
    assert provide() == []
    assert default_of(cast.team) == "Web"


def test_each_team_for_itself_and_one_without_money_holds_up_nobody(
    cast: Cast, strangers: Cast, lacking: set[str]
) -> None:
    Wallet.objects.filter(team=cast.team).update(available_cents=0)
    provide()
    assert default_of(cast.team) is None
    assert default_of(strangers.team) == "Terminal 1"
    assert names() == ["Terminal 1", "Browser 1"]


def test_a_team_without_any_owner_is_served_too(cast: Cast, lacking: set[str]) -> None:
    Membership.objects.filter(team=cast.team).delete()
    provide()
    assert default_of(cast.team) == "Terminal 1"


@pytest.mark.django_db(transaction=True)
def test_starts_at_the_same_moment_make_each_machine_once(lacking: set[str]) -> None:
    from tests.runs.test_races import Together

    make_cast("acme")
    threads = Together(4)
    try:
        results: list[Any] = threads.run(*[provide] * 4)
    finally:
        threads.close()
    assert sum(map(len, results)) == 2
    assert sorted(names()) == ["Browser 1", "Terminal 1"]
