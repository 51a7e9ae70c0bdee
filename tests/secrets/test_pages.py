"""The pages of secrets: made, changed and deleted by people, and no page ever shows a value."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, TeamSecret
from accounts.secrets import services
from database.sealing import unseal
from tests.cast import Cast

pytestmark = pytest.mark.django_db
VALUE = "tr0ub4dor-and-3"
FORM = {
    "name": "shop password",
    "value": VALUE,
    "hosts": "Shop.Example.com\n *.example.org, localhost\n\n",
    "machines": "",
}


@pytest.fixture
def admin(cast: Cast) -> Client:
    return cast.browser("adam")


def made(admin: Client, **change: Any) -> TeamSecret:
    answer = admin.post("/secrets/new", FORM | change)
    assert answer.status_code == 302, answer.content.decode()
    return TeamSecret.objects.latest("created_at")


def text(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status
    assert VALUE not in answer.content.decode()
    return answer.content.decode()


def test_a_secret_is_kept_and_its_pages_tell_everything_but_the_value(admin: Client) -> None:
    row = made(admin)
    assert (row.hosts, row.machines) == (["shop.example.com", "*.example.org", "localhost"], [])
    assert unseal(row.sealed) == VALUE
    page = text(admin, f"/secrets/{row.id}")
    assert "{{secret:shop password}}" in page
    assert "*.example.org" in page
    assert "Not used yet" in page
    assert 'href="/secrets/' in text(admin, "/secrets")
    assert "shop password" in text(admin, f"/secrets/{row.id}/delete")
    audit = text(admin, "/audit?kind=secret")
    assert "Made the secret" in audit
    assert f'href="/secrets/{row.id}"' in audit


def test_uses_are_listed_with_their_runs(admin: Client) -> None:
    row = made(admin)
    handed = services.Handed(row.id, row.name, "value", "", (), frozenset())
    services.used(row.team_id, False, "run_1", [handed], "fill", "shop.example.com")
    services.withheld(row.team_id, False, "run_1", [row.name], "evil.test is not among its hosts.")
    page = text(admin, f"/secrets/{row.id}")
    assert 'href="/runs/run_1"' in page
    assert "handed out for shop.example.com" in page
    assert "evil.test is not among its hosts." in page
    assert "Put in the secret" in text(admin, "/audit?kind=secret")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a}}"}, "Must be letters and digits"),
        ({"value": ""}, "Give a value, or the key of one-time codes."),
        ({"value": "", "hosts": ""}, "Give a value, or the key of one-time codes."),
        ({"totp_seed": "JBSWY3DPEHPK3PXP"}, "Give exactly one of value and totp_seed."),
        ({"value": "", "totp_seed": "no seed!"}, "Must be base32"),
        ({"hosts": ""}, "This field is required."),
        ({"hosts": "a.test\nhttps://b.test/x"}, "https://b.test/x: Must be a host"),
        ({"hosts": "\n".join(f"a{n}.test" for n in range(21))}, "at most 20 items"),
    ],
)
def test_what_is_refused_is_said_and_the_value_is_not_sent_back(admin: Client, change: Any, words: str) -> None:
    answer = admin.post("/secrets/new", FORM | change)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert VALUE not in page
    assert not TeamSecret.objects.exists()


def test_a_name_that_is_taken_is_said(admin: Client) -> None:
    made(admin)
    answer = admin.post("/secrets/new", FORM | {"name": "SHOP password"})
    assert (answer.status_code, "There is a secret of this name." in answer.content.decode()) == (422, True)


def test_hosts_are_changed_and_the_value_stays_until_a_new_one_is_given(admin: Client) -> None:
    row = made(admin)
    path = f"/secrets/{row.id}/edit"
    assert "shop.example.com\n*.example.org" in text(admin, path)
    admin.post(path, {"hosts": "a.test", "machines": "mch_1\nmch_2", "value": "", "totp_seed": ""})
    row.refresh_from_db()
    assert (row.hosts, row.machines, unseal(row.sealed), row.replaced_at) == (
        ["a.test"],
        ["mch_1", "mch_2"],
        VALUE,
        None,
    )
    admin.post(path, {"hosts": "a.test", "value": "", "totp_seed": "jbsw y3dp ehpk 3pxp"})
    row.refresh_from_db()
    assert (row.kind, unseal(row.sealed), row.machines) == ("totp", "JBSWY3DPEHPK3PXP", [])
    assert row.replaced_at is not None
    assert admin.post(path, {"hosts": "no host"}).status_code == 422


def test_a_second_click_on_delete_has_nothing_left_to_do(admin: Client) -> None:
    row = made(admin)
    for _ in range(2):
        assert admin.post(f"/secrets/{row.id}/delete")["Location"] == "/secrets"
    assert not TeamSecret.objects.exists()
    assert AuditEntry.objects.filter(verb="secret.deleted").count() == 1
    assert admin.get(f"/secrets/{row.id}").status_code == 404
    assert admin.post("/secrets/sec_none/delete").status_code == 404


def test_only_who_may_change_secrets_finds_the_way(cast: Cast, admin: Client) -> None:
    assert 'href="/secrets"' in text(admin, "/")
    assert 'href="/secrets"' not in text(cast.browser("alice"), "/")
