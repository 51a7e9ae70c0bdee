"""Inviting by e-mail, and the page that the link opens."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import hash_key
from accounts.invitations import services
from accounts.members.services import create_user
from accounts.models import AuditEntry, Group, Invitation, Membership, User
from tests.cast import PASSWORD, Cast
from tests.pages.conftest import Visit, Visitor, text
from tests.pages.reading import read
from tests.people.conftest import group, invite, roles_of, the_invitation, told

pytestmark = pytest.mark.django_db
ERIK = "erik@outside.test"
NEW = {"name": "Erik Ode", "password": "quite a long password"}


def sign_in(client: Client, email: str, password: str = PASSWORD, **more: str) -> None:
    client.post("/sign-in", {"username": email, "password": password, **more})


def test_a_new_person_sets_name_and_password_and_is_in(visit: Visit, client: Client, cast: Cast) -> None:
    finance = group(cast, "Finance")
    path = invite(visit("adam"), " Erik@Outside.test ", "approver", "operator", groups=[finance.id])
    page = text(client.get(path))
    for words in ("Join the team Acme", "Adam", ERIK, "approver, operator", "Finance"):
        assert words in page
    assert not User.objects.filter(email=ERIK).exists()
    answer = client.post(path, NEW, follow=True)
    assert "You are in the team Acme." in text(answer)
    erik = User.objects.get(email=ERIK)
    assert (erik.name, erik.check_password(NEW["password"])) == ("Erik Ode", True)
    assert Membership.objects.get(user=erik).roles == ["approver", "operator"]
    assert list(finance.users.all()) == [erik]
    assert "Erik Ode" in text(client.get("/members"))
    row = the_invitation()
    assert (row.accepted_by, row.accepted_at is not None) == (erik, True)
    assert [e["email"] for v in ("created", "accepted") for e in told(cast, f"invitation.{v}")] == [ERIK, ERIK]
    assert AuditEntry.objects.get(verb="invitation.accepted").actor["name"] == "Erik Ode"


def test_looking_at_the_link_decides_nothing(visit: Visit, client: Client) -> None:
    path = invite(visit("olga"))
    for _ in range(2):
        assert client.get(path).status_code == 200
        assert client.head(path).status_code == 200
    assert the_invitation().accepted_at is None


def test_only_the_hash_of_the_link_is_kept_and_the_pages_show_it_once(visit: Visit) -> None:
    olga = visit("olga")
    token = invite(olga).rsplit("/", 1)[1]
    row = the_invitation()
    assert row.hash == hash_key(token)
    assert token not in str(Invitation.objects.values().get())
    assert token not in text(olga.get("/members"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "", "password": "quite a long password"}, "This field is required."),
        ({"name": "Erik", "password": "tiny1"}, "at least 10 characters"),
        ({"name": "Erik", "password": "1234567890"}, "too common"),
        ({"name": "Erik \u202eredaer", "password": "quite a long password"}, "letters, digits, spaces and signs only"),
    ],
)
def test_a_name_or_password_that_will_not_do_makes_nobody(
    visit: Visit, client: Client, given: dict[str, str], words: str
) -> None:
    path = invite(visit("olga"))
    answer = client.post(path, given)
    assert (answer.status_code, words in text(answer)) == (422, True), text(answer)
    assert given["password"] not in text(answer)
    assert not User.objects.filter(email=ERIK).exists()


def test_who_has_an_account_signs_in_and_joins(visit: Visit, client: Client, cast: Cast, strangers: Cast) -> None:
    create_user(strangers.team, ERIK, PASSWORD, ["viewer"], "Erik")
    path = invite(visit("olga"))
    page = text(client.get(path))
    assert "There is an account with this e-mail address." in page
    assert 'name="password"' not in page
    (link,) = [x for x in read(page).links if x.startswith("/sign-in")]
    assert client.post(path, NEW)["Location"] == link
    answer = client.post(link, {"username": ERIK, "password": PASSWORD, "next": path}, follow=True)
    assert "Join as Erik" in text(answer)
    assert "You are in the team Acme." in text(client.post(path, follow=True))
    assert Membership.objects.get(user__email=ERIK, team=cast.team).roles == ["approver"]
    assert Membership.objects.get(user__email=ERIK, team=strangers.team).roles == ["viewer"]


def test_somebody_else_cannot_use_the_link(visit: Visit, cast: Cast) -> None:
    path = invite(visit("olga"))
    charlie = visit("charlie")
    page = text(charlie.get(path))
    assert "This invitation is for somebody else." in page
    assert charlie.post(path, NEW, follow=False).status_code == 403
    assert not Membership.objects.filter(team=cast.team, user__email="alice@others.test").exists()
    out = charlie.post("/sign-out", {"back": path}, follow=False)
    assert out["Location"] == path
    assert "Your name" in text(charlie.get(path))


def test_a_used_link_says_so_and_a_second_click_of_the_same_person_leads_in(visit: Visit, client: Client) -> None:
    path = invite(visit("olga"))
    client.post(path, NEW)
    assert client.post(path, NEW)["Location"] == "/"
    for again in (client.get(path), Client().get(path), Client().post(path, NEW)):
        assert again.status_code == 410
        assert "This invitation was used already." in text(again)
    assert User.objects.filter(email=ERIK).count() == 1


def test_an_expired_link_says_so_until_it_is_renewed(visit: Visit, client: Client) -> None:
    olga = visit("olga")
    path = invite(olga)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for answer in (client.get(path), client.post(path, NEW)):
        assert (answer.status_code, "This invitation expired on" in text(answer)) == (410, True)
    assert "expired" in text(olga.get("/members"))
    fresh = invite_again(olga, the_invitation())
    assert client.get(fresh).status_code == 200
    assert "expired" not in text(olga.get("/members"))


def invite_again(visitor: Visitor, row: Invitation) -> str:
    return re.findall(r"/join/\w+", text(visitor.post(f"/invitations/{row.id}/again")))[0]


def test_a_new_link_ends_the_old_one(visit: Visit, client: Client, cast: Cast) -> None:
    olga = visit("olga")
    old = invite(olga)
    new = invite_again(olga, the_invitation())
    answer = client.get(old)
    assert (answer.status_code, "a newer link took its place" in text(answer)) == (404, True)
    assert client.get(new).status_code == 200
    assert [e["email"] for e in told(cast, "invitation.renewed")] == [ERIK]


def test_inviting_the_same_address_twice_is_one_invitation_with_the_newest_roles(visit: Visit, client: Client) -> None:
    olga = visit("olga")
    old = invite(olga, ERIK, "viewer")
    answer = olga.post("/members/invite", {"email": ERIK.upper(), "roles": ["approver"]})
    assert "Its old link no longer works." in text(answer)
    assert (the_invitation().roles, client.get(old).status_code) == (["approver"], 404)


def test_a_withdrawn_link_says_so(visit: Visit, client: Client, cast: Cast) -> None:
    olga = visit("olga")
    path, row = invite(olga), the_invitation()
    for _ in range(2):
        assert f"The invitation of {ERIK} is withdrawn." in text(olga.post(f"/invitations/{row.id}/revoke"))
    assert len(told(cast, "invitation.revoked")) == 1
    for answer in (client.get(path), client.post(path, NEW)):
        assert (answer.status_code, "This invitation was withdrawn." in text(answer)) == (410, True)
    assert olga.post(f"/invitations/{row.id}/again").status_code == 410
    assert not User.objects.filter(email=ERIK).exists()
    invite(olga)  # and the address can be invited anew
    assert ERIK in text(olga.get("/members"))


def test_an_accepted_invitation_is_not_withdrawn(visit: Visit, client: Client) -> None:
    olga = visit("olga")
    client.post(invite(olga), NEW)
    row = the_invitation()
    assert olga.post(f"/invitations/{row.id}/revoke").status_code == 410
    assert olga.post(f"/invitations/{row.id}/again").status_code == 410
    assert f"/invitations/{row.id}" not in text(olga.get("/members"))


def test_a_link_that_was_cut_off_opens_nothing(client: Client, db: None) -> None:
    for path in ("/join/none", "/join/" + "0" * 64, "/join/%00"):
        assert client.get(path).status_code == 404
        assert client.post(path, NEW).status_code == 404


def test_who_is_in_the_team_is_not_invited(visit: Visit) -> None:
    answer = visit("olga").post("/members/invite", {"email": "BOB@acme.test", "roles": ["owner"]})
    assert (answer.status_code, "Bob is in the team already." in text(answer)) == (422, True)
    assert not Invitation.objects.exists()


def test_who_came_in_meanwhile_keeps_their_roles(visit: Visit, client: Client, cast: Cast) -> None:
    path = invite(visit("olga"), ERIK, "admin")
    create_user(cast.team, ERIK, PASSWORD, ["viewer"])
    sign_in(client, ERIK)
    client.post(path)
    assert Membership.objects.get(user__email=ERIK).roles == ["viewer"]


@pytest.mark.parametrize(
    "given", [{"email": "not an address", "roles": ["viewer"]}, {"email": ERIK}, {"email": ERIK, "roles": ["king"]}]
)
def test_an_invitation_needs_an_address_and_a_role(visit: Visit, given: dict[str, object]) -> None:
    assert visit("olga").post("/members/invite", given).status_code == 422
    assert not Invitation.objects.exists()


def test_only_an_owner_invites_owners_or_touches_their_invitations(visit: Visit) -> None:
    adam, olga = visit("adam"), visit("olga")
    given = {"email": ERIK, "roles": ["owner"]}
    assert 'value="owner"' not in text(adam.get("/members/invite"))
    assert adam.post("/members/invite", given).status_code == 403
    invite(olga, ERIK, "owner")
    row = the_invitation()
    assert f"/invitations/{row.id}" not in text(adam.get("/members"))
    assert adam.post("/members/invite", given | {"roles": ["viewer"]}).status_code == 403
    for path in ("again", "revoke"):
        assert adam.post(f"/invitations/{row.id}/{path}").status_code == 403
    row.refresh_from_db()
    assert (row.roles, row.revoked_at, row.links) == (["owner"], None, 1)


def test_a_group_of_another_team_is_not_given(visit: Visit, strangers: Cast) -> None:
    theirs = group(strangers, "Theirs")
    given = {"email": ERIK, "roles": ["viewer"], "groups": [theirs.id]}
    assert visit("olga").post("/members/invite", given).status_code == 422
    invited = services.invite(strangers.actor(), ERIK, ["viewer"], [theirs.id], "http://x")
    theirs.delete()  # a group that is gone when they come is simply not there
    services.join_as_new(invited.token, "Erik", PASSWORD)
    assert not Group.objects.filter(users__email=ERIK).exists()


def test_nobody_sends_more_than_thirty_mails_a_minute(visit: Visit, cast: Cast, one_minute: None) -> None:
    olga = visit("olga")
    for n in range(services.MAILS_PER_MINUTE):
        services.invite(cast.actor(test=True), f"p{n}@outside.test", ["viewer"], [], "http://x")
    answer = olga.post("/members/invite", {"email": ERIK, "roles": ["viewer"]})
    assert (answer.status_code, "Too many requests." in text(answer)) == (429, True)


def test_the_public_address_stands_in_the_link_when_it_is_set(visit: Visit, settings: Any) -> None:
    settings.PUBLIC_URL = "https://agents.example.com"
    page = text(visit("olga").post("/members/invite", {"email": ERIK, "roles": ["viewer"]}))
    assert ">https://agents.example.com/join/" in page


def test_a_person_who_was_removed_can_be_invited_again(visit: Visit, cast: Cast) -> None:
    olga, bob = visit("olga"), visit("bob")
    olga.post(f"/members/{cast.people['bob'].id}/remove")
    path = invite(olga, "bob@acme.test", "operator")
    assert "Join as Bob" in text(bob.get(path))
    bob.post(path)
    assert roles_of(cast, "bob") == ["operator"]
