"""One's own name and password."""

import pytest
from django.test import Client

from accounts.members.services import create_user
from accounts.models import Membership, User
from tests.cast import PASSWORD, Cast
from tests.pages.conftest import Visit, text
from tests.people.conftest import group, told

pytestmark = pytest.mark.django_db
NEW = "another long password"


@pytest.fixture
def dora(cast: Cast) -> User:
    return create_user(cast.team, "dora@acme.test", PASSWORD, ["approver", "operator"], name="Dora")


def signed_in(password: str = PASSWORD) -> Client:
    client = Client()
    assert client.post("/sign-in", {"username": "dora@acme.test", "password": password}).status_code == 302
    return client


def change(client: Client, now: str = PASSWORD, new: str = NEW) -> tuple[int, str]:
    answer = client.post("/profile/password", {"now": now, "new": new}, follow=True)
    return answer.status_code, text(answer)


def test_the_profile_shows_roles_and_groups_of_every_team(dora: User, cast: Cast, strangers: Cast) -> None:
    group(cast, "Finance").users.add(dora)
    Membership.objects.create(user=dora, team=strangers.team, roles=["viewer"])
    page = text(signed_in().get("/profile"))
    for words in ("dora@acme.test", "Acme", "approver, operator", "Finance", "Others", "viewer"):
        assert words in page


def test_a_new_name_is_shown_at_once(visit: Visit, cast: Cast) -> None:
    bob = visit("bob")
    assert 'href="/profile"' in text(bob.get("/"))
    for _ in range(2):
        assert "Your name is changed." in text(bob.post("/profile/name", {"name": " Robert "}))
    assert ">Robert<" in text(bob.get("/"))
    assert told(cast, "profile.name_changed") == [{"before": "Bob", "after": "Robert"}]


@pytest.mark.parametrize("name", ["", "  ", "x" * 129, "Bob\u202e", "Bob\nAna"])
def test_a_name_that_would_mislead_is_refused(visit: Visit, cast: Cast, name: str) -> None:
    assert visit("bob").post("/profile/name", {"name": name}).status_code == 422
    assert User.objects.get(id=cast.people["bob"].id).name == "Bob"


def test_a_new_password_ends_the_sessions_elsewhere(dora: User, cast: Cast) -> None:
    here, elsewhere = signed_in(), signed_in()
    status, page = change(here)
    assert (status, "Your password is changed." in page) == (200, True)
    assert here.get("/").status_code == 200
    assert elsewhere.get("/")["Location"].startswith("/sign-in")
    assert elsewhere.get("/v1/runs").status_code == 401
    signed_in(NEW)
    assert len(told(cast, "profile.password_changed")) == 1


@pytest.mark.parametrize(
    ("now", "new", "words"),
    [
        ("wrong", NEW, "This is not your password."),
        (PASSWORD, "short", "at least 10 characters"),
        (PASSWORD, "1234567890", "too common"),
        (PASSWORD, "", "This field is required."),
    ],
)
def test_a_password_needs_the_old_one_and_strength(dora: User, now: str, new: str, words: str) -> None:
    client = signed_in()
    status, page = change(client, now, new)
    assert (status, words in page) == (422, True), page
    assert f'value="{now}"' not in page
    assert client.get("/").status_code == 200
    signed_in()


def test_nobody_tries_passwords_at_an_unlocked_computer_for_long(dora: User, one_minute: None) -> None:
    client = signed_in()
    assert {change(client, f"guess {n}")[0] for n in range(10)} == {422}
    assert change(client)[0] == 429
    assert User.objects.get(id=dora.id).check_password(PASSWORD)
