"""`manage.py createuser` makes people, and never changes a password unasked."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry, Membership, User
from tests.cast import Cast

pytestmark = pytest.mark.django_db
OLD, NEW = "the first long password", "the second long password"


def createuser(cast: Cast, password: str, *more: str, role: str = "approver") -> tuple[str, str]:
    """What it printed, and what it said beside."""
    out, said = StringIO(), StringIO()
    sent = ["--team", cast.team.slug, "--email", "dora@acme.test", "--password", password, "--role", role, *more]
    call_command("createuser", *sent, stdout=out, stderr=said)
    return out.getvalue().strip(), said.getvalue()


def dora() -> User:
    return User.objects.get(email="dora@acme.test")


def test_a_new_person_gets_the_password_and_only_the_id_is_printed(cast: Cast) -> None:
    assert createuser(cast, OLD) == (dora().id, "")
    assert dora().check_password(OLD)


def test_who_exists_keeps_the_password_and_the_command_says_so(cast: Cast) -> None:
    createuser(cast, OLD)
    printed, said = createuser(cast, NEW, role="operator")
    assert printed == dora().id
    assert "keeps the old password" in said
    assert "--reset-password" in said
    assert dora().check_password(OLD)
    assert Membership.objects.get(user=dora()).roles == ["operator"]


def test_the_same_password_again_is_nothing_to_speak_of(cast: Cast) -> None:
    createuser(cast, OLD)
    assert createuser(cast, OLD) == (dora().id, "")


def test_a_password_is_reset_when_asked_for_and_the_audit_knows(cast: Cast) -> None:
    createuser(cast, OLD)
    assert createuser(cast, NEW, "--reset-password") == (dora().id, "")
    assert dora().check_password(NEW)
    assert AuditEntry.objects.get(verb="member.password_set").subject == dora().id


def test_a_weak_password_is_refused_before_anything_is_changed(cast: Cast) -> None:
    createuser(cast, OLD)
    with pytest.raises(CommandError, match="too short"):
        createuser(cast, "abc", "--reset-password")
    assert dora().check_password(OLD)
