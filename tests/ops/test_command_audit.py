"""What the command line changes of who may do what stands in the audit, as what people and programs change."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from accounts.actor import LIVE_DEFAULT, SCOPES
from accounts.models import ApiKey, AuditEntry, Team, User
from config.first_run import set_up
from tests.cast import Cast

pytestmark = pytest.mark.django_db
SHELL = {"type": "system", "id": "command_line", "name": "Command line"}


def said(command: str, *words: str) -> str:
    out = StringIO()
    call_command(command, *words, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def createuser(cast: Cast, *roles: str) -> str:
    words = [word for role in roles for word in ("--role", role)]
    return said(
        "createuser", "--team", cast.team.slug, "--email", "dora@acme.test", "--password", "a long password", *words
    )


def entries(prefix: str) -> list[tuple[str, str, Any, Any, Any]]:
    rows = AuditEntry.objects.filter(verb__startswith=prefix).order_by("id")
    return [(row.verb, row.subject, row.actor, row.test, row.data) for row in rows]


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_key_made_on_the_command_line_is_audited_in_its_world(cast: Cast, mode: str) -> None:
    said("createkey", "--team", cast.team.slug, "--mode", mode, "--scopes", "runs:read,usage", "--name", "nightly")
    key = ApiKey.objects.get()
    facts = {"name": "nightly", "scopes": ["runs:read", "usage"], "owner": "Olga"}
    assert entries("key.") == [("key.created", key.id, SHELL, mode == "test", facts)]


def test_the_usual_scopes_of_such_a_key_are_audited_too(cast: Cast) -> None:
    said("createkey", "--team", cast.team.slug, "--mode", "live")
    assert entries("key.")[0][4]["scopes"] == sorted(LIVE_DEFAULT)


def test_a_person_made_on_the_command_line_is_audited(cast: Cast) -> None:
    user = createuser(cast, "approver", "operator")
    facts = {"name": "dora", "email": "dora@acme.test", "roles": ["approver", "operator"]}
    assert entries("member.") == [("member.added", user, SHELL, None, facts)]


def test_other_roles_are_audited_with_what_they_were_and_the_same_ones_are_not(cast: Cast) -> None:
    user = createuser(cast, "viewer")
    createuser(cast, "viewer")
    createuser(cast, "admin")
    (_, changed) = entries("member.")
    assert changed == (
        "member.roles_changed", user, SHELL, None, {"name": "dora", "before": ["viewer"], "after": ["admin"]}
    )  # fmt: skip


def test_a_password_set_on_the_command_line_says_so(cast: Cast) -> None:
    user = createuser(cast, "viewer")
    said(
        "createuser", "--team", cast.team.slug, "--email", "dora@acme.test", "--password", "another long one",
        "--role", "viewer", "--reset-password",
    )  # fmt: skip
    assert entries("member.")[-1][:3] == ("member.password_set", user, SHELL)


def test_what_fails_leaves_no_entry(cast: Cast) -> None:
    with pytest.raises(Exception, match="Unknown scope"):
        said("createkey", "--team", cast.team.slug, "--mode", "live", "--scopes", "everything")
    assert entries("key.") == []
    assert not ApiKey.objects.exists()


def test_the_first_start_is_in_the_audit(db: None) -> None:
    assert set_up() is not None
    team, owner = Team.objects.get(), User.objects.get()
    assert [(verb, subject) for verb, subject, *_ in entries("member.")] == [("member.added", owner.id)]
    assert [(verb, test, data["scopes"]) for verb, _, _, test, data in entries("key.")] == [
        ("key.created", False, sorted(SCOPES)), ("key.created", True, sorted(SCOPES))
    ]  # fmt: skip
    assert {row.team_id for row in AuditEntry.objects.all()} == {team.id}


def test_the_page_has_words_for_it(cast: Cast) -> None:
    createuser(cast, "viewer")
    said("createkey", "--team", cast.team.slug, "--mode", "live")
    page = cast.browser("adam").get("/audit").content.decode()
    for words in ("Added the member", "Made the API key", "Command line"):
        assert words in page
