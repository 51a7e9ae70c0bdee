"""The page of a person's mail switches, in each of their teams."""

import pytest
from django.test import Client

from accounts.models import Membership
from approvals.models import MailSwitches
from tests.cast import Cast
from tests.mail.conftest import Ask
from tests.mail.post import told
from tests.pages.conftest import Visit, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db


def form(cast: Cast, *on: str) -> dict[str, str]:
    return {f"{cast.team.id}.{name}": "true" for name in ("shown", *on)}


def chosen(cast: Cast, name: str = "ana") -> tuple[bool, bool, bool]:
    row = MailSwitches.objects.get(user=cast.people[name], team=cast.team)
    return row.waiting, row.reminders, row.only_mine


def test_who_never_chose_sees_what_holds(visit: Visit, cast: Cast) -> None:
    page = text(visit("ana").get("/notifications"))
    assert "ana@acme.test" in page
    assert page.count("checked") == 2
    assert f'name="{cast.team.id}.only_mine" value="true">' in page
    assert not MailSwitches.objects.exists()


def test_saving_and_looking_again(visit: Visit, cast: Cast, ask: Ask) -> None:
    ana = visit("ana")
    page = text(ana.post("/notifications", form(cast, "reminders", "only_mine")))
    assert "Saved." in page
    assert chosen(cast) == (False, True, True)
    assert f'name="{cast.team.id}.waiting" value="true">' in page
    assert told(ask()) == ["olga"]
    ana.post("/notifications", form(cast, "waiting"))
    assert chosen(cast) == (True, False, False)
    assert MailSwitches.objects.count() == 1


def test_opening_the_page_switches_nothing(visit: Visit, cast: Cast) -> None:
    visit("ana").get(f"/notifications?{cast.team.id}.shown=1")
    assert not MailSwitches.objects.exists()


def test_each_team_has_its_own(visit: Visit, cast: Cast, strangers: Cast) -> None:
    Membership.objects.create(user=cast.people["ana"], team=strangers.team, roles=["admin"])
    ana = visit("ana")
    page = text(ana.get("/notifications"))
    assert page.count('value="true"') == 6
    ana.post("/notifications", form(strangers))
    row = MailSwitches.objects.get()
    assert (row.team_id, row.waiting) == (strangers.team.id, False)


def test_a_team_of_others_cannot_be_switched(visit: Visit, cast: Cast, strangers: Cast) -> None:
    visit("ana").post("/notifications", form(strangers, "waiting"))
    assert not MailSwitches.objects.exists()


def test_who_decides_nothing_is_told_so(visit: Visit) -> None:
    for name in ("bob", "alice"):
        page = text(visit(name).get("/notifications"))
        assert "Your role decides no requests here" in page
        assert 'value="true"' not in page


def test_the_page_is_well_made(visit: Visit) -> None:
    for name in ("ana", "bob"):
        page = read(text(visit(name).get("/notifications")))
        assert (page.headings.count("h1"), page.twice(), page.nameless_controls()) == (1, set(), [])
        assert (page.inline, page.foreign) == ([], [])


def test_the_way_out_of_a_mail_leads_to_it_after_signing_in(cast: Cast) -> None:
    answer = Client().get("/notifications")
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in?next=/notifications")
