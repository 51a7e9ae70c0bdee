"""People at the doors, and the work that their changes leave for a worker."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from accounts import limits
from accounts.models import AuditEntry, Group, Invitation, Membership
from tests.cast import Cast
from tests.pages.conftest import Visit, Visitor, begin, text, visit  # noqa: F401  fixtures here too

TASKS = ("accounts.tasks.mail_invitation", "approvals.tasks.member_changed")
Work = Callable[[], list[str]]


@pytest.fixture
def work(db: None) -> Work:
    """Do what a worker would do with mails and changes of members; the names of the tasks done."""

    def run() -> list[str]:
        done: list[str] = []
        while row := next((row for row in OrmQ.objects.order_by("id") if row.func() in TASKS), None):
            row.delete()
            import_string(row.func())(*row.args())
            done.append(row.func())
        return done

    return run


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that count by the minute see one and the same."""
    now = time.time()
    monkeypatch.setattr(limits.time, "time", lambda: now)


def roles_of(cast: Cast, name: str) -> list[str] | None:
    row = Membership.objects.filter(team=cast.team, user=cast.people[name]).first()
    return row.roles if row else None


def group(cast: Cast, name: str, *people: str) -> Group:
    made = Group.objects.create(team=cast.team, name=name)
    made.users.set([cast.people[person] for person in people])
    return made


def told(cast: Cast, verb: str) -> list[dict[str, Any]]:
    """What the audit has of these changes, oldest first."""
    return list(AuditEntry.objects.filter(team=cast.team, verb=verb).order_by("id").values_list("data", flat=True))


def invite(visitor: Visitor, email: str = "erik@outside.test", *roles: str, **more: Any) -> str:
    """Invite by the page; the path of the link that it shows."""
    answer = visitor.post("/members/invite", {"email": email, "roles": roles or ("approver",), **more})
    assert answer.status_code == 200, text(answer)
    (link,) = re.findall(r'id="new-link">([^<]+)<', text(answer))
    assert urlsplit(link).netloc == "testserver"
    return urlsplit(link).path


def the_invitation(**known: Any) -> Invitation:
    return Invitation.objects.get(**known)
