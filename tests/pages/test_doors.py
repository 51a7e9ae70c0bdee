"""Doors beyond the table of test_every_page.py: worlds, links, people without a team, caches, and the way to the sign-in."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from machines.models import Machine
from runs.models import Run
from runs.schemas import RunCreate
from runs.starting.services import create_run
from tests.cast import BY_PASSWORD, Cast
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def places(begin_live: Callable[..., Run], machine: Machine) -> dict[str, str]:
    ended = begin_live("done [fail]")
    waiting = begin_live("asks [pause]")
    return {"run": waiting.id, "ended": ended.id, "approval": request_of(waiting).id, "machine": machine.id}


def test_the_same_page_is_not_found_in_the_other_world(visit: Visit, places: dict[str, str]) -> None:
    olga = visit("olga", "test")
    assert olga.get(f"/runs/{places['run']}").status_code == 404
    assert olga.get(f"/approvals/{places['approval']}").status_code == 404


def test_links_and_forms_lead_somewhere_or_are_not_shown(visit: Visit, places: dict[str, str]) -> None:
    """A person is never offered what would be refused."""
    for name in ("alice", "ana", "bob"):
        person = visit(name, "live")
        links = set()
        for path in ("/", "/runs", f"/runs/{places['run']}", f"/runs/{places['ended']}", "/machines"):
            links |= {
                x for x in read(text(person.get(path))).links if x.startswith("/") and "/v1/" not in x and "?" not in x
            }
        assert {link: person.get(link).status_code for link in links} == dict.fromkeys(links, 200), name


@pytest.mark.parametrize("path", ["/", "/runs?status=failed&q=x", "/members", "/keys/new"])
def test_without_signing_in_a_page_leads_to_the_sign_in_and_back(client: Any, db: None, path: str) -> None:
    assert client.get(path)["Location"] == f"/sign-in?next={quote(path)}"


def test_an_unknown_page_is_not_found_by_anybody(visit: Visit, client: Any) -> None:
    for somebody in (visit("olga"), visit("bob"), client):
        assert (somebody.get("/nothing/here").status_code, somebody.post("/nothing/here").status_code) == (404, 404)


def test_a_person_without_a_team_is_told_so(cast: Cast, client: Any) -> None:
    from accounts.models import User

    nobody = User.objects.create_user("nobody@acme.test", None)
    client.force_login(nobody, backend=BY_PASSWORD)
    answer = client.get("/")
    assert answer.status_code == 403
    assert "You belong to no team" in text(answer)


def test_pictures_are_kept_in_no_cache(visit: Visit, places: dict[str, str]) -> None:
    answer = visit("bob", "live").get(f"/runs/{places['run']}/screenshots/0.png")
    assert answer["Content-Type"] == "image/png"
    assert "no-store" in answer["Cache-Control"]


def test_who_was_signed_out_before_sending_comes_back_to_the_page_of_the_form(client: Any, db: None) -> None:
    page = "http://testserver/runs/run_x?step=2"
    for sent_from, back in (
        (page, "/runs/run_x?step=2"), ("", "/"), ("http://evil.test/runs", "/"), ("//evil.test/", "/"), ("javascript:x", "/"),
    ):  # fmt: skip
        answer = client.post("/approvals/apr_x/decide", {"verdict": "approve"}, headers={"Referer": sent_from})
        assert answer["Location"] == f"/sign-in?next={quote(back)}", sent_from


def test_the_address_of_a_form_is_no_page_and_says_so(visit: Visit) -> None:
    answer = visit("olga", "live").get("/ledger/top-up")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert "only takes what a form sends" in text(answer)


def test_HEAD_is_a_page_without_its_body(visit: Visit, places: dict[str, str]) -> None:
    olga = visit("olga", "live")
    for path in ("/", f"/runs/{places['run']}", "/audit/export.csv", "/runs/run_none", "/v1/health"):
        whole, head = olga.get(path), olga.client.head(path)
        assert (head.status_code, b"".join(head)) == (whole.status_code, b""), path
        assert head["Content-Type"] == whole["Content-Type"]


def test_the_time_in_the_queue_is_waiting(visit: Visit, cast: Cast) -> None:
    run = create_run(cast.actor("olga", test=True), RunCreate(task="x"), "req_test")
    Run.objects.filter(id=run.id).update(created_at=timezone.now() - timedelta(minutes=10))
    shown = text(visit("olga").get(f"/runs/{run.id}"))
    assert re.search(r"Worked</dt><dd[^>]*>0 s<.*Waited</dt><dd[^>]*><time[^>]*>10 min", shown, re.DOTALL)
