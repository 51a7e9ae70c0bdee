"""Loosening a policy is a right of its own, policies:write; tightening goes with the right to decide (docs/api/approvals.md 11)."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, Group
from approvals.models import Approval, Policy
from tests.approvals.starters import ASKING, admin, binds, decide, policy_of, ran, refusal, starter
from tests.cast import Cast
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db
SOON, LATER = "2090-01-01T00:00:00Z", "2095-01-01T00:00:00Z"
NEEDED = (403, "INSUFFICIENT_SCOPE")


@pytest.fixture
def groups(cast: Cast) -> None:
    for name in ("finance", "security"):
        Group.objects.create(team=cast.team, name=name)


def need(**counts: int) -> list[dict[str, Any]]:
    return [{"group": group, "count": count} for group, count in counts.items()]


# What the policy is, what is changed, and whether that loosens it.
CHANGES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"effect": "ask"}, {"effect": "allow"}, True),
    ({"effect": "deny"}, {"effect": "allow"}, True),
    ({"effect": "deny"}, {"effect": "ask"}, True),
    ({"effect": "deny"}, {"effect": "ask", "four_eyes": True}, True),
    ({"effect": "ask"}, {"effect": "deny"}, False),
    ({"effect": "allow"}, {"effect": "ask"}, False),
    ({"effect": "allow"}, {"effect": "deny"}, False),
    ({"effect": "ask"}, {"expires_at": SOON}, True),
    ({"effect": "deny"}, {"expires_at": SOON}, True),
    ({"effect": "ask", "expires_at": LATER}, {"expires_at": SOON}, True),
    ({"effect": "ask", "expires_at": SOON}, {"expires_at": LATER}, False),
    ({"effect": "ask", "expires_at": SOON}, {"expires_at": None}, False),
    ({"effect": "allow"}, {"expires_at": SOON}, False),
    ({"effect": "allow", "expires_at": LATER}, {"expires_at": SOON}, False),
    ({"effect": "allow", "expires_at": SOON}, {"expires_at": LATER}, True),
    ({"effect": "allow", "expires_at": SOON}, {"expires_at": None}, True),
    ({"effect": "ask", "expires_at": LATER}, {"effect": "deny", "expires_at": SOON}, True),
    ({"effect": "allow", "expires_at": SOON}, {"effect": "ask", "expires_at": LATER}, False),
    ({"effect": "allow"}, {"effect": "deny", "expires_at": SOON}, False),
    ({"effect": "ask", "four_eyes": True}, {"four_eyes": False}, True),
    ({"effect": "ask"}, {"four_eyes": True}, False),
    ({"effect": "deny", "four_eyes": True}, {"four_eyes": False}, False),
    ({"effect": "ask", "quorum": need(finance=2)}, {"quorum": need(finance=1)}, True),
    ({"effect": "ask", "quorum": need(finance=1)}, {"quorum": need(finance=2)}, False),
    ({"effect": "ask", "quorum": need(finance=1)}, {"quorum": []}, True),
    ({"effect": "ask", "quorum": need(finance=1)}, {"quorum": need(security=1)}, True),
    ({"effect": "ask", "quorum": need(finance=1)}, {"quorum": need(anyone=3)}, True),
    ({"effect": "ask", "quorum": need(finance=1, security=1)}, {"quorum": need(finance=2)}, True),
    ({"effect": "ask", "quorum": need(finance=1)}, {"quorum": need(security=1, finance=1)}, False),
    ({"effect": "ask"}, {"quorum": need(finance=1)}, False),
    ({"effect": "ask", "quorum": need(anyone=2)}, {"quorum": need(finance=1)}, True),
    ({"effect": "ask", "quorum": need(anyone=2)}, {"quorum": need(finance=2)}, False),
    ({"effect": "ask", "four_eyes": True}, {"four_eyes": False, "quorum": need(anyone=2)}, True),
    ({"effect": "allow"}, {"note": "why"}, False),
    ({"effect": "ask"}, {"note": "why"}, False),
    ({"effect": "ask"}, {"effect": "ask", "four_eyes": False}, False),
]  # fmt: skip


@pytest.mark.parametrize(("before", "change", "loosens"), CHANGES, ids=lambda value: str(value)[:60])
def test_T_180_weakening_needs_the_right_to_loosen(
    cast: Cast, groups: None, before: dict[str, Any], change: dict[str, Any], loosens: bool
) -> None:
    path = f"/permissions/{policy_of(admin(cast), tool='click', **before)}"
    stored = admin(cast).get(path).json()
    answer = starter(cast).patch(path, change)
    if not loosens:
        assert answer.status_code == 200, answer.content
        return
    assert refusal(answer) == NEEDED
    assert answer.json()["error"]["required_scope"] == "policies:write"
    assert admin(cast).get(path).json() == stored
    assert admin(cast).patch(path, change).status_code == 200


@pytest.mark.parametrize("effect", ["ask", "deny", "allow"])
def test_T_180_deleting_what_asks_or_denies_loosens(cast: Cast, effect: str) -> None:
    path = f"/permissions/{policy_of(admin(cast), tool='click', effect=effect)}"
    answer = starter(cast).delete(path)
    if effect == "allow":
        assert answer.status_code == 204
        return
    assert refusal(answer) == NEEDED
    assert Policy.objects.get().revoked_at is None
    assert admin(cast).delete(path).status_code == 204
    assert starter(cast).delete(path).status_code == 204, "what is revoked already is not loosened by that"


def test_T_180_a_new_allow_loosens_and_a_new_ask_or_deny_tightens(cast: Cast) -> None:
    api = starter(cast)
    for body in (
        {"tool": "*"},
        {"tool": "click", "effect": "allow"},
        {"tool": "click", "host": "a.test", "end_user": "A"},
    ):
        assert refusal(api.post("/permissions", body)) == NEEDED
    assert not Policy.objects.exists()
    for effect in ("ask", "deny"):
        assert api.post("/permissions", {"tool": "click", "effect": effect}).status_code == 201
    policy_of(admin(cast), tool="scroll")
    assert refusal(api.post("/permissions", {"tool": "scroll"})) == NEEDED, "also where an equal one is active"


def test_T_180_conditions_and_a_number_of_times_make_no_allow_free(cast: Cast) -> None:
    api, narrow = starter(cast), {"tool": "click", "when": [{"path": "x", "op": "eq", "value": 1}]}
    for more in ({}, {"max_uses": 1}):
        assert refusal(api.post("/permissions", narrow | more)) == NEEDED
    for effect in ("ask", "deny"):
        path = f"/permissions/{policy_of(api, **narrow, effect=effect)}"
        assert refusal(api.delete(path)) == NEEDED
        assert refusal(api.patch(path, {"effect": "allow"})) == NEEDED
    assert api.post("/permissions/preview", narrow).status_code == 200, "who only looks loosens nothing"


def test_what_a_policy_is_about_does_not_change(cast: Cast) -> None:
    path = f"/permissions/{policy_of(admin(cast), tool='click', max_uses=1)}"
    for change in ({"when": []}, {"max_uses": 2}, {"host": "a.test"}):
        assert refusal(admin(cast).patch(path, change)) == (422, "VALIDATION_ERROR")


def test_the_body_and_the_policy_come_before_the_right(cast: Cast) -> None:
    api = starter(cast)
    assert refusal(api.post("/permissions", {"tool": "a b"})) == (422, "VALIDATION_ERROR")
    assert refusal(api.patch("/permissions/pol_none", {"effect": "allow"})) == (404, "POLICY_NOT_FOUND")
    assert refusal(api.delete("/permissions/pol_none")) == (404, "POLICY_NOT_FOUND")
    path = f"/permissions/{policy_of(admin(cast), tool='click', effect='ask')}"
    assert refusal(api.patch(path, {"effect": "maybe"})) == (422, "VALIDATION_ERROR")
    assert refusal(api.patch(path, {})) == (400, "EMPTY_UPDATE")


def test_a_refused_change_leaves_no_audit_entry_and_binds_no_key(cast: Cast) -> None:
    api = starter(cast)
    before = AuditEntry.objects.count()
    assert refusal(api.post("/permissions", {"tool": "click"}, Idempotency_Key="k1")) == NEEDED
    assert AuditEntry.objects.count() == before
    assert refusal(api.get("/idempotency/k1")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(("name", "status"), [("ana", 403), ("adam", 201), ("olga", 201), ("alice", 403), ("bob", 403)])
def test_who_may_allow_by_session(cast: Cast, name: str, status: int) -> None:
    browser = cast.browser(name)
    answer = browser.post("/v1/permissions", b'{"tool": "click"}', content_type="application/json")
    assert answer.status_code == status, answer.content


def test_a_key_cannot_make_one_that_loosens(cast: Cast) -> None:
    maker = cast.api(scopes=frozenset({"keys", "approvals:decide", "approvals:read"}))
    for scopes in (["policies:write"], ["policies:*"], ["approvals:decide", "policies:write"]):
        assert refusal(maker.post("/keys", {"name": "n", "scopes": scopes})) == (403, "SCOPE_ESCALATION")


# --- on the pages


def _page(cast: Cast, name: str) -> Client:
    return cast.browser(name, mode="test", team=cast.team.id)


def test_T_180_the_pages_refuse_the_same_and_say_why(cast: Cast) -> None:
    binds(cast)
    alice = _page(cast, "alice")
    path = f"/policies/{policy_of(admin(cast), tool='click', effect='ask', four_eyes=True)}"
    made = alice.post("/policies/new", {"tool": "click", "effect": "allow"})
    assert made.status_code == 422
    assert "Only an admin" in made.content.decode()
    changed = alice.post(f"{path}/edit", {"effect": "ask"})
    assert changed.status_code == 422
    assert "Only an admin" in changed.content.decode()
    gone = alice.post(f"{path}/revoke")
    assert gone.status_code == 403
    row = Policy.objects.get()
    assert (row.effect, row.four_eyes, row.revoked_at) == ("ask", True, None)
    adam = _page(cast, "adam")
    assert adam.post(f"{path}/edit", {"effect": "ask"}).status_code == 302
    assert adam.post(f"{path}/revoke").status_code == 302


def test_the_pages_offer_nothing_that_would_be_refused(cast: Cast) -> None:
    binds(cast)
    alice, adam = _page(cast, "alice"), _page(cast, "adam")
    path = f"/policies/{policy_of(admin(cast), tool='click', effect='ask')}"
    assert f"{path}/revoke" not in alice.get(path).content.decode()
    assert "Only an admin can lift it" in alice.get(path).content.decode()
    assert f"{path}/revoke" in adam.get(path).content.decode()
    assert 'value="allow" disabled' in alice.get("/policies/new").content.decode()
    assert 'value="allow" disabled' not in adam.get("/policies/new").content.decode()
    allow = f"/policies/{policy_of(admin(cast), tool='scroll')}"
    assert f"{allow}/revoke" in alice.get(allow).content.decode(), "taking an allow away tightens"


# --- taking back what was remembered


def test_undoing_a_decision_lifts_nothing_that_was_made_of_what_it_stored(cast: Cast) -> None:
    """Remembered, turned into an ask by an admin inside the undo window: undoing would delete the admin's rule."""
    admin(cast).patch("/team", {"undo_window_seconds": 60})
    api = starter(cast)
    run = ran(api, **ASKING)
    policy = decide(api, run["open_approvals"][0], remember=True)["policy_id"]
    assert admin(cast).patch(f"/permissions/{policy}", {"effect": "ask", "four_eyes": True}).status_code == 200
    assert api.post(f"/approvals/{run['open_approvals'][0]}/undo").status_code == 200
    row = Policy.objects.get(id=policy)
    assert (row.effect, row.revoked_at) == ("ask", None)


def test_an_end_in_the_past_by_the_clock_is_nothing_to_loosen(cast: Cast) -> None:
    """An ask that has run out asks nobody; to give it a time again tightens."""
    row = policy_of(admin(cast), tool="click", effect="ask", expires_at=SOON)
    Policy.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert starter(cast).patch(f"/permissions/{row}", {"expires_at": LATER}).status_code == 200


def test_an_allow_that_has_run_out_comes_back_only_by_who_may_loosen(cast: Cast) -> None:
    row = policy_of(admin(cast), tool="click", expires_at=SOON)
    Policy.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert refusal(starter(cast).patch(f"/permissions/{row}", {"expires_at": LATER})) == NEEDED


def test_two_who_change_at_once_are_judged_by_what_is_stored(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a change loosens is looked up under the lock: what was an allow when the call came is an ask by now."""
    from approvals.policies import services

    row = policy_of(admin(cast), tool="click", effect="allow")
    api, boss = starter(cast), admin(cast)
    get_policy = services.get_policy

    def late(actor: Any, policy_id: str) -> Policy:
        policy = get_policy(actor, policy_id)
        monkeypatch.setattr(services, "get_policy", get_policy)
        boss.patch(f"/permissions/{row}", {"effect": "ask"})
        return policy

    monkeypatch.setattr(services, "get_policy", late)
    assert refusal(api.delete(f"/permissions/{row}")) == NEEDED
    assert Policy.objects.get().revoked_at is None


def test_the_starter_stays_asked(cast: Cast) -> None:
    """The whole of T-180 on one run: the ask with four eyes stands, whatever the starter tries."""
    policy = policy_of(admin(cast), tool="click", effect="ask", four_eyes=True)
    api = starter(cast)
    run = ran(api, "x [steps:2]")
    request = run["open_approvals"][0]
    path = f"/permissions/{policy}"
    assert refusal(api.patch(path, {"effect": "allow"})) == NEEDED
    assert refusal(api.patch(path, {"four_eyes": False})) == NEEDED
    assert refusal(api.delete(path)) == NEEDED
    assert refusal(api.post("/permissions", {"tool": "*"})) == NEEDED
    assert refusal(api.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "autonomous"})) == (
        403,
        "SELF_APPROVAL_FORBIDDEN",
    )
    assert refusal(api.post(f"/approvals/{request}/decide", {"verdict": "approve"})) == (403, "SELF_APPROVAL_FORBIDDEN")
    assert api.post(f"/approvals/{request}/decide", {"verdict": "reject"}).status_code == 200
    drive_all()
    again = ran(api, "x [steps:1]")
    assert again["status"] == "awaiting_human"


# --- a weaker one that was there first


STRICT: dict[str, Any] = {"quorum": [{"group": "anyone", "count": 2}], "four_eyes": True}


def test_T_180_who_is_bound_forestalls_no_rule_with_a_weaker_one(cast: Cast) -> None:
    """An equal policy is returned: the starter's own, of one person for a day, must not be what the admin gets."""
    ends = (timezone.now() + timedelta(days=1)).isoformat()
    first = policy_of(starter(cast), tool="*", effect="ask", expires_at=ends)
    answer = admin(cast).post("/permissions", {"tool": "*", "effect": "ask", **STRICT})
    assert answer.status_code == 200
    assert answer.json()["id"] == first
    row = Policy.objects.get(id=first)
    assert (row.expires_at, row.quorum, row.four_eyes) == (None, STRICT["quorum"], True)
    assert AuditEntry.objects.filter(verb="policy.updated", subject=first).count() == 1
    run = ran(starter(cast), "x [steps:1]")
    assert Approval.objects.get(run_id=run["id"]).four_eyes is True


def test_an_equal_one_that_asks_for_less_changes_nothing(cast: Cast) -> None:
    first = policy_of(admin(cast), tool="*", effect="ask", **STRICT)
    ends = (timezone.now() + timedelta(days=1)).isoformat()
    assert starter(cast).post("/permissions", {"tool": "*", "effect": "ask", "expires_at": ends}).json()["id"] == first
    row = Policy.objects.get(id=first)
    assert (row.expires_at, row.quorum, row.four_eyes) == (None, STRICT["quorum"], True)
    assert not AuditEntry.objects.filter(verb="policy.updated", subject=first).exists()
