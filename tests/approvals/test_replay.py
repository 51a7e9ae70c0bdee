"""A rule is tried on what people were asked about of late, before it is switched on (POST /v1/permissions/preview)."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services
from approvals.models import Approval, Decision, Policy
from approvals.policies import replay as replay_module
from approvals.policies import services as policies
from approvals.policies.replay import replay
from approvals.policies.rules import Proposal, fits, judge
from tests.approvals.test_conditions import when
from tests.cast import Api, Cast
from tests.runs.driving import waiting

pytestmark = pytest.mark.django_db
ANA = {"type": "user", "id": "usr_ana", "name": "Ana"}


def asked(cast: Cast, tool: str = "mail.send", params: Any = None, *, test: bool = True, **more: Any) -> Approval:
    """A request that a run made; `more` are fields of the action, `starter` and `end_user` those of the run."""
    starter, end_user, days = more.pop("starter", ANA), more.pop("end_user", None), more.pop("days", 0)
    action = {
        "name": tool,
        "params": params or {},
        "host": "shop.test",
        "risk": "write",
        "class": "irreversible",
    } | more
    number = Approval.objects.count()
    approval = services.open_request(
        team_id=cast.team.id, test=test, run_id=f"run_{number}", root_run_id=f"run_{number}", kind="tool", title="t",
        message="m", on_timeout="cancel", action={"read_only": False} | action,
        context={"end_user": end_user, "started_by": starter, "starter_owner_id": None},
    )  # fmt: skip
    if days:
        Approval.objects.filter(id=approval.id).update(created_at=timezone.now() - timedelta(days=days))
    return approval


def decided(approval: Approval, verdict: str = "approve", actor: dict[str, str] = ANA, **after: Any) -> str:
    action = approval.action or {}
    if after:
        Approval.objects.filter(id=approval.id).update(edited_action={"name": action["name"], "params": after})
    Decision.objects.create(
        approval=approval, team_id=approval.team_id, test=approval.test, verdict=verdict, effect="proceed", actor=actor,
        via="api", payload_hash="", action_before=action, action_after=action | ({"params": after} if after else {}),
    )  # fmt: skip
    return approval.id


def preview(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/permissions/preview", body)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_what_a_rule_would_have_done_and_what_people_did(test_key: Api, cast: Cast) -> None:
    for amount in (1, 2, 3, 4):
        decided(asked(cast, params={"amount": amount}))
    edited = decided(asked(cast, params={"amount": 5}), amount=4)
    rejected = decided(asked(cast, params={"amount": 6}), "reject")
    decided(asked(cast, params={"amount": 7}), "reject", {"type": "system", "id": "system", "name": "Countersign"})
    asked(cast, params={"amount": 8})
    decided(asked(cast, params={"amount": 600}), "reject")
    decided(asked(cast, params={}), "reject")
    decided(asked(cast, "mail.read", {"amount": 1}))
    found = preview(test_key, tool="mail.send", when=[when("amount", "lt", 500)])
    assert found | {"examples": []} == {
        "object": "policy_preview", "matched": 8, "would": {"allow": 8, "ask": 0, "deny": 0},
        "people": {"approved": 4, "rejected": 1, "edited": 1}, "examples": [],
    }  # fmt: skip
    assert set(found["examples"][:2]) == {edited, rejected}
    assert len(found["examples"]) == 8
    assert not Policy.objects.exists()


def test_decisions_as_people_make_them(test_key: Api) -> None:
    edit = {"name": "click", "params": {"x": 7, "y": 8}}
    for body in ({"verdict": "approve"}, {"verdict": "approve", "edited_action": edit}, {"verdict": "reject"}):
        run = waiting(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="approval")
        assert test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", body).status_code == 200
    found = preview(test_key, tool="click", when=[when("button", "eq", "left")])
    assert (found["matched"], found["people"]) == (3, {"approved": 1, "rejected": 1, "edited": 1})


def test_only_its_own_world_and_team_and_the_last_thirty_days(
    test_key: Api, live: Api, cast: Cast, strangers: Cast
) -> None:
    asked(cast)
    asked(cast, test=False)
    asked(cast, days=29)
    asked(cast, days=31)
    assert [preview(api, tool="*")["matched"] for api in (test_key, live, strangers.api(test=True))] == [2, 1, 0]


def test_only_the_newest_are_looked_at(test_key: Api, cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr(replay_module, "MOST", 3)
    ids = [asked(cast, tool).id for tool in ("mail.send", "mail.read", "mail.send", "mail.send")]
    found = preview(test_key, tool="mail.send")
    assert (found["matched"], found["examples"]) == (2, [ids[3], ids[2]])


def test_what_goes_before_it_still_does(test_key: Api, cast: Cast) -> None:
    asked(cast, params={"amount": 1})
    asked(cast, params={"amount": 1}, risk="spend")
    test_key.post("/permissions", {"tool": "mail.*", "effect": "ask", "when": [when("to", "eq", "eve")]})
    asked(cast, params={"amount": 1, "to": "eve"})
    test_key.post("/permissions", {"tool": "mail.send", "effect": "deny", "when": [when("to", "eq", "mallory")]})
    asked(cast, params={"amount": 1, "to": "mallory"})
    assert preview(test_key, tool="mail.send")["would"] == {"allow": 1, "ask": 2, "deny": 1}
    assert preview(test_key, tool="mail.send", effect="ask")["would"] == {"allow": 0, "ask": 3, "deny": 1}
    assert preview(test_key, tool="mail.send", effect="deny")["would"] == {"allow": 0, "ask": 0, "deny": 4}


def test_an_allow_does_not_count_for_what_its_maker_started(cast: Cast) -> None:
    adam = {"type": "user", "id": cast.people["adam"].id, "name": "Adam"}
    cast.team.forbid_self_approval = "always"
    cast.team.save()
    asked(cast, starter=adam)
    asked(cast)
    would = replay(cast.actor("adam", test=True), {"tool": "mail.send", "effect": "allow"}).would
    assert would == {"allow": 1, "ask": 1, "deny": 0}


def test_a_command_counts_as_text_that_is_typed(test_key: Api, cast: Cast) -> None:
    asked(cast, "run_line", {"command": "sudo reboot"})
    asked(cast, "type_text", {"text": "sudo"})
    asked(cast, "run_line", {"command": "ls"})
    rule = {"tool": "type_text", "when": [when("text", "contains", "sudo")]}
    assert [preview(test_key, effect=effect, **rule)["matched"] for effect in ("allow", "deny")] == [1, 2]


@pytest.mark.parametrize(
    "body",
    [{"tool": "a*"}, {"tool": "a", "when": [when("a", "gt", "1")]}, {"tool": "a", "effect": "ask", "max_uses": 1}, {}],
)
def test_what_is_no_policy_is_not_tried(test_key: Api, body: dict[str, Any]) -> None:
    assert test_key.post("/permissions/preview", body).status_code == 422


def _proposal(approval: Approval) -> Proposal:
    action, context = approval.action or {}, approval.context
    return Proposal(
        team_id=approval.team_id, test=approval.test, run_id=approval.run_id, end_user=context["end_user"],
        mode="approval", plan_approved=False, tool=action["name"], host=action["host"], risk=action["risk"],
        read_only=action["read_only"], action_class=action["class"], starter=context["started_by"]["id"],
        risk_floor=frozenset({"spend", "access", "destroy"}), params=action["params"],
    )  # fmt: skip


def _any_value(chance: random.Random) -> Any:
    return chance.choice(
        [None, True, False, 0, 1, 1.0, 2.5, "1", "a", "ab", "é", [], [1, "a"], {"0": 1}, {"b": [None, 1]}]
    )


def _any_action(chance: random.Random) -> dict[str, Any]:
    params = {name: _any_value(chance) for name in chance.sample(["a", "b", "0", "-1", "c d", "command", "text"], 4)}
    tools = ("mail.send", "mail.read", "run_line", "type_text", "click")
    return {
        "tool": chance.choice(tools), "params": params, "host": chance.choice([None, "shop.test", "www.shop.test"]),
        "risk": chance.choice(["write", "write", "spend"]), "class": chance.choice(["reversible", "irreversible"]),
        "end_user": chance.choice([None, "A"]), "starter": chance.choice([ANA, ANA | {"id": "usr_x"}]),
    }  # fmt: skip


def _any_rule(chance: random.Random) -> dict[str, Any]:
    paths = ["a", "b", "0", "-1", "a.0", "a.1", "b.b.1", "b.b.0", "b.-1", "c d", "text", "command", "a.b"]
    ops = ("eq", "ne", "gt", "lt", "contains", "prefix", "in", "matches")
    conditions: list[dict[str, Any]] = []
    for _ in range(chance.randint(0, 2)):
        op = chance.choice(ops)
        values = {"gt": 0, "lt": 2, "prefix": "a", "matches": "^a?", "in": [None, 1, "a"]}
        conditions.append(when(chance.choice(paths), op, values.get(op, chance.choice([1, "a", True, [1, "a"]]))))
    return {
        "tool": chance.choice(["mail.send", "mail.*", "*", "type_text", "click"]),
        "effect": chance.choice(["allow", "ask", "deny"]), "host": chance.choice([None, None, "shop.test", "*.shop.test"]),
        "end_user": chance.choice([None, None, "A"]), "include_end_users": chance.random() < 0.5, "when": conditions,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_T_189_trying_a_rule_equals_judging_each_action_by_it(cast: Cast, seed: int) -> None:
    chance, actor = random.Random(seed), cast.actor("adam", test=True)
    approvals = [asked(cast, **_any_action(chance)) for _ in range(60)]
    for _ in range(3):
        policies.create(actor, **policies.checked(actor, _any_rule(chance)))
    for _ in range(8):
        fields = policies.checked(actor, _any_rule(chance))
        tried = replay(actor, fields)
        policy, is_new = policies.create(actor, **fields)
        stored = [Approval.objects.get(id=approval.id) for approval in approvals]
        matching = [row for row in stored if fits(policy, _proposal(row))]
        verdicts = [judge(_proposal(row)).verdict for row in matching]
        assert tried.matched == len(matching), fields
        assert tried.would == {verdict: verdicts.count(verdict) for verdict in ("allow", "ask", "deny")}, fields
        if is_new:
            policies.revoke(actor, policy.id)
