"""Every page with every person: who may see it, who is refused, and what a stranger finds."""

from collections.abc import Callable
from typing import Any

import pytest

from machines.models import Machine
from runs.models import Run
from tests.cast import Cast
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db

# path, then the answer for: Alice operates, Ana approves, Bob looks on, Olga owns, Charlie is a stranger
PAGES = [
    ("/", 200, 200, 200, 200, 200),
    ("/?kind=approval&who=mine", 200, 200, 200, 200, 200),
    ("/?open={approval}", 200, 200, 200, 200, 200),
    ("/approvals/{approval}", 200, 200, 200, 200, 404),
    ("/approvals/apr_none", 404, 404, 404, 404, 404),
    ("/runs", 200, 200, 200, 200, 200),
    ("/runs?status=failed&q=x", 200, 200, 200, 200, 200),
    ("/runs/new", 200, 403, 403, 200, 200),
    ("/runs/{run}", 200, 200, 200, 200, 404),
    ("/runs/{run}?step=1&phase=before", 200, 200, 200, 200, 404),
    ("/runs/{ended}", 200, 200, 200, 200, 404),
    ("/runs/{run}/cancel", 200, 403, 403, 200, 404),
    ("/runs/{run}/screenshots/0.png", 200, 200, 200, 200, 404),
    ("/runs/{run}/screenshots/999.png", 404, 404, 404, 404, 404),
    ("/machines", 200, 200, 200, 200, 200),
    ("/machines/new", 200, 403, 403, 200, 200),
    ("/machines/{machine}/terminate", 200, 403, 403, 200, 404),
    ("/machines/{machine}/picture.png", 404, 404, 404, 404, 404),
    ("/ledger", 200, 200, 200, 200, 200),
    ("/ledger?run={run}", 200, 200, 200, 200, 200),
    ("/keys", 403, 403, 403, 200, 403),
    ("/keys/new", 403, 403, 403, 200, 403),
    ("/nothing/here", 404, 404, 404, 404, 404),
]
POSTS = [
    ("/approvals/{approval}/decide", 422, 422, 422, 422, 404),
    ("/approvals/{approval}/undo", 403, 302, 403, 302, 403),
    ("/runs/sample", 302, 403, 403, 302, 302),
    ("/runs/new", 422, 403, 403, 422, 422),
    ("/runs/{run}/cancel", 302, 403, 403, 302, 404),
    ("/machines/new", 422, 403, 403, 422, 422),
    ("/machines/{machine}/start", 302, 403, 403, 302, 404),
    ("/machines/{machine}/look", 302, 302, 302, 302, 404),
    ("/machines/{machine}/stop", 302, 403, 403, 302, 404),
    ("/machines/{machine}/terminate", 302, 403, 403, 302, 404),
    ("/ledger/top-up", 403, 403, 403, 422, 403),
    ("/keys/new", 403, 403, 403, 422, 403),
    ("/keys/key_none/revoke", 403, 403, 403, 404, 403),
]
PEOPLE = ("alice", "ana", "bob", "olga", "charlie")


@pytest.fixture
def places(begin_live: Callable[..., Run], machine: Machine) -> dict[str, str]:
    ended = begin_live("done [fail]")
    waiting = begin_live("asks [pause]")
    return {"run": waiting.id, "ended": ended.id, "approval": request_of(waiting).id, "machine": machine.id}


@pytest.mark.parametrize("name", PEOPLE)
def test_pages_by_role(visit: Visit, places: dict[str, str], name: str) -> None:
    person, who = visit(name, "live"), PEOPLE.index(name) + 1
    found = {}
    for row in PAGES:
        answer = person.get(row[0].format(**places))
        found[row[0]] = answer.status_code
        if answer["Content-Type"].startswith("text/html"):
            page = read(text(answer))
            assert page.headings.count("h1") == 1, row[0]
            assert not page.twice(), row[0]
            assert not page.nameless_controls(), row[0]
            assert all(image.get("alt") for image in page.images), row[0]
    assert found == {row[0]: row[who] for row in PAGES}


@pytest.mark.parametrize("name", PEOPLE)
def test_forms_by_role(visit: Visit, places: dict[str, str], name: str) -> None:
    person, who = visit(name, "live"), PEOPLE.index(name) + 1
    found = {row[0]: person.post(row[0].format(**places), follow=False).status_code for row in POSTS}
    assert found == {row[0]: row[who] for row in POSTS}


def test_without_signing_in_every_page_leads_to_the_sign_in(client: Any) -> None:
    for path in [row[0] for row in PAGES if not row[0].startswith("/nothing")]:
        answer = client.get(path.format(run="run_x", ended="run_x", approval="apr_x", machine="mch_x"))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/sign-in?next=")


def test_the_same_page_is_not_found_in_the_other_world(visit: Visit, places: dict[str, str]) -> None:
    olga = visit("olga", "test")
    assert olga.get(f"/runs/{places['run']}").status_code == 404
    assert olga.get(f"/approvals/{places['approval']}").status_code == 404


def test_links_and_forms_lead_somewhere_or_are_not_shown(visit: Visit, places: dict[str, str]) -> None:
    """A person is never offered what would be refused."""
    for name in ("alice", "ana", "bob"):
        person = visit(name, "live")
        links = set()
        for path in ("/", "/runs", f"/runs/{places['run']}", f"/runs/{places['ended']}", "/machines", "/ledger"):
            links |= {
                x for x in read(text(person.get(path))).links if x.startswith("/") and "/v1/" not in x and "?" not in x
            }
        assert {link: person.get(link).status_code for link in links} == dict.fromkeys(links, 200), name


def test_a_person_without_a_team_is_told_so(cast: Cast, client: Any) -> None:
    from accounts.models import User

    nobody = User.objects.create_user("nobody@acme.test", None)
    client.force_login(nobody, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get("/")
    assert answer.status_code == 403
    assert "You belong to no team" in text(answer)


def test_pictures_are_kept_in_no_cache(visit: Visit, places: dict[str, str]) -> None:
    answer = visit("bob", "live").get(f"/runs/{places['run']}/screenshots/0.png")
    assert answer["Content-Type"] == "image/png"
    assert "no-store" in answer["Cache-Control"]
