"""The one order in which policies are asked, and what matches (docs/api/approvals.md section 11)."""

from typing import Any

import pytest

from accounts.models import AuditEntry, Group
from approvals.models import Policy
from approvals.policies.rules import Proposal, Ruling, fits, fits_host, fits_tool, rule
from tests.cast import Api, Cast

FLOOR = frozenset({"spend", "access", "destroy"})


def proposal(**fields: Any) -> Proposal:
    usual: dict[str, Any] = {
        "team_id": "tm_1", "test": True, "run_id": "run_1", "end_user": None, "mode": "approval", "plan_approved": False,
        "tool": "click", "host": "shop.test", "risk": "write", "read_only": False, "risk_floor": FLOOR,
    }  # fmt: skip
    return Proposal(**usual | fields)


def policy(effect: str, tool: str = "click", **fields: Any) -> Policy:
    return Policy(id=f"pol_{effect}", tool=tool, effect=effect, **fields)


def ruled(wanted: Proposal, *policies: Policy) -> Ruling:
    return rule([p for p in policies if fits(p, wanted)], wanted)


ALLOW, ASK, DENY = policy("allow"), policy("ask"), policy("deny")
READ: dict[str, Any] = {"tool": "scroll", "risk": "read", "read_only": True}


@pytest.mark.parametrize(
    ("fields", "policies", "verdict", "policy_id"),
    [
        # 1. deny before everything
        ({}, (ALLOW, ASK, DENY), "deny", "pol_deny"),
        ({"mode": "autonomous"}, (DENY,), "deny", "pol_deny"),
        ({"mode": "plan"}, (DENY,), "deny", "pol_deny"),
        (READ, (policy("deny", "*"),), "deny", "pol_deny"),
        # 2. read-only actions run, unless an ask policy matches
        (READ, (), "allow", None),
        (READ | {"mode": "plan"}, (), "allow", None),
        (READ, (policy("ask", "*"),), "ask", "pol_ask"),
        (READ | {"mode": "autonomous"}, (policy("ask", "scroll"),), "ask", "pol_ask"),
        # 3. ask policies in any mode, the risk floor in approval and plan; stored allows do not count
        ({"mode": "autonomous"}, (ASK, ALLOW), "ask", "pol_ask"),
        ({"mode": "plan", "plan_approved": True}, (ASK, ALLOW), "ask", "pol_ask"),
        ({"risk": "spend"}, (ALLOW,), "ask", None),
        ({"risk": "destroy", "mode": "plan", "plan_approved": True}, (ALLOW,), "ask", None),
        ({"risk": "spend", "mode": "autonomous"}, (), "ask", None),
        ({"risk": "spend", "mode": "autonomous", "risk_floor": frozenset()}, (), "allow", None),
        ({"tool": "run_line", "mode": "autonomous"}, (policy("ask", "type_text"),), "ask", "pol_ask"),
        ({"tool": "run_line", "mode": "autonomous"}, (policy("deny", "type_text"),), "deny", "pol_deny"),
        ({"tool": "run_line"}, (policy("allow", "type_text"),), "ask", None),
        ({"tool": "type_text", "mode": "autonomous"}, (policy("deny", "run_line"),), "allow", None),
        # 4. and 5. allows
        ({}, (ALLOW,), "allow", "pol_allow"),
        ({"end_user": "A"}, (ALLOW,), "ask", None),
        # 6. the mode
        ({}, (), "ask", None),
        ({"mode": "autonomous"}, (), "allow", None),
        ({"mode": "plan", "plan_approved": True}, (), "allow", None),
        ({"mode": "plan"}, (), "ask", None),
    ],
)
def test_first_hit_wins(
    fields: dict[str, Any], policies: tuple[Policy, ...], verdict: str, policy_id: str | None
) -> None:
    found = ruled(proposal(**fields), *policies)
    assert (found.verdict, found.policy_id) == (verdict, policy_id)


def test_an_allow_of_the_run_comes_before_one_of_its_end_user_and_that_before_the_teams() -> None:
    wanted = proposal(end_user="A")
    team = Policy(id="pol_team", tool="*", effect="allow", include_end_users=True)
    user = Policy(id="pol_user", tool="*", effect="allow", end_user="A")
    run = Policy(id="pol_run", tool="click", effect="allow", end_user="A", run_id="run_1")
    assert ruled(wanted, team, user, run).policy_id == "pol_run"
    assert ruled(wanted, team, user).policy_id == "pol_user"
    assert ruled(wanted, team).policy_id == "pol_team"


def test_what_only_the_mode_asks_may_be_remembered_and_nothing_else() -> None:
    assert (ruled(proposal()).can_remember, ruled(proposal()).by_rule) == (True, False)
    for found in (ruled(proposal(), ASK), ruled(proposal(risk="access"))):
        assert (found.verdict, found.can_remember, found.by_rule) == ("ask", False, True)


def test_all_matching_ask_policies_together_are_asked_for() -> None:
    finance = policy("ask", quorum=[{"group": "finance", "count": 1}])
    more = policy(
        "ask", "*", quorum=[{"group": "finance", "count": 2}, {"group": "security", "count": 1}], four_eyes=True
    )
    assert ruled(proposal(), finance).quorum == [{"group": "finance", "count": 1}]
    both = ruled(proposal(), finance, more)
    assert both.quorum == [{"group": "finance", "count": 2}, {"group": "security", "count": 1}]
    assert (both.four_eyes, ruled(proposal(), finance).four_eyes) == (True, False)
    assert both.policy_ids == (finance.id, more.id)
    assert finance.quorum == [{"group": "finance", "count": 1}]
    plain = ruled(proposal(), ASK, finance).quorum
    assert plain == [{"group": "anyone", "count": 1}, {"group": "finance", "count": 1}]


@pytest.mark.parametrize(
    ("pattern", "tool", "fit"),
    [
        ("click", "click", True),
        ("click", "Click", False),
        ("click", "click2", False),
        ("*", "anything.at.all", True),
        ("mail.*", "mail.send", True),
        ("mail.*", "mail.send.now", True),
        ("mail.*", "mail", False),
        ("mail.*", "mailer.send", False),
        ("mail.send", "mail.sender", False),
    ],
)
def test_names_are_compared_whole(pattern: str, tool: str, fit: bool) -> None:
    assert fits_tool(pattern, tool) is fit


@pytest.mark.parametrize(
    ("pattern", "host", "fit"),
    [
        (None, None, True),
        (None, "shop.test", True),
        ("shop.test", "shop.test", True),
        ("shop.test", "www.shop.test", False),
        ("shop.test", "myshop.test", False),
        ("shop.test", None, False),
        ("*.shop.test", "www.shop.test", True),
        ("*.shop.test", "a.b.shop.test", True),
        ("*.shop.test", "shop.test", False),
        ("*.shop.test", "myshop.test", False),
        ("*.shop.test", None, False),
    ],
)
def test_T_107_hosts(pattern: str | None, host: str | None, fit: bool) -> None:
    assert fits_host(pattern, host) is fit


@pytest.mark.parametrize(
    ("effect", "owner", "include", "run_of", "fit"),
    [
        ("allow", None, False, None, True),
        ("allow", None, False, "A", False),
        ("allow", None, True, "A", True),
        ("ask", None, False, "A", True),
        ("deny", None, False, "A", True),
        ("allow", "A", False, "A", True),
        ("allow", "A", True, "B", False),
        ("deny", "A", False, "B", False),
        ("ask", "A", False, None, False),
    ],
)
def test_T_101_whose_runs_a_policy_covers(
    effect: str, owner: str | None, include: bool, run_of: str | None, fit: bool
) -> None:
    row = policy(effect, end_user=owner, include_end_users=include)
    assert fits(row, proposal(end_user=run_of)) is fit


# --- by API

API = pytest.mark.django_db
KEYS = {
    "id", "object", "tool", "tool_name", "effect", "host", "end_user", "include_end_users", "run_id", "expires_at", "quorum",
    "four_eyes", "when", "max_uses", "note", "origin", "origin_approval_id", "created_by", "created_at", "revoked_at",
    "last_used_at", "uses",
}  # fmt: skip


def made(api: Api, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = api.post("/permissions", body)
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = answer.json()
    return found


@API
def test_a_policy_as_it_reads(test_key: Api) -> None:
    row = made(test_key, tool="mail.*", user_id="A", note="n")
    assert set(row) == KEYS
    assert (row["object"], row["tool"], row["tool_name"], row["effect"]) == ("policy", "mail.*", "mail.*", "allow")
    assert (row["end_user"], row["host"], row["include_end_users"], row["four_eyes"]) == ("A", None, False, False)
    assert (row["origin"], row["origin_approval_id"], row["uses"], row["revoked_at"]) == ("api", None, 0, None)
    assert test_key.get(f"/permissions/{row['id']}").json() == row


@API
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["tool"]),
        ({"tool": "a*"}, ["tool"]),
        ({"tool": "a.*.b"}, ["tool"]),
        ({"tool": "a", "effect": "maybe"}, ["effect"]),
        ({"tool": "a", "host": "*"}, ["host"]),
        ({"tool": "a", "host": "shop.test/pay"}, ["host"]),
        ({"tool": "a", "expires_at": "2020-01-01T00:00:00Z"}, ["expires_at"]),
        ({"tool": "a", "expires_at": 4102444800}, ["expires_at"]),
        ({"tool": "a", "expires_at": "tomorrow"}, ["expires_at"]),
        ({"tool": "a", "quorum": [{"group": "anyone", "count": 0}]}, ["quorum", 0, "count"]),
        ({"tool": "a", "quorum": [{"group": "anyone", "count": 21}]}, ["quorum", 0, "count"]),
        ({"tool": "a", "note": "n" * 501}, ["note"]),
        ({"tool": "a", "end_user": "A", "user_id": "B"}, ["user_id"]),
        ({"tool": "a", "include_end_users": "yes"}, ["include_end_users"]),
        ({"tool": "a", "max_uses": 0}, ["max_uses"]),
        ({"tool": "a", "max_uses": 10_001}, ["max_uses"]),
        ({"tool": "a", "max_uses": "1"}, ["max_uses"]),
        ({"tool": "a", "effect": "ask", "max_uses": 1}, ["max_uses"]),
    ],
)
def test_what_no_policy_is(test_key: Api, body: dict[str, Any], loc: list[Any]) -> None:
    answer = test_key.post("/permissions", body)
    assert answer.status_code == 422, answer.content
    assert [d["loc"] for d in answer.json()["error"]["details"]] == [["body", *loc]]
    assert not Policy.objects.exists()


@API
def test_T_105_equal_means_tool_effect_host_and_end_user(test_key: Api, live: Api) -> None:
    first = made(test_key, tool="click")
    assert made(test_key, 200, tool="click", note="again", include_end_users=True) == first
    for other in ({"effect": "deny"}, {"host": "shop.test"}, {"end_user": "A"}, {"max_uses": 1}, {"max_uses": 2}):
        made(test_key, **{"tool": "click"} | other)
    made(live, tool="click")
    assert test_key.delete(f"/permissions/{first['id']}").status_code == 204
    assert made(test_key, tool="click")["id"] != first["id"]


@API
def test_a_policy_that_ran_out_is_equal_to_none(test_key: Api) -> None:
    first = made(test_key, tool="click", expires_at="2100-01-01T00:00:00Z")
    assert first["expires_at"] == "2100-01-01T00:00:00.000Z"
    Policy.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert made(test_key, tool="click")["id"] != first["id"]


@API
def test_changing_a_policy(test_key: Api, cast: Cast) -> None:
    Group.objects.create(team=cast.team, name="finance")
    path = f"/permissions/{made(test_key, tool='click')['id']}"
    need = [{"group": "finance", "count": 2}]
    changed = test_key.patch(path, {"effect": "ask", "quorum": need, "four_eyes": True, "note": "two of them"}).json()
    assert (changed["effect"], changed["quorum"], changed["four_eyes"], changed["note"]) == (
        "ask",
        need,
        True,
        "two of them",
    )
    ends = test_key.patch(path, {"expires_at": "2100-01-01T00:00:00Z"}).json()["expires_at"]
    assert (ends, test_key.patch(path, {"expires_at": None}).json()["expires_at"]) == ("2100-01-01T00:00:00.000Z", None)
    assert test_key.patch(path, {}).json()["error"]["code"] == "EMPTY_UPDATE"
    assert test_key.patch(path, {"tool": "x"}).status_code == 422
    assert test_key.patch("/permissions/pol_none", {"note": "x"}).json()["error"]["code"] == "POLICY_NOT_FOUND"


@API
def test_a_policy_does_not_become_another_one(test_key: Api) -> None:
    made(test_key, tool="click", effect="deny")
    allow = made(test_key, tool="click")
    refused = test_key.patch(f"/permissions/{allow['id']}", {"effect": "deny"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert refused.json()["error"]["details"][0]["loc"] == ["body", "effect"]
    assert test_key.get(f"/permissions/{allow['id']}").json() == allow


@API
def test_lists(test_key: Api) -> None:
    team = made(test_key, tool="click")["id"]
    mine = made(test_key, tool="click", end_user="A", effect="deny")["id"]
    gone = made(test_key, tool="scroll")["id"]
    test_key.delete(f"/permissions/{gone}")

    def ids(query: str) -> list[str]:
        return [row["id"] for row in test_key.get(f"/permissions{query}").json()["data"]]

    assert ids("") == [mine, team]
    assert (ids("?end_user="), ids("?end_user=A"), ids("?effect=deny")) == ([team], [mine], [mine])
    assert (ids("?tool=click"), ids("?tool=scroll")) == ([mine, team], [])
    assert test_key.get("/permissions?effect=maybe").json()["error"]["code"] == "INVALID_FILTER"


@API
def test_the_audit_keeps_a_policy_as_it_was_made_and_each_change(test_key: Api) -> None:
    made = test_key.post(
        "/permissions", {"tool": "click", "host": "shop.test", "effect": "ask", "four_eyes": True}
    ).json()
    test_key.patch(f"/permissions/{made['id']}", {"expires_at": "2099-01-03T12:00:00Z", "four_eyes": False})
    test_key.patch(f"/permissions/{made['id']}", {"expires_at": None})
    created, first, second = AuditEntry.objects.filter(subject=made["id"]).order_by("id").values_list("data", flat=True)
    assert (created["tool"], created["host"], created["effect"], created["four_eyes"]) == (
        "click",
        "shop.test",
        "ask",
        True,
    )
    assert first["before"] == {"expires_at": None, "four_eyes": True}
    assert first["after"] == {"expires_at": "2099-01-03T12:00:00.000Z", "four_eyes": False}
    assert second["after"] == {"expires_at": None}
