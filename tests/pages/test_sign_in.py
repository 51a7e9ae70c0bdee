"""Signing in and out, the team and world one looks at, the colours."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.test import Client

from accounts import passwords
from accounts.members.services import create_user
from accounts.models import Team, User
from tests.cast import PASSWORD, Cast
from tests.pages.conftest import Visit, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def dora(cast: Cast) -> User:
    return create_user(cast.team, "dora@acme.test", PASSWORD, ["approver"], name="Dora")


def sign_in(client: Client, **sent: str) -> object:
    return client.post("/sign-in", {"username": "dora@acme.test", "password": PASSWORD} | sent)


def test_signing_in_leads_to_the_queue_or_to_the_page_asked_for(dora: User, client: Client) -> None:
    assert sign_in(client)["Location"] == "/"  # type: ignore[index]
    assert sign_in(Client(), next="/runs?status=failed")["Location"] == "/runs?status=failed"  # type: ignore[index]


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test", "javascript:alert(1)", "/\\evil.test"])
def test_signing_in_never_leads_to_another_server(dora: User, client: Client, elsewhere: str) -> None:
    assert sign_in(client, next=elsewhere)["Location"] == "/"  # type: ignore[index]


def test_a_wrong_password_is_told_without_saying_which_part_was_wrong(dora: User, client: Client) -> None:
    wrong = client.post("/sign-in", {"username": "dora@acme.test", "password": "wrong"})
    unknown = client.post("/sign-in", {"username": "nobody@acme.test", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 422
    assert "E-mail or password is wrong." in text(wrong)
    assert "E-mail or password is wrong." in text(unknown)
    assert 'value="wrong"' not in text(wrong)


def test_too_many_wrong_passwords_lock_the_sign_in_with_a_clear_sentence(
    dora: User, client: Client, settings: Any
) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    client.post("/sign-in", {"username": "dora@acme.test", "password": "wrong"})
    last = client.post("/sign-in", {"username": "DORA@acme.test", "password": "wrong"})
    other = client.post("/sign-in", {"username": "erik@acme.test", "password": "wrong"})
    right = sign_in(client)
    assert last.status_code == 429
    assert "Wait 15 minutes" in text(last)
    assert other.status_code == 422
    assert right.status_code == 429  # type: ignore[attr-defined]


def test_a_crowd_that_signs_in_does_not_take_all_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hash takes 100 MB, also for people who do not exist."""
    under_way: list[int] = []
    most: list[int] = []

    def hashing(self: Argon2PasswordHasher, password: str, salt: str) -> str:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.01)
        under_way.pop()
        return "argon2$"

    monkeypatch.setattr(Argon2PasswordHasher, "encode", hashing)
    with ThreadPoolExecutor(40) as crowd:
        assert list(crowd.map(lambda n: make_password(f"password {n}"), range(80))) == ["argon2$"] * 80
    assert max(most) <= passwords.AT_ONCE


def test_signing_out_takes_a_post(visit: Visit) -> None:
    ana = visit("ana")
    assert ana.get("/sign-out").status_code == 405
    assert ana.post("/sign-out", follow=False)["Location"] == "/sign-in"
    assert ana.get("/").status_code == 302


def test_the_world_is_chosen_and_clearly_marked(visit: Visit) -> None:
    ana = visit("ana", "live")
    assert "TEST WORLD" not in text(ana.get("/"))
    assert "TEST WORLD" in text(ana.post("/switch", {"mode": "test"}))
    assert "TEST WORLD" in text(ana.post("/switch", {"mode": "mars"}))
    assert "TEST WORLD" not in text(ana.post("/switch", {"mode": "live"}))


def test_one_may_look_at_a_team_only_as_its_member(visit: Visit, cast: Cast, strangers: Cast) -> None:
    ana = visit("ana", "live")
    assert "Others" not in text(ana.post("/switch", {"team": strangers.team.id}))
    create_user(strangers.team, cast.people["ana"].email, PASSWORD, ["viewer"])
    assert f'value="{strangers.team.id}" selected' in text(ana.post("/switch", {"team": strangers.team.id}))


def test_the_colours_are_remembered_without_script(client: Client, db: None) -> None:
    client.post("/theme", {"theme": "dark", "back": "/sign-in"})
    assert 'data-theme="dark"' in text(client.get("/sign-in"))
    client.post("/theme", {"theme": "<script>"})
    assert 'data-theme="auto"' in text(client.get("/sign-in"))


def test_the_way_back_of_a_form_is_an_address_of_ours(client: Client, db: None) -> None:
    assert client.post("/theme", {"theme": "dark", "back": "//evil.test/"})["Location"] == "/"
    assert client.post("/theme", {"theme": "dark", "back": "https://evil.test/"})["Location"] == "/"


def test_a_team_has_its_own_name_in_the_frame(visit: Visit, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(name="Ädel & Söhne <GmbH>")
    assert "Ädel &amp; Söhne &lt;GmbH&gt;" in text(visit("bob").get("/"))
