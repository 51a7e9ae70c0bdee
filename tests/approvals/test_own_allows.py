"""What a run's starter allowed or remembered does not count for the runs that they started (docs/api/approvals.md 6.3 and 11)."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.keys.owners import person_of
from accounts.keys.services import issue_key
from accounts.models import ApiKey, Membership, Team
from approvals.models import Approval, Policy
from tests.approvals.starters import ASKING, WITHOUT, admin, decide, decider, policy_of, ran, refusal, starter
from tests.cast import Api, Cast, actor_of_key
from tests.runs.driving import drive_all
from tests.workflows.engine import ran as ran_workflow
from tests.workflows.engine import task as workflow_task

pytestmark = pytest.mark.django_db
SELF = (403, "SELF_APPROVAL_FORBIDDEN")


def rule(cast: Cast, word: str) -> None:
    Team.objects.filter(id=cast.team.id).update(forbid_self_approval=word)


def test_T_180_what_the_starter_remembered_is_asked_again_in_their_own_runs(cast: Cast) -> None:
    api = starter(cast)
    first = ran(api, **ASKING)
    result = decide(api, first["open_approvals"][0], remember=True)
    assert result["remembered"] is True
    assert ran(api, **ASKING)["status"] == "awaiting_human"
    assert ran(cast.api(test=True, owner="alice", scopes=WITHOUT), **ASKING)["status"] == "awaiting_human", (
        "a second key"
    )
    assert ran(decider(cast), **ASKING)["status"] == "succeeded", "in the runs of others it counts"


def test_what_the_starter_remembered_for_the_run_alone_is_stored_nowhere(cast: Cast) -> None:
    api = starter(cast)
    run = ran(api, "x [steps:4]", **ASKING)
    result = decide(api, run["open_approvals"][0], remember="run")
    assert (result["remembered"], result["policy_id"]) == (False, None)
    assert not Policy.objects.exists()
    for _ in range(3):
        asked = api.get(f"/runs/{run['id']}").json()["open_approvals"]
        decide(api, asked[0])
    assert Approval.objects.filter(run_id=run["id"]).count() == 4


def test_what_they_remembered_with_the_run_of_another_does_not_count_either(cast: Cast) -> None:
    """The way round under `always`: they may approve the runs of others, and remember it for good."""
    rule(cast, "always")
    api = starter(cast)
    other = ran(decider(cast), **ASKING)
    decide(api, other["open_approvals"][0], remember=True)
    assert ran(decider(cast), **ASKING)["status"] == "succeeded"
    own = ran(api, **ASKING)
    assert own["status"] == "awaiting_human"
    assert refusal(api.post(f"/approvals/{own['open_approvals'][0]}/decide", {"verdict": "approve"})) == SELF


@pytest.mark.parametrize("remember", [True, "run"])
def test_what_somebody_else_remembered_counts(cast: Cast, remember: bool | str) -> None:
    api = starter(cast)
    run = ran(api, "x [steps:4]", **ASKING)
    decide(decider(cast), run["open_approvals"][0], remember=remember)
    for _ in range(2):
        decide(api, api.get(f"/runs/{run['id']}").json()["open_approvals"][0])
    assert api.get(f"/runs/{run['id']}").json()["status"] == "succeeded", "the second click was allowed"


def test_two_who_allow_the_same_stand_behind_it_both(cast: Cast) -> None:
    """An equal policy is one; that the starter was first does not make the other's word theirs."""
    api, other = starter(cast), decider(cast)
    decide(api, ran(api, **ASKING)["open_approvals"][0], remember=True)
    run = ran(api, **ASKING)
    decide(other, run["open_approvals"][0], remember=True)
    assert Policy.objects.count() == 1
    assert ran(api, **ASKING)["status"] == "succeeded"


def test_who_had_it_remembered_and_undoes_it_stands_behind_it_no_more(cast: Cast) -> None:
    rule(cast, "four_eyes")
    api, other = starter(cast), decider(cast)
    decide(api, ran(api, **ASKING)["open_approvals"][0], remember=True)
    run = ran(api, **ASKING)
    Team.objects.update(undo_window_seconds=60)
    decide(other, run["open_approvals"][0], remember=True)
    assert other.post(f"/approvals/{run['open_approvals'][0]}/undo").status_code == 200
    assert Policy.objects.get().revoked_at is None
    assert ran(api, **ASKING)["status"] == "awaiting_human"


def test_the_other_persons_word_lasts_as_long_as_they_said(cast: Cast) -> None:
    """An admin's own allow without end, and another's for a month: for the admin's own runs it is a month."""
    rule(cast, "always")
    boss = admin(cast)
    policy_of(boss, tool="click")
    assert ran(boss, **ASKING)["status"] == "awaiting_human"
    run = ran(starter(cast), **ASKING | {"end_user": "A"})
    assert run["status"] == "awaiting_human"
    decide(decider(cast), ran(boss, **ASKING)["open_approvals"][0], remember=True)
    assert ran(boss, **ASKING)["status"] == "succeeded"
    row = Policy.objects.get(end_user=None)
    assert row.expires_at is None
    Policy.objects.update(
        allowed_by=[each | {"until": (timezone.now() - timedelta(minutes=1)).isoformat()} if each["until"] else each
                    for each in row.allowed_by]
    )  # fmt: skip
    assert ran(boss, **ASKING)["status"] == "awaiting_human"


@pytest.mark.parametrize(
    ("word", "who", "status"),
    [
        ("never", "starter", "succeeded"),
        ("four_eyes", "starter", "awaiting_human"),
        ("four_eyes", "admin", "succeeded"),
        ("always", "admin", "awaiting_human"),
    ],
)
def test_whom_the_teams_rule_does_not_bind(cast: Cast, word: str, who: str, status: str) -> None:
    """Who may approve their own actions and may loosen for everybody is not bound by it."""
    api = starter(cast) if who == "starter" else admin(cast)
    other = decider(cast)
    decide(api, ran(other, **ASKING)["open_approvals"][0], remember=True)
    rule(cast, word)
    assert ran(api, **ASKING)["status"] == status


def test_a_rule_that_is_turned_into_an_allow_is_the_word_of_who_turned_it(cast: Cast) -> None:
    """Made by another as an ask: the maker's name on it must not lend the starter their word."""
    rule(cast, "always")
    boss = admin(cast)
    policy = policy_of(decider(cast), tool="click", effect="ask")
    assert boss.patch(f"/permissions/{policy}", {"effect": "allow"}).status_code == 200
    assert ran(boss, **ASKING)["status"] == "awaiting_human"
    assert ran(starter(cast), **ASKING)["status"] == "succeeded"


def test_an_allow_that_is_given_more_time_has_the_others_word_until_its_old_end(cast: Cast) -> None:
    rule(cast, "always")
    boss, owner = admin(cast), cast.api(test=True)
    policy = policy_of(owner, tool="click", expires_at="2090-01-01T00:00:00Z")
    assert boss.patch(f"/permissions/{policy}", {"expires_at": None}).status_code == 200
    assert [each["until"] for each in Policy.objects.get().allowed_by] == ["2090-01-01T00:00:00.000Z", None]
    assert ran(boss, **ASKING)["status"] == "succeeded"


def test_a_policy_of_an_earlier_release_is_its_makers(cast: Cast) -> None:
    api = starter(cast)
    decide(api, ran(api, **ASKING)["open_approvals"][0], remember=True)
    Policy.objects.update(allowed_by=None)
    assert ran(api, **ASKING)["status"] == "awaiting_human"
    assert ran(cast.api(test=True, owner="alice", scopes=WITHOUT), **ASKING)["status"] == "awaiting_human"
    assert ran(decider(cast), **ASKING)["status"] == "succeeded"


# --- who the starter is


def _key_made_by(cast: Cast, maker: Api) -> Api:
    made = maker.post(
        "/keys", {"name": "n", "scopes": ["approvals:decide", "approvals:read", "runs:write", "runs:read"]}
    )
    assert made.status_code == 200, made.content
    return Api(made.json()["key"], maker.client)


def test_a_key_that_a_key_made_is_the_same_person(cast: Cast) -> None:
    rule(cast, "always")
    maker = cast.api(test=True, owner="alice", scopes=frozenset({*WITHOUT, "keys"}))
    run = ran(maker, **ASKING)
    second = _key_made_by(cast, maker)
    assert refusal(second.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve"})) == SELF


def test_keys_without_an_owner_are_the_person_of_the_first_of_them(cast: Cast) -> None:
    """A key that belongs to nobody makes another: both are one, for self-approval and for votes."""
    rule(cast, "always")
    maker = cast.api(test=True, scopes=frozenset({*WITHOUT, "keys"}))
    ApiKey.objects.update(owner=None, created_by={"type": "system", "id": "system", "name": "Countersign"})
    run = ran(maker, **ASKING)
    second = _key_made_by(cast, maker)
    third = _key_made_by(cast, cast.api(test=True, owner="alice", scopes=frozenset({*WITHOUT, "keys"})))
    request = f"/approvals/{run['open_approvals'][0]}/decide"
    assert person_of(actor_of_key(second.key)) == person_of(actor_of_key(maker.key))
    assert refusal(second.post(request, {"verdict": "approve"})) == SELF
    assert third.post(request, {"verdict": "approve"}).status_code == 200
    policy_of(admin(cast), tool="type_text", effect="ask", quorum=[{"group": "anyone", "count": 2}])
    rule(cast, "four_eyes")
    run = ran(third, "x [steps:2]")
    path = f"/approvals/{run['open_approvals'][0]}/decide"
    for api in (maker, second, maker):
        assert api.post(path, {"verdict": "approve"}).json()["approval"]["status"] == "pending"


def test_an_owner_who_is_gone_leaves_the_key_itself(cast: Cast) -> None:
    issued = issue_key(cast.actor("alice", test=True), "n", WITHOUT)
    ApiKey.objects.filter(id=issued.row.id).update(
        owner=None, created_by={"type": "api_key", "id": "key_gone", "name": "x"}
    )
    assert person_of(actor_of_key(issued.key)) == "key_gone"


# --- the rule with which a request was opened


def test_a_new_setting_does_not_free_what_waits(cast: Cast) -> None:
    """Requests already open keep the rule they were opened with (docs/api/README.md section 10)."""
    rule(cast, "always")
    boss = admin(cast)
    run = ran(boss, **ASKING)
    assert boss.patch("/team", {"forbid_self_approval": "never"}).status_code == 200
    assert refusal(boss.post(f"/runs/{run['id']}/resume")) == SELF
    assert refusal(boss.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "autonomous"})) == SELF
    assert decider(cast).post(f"/runs/{run['id']}/resume").status_code == 200
    assert ran(boss, **ASKING)["status"] == "awaiting_human"


def test_a_stricter_setting_counts_at_once(cast: Cast) -> None:
    api = starter(cast)
    run = ran(api, **ASKING)
    rule(cast, "always")
    assert refusal(api.post(f"/runs/{run['id']}/resume")) == SELF


# --- edits


def test_an_edit_leads_nothing_past_the_rule_for_what_it_makes(cast: Cast) -> None:
    """Approved as a click that only the mode asks about, edited into one that a rule with four eyes asks about."""
    api = starter(cast)
    run = ran(api, "x [steps:1]", **ASKING)
    policy_of(admin(cast), tool="click", effect="ask", four_eyes=True)
    edited: dict[str, Any] = {"name": "click", "params": {"x": 7, "y": 8}}
    first = run["open_approvals"][0]
    decide(api, first, edited_action=edited)
    now = api.get(f"/runs/{run['id']}").json()
    assert now["status"] == "awaiting_human"
    assert now["steps_completed"] == 0
    old, new = Approval.objects.get(id=first), Approval.objects.get(id=now["open_approvals"][0])
    assert (old.status, old.void_reason, new.previous_approval_id, new.four_eyes) == (
        "void", "action_changed", old.id, True,
    )  # fmt: skip
    assert refusal(api.post(f"/approvals/{new.id}/decide", {"verdict": "approve", "edited_action": edited})) == SELF
    decide(decider(cast), new.id, edited_action=edited)
    assert api.get(f"/runs/{run['id']}").json()["status"] == "succeeded"


def test_an_edit_by_somebody_else_satisfies_four_eyes(cast: Cast) -> None:
    api = starter(cast)
    run = ran(api, "x [steps:1]", **ASKING)
    policy_of(admin(cast), tool="click", effect="ask", four_eyes=True)
    decide(decider(cast), run["open_approvals"][0], edited_action={"name": "click", "params": {"x": 7, "y": 8}})
    assert api.get(f"/runs/{run['id']}").json()["status"] == "succeeded"


def test_what_was_approved_as_it_was_keeps_the_rule_it_was_opened_with(cast: Cast) -> None:
    api = starter(cast)
    run = ran(api, "x [steps:1]", **ASKING)
    policy_of(admin(cast), tool="click", effect="ask", four_eyes=True)
    decide(api, run["open_approvals"][0])
    assert api.get(f"/runs/{run['id']}").json()["status"] == "succeeded"


# --- the mode


TOWARDS = [
    ("approval", "autonomous", SELF), ("plan", "autonomous", SELF), ("approval", "plan", SELF), ("autonomous", "autonomous", SELF),
    ("plan", "approval", (200, "")), ("autonomous", "plan", (200, "")), ("autonomous", "approval", (200, "")),
    ("approval", "approval", (200, "")), ("plan", "plan", (200, "")),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "to", "expected"), TOWARDS)
@pytest.mark.parametrize("word", ["four_eyes", "always"])
def test_T_180_the_starter_does_not_move_their_run_towards_autonomous(
    cast: Cast, mode: str, to: str, expected: tuple[int, str], word: str
) -> None:
    rule(cast, word)
    api = starter(cast)
    run = ran(api, "x [steps:3][pause:1]", human_in_the_loop=True, permission_mode=mode)
    answer = api.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": to})
    assert refusal(answer) == expected, answer.content
    if expected == SELF:
        assert answer.json()["error"]["started_by"]["id"] == run["created_by"]["id"]
        assert api.get(f"/runs/{run['id']}").json()["permission_mode"] == mode
        second = cast.api(test=True, owner="alice", scopes=WITHOUT)
        assert refusal(second.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": to})) == SELF
        assert decider(cast).patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": to}).status_code == 200


def test_the_mode_of_a_workflow_run_and_of_its_task_are_the_starters_as_well(cast: Cast) -> None:
    api = starter(cast)
    run = ran_workflow(api, [workflow_task("a", "x [steps:2]")], **ASKING)
    task = api.get(f"/runs?parent_id={run['id']}").json()["data"][0]
    assert task["status"] == "awaiting_human"
    for path in (f"/workflows/runs/{run['id']}", f"/runs/{run['id']}", f"/runs/{task['id']}"):
        assert refusal(api.patch(f"{path}/permission-mode", {"permission_mode": "autonomous"})) == SELF


def test_rejecting_the_one_open_request_leads_nowhere(cast: Cast) -> None:
    """The attack as it was: autonomous first, then reject what is open, and the rest runs unasked."""
    rule(cast, "always")
    api = starter(cast)
    run = ran(api, "x [steps:3]", **ASKING)
    path = f"/runs/{run['id']}"
    assert refusal(api.patch(f"{path}/permission-mode", {"permission_mode": "autonomous"})) == SELF
    assert api.post(f"{path}/approve", {"request_id": run["open_approvals"][0], "decision": "deny"}).status_code == 200
    drive_all()
    now = api.get(path).json()
    assert (now["status"], now["steps_completed"]) == ("awaiting_human", 1)


def test_the_bar_comes_before_the_state_and_after_the_body(cast: Cast) -> None:
    api = starter(cast)
    run = ran(api)
    path = f"/runs/{run['id']}/permission-mode"
    assert run["status"] == "succeeded"
    assert refusal(api.patch(path, {"permission_mode": "autonomous"})) == SELF
    assert refusal(api.patch(path, {"permission_mode": "approval"})) == (422, "VALIDATION_ERROR")
    assert refusal(decider(cast).patch(path, {"permission_mode": "autonomous"})) == (409, "INVALID_STATE")


def test_who_lost_a_role_is_bound_from_then_on(cast: Cast) -> None:
    Membership.objects.filter(user=cast.people["alice"]).update(roles=["admin"])
    boss = cast.api(test=True, owner="alice", scopes=WITHOUT)
    run = ran(boss, **ASKING)
    assert refusal(boss.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "autonomous"})) == SELF
