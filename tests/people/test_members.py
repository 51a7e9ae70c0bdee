"""The people of a team: the list, their roles, their leaving, and who may change what."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.errors import InvalidApiKey
from accounts.keys.services import issue_key
from accounts.members.services import create_user
from accounts.models import ApiKey, Group, Membership, User
from approvals import handling
from approvals.models import Approval
from runs.models import Run, RunEvent
from tests.cast import Cast, actor_of_key
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read
from tests.people.conftest import Work, group, invite, roles_of, the_invitation, told

pytestmark = pytest.mark.django_db


def change(visit: Visit, by: str, cast: Cast, whom: str, *roles: str, seen: str | None = None) -> int:
    shown = seen if seen is not None else ",".join(roles_of(cast, whom) or [])
    path = f"/members/{cast.people[whom].id}/roles"
    answer = visit(by).post(path, {"roles": roles, "seen": shown}, follow=False)
    return int(answer.status_code)


def remove(visit: Visit, by: str, cast: Cast, whom: str) -> int:
    return int(visit(by).post(f"/members/{cast.people[whom].id}/remove", follow=False).status_code)


def test_everybody_of_the_team_sees_who_is_in_it(visit: Visit, cast: Cast) -> None:
    group(cast, "Finance", "ana")
    for name in ("alice", "ana", "bob", "adam", "olga"):
        page = text(visit(name).get("/members"))
        for person in cast.people.values():
            assert person.email in page
        assert "Finance" in page
        assert ("Invite a person" in page) == (name in ("adam", "olga"))
        assert ("Remove" in page) == (name in ("adam", "olga"))
        assert 'href="/members"' in page
    assert "olga@acme.test" not in text(visit("charlie").get("/members"))


def test_the_list_tells_the_last_sign_in(visit: Visit, client: Client, cast: Cast) -> None:
    create_user(cast.team, "dora@acme.test", "a long enough password", ["viewer"])
    row = f'id="{User.objects.get(email="dora@acme.test").id}"'
    assert "never" in text(visit("bob").get("/members")).split(row)[1].split("</tr>")[0]
    client.post("/sign-in", {"username": "dora@acme.test", "password": "a long enough password"})
    assert "never" not in text(visit("bob").get("/members")).split(row)[1].split("</tr>")[0]


def test_nobody_is_offered_what_would_be_refused(visit: Visit, cast: Cast) -> None:
    group(cast, "Finance", "ana")
    for name in ("bob", "adam", "olga"):
        person, links = visit(name), set()
        for path in ("/members", "/groups", f"/groups/{Group.objects.get().id}", "/profile"):
            links |= {x for x in read(text(person.get(path))).links if x.startswith("/") and "/v1/" not in x}
        assert {link: person.get(link).status_code for link in links} == dict.fromkeys(links, 200), name
    assert f"/members/{cast.people['olga'].id}/remove" not in text(visit("adam").get("/members"))
    assert f"/members/{cast.people['olga'].id}/remove" not in text(visit("olga").get("/members"))  # the last owner


def test_a_person_may_have_several_roles_which_count_from_the_next_click(visit: Visit, cast: Cast) -> None:
    bob = visit("bob")
    assert bob.get("/runs/new").status_code == 403
    assert change(visit, "adam", cast, "bob", "operator", "approver") == 302
    assert roles_of(cast, "bob") == ["approver", "operator"]
    assert bob.get("/runs/new").status_code == 200
    assert told(cast, "member.roles_changed") == [
        {"name": "Bob", "before": ["viewer"], "after": ["approver", "operator"]}
    ]


def test_a_second_click_changes_and_tells_nothing(visit: Visit, cast: Cast) -> None:
    for _ in range(2):
        assert change(visit, "adam", cast, "bob", "operator", seen="viewer") == 302
    assert len(told(cast, "member.roles_changed")) == 1


def test_a_second_tab_does_not_overwrite_what_somebody_else_changed(visit: Visit, cast: Cast) -> None:
    assert change(visit, "olga", cast, "bob", "approver", seen="viewer") == 302
    answer = visit("adam").post(f"/members/{cast.people['bob'].id}/roles", {"roles": ["operator"], "seen": "viewer"})
    assert answer.status_code == 409
    assert "They are now: approver." in text(answer)
    assert 'name="seen" value="approver"' in text(answer)
    assert roles_of(cast, "bob") == ["approver"]


@pytest.mark.parametrize("roles", [(), ("king",), ("viewer", "king")])
def test_roles_that_are_none_are_refused(visit: Visit, cast: Cast, roles: tuple[str, ...]) -> None:
    assert change(visit, "olga", cast, "bob", *roles) == 422
    assert roles_of(cast, "bob") == ["viewer"]


def test_only_an_owner_makes_and_unmakes_owners(visit: Visit, cast: Cast) -> None:
    assert change(visit, "adam", cast, "adam", "owner") == 403
    assert change(visit, "adam", cast, "bob", "owner", "viewer") == 403
    assert change(visit, "olga", cast, "ana", "owner") == 302
    assert change(visit, "adam", cast, "ana", "approver") == 403
    assert remove(visit, "adam", cast, "ana") == 403
    assert "Only an owner may remove an owner." in text(visit("adam").get(f"/members/{cast.people['ana'].id}/remove"))
    assert roles_of(cast, "ana") == ["owner"]
    assert change(visit, "adam", cast, "ana", "owner", "approver") == 302  # the rest of an owner's roles is no secret
    assert change(visit, "olga", cast, "ana", "approver") == 302


def test_the_last_owner_stays(visit: Visit, cast: Cast) -> None:
    answer = visit("olga").post(f"/members/{cast.people['olga'].id}/roles", {"roles": ["admin"], "seen": "owner"})
    assert answer.status_code == 409
    assert "Olga is the last owner." in text(answer)
    assert remove(visit, "olga", cast, "olga") == 409
    change(visit, "olga", cast, "ana", "owner")
    User.objects.filter(id=cast.people["ana"].id).update(is_active=False)  # an owner who cannot sign in is none
    assert remove(visit, "olga", cast, "olga") == 409
    User.objects.filter(id=cast.people["ana"].id).update(is_active=True)
    assert remove(visit, "olga", cast, "olga") == 302
    assert roles_of(cast, "olga") is None


def test_before_removing_the_page_says_what_follows(visit: Visit, cast: Cast) -> None:
    group(cast, "Finance", "adam")
    issue_key(cast.actor("adam"), "nightly", frozenset({"runs:read"}))
    issue_key(cast.actor("adam", test=True), "trial", frozenset({"runs:read"}))
    invite(visit("adam"))
    page = text(visit("olga").get(f"/members/{cast.people['adam'].id}/remove"))
    for sentence in (
        "Remove Adam from the team?", "2 keys that they own are revoked: nightly, trial (test).",
        "They leave the group Finance.", "1 open invitation that they sent is withdrawn.",
        "Requests that they claimed are free for others",
    ):  # fmt: skip
        assert sentence in page
    assert roles_of(cast, "adam") == ["admin"]


def test_who_is_removed_opens_nothing_from_the_next_call_on(visit: Visit, cast: Cast) -> None:
    adam, path = visit("adam", "live"), f"/members/{cast.people['adam'].id}/remove"
    key = issue_key(cast.actor("adam"), "nightly", frozenset({"runs:read"})).key
    own = issue_key(cast.actor("olga"), "stays", frozenset({"runs:read"})).key
    link = invite(adam)
    assert "Adam is no longer in the team." in text(visit("olga").post(path))
    assert adam.get("/members").status_code == 403
    assert adam.get("/v1/runs").status_code == 401
    with pytest.raises(InvalidApiKey):
        actor_of_key(key)
    assert actor_of_key(own)
    assert Client().get(link).status_code == 410
    (entry,) = told(cast, "member.removed")
    assert entry["keys"] == [ApiKey.objects.get(name="nightly").id]
    assert [each["name"] for each in told(cast, "key.revoked")] == ["nightly"]


def test_removing_touches_no_other_team(visit: Visit, cast: Cast, strangers: Cast) -> None:
    ana = cast.people["ana"]
    Membership.objects.create(user=ana, team=strangers.team, roles=["admin"])
    group(strangers, "Theirs").users.add(ana)
    group(cast, "Ours", "ana")
    key = issue_key(strangers.actor("olga"), "theirs", frozenset({"runs:read"}))
    ApiKey.objects.filter(id=key.row.id).update(owner=ana)
    person = visit("ana")
    assert remove(visit, "olga", cast, "ana") == 302
    assert list(ana.groups.values_list("name", flat=True)) == ["Theirs"]
    assert actor_of_key(key.key)
    assert "Others" in text(person.get("/"))


def test_a_second_click_on_remove_is_harmless(visit: Visit, cast: Cast) -> None:
    path = f"/members/{cast.people['bob'].id}/remove"
    olga = visit("olga")
    olga.post(path)
    assert "This person is no longer in the team." in text(olga.post(path))
    assert len(told(cast, "member.removed")) == 1
    assert olga.post("/members/usr_none/remove").status_code == 404


def claimed(cast: Cast, begin: Callable[..., Run], name: str) -> Approval:
    run = begin("x [pause]")
    actor = cast.actor(name, test=True)
    handling.claim(actor, request_of(run).id)
    return handling.assign(cast.actor("olga", test=True), request_of(run).id, actor.id)


def test_requests_of_somebody_who_left_are_free_for_others(
    visit: Visit, cast: Cast, begin: Callable[..., Run], work: Work
) -> None:
    held = claimed(cast, begin, "ana")
    others = claimed(cast, begin, "olga")
    assert remove(visit, "olga", cast, "ana") == 302
    assert work() == ["approvals.tasks.member_changed"]
    held.refresh_from_db()
    assert (held.status, held.claimed_by, held.assignee) == ("pending", None, None)
    changes = (
        RunEvent.objects.filter(run_id=held.run_id, type="approval").order_by("seq").values_list("data", flat=True)
    )
    assert [(each["change"], each["by"]["type"]) for each in changes][2:] == [
        ("released", "system"),
        ("assigned", "system"),
    ]
    others.refresh_from_db()
    assert others.claimed_by
    handling.hand_back(cast.team.id, cast.people["ana"].id)  # the task may run twice
    assert RunEvent.objects.filter(run_id=held.run_id, type="approval").count() == 4


def test_who_may_no_longer_decide_holds_no_request(
    visit: Visit, cast: Cast, begin: Callable[..., Run], work: Work
) -> None:
    held = claimed(cast, begin, "ana")
    change(visit, "olga", cast, "ana", "admin")
    work()
    held.refresh_from_db()
    assert held.claimed_by
    change(visit, "olga", cast, "ana", "operator")
    work()
    held.refresh_from_db()
    assert held.claimed_by is None


def test_claims_of_a_revoked_key_end_with_its_owner(
    visit: Visit, cast: Cast, begin: Callable[..., Run], work: Work
) -> None:
    held = request_of(begin("x [pause]"))
    key = cast.api(test=True, owner="adam")
    assert key.post(f"/approvals/{held.id}/claim").status_code == 200
    remove(visit, "olga", cast, "adam")
    work()
    held.refresh_from_db()
    assert held.claimed_by is None


def test_invitations_that_one_could_not_send_any_more_are_withdrawn(visit: Visit, cast: Cast) -> None:
    change(visit, "olga", cast, "adam", "owner")
    invite(visit("adam"), "king@outside.test", "owner")
    invite(visit("adam"), "page@outside.test", "viewer")
    change(visit, "olga", cast, "adam", "admin")
    assert the_invitation(email="king@outside.test").revoked_at
    assert not the_invitation(email="page@outside.test").revoked_at
    change(visit, "olga", cast, "adam", "operator")
    assert the_invitation(email="page@outside.test").revoked_at
    assert len(told(cast, "invitation.revoked")) == 2
