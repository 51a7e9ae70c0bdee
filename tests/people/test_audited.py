"""What the audit page says of people: in both worlds, in words, with a way to what it speaks of."""

import pytest
from django.test import Client

from accounts.keys.services import issue_key
from accounts.models import AuditEntry, Group
from tests.cast import Cast
from tests.pages.conftest import Visit, text
from tests.pages.test_audit import words
from tests.people.conftest import group, invite, the_invitation

pytestmark = pytest.mark.django_db


def test_every_change_of_people_reads_as_a_sentence(visit: Visit, cast: Cast, client: Client) -> None:
    olga, bob = visit("olga"), cast.people["bob"].id
    client.post(invite(olga, "erik@outside.test"), {"name": "Erik", "password": "quite a long password"})
    invite(olga, "mia@outside.test")
    olga.post(f"/invitations/{the_invitation(email='mia@outside.test').id}/again")
    olga.post(f"/invitations/{the_invitation(email='mia@outside.test').id}/revoke")
    olga.post("/groups/new", {"name": "Finance"})
    finance, security = Group.objects.get(), group(cast, "Security")
    olga.post(f"/groups/{finance.id}/edit", {"name": "Treasury", "next_group": security.id})
    olga.post(f"/groups/{finance.id}/add", {"user": bob})
    olga.post(f"/members/{bob}/roles", {"roles": ["operator"], "seen": "viewer"})
    visit("bob").post("/profile/name", {"name": "Robert"})
    olga.post(f"/members/{bob}/remove")
    for world in ("live", "test"):
        page = text(visit("ana", world).get("/audit?kind=member"))
        said = words(page)
        for sentence in (
            "Invited : erik@outside.test", "Accepted the invitation : erik@outside.test",
            "Invited again : mia@outside.test", "Took back the invitation of : mia@outside.test",
            "Made the group : Finance", "Changed the group : Treasury", "Added somebody to the group : Treasury",
            "Changed the roles of : Bob", "Changed their own name : Robert", "Removed the member : Robert",
        ):  # fmt: skip
            assert sentence in said, sentence
        assert f'href="/groups/{finance.id}"' in page
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert len(verbs) >= 10
    assert not set(AuditEntry.objects.exclude(test=None).values_list("verb", flat=True)) - {"wallet.topup"}


def test_keys_that_end_with_their_owner_stand_in_their_own_world(visit: Visit, cast: Cast) -> None:
    for test in (False, True):
        issue_key(cast.actor("adam", test=test), f"of {test}", frozenset({"runs:read"}))
    visit("olga", "live").post(f"/members/{cast.people['adam'].id}/remove")
    told = AuditEntry.objects.filter(verb="key.revoked").values_list("test", "data__name")
    assert sorted(told) == [(False, "of False"), (True, "of True")]
