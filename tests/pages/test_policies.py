"""The pages of policies: what is ruled, in sentences; who may change it; and the same rules as the API's."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Group
from approvals.models import Policy
from approvals.policies.sentences import reach, sentence, state_of
from runs.models import Run
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db
PEOPLE = ("alice", "ana", "bob", "olga", "charlie")
# path, method, then the answer for Alice, Ana, Bob, Olga and Charlie
DOORS = [
    ("/policies", "get", 200, 200, 200, 200, 200),
    ("/policies?state=all&effect=allow&tool=c&end_user=x&reach=run", "get", 200, 200, 200, 200, 200),
    ("/policies/{id}", "get", 200, 200, 200, 200, 404),
    ("/policies/pol_none", "get", 404, 404, 404, 404, 404),
    ("/policies/new", "get", 403, 200, 403, 200, 403),
    ("/policies/new", "post", 403, 422, 403, 422, 403),
    ("/policies/{id}/edit", "get", 403, 200, 403, 200, 403),
    ("/policies/{id}/edit", "post", 403, 422, 403, 422, 403),
    ("/policies/{id}/revoke", "get", 403, 200, 403, 200, 403),
    ("/policies/{id}/revoke", "post", 403, 302, 403, 302, 403),
]
NEXT_YEAR = datetime(timezone.now().year + 1, 1, 3, 12, tzinfo=UTC)


@pytest.fixture
def policy(test_key: Api) -> dict[str, Any]:
    made: dict[str, Any] = test_key.post(
        "/permissions", {"tool": "click", "host": "shop.test", "note": "dull work"}
    ).json()
    return made


@pytest.mark.parametrize("name", PEOPLE)
def test_doors_by_role(visit: Visit, policy: dict[str, Any], name: str) -> None:
    person, who = visit(name), PEOPLE.index(name) + 2
    for row in DOORS:
        address = row[0].format(id=policy["id"])
        answer = person.get(address) if row[1] == "get" else person.post(address, follow=False)
        assert answer.status_code == row[who], (row[0], row[1], name)
        if answer["Content-Type"].startswith("text/html") and answer.content:
            page = read(text(answer))
            assert page.headings.count("h1") == 1, row[0]
            assert (page.twice(), page.nameless_controls(), page.inline) == (set(), [], []), row[0]


@pytest.mark.parametrize(("name", "told"), [("bob", True), ("alice", True), ("ana", False), ("adam", False)])
def test_who_may_only_read_is_told_who_may_do_more(visit: Visit, policy: dict[str, Any], name: str, told: bool) -> None:
    for path, words in (("/policies", "You can read them."), (f"/policies/{policy['id']}", "You can read it.")):
        assert (words in text(visit(name).get(path))) is told, path


def test_another_team_changes_nothing(strangers: Cast, policy: dict[str, Any]) -> None:
    client = strangers.browser("ana")
    session = client.session
    session["mode"] = "test"
    session.save()
    for path in ("edit", "revoke"):
        assert client.post(f"/policies/{policy['id']}/{path}", {"effect": "deny"}).status_code == 404
    assert Policy.objects.get().effect == "allow"


def test_pages_show_one_world(visit: Visit, policy: dict[str, Any]) -> None:
    olga = visit("olga", "live")
    assert "shop.test" not in text(olga.get("/policies?state=all"))
    for path in ("", "/edit", "/revoke"):
        assert olga.get(f"/policies/{policy['id']}{path}").status_code == 404


def test_links_lead_somewhere_or_are_not_shown(visit: Visit, policy: dict[str, Any]) -> None:
    for name in ("alice", "ana", "bob"):
        person = visit(name)
        for path in ("/policies", f"/policies/{policy['id']}"):
            links = {x for x in read(text(person.get(path))).links if x.startswith(("/policies", "/audit"))}
            assert {link: person.get(link).status_code for link in links} == dict.fromkeys(links, 200), name


def a_policy(**fields: Any) -> Policy:
    return Policy(**{"tool": "click", "effect": "allow"} | fields)


TWO_GROUPS = [{"group": "finance", "count": 2}, {"group": "anyone", "count": 1}]


@pytest.mark.parametrize(("fields", "said"), [
    ({"host": "shop.test"}, "Every click on shop.test is allowed without asking"),
    ({"tool": "*", "effect": "deny", "host": "*.bank.example"},
     "Every action on the subdomains of bank.example is refused without asking"),
    ({"tool": "mail.*", "effect": "ask"}, "Every action whose name begins with “mail.” needs an approval"),
    ({"tool": "mail.send", "effect": "ask", "quorum": TWO_GROUPS, "four_eyes": True},
     "Every call of mail.send needs the approval of 2 people of finance and 1 person, not that of who started the run"),
    ({"end_user": "bob"}, "Every click for the end user “bob” is allowed without asking"),
    ({"run_id": "run_x"}, "Every click in one run is allowed without asking"),
    ({"tool": "*", "effect": "ask", "host": "shop.test", "when": [{"class": "irreversible"}]},
     "Every action on shop.test that is hard to undo needs an approval"),
    ({"when": [{"class": "reversible"}]}, "Every click that can be undone is allowed without asking"),
])  # fmt: skip
def test_a_policy_in_one_sentence(fields: dict[str, Any], said: str) -> None:
    assert sentence(a_policy(**fields)) == f"{said}, until somebody revokes it"
    assert sentence(a_policy(**fields, expires_at=NEXT_YEAR)) == f"{said}, until 3 Jan {NEXT_YEAR.year}"


def test_the_hour_is_told_when_the_end_is_near() -> None:
    soon = timezone.now() + timedelta(hours=5)
    assert sentence(a_policy(expires_at=soon)).endswith(f"{soon:%H:%M} UTC")


def test_an_allow_for_the_team_says_whether_it_covers_end_users() -> None:
    assert reach(a_policy()) == "Only in runs without an end user."
    assert reach(a_policy(include_end_users=True)) == "Also in runs with an end user."
    assert [reach(a_policy(**more)) for more in ({"end_user": "x"}, {"run_id": "run_x"}, {"effect": "deny"})] == [
        "",
        "",
        "",
    ]


def test_what_was_replaced_after_its_end_had_expired() -> None:
    now = timezone.now()
    past, before = now - timedelta(hours=1), now - timedelta(hours=2)
    found = [state_of(a_policy(expires_at=end, revoked_at=revoked)) for end, revoked in (
        (None, None), (past, None), (past, now), (past, before), (None, past), (now + timedelta(hours=1), None),
    )]  # fmt: skip
    assert found == ["active", "expired", "expired", "revoked", "revoked", "active"]


def test_the_list_is_narrowed_by_its_address(visit: Visit, cast: Cast) -> None:
    now = timezone.now()
    rows = {
        "one": {"tool": "click"}, "two": {"tool": "mail.send", "effect": "deny"}, "three": {"tool": "click", "end_user": "bob"},
        "four": {"tool": "click", "run_id": "run_x"}, "five": {"tool": "scroll", "expires_at": now - timedelta(days=1)},
        "six": {"tool": "drag", "revoked_at": now},
    }  # fmt: skip
    by = {"type": "user", "id": "usr_x", "name": "X"}
    for note, fields in rows.items():
        Policy.objects.create(team=cast.team, test=True, note=note, created_by=by, **fields)
    bob = visit("bob")

    def shown(query: str) -> set[str]:
        page = text(bob.get(f"/policies?{query}"))
        return {note for note in rows if f">{note}<" in page}

    assert shown("") == {"one", "two", "three", "four"}
    assert shown("state=expired") == {"five"}
    assert shown("state=revoked") == {"six"}
    assert shown("state=all") == set(rows)
    assert shown("effect=deny") == {"two"}
    assert shown("tool=mail") == {"two"}
    assert shown("end_user=bob") == {"three"}
    assert (shown("reach=team"), shown("reach=end_user"), shown("reach=run")) == ({"one", "two"}, {"three"}, {"four"})
    assert "No policy fits" in text(bob.get("/policies?tool=nothing"))


def test_a_long_list_has_pages_and_keeps_the_filter(visit: Visit, cast: Cast) -> None:
    by = {"type": "user", "id": "usr_x", "name": "X"}
    Policy.objects.bulk_create(
        Policy(team=cast.team, test=True, tool=f"a.{n}", effect="deny", created_by=by) for n in range(51)
    )
    bob = visit("bob")
    page = text(bob.get("/policies?effect=deny"))
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following
    assert "effect=deny" in following[1]
    assert text(bob.get(following[1].replace("&amp;", "&"))).count('<tr id="pol_') == 1


def test_making_one_by_the_form_is_making_one_by_the_api(visit: Visit, cast: Cast, test_key: Api) -> None:
    finance = Group.objects.create(team=cast.team, name="the finance")
    ana = visit("ana")
    page = text(ana.get("/policies/new?tool=mail.send&effect=ask"))
    assert 'value="mail.send"' in page
    assert re.search(r'value="ask"\s+checked', page)
    sent = {
        "tool": "mail.send", "effect": "ask", "host": "Shop.test", "end_user": "bob", "expires_at": f"{NEXT_YEAR:%Y-%m-%dT%H:%M}",
        f"need-{finance.id}": "2", "need-anyone": "", "four_eyes": "on", "include_end_users": "on", "note": "mail leaves",
        "when": "irreversible",
    }  # fmt: skip
    made = ana.post("/policies/new", sent)
    assert "The policy is made." in text(made)
    row = test_key.get(f"/permissions/{Policy.objects.get().id}").json()
    kept = {name: row[name] for name in (
        "tool", "effect", "host", "end_user", "include_end_users", "expires_at", "quorum", "four_eyes", "note", "origin", "when",
    )}  # fmt: skip
    assert kept == {
        "tool": "mail.send", "effect": "ask", "host": "shop.test", "end_user": "bob", "include_end_users": False,
        "expires_at": f"{NEXT_YEAR:%Y-%m-%dT%H:%M}:00.000Z", "quorum": [{"group": "the finance", "count": 2}], "four_eyes": True,
        "note": "mail leaves", "origin": "dashboard", "when": [{"class": "irreversible"}],
    }  # fmt: skip
    assert row["created_by"]["name"] == "Ana"


def test_the_same_policy_twice_is_one(visit: Visit) -> None:
    adam = visit("adam")
    adam.post("/policies/new", {"tool": "click", "effect": "allow"})
    again = adam.post("/policies/new", {"tool": "click", "effect": "allow", "note": "again"})
    assert "Nothing was made" in text(again)
    assert Policy.objects.get().note is None


@pytest.mark.parametrize(("field", "value", "said"), [
    ("tool", "click, scroll", "Letters, digits"),
    ("tool", "", "This field is required."),
    ("effect", "", "Choose what happens."),
    ("host", "https://shop.test", "A host such as shop.test"),
    ("expires_at", "2020-01-01T00:00", "Must lie in the future."),
    ("expires_at", "soon", "A day and time such as"),
    ("need-anyone", "21", "less than or equal to 20"),
    ("note", "x" * 501, "at most 500 characters"),
])  # fmt: skip
def test_what_is_wrong_stands_beside_its_field_and_the_rest_is_kept(
    visit: Visit, field: str, value: str, said: str
) -> None:
    sent = {"tool": "click", "effect": "ask", "host": "kept.test", "end_user": "<b>kept</b>"} | {field: value}
    answer = visit("ana").post("/policies/new", sent)
    page = text(answer)
    assert answer.status_code == 422
    assert said in page
    assert 'value="&lt;b&gt;kept&lt;/b&gt;"' in page
    assert not Policy.objects.exists()


def test_changing_what_may_change(visit: Visit, policy: dict[str, Any], test_key: Api) -> None:
    ana, path = visit("ana"), f"/policies/{policy['id']}"
    page = text(ana.get(f"{path}/edit"))
    assert 'name="tool"' not in page
    assert 'value="dull work"' in page
    same = {"effect": "allow", "note": "dull work", "expires_at": ""}
    assert "Nothing was changed." in text(ana.post(f"{path}/edit", same))
    ana.post(
        f"{path}/edit", {"effect": "ask", "note": "", "expires_at": f"{NEXT_YEAR:%Y-%m-%dT%H:%M}", "need-anyone": "2"}
    )
    row = test_key.get(f"/permissions/{policy['id']}").json()
    assert (row["effect"], row["note"], row["quorum"]) == ("ask", None, [{"group": "anyone", "count": 2}])
    assert row["expires_at"].startswith(f"{NEXT_YEAR:%Y-%m-%d}")
    ana.post(f"{path}/edit", {"effect": "ask", "note": "", "expires_at": "", "need-anyone": "2"})
    assert test_key.get(f"/permissions/{policy['id']}").json()["expires_at"] is None
    history = text(ana.get(f"/audit?subject={policy['id']}"))
    assert history.count("Changed the policy") == 2


def test_a_change_that_meets_an_equal_policy_is_refused_at_the_effect(
    visit: Visit, policy: dict[str, Any], test_key: Api
) -> None:
    test_key.post("/permissions", {"tool": "click", "host": "shop.test", "effect": "deny"})
    answer = visit("ana").post(f"/policies/{policy['id']}/edit", {"effect": "deny", "note": "dull work"})
    assert answer.status_code == 422
    assert "An equal policy is in force already." in text(answer)


def test_groups_keep_their_order_and_one_that_is_gone_stays_until_changed(
    visit: Visit, cast: Cast, test_key: Api
) -> None:
    finance, board = (Group.objects.create(team=cast.team, name=name) for name in ("finance", "board"))
    needs = [{"group": "finance", "count": 1}, {"group": board.id, "count": 2}]
    made = test_key.post("/permissions", {"tool": "x", "effect": "ask", "quorum": needs}).json()
    ana, path = visit("ana"), f"/policies/{made['id']}/edit"
    page = text(ana.get(path))
    assert page.index("finance (0 people)") < page.index("board (0 people)") < page.index("Anyone who may decide")
    sent = {"effect": "ask", f"need-{finance.id}": "1", f"need-{board.id}": "2", "note": "n"}
    ana.post(path, sent)
    assert Policy.objects.get().quorum == needs
    Group.objects.filter(id=board.id).delete()
    assert "a group that no longer exists" in text(ana.get(path))
    kept = ana.post(path, {"effect": "ask", f"need-{finance.id}": "1", "need-gone1": "2", "note": "m"})
    assert (kept.status_code, Policy.objects.get().note) == (200, "m")
    wrong = ana.post(path, {"effect": "ask", f"need-{finance.id}": "2", "need-gone1": "2", "note": "m"})
    assert wrong.status_code == 422
    assert "There is no group" in text(wrong)


def test_revoking_asks_first_and_says_what_it_means(visit: Visit, policy: dict[str, Any]) -> None:
    ana, path = visit("ana"), f"/policies/{policy['id']}"
    assert "Every click on shop.test is allowed without asking" in text(ana.get(f"{path}/revoke"))
    assert Policy.objects.get().revoked_at is None
    page = text(ana.post(f"{path}/revoke"))
    assert "The policy is revoked." in page
    assert f'href="{path}/edit"' not in page
    first = Policy.objects.get().revoked_at
    ana.post(f"{path}/revoke")
    assert Policy.objects.get().revoked_at == first
    assert "was revoked is not changed any more" in text(ana.post(f"{path}/edit", {"effect": "deny"}))
    assert Policy.objects.get().effect == "allow"


def test_one_that_expired_can_be_given_more_time(visit: Visit, policy: dict[str, Any]) -> None:
    Policy.objects.update(expires_at=timezone.now() - timedelta(days=1))
    adam, path = visit("adam"), f"/policies/{policy['id']}"
    assert "It rules nothing any more." in text(adam.get(path))
    adam.post(f"{path}/edit", {"effect": "allow", "note": "dull work", "expires_at": f"{NEXT_YEAR:%Y-%m-%dT%H:%M}"})
    assert "It rules nothing any more." not in text(adam.get(path))


def test_one_that_was_remembered_leads_to_its_request(visit: Visit, begin: Callable[..., Run]) -> None:
    asked = request_of(begin("x [steps:1]", human_in_the_loop=True, permission_mode="approval"))
    visit("ana").post(f"/approvals/{asked.id}/decide", {"verdict": "approve", "remember": "run"})
    made = Policy.objects.get()
    bob = visit("bob")
    for path in ("/policies", f"/policies/{made.id}"):
        assert f'href="/approvals/{asked.id}"' in text(bob.get(path))
    page = text(bob.get(f"/policies/{made.id}"))
    assert "in one run" in page
    assert f'href="/runs/{asked.run_id}"' in page


def test_how_often_it_was_used(visit: Visit, policy: dict[str, Any]) -> None:
    assert "never" in text(visit("bob").get("/policies"))
    Policy.objects.update(uses=3, last_used_at=timezone.now())
    assert "3 times, last" in text(visit("bob").get("/policies"))


def test_words_of_others_are_shown_as_words(visit: Visit, test_key: Api) -> None:
    test_key.post("/permissions", {"tool": "click", "end_user": "<b>x</b>\u202e", "note": "<script>"})
    for path in ("/policies", f"/policies/{Policy.objects.get().id}", f"/policies/{Policy.objects.get().id}/edit"):
        page = text(visit("ana").get(path))
        assert "<b>x" not in page
        assert "<script>" not in page
        assert "U+202E" in page


def test_an_empty_list_says_what_policies_are_for(visit: Visit) -> None:
    assert "New policy" in text(visit("ana").get("/policies"))
    page = text(visit("bob").get("/policies"))
    assert "No policies" in page
    assert "New policy" not in page
