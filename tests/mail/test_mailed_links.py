"""From the mail to the receipt: what following its link does, and what it never does."""

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from approvals.models import Approval, Decision, Notice, Vote
from runs.models import Run, RunEvent
from tests.browsing import Browser
from tests.cast import PASSWORD, Cast
from tests.mail.conftest import Ask
from tests.mail.post import carry, link_in
from tests.pages.conftest import Visit, Visitor, text
from tests.runs.driving import drive_all, status_of

pytestmark = pytest.mark.django_db


def mailed(name: str) -> str:
    (letter,) = [letter for letter in carry() if letter.to == [f"{name}@acme.test"]]
    return link_in(letter)


def everything() -> list[list[dict[str, Any]]]:
    """The rows that a decision, or anything else about a request, would change."""
    models = (Approval, Decision, Vote, Notice, Run, RunEvent)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_T_091_opening_a_mailed_decision_link_ten_times_changes_nothing(visit: Visit, ask: Ask, cast: Cast) -> None:
    ask()
    path = mailed("ana")
    before = everything()
    nobody = Visitor(Client(), "nobody")
    for person, times in ((visit("ana"), 10), (visit("olga", "live"), 2), (visit("charlie"), 2), (nobody, 2)):
        for _ in range(times):
            person.get(path)
            person.client.head(path)
            person.get(path, Purpose="prefetch", Sec_Purpose="prefetch;prerender")
            person.get(f"{path}?verdict=approve&undo=1")
            person.get(f"{path}/pictures/2")
    assert everything() == before


def test_the_whole_way_from_the_mail_to_the_receipt(ask: Ask, cast: Cast) -> None:
    request = ask()
    path = mailed("ana")
    client = Browser(enforce_csrf_checks=True)
    cast.people["ana"].set_password(PASSWORD)
    cast.people["ana"].save()
    asked = client.get(path)
    assert asked.status_code == 302
    assert asked["Location"] == f"/sign-in?next={quote(path)}"
    token = client.get(asked["Location"]).cookies["csrftoken"].value
    sent = {"username": "ana@acme.test", "password": PASSWORD, "next": path, "csrfmiddlewaretoken": token}
    signed_in = client.post(asked["Location"], sent)
    assert signed_in["Location"] == path
    page = client.get(path)
    assert "Approve</button>" in text(page)
    token = page.cookies["csrftoken"].value
    done = client.post(path, {"verdict": "approve", "note": "go on", "csrfmiddlewaretoken": token}, follow=True)
    assert "Approved by you" in text(done)
    drive_all()
    decision = Decision.objects.get()
    assert (decision.via, decision.actor["name"], decision.note) == ("link", "Ana", "go on")
    assert status_of(request.run_id) == "succeeded"
