"""Who sees what the team has and spends: its admins, and everybody where the team says so."""

from typing import Any

import pytest

from accounts.models import Team
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db
PATHS = ("/billing/balance", "/billing/ledger", "/billing/active", "/usage")
ADMINS = {"adam", "olga"}


def seen_by(cast: Cast, name: str) -> set[int]:
    browser = cast.browser(name)
    return {browser.get(path).status_code for path in ("/ledger", *(f"/v1{path}" for path in PATHS))}


def test_the_money_is_the_admins(cast: Cast) -> None:
    for name in cast.people:
        assert seen_by(cast, name) == ({200} if name in ADMINS else {403}), name


def test_a_team_opens_it_to_all_its_people_and_shuts_it_again(cast: Cast, live: Api, strangers: Cast) -> None:
    live.patch("/team", {"usage_for_all": True})
    for name in cast.people:
        assert seen_by(cast, name) == {200}, name
    assert seen_by(strangers, "bob") == {403}
    live.patch("/team", {"usage_for_all": False})
    assert seen_by(cast, "bob") == {403}


def test_opening_it_gives_no_key_the_scope(cast: Cast, plain_live: Api) -> None:
    Team.objects.update(usage_for_all=True)
    assert {plain_live.get(path).status_code for path in PATHS} == {403}


def test_who_may_not_see_it_is_led_to_no_ledger(cast: Cast) -> None:
    def links(name: str) -> bool:
        page: Any = cast.browser(name).get("/runs")
        return 'href="/ledger"' in page.content.decode()

    assert [name for name in cast.people if links(name)] == ["adam", "olga"]
    Team.objects.update(usage_for_all=True)
    assert all(links(name) for name in cast.people)
