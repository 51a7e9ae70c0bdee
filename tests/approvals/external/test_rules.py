"""Policies judge what programs outside want to do as they judge runs (docs/policies.md, docs/api/approvals.md section 13)."""

from typing import Any

import pytest

from accounts.models import Team
from approvals.models import Approval, Policy
from tests.approvals.external.asking import MAIL, ask, asker, decide, locs, read
from tests.approvals.test_conditions import when
from tests.at_once import at_once
from tests.cast import Api, Cast, make_cast

pytestmark = pytest.mark.django_db
NAME = MAIL["name"]


def act(api: Api, **params: Any) -> dict[str, Any]:
    return ask(api, "tool", action=MAIL | {"params": params})


def rule(api: Api, **body: Any) -> str:
    answer = api.post("/permissions", {"tool": NAME} | body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def test_conditions_look_into_the_parameters_of_the_program(cast: Cast) -> None:
    boss, program = cast.api(owner="adam", test=False), asker(cast)
    allow = rule(boss, when=[when("amount", "lt", 100)])
    deny = rule(boss, effect="deny", when=[when("to.0", "matches", "@evil\\.test$")])
    always = rule(boss, effect="ask", when=[when("amount", "gt", 50)])
    small, foreign, middling, nothing = [
        act(program, **params) for params in ({"amount": 1}, {"amount": 1, "to": ["x@evil.test"]}, {"amount": 60}, {})
    ]
    assert (small["status"], small["decision"]["policy_id"]) == ("approved", allow)
    assert (foreign["status"], foreign["decision"]["policy_id"]) == ("rejected", deny)
    assert (middling["status"], Approval.objects.get(id=middling["id"]).policy_ids) == ("pending", [always])
    assert nothing["status"] == "pending"
    assert Policy.objects.get(id=allow).uses == 1


@pytest.mark.parametrize("word", ["never", "four_eyes", "always"])
def test_what_the_asking_key_allowed_itself_never_counts_for_it(cast: Cast, live: Api, word: str) -> None:
    """It may decide nothing that it asks; an allow made with the same key would be the way round."""
    Team.objects.update(forbid_self_approval=word)
    allow = rule(live)
    assert act(live)["status"] == "pending"
    by_others = act(cast.api(owner="ana"))["decision"]
    assert by_others["policy_id"] == allow
    preview = live.post("/permissions/preview", {"tool": NAME}).json()
    assert preview["would"] == {"allow": 1, "ask": 1, "deny": 0}
    assert cast.api(owner="adam").post("/permissions", {"tool": NAME}).json()["id"] == allow
    assert act(live)["status"] == "approved", "somebody else wants it too"


def test_what_another_key_of_the_same_person_allowed_counts_as_the_teams_rule_says(cast: Cast) -> None:
    one, other = cast.api(owner="adam"), cast.api(owner="adam")
    allow = rule(one)
    assert (act(one)["status"], act(other)["status"]) == ("pending", "approved")
    assert other.post("/permissions", {"tool": NAME}).json()["id"] == allow
    assert (act(one)["status"], act(other)["status"]) == ("approved", "approved"), "each by the other's word"
    Team.objects.update(forbid_self_approval="always")
    assert (act(one)["status"], act(other)["status"]) == ("pending", "pending")


EDITS = [
    ({"effect": "deny"}, "A policy denies mail.send."),
    ({"effect": "ask", "four_eyes": True}, "other or more people"),
    ({"effect": "ask", "quorum": [{"group": "anyone", "count": 2}]}, "other or more people"),
]


@pytest.mark.parametrize(("strict", "words"), EDITS)
def test_an_edit_falls_under_the_rules_for_what_it_becomes(
    cast: Cast, live: Api, strict: dict[str, Any], words: str
) -> None:
    """The program carries it out without asking again."""
    rule(live, when=[when("amount", "gt", 100)], **strict)
    row = act(asker(cast), amount=5)
    large = {"verdict": "approve", "edited_action": {"params": {"amount": 500}}}
    answer = decide(live, row, **large)
    assert locs(answer) == [["body", "edited_action"]]
    assert words in answer.json()["error"]["details"][0]["msg"]
    small = large | {"edited_action": {"params": {"amount": 50}}}
    assert decide(live, row, **small).status_code == 200
    rule(live, effect="deny", when=[when("amount", "gt", 40)])
    assert decide(live, row, **small).status_code == 200, "the same decision again"


def test_a_rule_that_asks_as_much_lets_an_edit_pass(cast: Cast, live: Api) -> None:
    rule(live, effect="ask", when=[when("amount", "gt", 100)])
    row = act(asker(cast), amount=5)
    assert decide(live, row, verdict="approve", edited_action={"params": {"amount": 500}}).status_code == 200


def test_what_is_remembered_may_be_for_one_recipient_only(cast: Cast, live: Api) -> None:
    program = asker(cast)
    first = act(program, to=["bob@shop.test"], amount=5)
    decided = decide(live, first, verdict="approve", remember=True, remember_when=[when("to.0", "eq", "bob@shop.test")])
    assert decided.json()["remembered"], decided.content
    assert act(program, to=["bob@shop.test"], amount=7)["status"] == "approved"
    assert act(program, to=["eve@shop.test"], amount=5)["status"] == "pending"
    wider = decide(
        live,
        act(program, to=["x@shop.test"]),
        verdict="approve",
        remember=True,
        remember_when=[when("to.0", "eq", "y")],
    )
    assert wider.status_code == 422


def test_a_rule_is_tried_on_what_programs_asked_too(cast: Cast, live: Api) -> None:
    program = asker(cast)
    for amount in (1, 2, 600):
        act(program, amount=amount)
    boss = cast.api(owner="adam", test=False)
    preview = boss.post("/permissions/preview", {"tool": NAME, "when": [when("amount", "lt", 500)]}).json()
    assert (preview["matched"], preview["would"]) == (2, {"allow": 2, "ask": 0, "deny": 0})


@pytest.mark.django_db(transaction=True)
def test_of_programs_that_ask_at_once_only_so_many_pass() -> None:
    cast = make_cast("acme")
    policy = rule(cast.api(owner="adam", test=False), max_uses=2)
    programs = [asker(cast) for _ in range(5)]
    rows = at_once(*[lambda program=program: act(program, amount=1) for program in programs])
    assert sorted(row["status"] for row in rows) == ["approved"] * 2 + ["pending"] * 3
    assert Policy.objects.get(id=policy).uses == 2
    assert [read(programs[0], rows[0])["id"]] == [rows[0]["id"]]
