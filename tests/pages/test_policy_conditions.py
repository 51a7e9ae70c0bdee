"""Conditions on the form of a policy, what a rule would have done, and where it asks for more than it needs to."""

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.models import Approval, Policy
from approvals.policies.condition_forms import read_value, rows_of, value_text
from approvals.policies.conditions import holds, problems, same
from approvals.policies.narrowing import ENOUGH, narrowing
from approvals.policies.parameters import leaves, pinned
from tests.approvals.external.asking import ask as ask_program
from tests.approvals.external.asking import asker
from tests.approvals.test_conditions import JSON, when
from tests.approvals.test_replay import asked, decided
from tests.cast import Api, Cast
from tests.chance import TRIED
from tests.pages.conftest import Visit, text

pytestmark = pytest.mark.django_db
OPS = ("eq", "ne", "contains", "prefix", "matches", "in")


def row(number: int, path: str, op: str, value: str) -> dict[str, str]:
    return {f"path-{number}": path, f"op-{number}": op, f"value-{number}": value}


@pytest.mark.parametrize(
    ("op", "typed", "value"),
    [
        ("eq", "500", 500), ("eq", "12.5", 12.5), ("eq", "true", True), ("eq", '"500"', "500"), ("eq", "bob", "bob"),
        ("eq", "null", "null"), ("eq", "NaN", "NaN"), ("eq", "1e999", "1e999"), ("eq", '["a", 1]', ["a", 1]),
        ("gt", "500", 500), ("gt", "much", "much"), ("prefix", "500", "500"), ("prefix", '" x"', " x"),
        ("matches", "[0-9]", "[0-9]"), ("contains", "true", True),
        ("contains", "[x]", "[x]"), ("in", "a, 2 ,,b", ["a", 2, "b"]), ("in", "a", ["a"]),
        ("in", '["a, b", null]', ["a, b", None]), ("in", " , ", []), ("eq", "[" * 5000, "[" * 5000), ("eq", "9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_what_people_type_is_text_or_json(op: str, typed: str, value: Any) -> None:
    found = read_value(op, typed)
    assert (found, type(found)) == (value, type(value))


@given(st.sampled_from(OPS), JSON | st.text(max_size=20))
@TRIED
def test_a_value_is_shown_as_it_would_be_typed(op: str, value: Any) -> None:
    if value is None or list(problems([when("a", op, value)], ())):
        return
    assert same(read_value(op, value_text(op, value).strip()), value)


def test_there_is_always_an_empty_row_and_never_more_than_ten() -> None:
    assert (rows_of({}), rows_of(row(0, "a", "eq", "")), rows_of(row(3, "", "eq", "x")), rows_of(row(9, "a", "eq", "x"))) == (
        2, 2, 5, 10,
    )  # fmt: skip


def test_conditions_made_by_the_form_are_those_of_the_api(visit: Visit) -> None:
    sent = {"tool": "mail.send", "effect": "allow", "when": "irreversible", "max_uses": "5"}
    sent |= row(0, "amount", "lt", "500") | row(2, "to.0.email", "in", "a@x.test, b@x.test") | row(1, "", "eq", "")
    page = text(visit("adam").post("/policies/new", sent))
    made = Policy.objects.get()
    assert made.max_uses == 5
    assert made.when == [
        {"class": "irreversible"}, when("to.0.email", "in", ["a@x.test", "b@x.test"]), when("amount", "lt", 500),
    ]  # fmt: skip
    assert "where to.0.email is one of “a@x.test”, “b@x.test” and amount is under 500" in unescape(page)
    assert "<dt>Only where</dt>" in page


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        (row(1, "amount", "gt", "much"), "value-1", "Must be a number."),
        (row(0, "a[0]", "eq", "1"), "path-0", "no brackets"),
        (row(0, "", "eq", "1"), "path-0", "Field required."),
        (row(0, "a", "eq", ""), "value-0", "Field required."),
        (row(1, "a", "matches", "("), "value-1", "missing ): ("),
        (row(0, "a", "is", "1"), "op-0", "Select a valid choice"),
        ({"max_uses": "0"}, "max_uses", "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_condition_stands_beside_it(
    visit: Visit, sent: dict[str, str], field: str, words: str
) -> None:
    usual = {"tool": "click", "effect": "allow", "when": "irreversible"} | row(0, "button", "eq", "left")
    answer = visit("adam").post("/policies/new", usual | sent)
    page = unescape(text(answer))
    assert answer.status_code == 422
    error = re.search(rf'id="id_{field}_error".*?</div>', page, re.DOTALL)
    assert error
    assert words in error[0]
    assert 'value="click"' in page
    assert not Policy.objects.exists()


def test_a_rule_is_tried_before_it_is_switched_on(visit: Visit, cast: Cast) -> None:
    for amount in range(4):
        decided(asked(cast, params={"amount": amount}))
    rejected = decided(asked(cast, params={"amount": 4}), "reject")
    asked(cast, params={"amount": 5}, risk="spend")
    sent = (
        {"tool": "mail.send", "effect": "allow", "try": "1"}
        | row(0, "amount", "lt", "500")
        | row(1, "amount", "gt", "-1")
    )
    answer = visit("adam").post("/policies/new", sent)
    page = unescape(text(answer))
    assert answer.status_code == 200
    assert "it would have let through 5 of 6 actions that it fits." in page
    assert "Of these people rejected 1 and approved 4." in page
    assert "1 would still have been asked about" in page
    assert f'href="/approvals/{rejected}"' in page
    assert 'name="path-2"' in page
    assert not Policy.objects.exists()
    nothing = visit("ana").post("/policies/new", {"tool": "nothing", "effect": "ask", "try": "1"})
    assert "it fits none" in text(nothing)


def test_a_change_is_tried_before_it_is_made(visit: Visit, cast: Cast, test_key: Api) -> None:
    made = test_key.post(
        "/permissions", {"tool": "mail.send", "effect": "ask", "when": [when("amount", "gt", 1)]}
    ).json()
    for amount in range(4):
        asked(cast, params={"amount": amount})
    page = text(visit("adam").post(f"/policies/{made['id']}/edit", {"effect": "allow", "try": "1"}))
    assert "it would have let through all 2 actions that it fits." in page
    assert Policy.objects.get().effect == "ask"


def test_another_one_like_it_begins_as_it_is(visit: Visit, test_key: Api) -> None:
    conditions = [{"class": "irreversible"}, when("amount", "gt", 5), when("to", "eq", "500")]
    quorum = [{"group": "anyone", "count": 2}]
    body = {
        "tool": "mail.*",
        "effect": "ask",
        "host": "*.shop.test",
        "end_user": "bob",
        "quorum": quorum,
        "four_eyes": True,
    }
    made = test_key.post("/permissions", body | {"when": conditions, "note": "n"}).json()
    ana = visit("ana")
    page = unescape(text(ana.get(f"/policies/new?like={made['id']}")))
    inputs = dict(re.findall(r'<input type="(?:text|number)" name="([^"]+)" value="((?:[^"]|"500")*?)"', page))
    assert inputs["tool"] == "mail.*"
    assert (inputs["host"], inputs["end_user"], inputs["need-anyone"]) == ("*.shop.test", "bob", "2")
    assert (inputs["path-0"], inputs["path-1"], inputs["value-1"]) == ("to", "amount", "5")
    assert ana.get("/policies/new?like=pol_none").status_code == 404


def test_what_a_policy_says_is_shown_as_words(visit: Visit, test_key: Api) -> None:
    test_key.post(
        "/permissions",
        {"tool": "t", "when": [when("<b>x</b>", "eq", "<script>\u202e"), when("a", "prefix", "y" * 300)]},
    )
    for path in ("/policies", f"/policies/{Policy.objects.get().id}"):
        page = text(visit("ana").get(path))
        assert "<b>x" not in page
        assert "<script>" not in page
        assert "U+202E" in page
    assert "y" * 300 in page


def test_one_that_is_used_up_says_so(visit: Visit, test_key: Api) -> None:
    test_key.post("/permissions", {"tool": "click", "max_uses": 2})
    Policy.objects.update(uses=2)
    bob = visit("bob")
    assert "used up" not in text(bob.get("/policies?state=active"))
    assert "No policy fits" in text(bob.get("/policies?state=active"))
    assert "used up" in text(bob.get("/policies?state=used_up"))
    page = text(bob.get(f"/policies/{Policy.objects.get().id}"))
    assert "It rules nothing any more." in page
    assert re.search(r"2 of 2\s+times", page)


# --- asked for more than it needs to


def _approved(cast: Cast, policy_id: str, number: int, **params: Any) -> None:
    for n in range(number):
        approval = asked(
            cast,
            params={"to": [{"email": "bob@x.test"}], "amount": n, "x": 1, "long": "z" * 300, "id": str(n)} | params,
        )
        decided(approval)
        Approval.objects.filter(id=approval.id).update(
            policy_ids=[policy_id], status="approved", resolved_at=approval.created_at
        )


@pytest.fixture
def ask(test_key: Api) -> Policy:
    made = test_key.post("/permissions", {"tool": "mail.send", "effect": "ask", "host": "shop.test", "four_eyes": True})
    return Policy.objects.get(id=made.json()["id"])


def test_what_was_approved_fifty_times_is_proposed_for_narrowing(visit: Visit, cast: Cast, ask: Policy) -> None:
    _approved(cast, ask.id, ENOUGH - 1)
    assert narrowing(ask) is None
    _approved(cast, ask.id, 1)
    found = narrowing(ask)
    assert found is not None
    assert (found.approved, [each.words for each in found.suggestions]) == (
        ENOUGH, ["to.0.email is not “bob@x.test”", "amount is over 48"],
    )  # fmt: skip
    ana = visit("ana")
    page = unescape(text(ana.get(f"/policies/{ask.id}")))
    assert f"It was approved {ENOUGH} times" in page
    address = found.suggestions[0].address
    assert f'href="{address}"' in page
    form = unescape(text(ana.get(address)))
    assert 'value="bob@x.test"' in form
    assert re.search(r'<option value="ne" selected>', form)
    assert re.search(r'name="four_eyes"[^>]* checked', form)
    assert Policy.objects.count() == 1
    assert "It was approved" not in text(visit("bob").get(f"/policies/{ask.id}"))


@pytest.mark.parametrize("spoilt", [{"verdict": "reject"}, {"amount": 3}])
def test_one_rejection_or_change_and_nothing_is_proposed(cast: Cast, ask: Policy, spoilt: dict[str, Any]) -> None:
    _approved(cast, ask.id, ENOUGH)
    approval = asked(cast, params={"amount": 1})
    decided(approval, **spoilt)
    status = "rejected" if "verdict" in spoilt else "approved"
    Approval.objects.filter(id=approval.id).update(policy_ids=[ask.id], status=status, resolved_at=approval.created_at)
    assert narrowing(ask) is None


def test_only_an_ask_in_force_is_proposed_and_only_by_its_own_requests(cast: Cast, ask: Policy) -> None:
    _approved(cast, "pol_other", ENOUGH)
    assert narrowing(ask) is None
    _approved(cast, ask.id, ENOUGH)
    assert narrowing(ask) is not None
    ask.effect = "allow"
    assert narrowing(ask) is None


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
@TRIED
def test_what_is_pinned_holds_for_the_action_itself(params: dict[str, Any]) -> None:
    pins = pinned(params, [path for path, _ in leaves(params)])
    assert all(holds(each, params) for each in pins)
    assert not list(problems(pins[:10], ()))


def test_what_can_be_named_of_an_action() -> None:
    params = {
        "a": "x", "b": {"c": [1, True, None, "", "y" * 201]}, "x": 5, "d": [], "e.f": "dot", "g[0]": "bracket",
        "deep": {"1": {"2": {"3": {"4": {"5": 1}}}}},
    }  # fmt: skip
    assert leaves(params) == [("a", "x"), ("b.c.0", 1), ("b.c.1", True)]
    assert len(leaves({str(n): n for n in range(500)})) == 60
    assert pinned(params, ["a", "nothing"]) == [when("a", "eq", "x"), {"path": "nothing", "op": "eq"}]


# --- on the card: "allow, but only for this one"


def test_what_is_remembered_is_pinned_on_the_card(visit: Visit, live: Api, cast: Cast) -> None:
    action = {"name": "mail.send", "params": {"to": "<b>bob</b>@x.test", "amount": 5, "body": "z" * 300}}
    row = ask_program(asker(cast), "tool", action=action)
    ana = visit("ana", "live")
    page = text(ana.get(f"/approvals/{row['id']}"))
    assert re.findall(r'name="pin" value="([^"]+)"', page) == ["to", "amount"]
    assert "to is “&lt;b&gt;bob&lt;/b&gt;@x.test”" in page
    ana.post(f"/approvals/{row['id']}/decide", {"verdict": "approve", "remember": "always", "pin": ["to"]})
    assert Policy.objects.get().when == [when("to", "eq", "<b>bob</b>@x.test")]


def test_what_is_edited_is_pinned_as_it_was_edited(visit: Visit, cast: Cast) -> None:
    row = ask_program(asker(cast), "tool", action={"name": "mail.send", "params": {"to": "bob", "amount": 5}})
    sent = {"verdict": "approve", "remember": "always", "pin": ["amount", "to"], "p.to": "bob", "p.amount": "4"}
    visit("ana", "live").post(f"/approvals/{row['id']}/decide", sent)
    assert Policy.objects.get().when == [when("amount", "eq", 4), when("to", "eq", "bob")]


def test_a_pin_without_remembering_stores_nothing_and_a_made_up_one_is_refused(visit: Visit, cast: Cast) -> None:
    ana, rows = visit("ana", "live"), [ask_program(asker(cast), "tool") for _ in range(2)]
    ana.post(f"/approvals/{rows[0]['id']}/decide", {"verdict": "approve", "remember": "", "pin": ["to"]})
    assert Approval.objects.get(id=rows[0]["id"]).status == "approved"
    sent = {"verdict": "approve", "remember": "always", "pin": ["to", "nothing"]}
    answer = ana.post(f"/approvals/{rows[1]['id']}/decide", sent)
    assert answer.status_code == 422
    assert re.search(r'name="pin" value="to"\s+checked', text(answer))
    assert Approval.objects.get(id=rows[1]["id"]).status == "pending"
    assert not Policy.objects.exists()
