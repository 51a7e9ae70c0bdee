"""People before their pages, and runs that ask."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Group, Membership, User
from approvals.models import Approval
from runs.models import Run
from tests.cast import Cast, make_cast
from tests.pages.conftest import begin, request_of, visit  # noqa: F401  fixtures here too

Ask = Callable[..., Approval]


@pytest.fixture
def cast(db: None) -> Cast:
    """The cast without its admin: Ana and Olga are those who decide, unless a test says otherwise."""
    made = make_cast("acme")
    Membership.objects.filter(user=made.people.pop("adam")).delete()
    return made


@pytest.fixture
def ask(begin: Callable[..., Run]) -> Ask:  # noqa: F811
    """ask("task [pause]", by="alice") is the request of a new run in the test world."""

    def start(task: str = "x [pause]", **more: Any) -> Approval:
        return request_of(begin(task, **more))

    return start


def join(cast: Cast, name: str, *roles: str, active: bool = True) -> User:
    """One more person of the team."""
    user = User.objects.create(email=f"{name}@acme.test", name=name.title(), password="!", is_active=active)
    Membership.objects.create(user=user, team=cast.team, roles=list(roles))
    cast.people[name] = user
    return user


def group(cast: Cast, name: str, *people: str, after: Group | None = None) -> Group:
    """A group of these people; `after` hears of what it leaves unanswered."""
    made = Group.objects.create(team=cast.team, name=name, next_group=after)
    made.users.set([cast.people[each] for each in people])
    return made
