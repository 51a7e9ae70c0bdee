"""Changes of people at the same moment, on real connections: the team always keeps an owner, and nobody acts who left."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.errors import InsufficientScope, LastOwner, OwnersOnly
from accounts.groups import services as groups
from accounts.invitations import services as invitations
from accounts.invitations.access import open_invitations
from accounts.keys import services as keys
from accounts.members import services
from accounts.models import ApiKey, Group, Invitation, Membership, User
from tests import chance
from tests.cast import Cast, make_cast
from tests.runs.test_races import Together
from web.errors import Refusal

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = min(chance.ROUNDS, 10)  # one person may not send more mails in a minute


@pytest.fixture
def together() -> Iterator[Together]:
    threads = Together(2)
    yield threads
    threads.close()


@pytest.fixture
def cast(transactional_db: None, settings: Any) -> Cast:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_cast("acme", cents=0)


def result(call: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    def run() -> Any:
        try:
            return call(*args)
        except Refusal as refusal:
            return type(refusal)

    return run


def set_roles(cast: Cast, **roles: list[str]) -> None:
    for name, given in roles.items():
        Membership.objects.update_or_create(user=cast.people[name], team=cast.team, defaults={"roles": given})


def owners(cast: Cast) -> int:
    return Membership.objects.filter(team=cast.team, roles__contains=["owner"]).count()


@pytest.mark.parametrize("way", ["demote", "remove"])
def test_two_owners_who_unmake_each_other_leave_one(cast: Cast, together: Together, way: str) -> None:
    for _ in range(ROUNDS):
        set_roles(cast, olga=["owner"], adam=["owner"])
        calls = []
        for me, other in (("olga", "adam"), ("adam", "olga")):
            actor, target = cast.actor(me), cast.people[other].id
            if way == "demote":
                calls.append(result(services.change_roles, actor, target, ["admin"], ["owner"]))
            else:
                calls.append(result(services.remove, actor, target))
        done = together.run(*calls)
        assert sum(isinstance(each, Membership) for each in done) == 1, done
        assert {OwnersOnly, InsufficientScope} & set(done), done
        assert owners(cast) == 1


def test_two_owners_who_step_back_leave_one(cast: Cast, together: Together) -> None:
    for _ in range(ROUNDS):
        set_roles(cast, olga=["owner"], adam=["owner"])
        done = together.run(
            *(result(services.change_roles, cast.actor(me), cast.people[me].id, ["admin"], ["owner"])
              for me in ("olga", "adam"))
        )  # fmt: skip
        assert LastOwner in done
        assert owners(cast) == 1


def test_who_is_being_removed_leaves_no_key_behind(cast: Cast, together: Together) -> None:
    for _ in range(ROUNDS):
        set_roles(cast, adam=["admin"])
        adam = cast.actor("adam")
        together.run(result(services.remove, cast.actor("olga"), adam.id), result(keys.create_key, adam, "late"))
        assert not ApiKey.objects.filter(owner_id=adam.id, revoked_at__isnull=True).exists()


def test_one_address_has_one_open_invitation(cast: Cast, together: Together) -> None:
    for n in range(ROUNDS):
        email = f"p{n}@outside.test"
        made = together.run(
            *(result(invitations.invite, cast.actor(me), email, ["viewer"], [], "http://x") for me in ("olga", "adam"))
        )
        assert open_invitations(cast.actor()).filter(email=email).count() == 1
        opening = [each for each in made if Invitation.objects.filter(hash=keys.hash_key(each.token)).exists()]
        assert [each.before for each in opening] == [True]  # the newest link is the one that opens


def test_a_link_that_two_people_use_makes_one_account(cast: Cast, together: Together) -> None:
    for n in range(ROUNDS):
        token = invitations.invite(cast.actor(), f"q{n}@outside.test", ["viewer"], [], "http://x").token
        done = together.run(
            *(result(invitations.join_as_new, token, name, "a long enough password") for name in ("One", "Two"))
        )
        assert sum(isinstance(each, User) for each in done) == 1, done
        assert User.objects.filter(email=f"q{n}@outside.test").count() == 1


def test_two_groups_never_pass_on_in_a_circle(cast: Cast, together: Together) -> None:
    olga = cast.actor()
    one, two = groups.create_group(olga, "One"), groups.create_group(olga, "Two")
    for _ in range(ROUNDS):
        Group.objects.update(next_group=None)
        together.run(
            result(groups.change_group, olga, one.id, "One", two.id),
            result(groups.change_group, cast.actor("adam"), two.id, "Two", one.id),
        )
        assert Group.objects.filter(next_group__isnull=False).count() == 1
