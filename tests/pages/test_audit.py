"""The audit page: what stands in it, for whom, in which world, and how it is asked."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.audit import sources, things
from accounts.audit.access import page_of
from accounts.audit.query import KINDS, Query
from accounts.audit.services import audit
from accounts.keys.services import issue_key
from accounts.models import AuditEntry
from approvals.models import Approval
from runs.models import Run
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db
PEOPLE = ("alice", "ana", "bob", "olga", "charlie")
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}


def words(page: str) -> str:
    """The page as it is read: without tags, white space as one blank."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def decide(api: Api, approval: Approval, verdict: str, **more: Any) -> Any:
    return api.post(f"/approvals/{approval.id}/decide", {"verdict": verdict, **more})


@pytest.mark.parametrize("name", PEOPLE)
def test_everybody_of_the_team_may_look_and_take_it_along(visit: Visit, name: str) -> None:
    person = visit(name)
    page = read(text(person.get("/audit")))
    assert page.headings.count("h1") == 1
    assert (page.twice(), page.nameless_controls(), page.inline, page.foreign) == (set(), [], [], [])
    for form in ("csv", "json"):
        answer = person.get(f"/audit/export.{form}")
        assert answer.status_code == 200
        assert "no-store" in answer["Cache-Control"]
        assert "attachment" in answer["Content-Disposition"]
    assert person.post("/audit").status_code == 405


def test_without_signing_in_it_leads_to_the_sign_in(client: Any) -> None:
    for path in ("/audit", "/audit/export.csv", "/audit/export.json"):
        assert client.get(path)["Location"].startswith("/sign-in?next=")


def test_an_edit_stands_with_what_it_was_before(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    asked = request_of(begin("x [steps:1]", **ASKING))
    edited = {"name": "click", "params": {"x": 7, "y": 8}}
    assert (
        decide(cast.api(test=True, owner="ana"), asked, "approve", edited_action=edited, note="closer").status_code
        == 200
    )
    page = text(visit("bob").get("/audit"))
    assert f'href="/approvals/{asked.id}"' in page
    assert f'href="/runs/{asked.run_id}"' in page
    said = words(page)
    assert "Approved : Click at 101" in said
    assert "x 101 → 7" in said
    assert "a key API key Approved" in said
    assert "closer" in said


def test_a_losing_attempt_stands_beside_the_decision_that_won(visit: Visit, begin: Callable[..., Run]) -> None:
    asked = request_of(begin("x [pause]"))
    visit("ana").post(f"/approvals/{asked.id}/decide", {"verdict": "reject", "note": "wrong account"})
    visit("olga").post(f"/approvals/{asked.id}/decide", {"verdict": "approve"})
    said = words(text(visit("bob").get("/audit")))
    assert "Tried to approve : The agent asks for approval it was decided already" in said
    assert "Rejected : The agent asks for approval" in said
    assert said.index("Tried to approve") < said.index("Rejected")
    lost = words(text(visit("bob").get("/audit?verdict=lost")))
    assert "Tried to approve" in lost
    assert "Rejected :" not in lost


def test_what_else_was_done_with_a_request(visit: Visit, test_key: Api, cast: Cast, begin: Callable[..., Run]) -> None:
    asked = request_of(begin("x [pause]", awaiting_human_timeout_seconds=100))
    at = f"/approvals/{asked.id}"
    test_key.post(f"{at}/claim")
    test_key.post(f"{at}/comment", {"text": "who is this?"})
    test_key.post(f"{at}/assign", {"assignee": cast.people["ana"].id, "note": "yours"})
    test_key.post(f"{at}/extend", {"seconds": 60})
    test_key.post(f"{at}/release")
    test_key.post(f"/runs/{asked.run_id}/cancel")
    rows = re.findall(r"<strong>(.+?)</strong>", text(visit("bob").get(f"/audit?subject={asked.id}")))
    assert [r for r in rows if r != "TEST WORLD"] == [
        "Cancelled with its run", "Gave back", "Gave more time", "Assigned", "Commented on", "Commented on", "Claimed",
    ]  # fmt: skip
    said = words(text(visit("bob").get("/audit?kind=request")))
    assert "assignee nothing → Ana" in said
    assert "who is this?" in said
    assert "Cancelled with its run :" not in said


def test_a_decision_that_was_undone(visit: Visit, cast: Cast, begin: Callable[..., Run]) -> None:
    cast.team.__class__.objects.update(undo_window_seconds=60)
    asked = request_of(begin("x [pause]"))
    ana = visit("ana")
    ana.post(f"/approvals/{asked.id}/decide", {"verdict": "approve"})
    ana.post(f"/approvals/{asked.id}/undo")
    said = words(text(ana.get("/audit")))
    assert "Undid the decision : The agent asks for approval" in said
    assert "Approved : The agent asks for approval undone later" in said


def test_settings_keys_policies_and_webhooks(visit: Visit, test_key: Api, cast: Cast) -> None:
    test_key.patch("/team", {"claim_minutes": 5, "budget_cents_month": 5000})
    made = test_key.post("/keys", {"name": "ci"}).json()
    test_key.delete(f"/keys/{made['key_id']}")
    policy = test_key.post("/permissions", {"tool": "click", "host": "shop.test"}).json()
    test_key.patch(f"/permissions/{policy['id']}", {"effect": "ask"})
    hook = test_key.post("/webhooks", {"url": "https://93.184.216.34/hook?token=t0ken"}).json()
    test_key.delete(f"/webhooks/{hook['id']}")
    page = text(visit("olga").get("/audit"))
    said = words(page)
    assert "Changed the settings" in said
    assert "claim minutes 10 → 5" in said
    assert "budget month $0.00 → $50.00" in said
    assert "both worlds" in said
    assert "Revoked the API key : ci" in said
    assert "Made the policy to allow : Every click on shop.test" in said
    assert "effect allow → ask" in said
    assert f'href="/policies/{policy["id"]}"' in page
    assert "token=[redacted]" in said
    assert "t0ken" not in page
    assert f'href="/webhooks/{hook["id"]}"' not in page
    assert made["key"] not in page
    links = {x for x in read(page).links if x.startswith("/") and "/v1/" not in x}
    assert {x: visit("olga").get(x).status_code for x in links} == dict.fromkeys(links, 200)


def test_people_groups_and_their_keys(visit: Visit, cast: Cast) -> None:
    bob, ana = cast.people["bob"], cast.people["ana"]
    for test in (False, True):
        issue_key(cast.actor("ana", test=test), f"ana's {'test' if test else 'live'} key", frozenset({"runs:read"}))
    olga = visit("olga")
    olga.post(f"/members/{bob.id}/roles", {"roles": ["operator"], "seen": ["viewer"]})
    olga.post("/groups/new", {"name": "Finance"})
    olga.post(f"/members/{ana.id}/remove")
    olga.post("/profile/name", {"name": "Olga O."})
    page = text(olga.get("/audit"))
    said = words(page)
    assert "Changed the roles of : Bob both worlds roles viewer → operator" in said
    assert "Made the group : Finance" in said
    assert "Removed the member : Ana" in said
    assert "Changed their own name : Olga O. both worlds name Olga → Olga O." in said
    assert ("ana's test key" in said.replace("&#x27;", "'"), "ana's live key" in said.replace("&#x27;", "'")) == (
        True,
        False,
    )
    assert f'href="/members#{bob.id}"' in page
    assert f'href="/members#{ana.id}"' not in page
    assert "Finance" in text(olga.get(re.findall(r'href="(/groups/grp_[^"]+)"', page)[0]))
    in_live = words(text(visit("olga", "live").get("/audit?kind=member")))
    assert "Removed the member : Ana" in in_live


def test_links_lead_only_where_the_reader_may_go(visit: Visit, live: Api) -> None:
    live.post("/keys", {"name": "ci"})
    assert 'href="/keys"' not in text(visit("bob", "live").get("/audit")).partition('id="main"')[2]
    assert 'href="/keys"' in text(visit("olga", "live").get("/audit")).partition('id="main"')[2]


def test_each_world_has_its_own_and_settings_are_in_both(visit: Visit, live: Api, test_key: Api) -> None:
    live.post("/keys", {"name": "for customers"})
    test_key.post("/keys", {"name": "for trying"})
    test_key.patch("/team", {"claim_minutes": 5})
    in_live, in_test = (words(text(visit("bob", world).get("/audit"))) for world in ("live", "test"))
    assert ("for customers" in in_live, "for trying" in in_live, "Changed the settings" in in_live) == (
        True,
        False,
        True,
    )
    assert ("for customers" in in_test, "for trying" in in_test, "Changed the settings" in in_test) == (
        False,
        True,
        True,
    )


def test_a_stranger_finds_nothing_of_it(visit: Visit, test_key: Api, begin: Callable[..., Run]) -> None:
    asked = request_of(begin("x [pause]"))
    decide(test_key, asked, "approve", note="ours alone")
    decide(test_key, asked, "reject")
    test_key.post(f"/approvals/{asked.id}/comment", {"text": "ours alone"})
    test_key.post("/keys", {"name": "ours alone"})
    charlie = visit("charlie")
    for query in ("", f"run={asked.run_id}", f"subject={asked.id}", "verdict=lost", "kind=request"):
        assert "ours alone" not in text(charlie.get(f"/audit?{query}"))
        export = b"".join(charlie.get(f"/audit/export.json?{query}").streaming_content)
        assert b"ours alone" not in export
        assert asked.id.encode() not in export.partition(b"entries")[2]


def test_who_kind_run_and_verdict_narrow_the_list(
    visit: Visit, test_key: Api, cast: Cast, begin: Callable[..., Run]
) -> None:
    first, second = request_of(begin("a [pause]")), request_of(begin("b [pause]"))
    visit("ana").post(f"/approvals/{first.id}/decide", {"verdict": "reject", "note": "first"})
    visit("olga").post(f"/approvals/{second.id}/decide", {"verdict": "approve", "note": "second"})
    test_key.post("/keys", {"name": "third"})
    bob = visit("bob")

    def rows(query: str) -> str:
        return text(bob.get(f"/audit?{query}")).partition("<tbody>")[2]

    found = {
        query: tuple(word for word in ("first", "second", "third") if word in rows(query))
        for query in (
            f"who={cast.people['ana'].id}", f"run={second.run_id}", "kind=key", "kind=decision", "verdict=reject",
            "kind=key&verdict=reject", f"who={cast.people['ana'].id}&verdict=approve", "who=usr_unknown", "run=run_none",
        )
    }  # fmt: skip
    assert list(found.values()) == [
        ("first",), ("second",), ("third",), ("first", "second"), ("first",), (), (), (), (),
    ]  # fmt: skip


def test_days_are_asked_for_in_utc_the_last_one_included(visit: Visit, cast: Cast) -> None:
    now = timezone.now()
    for days in (0, 1, 2):
        AuditEntry.objects.create(
            team=cast.team, test=True, actor={"type": "user", "id": "usr_x", "name": "X"}, verb="key.created",
            subject="key_x", data={"name": f"day{days}"}, at=now - timedelta(days=days),
        )  # fmt: skip
    day = f"{now - timedelta(days=1):%Y-%m-%d}"
    page = text(visit("bob").get(f"/audit?from={day}&to={day}"))
    assert [d for d in ("day0", "day1", "day2") if f">{d}<" in page or f": {d}" in words(page)] == ["day1"]
    assert f'value="{day}"' in page


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-02-02&to=2026-02-01", "kind=nothing", "who=%00"])
def test_a_filter_that_is_wrong_shows_nothing_and_says_so(visit: Visit, query: str, test_key: Api) -> None:
    test_key.post("/keys", {"name": "ci"})
    answer = visit("bob").get(f"/audit?{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in text(answer)
    assert "Made the API key" not in text(answer)
    assert visit("bob").get(f"/audit/export.csv?{query}").status_code == 400


def test_the_ends_of_the_calendar_are_days_too(visit: Visit) -> None:
    assert visit("bob").get("/audit?from=0001-01-01&to=9999-12-31").status_code == 200


def entry(cast: Cast, name: str, at: Any) -> None:
    by = {"type": "user", "id": "usr_x", "name": "X"}
    AuditEntry.objects.create(
        team=cast.team, test=True, actor=by, verb="key.created", subject=f"key_{name}", data={"name": name}, at=at
    )


def test_pages_neither_repeat_nor_hide_rows_while_others_arrive(
    visit: Visit, cast: Cast, test_key: Api, begin: Callable[..., Run]
) -> None:
    asked = request_of(begin("x [pause]"))
    for n in range(8):
        test_key.post(f"/approvals/{asked.id}/comment", {"text": f"comment {n}"})
        test_key.post(f"/approvals/{asked.id}/claim")
    decide(test_key, asked, "approve")
    before = timezone.now()
    for n in range(130):  # many of them at the same moment
        entry(cast, f"k{n}", before - timedelta(seconds=n // 40))
    whole = [place for place, _ in page_of(cast.actor("bob", test=True), Query(), None, 1000)]
    bob, path, seen, pages = visit("bob"), "/audit", [], 0
    while path:
        page = text(bob.get(path))
        seen += re.findall(r'<tr id="e-([^"]+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else ""
        pages += 1
        for n in range(30):
            entry(cast, f"new{pages}.{n}", timezone.now())
    assert pages == len(whole) // 50 + 1
    assert len(seen) == len(set(seen)) == len(whole)


def test_a_cursor_of_another_list_is_refused(visit: Visit) -> None:
    assert visit("bob").get("/audit?cursor=abc").status_code == 400


def test_what_looks_like_a_secret_is_not_shown(
    visit: Visit, test_key: Api, cast: Cast, begin: Callable[..., Run]
) -> None:
    asked = request_of(begin("x [secret]"))
    secret = "cs_live_abcdefghijklmnop"
    test_key.post(f"/approvals/{asked.id}/comment", {"text": f"use {secret} for it"})
    audit(cast.actor("olga", test=True), "key.created", "key_x", name=f"for {secret}", token="abc", scopes=["keys"])
    assert decide(test_key, asked, "submit", values={"password": "tr0ub4dor"}).status_code == 200
    bob = visit("bob")
    for found in (
        text(bob.get("/audit")),
        *(b"".join(bob.get(f"/audit/export.{form}").streaming_content).decode() for form in ("csv", "json")),
    ):
        assert secret not in found
        assert "tr0ub4dor" not in found
        assert "cs_live_[redacted]" in found
        assert "abc" not in re.sub("cs_live_abc", "", found)


def test_words_of_others_are_shown_as_words(visit: Visit, test_key: Api, begin: Callable[..., Run]) -> None:
    asked = request_of(begin("x [pause]"))
    test_key.post(f"/approvals/{asked.id}/comment", {"text": "<script>x</script>\u202e"})
    test_key.post("/keys", {"name": "<b>bold</b>"})
    page = text(visit("olga").get("/audit"))
    assert "<script>x" not in page
    assert "<b>bold" not in page
    assert "U+202E" in page


def test_entries_are_never_rewritten(cast: Cast) -> None:
    entry(cast, "x", timezone.now())
    with pytest.raises(IntegrityError, match="never rewritten"), transaction.atomic():
        AuditEntry.objects.update(verb="key.revoked")


@pytest.mark.parametrize("query", [
    Query(), Query(who="usr_x"), Query(verdict="reject"), Query(verdict="lost"), Query(run="run_x"), Query(subject="apr_x"),
    Query(subject="pol_x"), *(Query(kind=kind) for kind in KINDS),
])  # fmt: skip
def test_no_filter_reads_a_whole_table(cast: Cast, query: Query, django_assert_max_num_queries: Any) -> None:
    """Asked not to, the planner still reads a whole table where no index fits."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    seen: list[str] = []

    def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT"):
            with connection.connection.cursor() as raw:
                raw.execute(f"EXPLAIN {sql}", params)
                seen.append("\n".join(row[0] for row in raw.fetchall()))
        return execute(sql, params, many, context)

    actor = cast.actor("bob", test=True)
    with connection.execute_wrapper(explained):
        page_of(actor, query, None, 50)
    assert seen
    assert [plan for plan in seen if "Seq Scan" in plan] == []


def test_an_empty_list_says_what_will_stand_there(visit: Visit) -> None:
    assert "Nothing has happened yet" in text(visit("bob").get("/audit"))
    assert "Nothing fits" in text(visit("bob").get("/audit?kind=key"))


def test_every_table_and_every_name_is_registered() -> None:
    assert len(sources.sources()) == len(sources.POSITIONS)
    assert set(things._LOOK_UPS) == {"usr", "grp", "key", "whk", "sec", "apr", "pol", "mch", "led"}
    assert set(things._BELOW) == {"run"}
    with pytest.raises(ValueError, match="no position"):
        sources.register("gossip", sources.sources()[0])
