"""Who may decide, at the endpoints there are (docs/api/approvals.md section 6)."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.keys.services import issue_key
from accounts.models import ApiKey, Membership, Team
from approvals.models import Approval, Decision
from tests.cast import Api, Cast
from tests.runs.driving import show, status_of, waiting

pytestmark = pytest.mark.django_db


def _four_eyes(run: dict[str, Any]) -> str:
    approval = str(run["open_approvals"][0])
    Approval.objects.filter(id=approval).update(four_eyes=True)
    return approval


def _calls(api: Api, run: dict[str, Any], approved: bool) -> list[Any]:
    approval = run["open_approvals"][0]
    return [
        lambda: api.post(f"/runs/{run['id']}/resume", {"approved": approved}),
        lambda: api.post(f"/runs/{run['id']}/resume", {"approved": approved, "approval_id": approval}),
        lambda: api.post(f"/approvals/{approval}/decide", {"verdict": "approve" if approved else "reject"}),
        lambda: api.post(f"/runs/{run['id']}/signal", {"action": "approve" if approved else "reject"}),
        lambda: api.post(
            f"/runs/{run['id']}/approve", {"request_id": approval, "decision": "allow" if approved else "deny"}
        ),
    ]


def test_T_087_the_starter_may_not_approve(test_key: Api, cast: Cast) -> None:
    run = waiting(test_key)
    _four_eyes(run)
    second_key = cast.api(test=True)
    for api in (test_key, second_key):
        for call in _calls(api, run, True):
            refused = call()
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "SELF_APPROVAL_FORBIDDEN")
            assert refused.json()["error"]["started_by"]["id"] == run["created_by"]["id"]
    assert show(test_key, run["id"]) == run
    assert cast.api(test=True, owner="ana").post(f"/runs/{run['id']}/resume").status_code == 200


@pytest.mark.parametrize("which", range(5))
def test_T_087_the_starter_may_reject(test_key: Api, which: int) -> None:
    run = waiting(test_key)
    _four_eyes(run)
    assert _calls(test_key, run, False)[which]().status_code == 200
    assert status_of(run["id"]) == "failed"


def test_T_087_by_session_too(cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    approval = _four_eyes(run)
    for name, code in (("olga", 403), ("ana", 200)):
        answer = cast.browser(name).post(
            f"/v1/approvals/{approval}/decide", json.dumps({"verdict": "approve"}), content_type="application/json",
            headers={"X-Team-Mode": "test"},
        )  # fmt: skip
        assert answer.status_code == code, answer.content
    assert Decision.objects.get(counts=True).actor["name"] == "Ana"


def test_T_087_on_the_dashboard_too(cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    approval = _four_eyes(run)
    for name, status in (("olga", "awaiting_human"), ("ana", "running")):
        browser = cast.browser(name)
        session = browser.session
        session["mode"] = "test"
        session.save()
        page = browser.post(f"/approvals/{approval}/decide", {"verdict": "approve"}, follow=True)
        assert page.status_code == 200
        assert status_of(run["id"]) == status, name


@pytest.mark.parametrize(
    ("rule", "four_eyes", "refused"),
    [
        ("never", True, False),
        ("never", False, False),
        ("four_eyes", False, False),
        ("four_eyes", True, True),
        ("always", False, True),
    ],
)
def test_the_teams_rule(test_key: Api, cast: Cast, rule: str, four_eyes: bool, refused: bool) -> None:
    Team.objects.filter(id=cast.team.id).update(forbid_self_approval=rule)
    run = waiting(test_key)
    Approval.objects.update(four_eyes=four_eyes)
    assert (test_key.post(f"/runs/{run['id']}/resume").status_code == 403) is refused


@pytest.mark.parametrize(
    ("task", "body"),
    [
        ("[question]", {"verdict": "answer", "answers": {"q1": "Sales"}}),
        ("[input]", {"verdict": "submit", "values": {"recipient": "a"}}),
    ],
)
def test_answers_and_data_are_approving_too(test_key: Api, task: str, body: dict[str, Any]) -> None:
    run = waiting(test_key, task)
    approval = _four_eyes(run)
    assert test_key.post(f"/approvals/{approval}/decide", body).status_code == 403
    assert test_key.post(f"/runs/{run['id']}/resume", {"note": "Sales"}).status_code in (403, 422)
    assert status_of(run["id"]) == "awaiting_human"


def test_rights_come_before_state(test_key: Api) -> None:
    run = waiting(test_key)
    approval = _four_eyes(run)
    test_key.post(f"/runs/{run['id']}/cancel")
    assert test_key.post(f"/approvals/{approval}/decide", {"verdict": "approve"}).status_code == 403
    assert test_key.post(f"/approvals/{approval}/decide", {"verdict": "reject"}).status_code == 409


def test_T_089_people_without_the_role(cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    path = f"/v1/approvals/{run['open_approvals'][0]}/decide"
    for name in ("bob", "alice"):  # a viewer and an operator
        answer = cast.browser(name).post(
            path, json.dumps({"verdict": "approve"}), content_type="application/json", headers={"X-Team-Mode": "test"}
        )
        assert answer.status_code == 403, (name, answer.content)
    assert show(test_key, run["id"]) == run


def test_T_089_removed_people_and_revoked_keys_decide_nothing(cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    path = f"/v1/approvals/{run['open_approvals'][0]}/decide"
    browser = cast.browser("ana")
    Membership.objects.filter(team=cast.team, user=cast.people["ana"]).delete()
    answer = browser.post(
        path, json.dumps({"verdict": "approve"}), content_type="application/json", headers={"X-Team-Mode": "test"}
    )
    assert answer.status_code in (401, 403)
    issued = issue_key(cast.actor(test=True), "old", frozenset({"approvals:decide"}))
    ApiKey.objects.filter(id=issued.row.id).update(revoked_at=timezone.now())
    assert Api(issued.key, test_key.client).post(path.removeprefix("/v1"), {"verdict": "approve"}).status_code == 401
    assert show(test_key, run["id"]) == run


def test_T_085_a_claim_blocks_everybody_else(cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    holder = cast.api(test=True, owner="ana")
    claim = {"type": "api_key", "id": ApiKey.objects.latest("created_at").id, "name": "a key"}
    Approval.objects.update(claimed_by=claim, claim_expires_at=timezone.now() + timedelta(minutes=5))
    for approved in (True, False):
        for call in _calls(test_key, run, approved):
            refused = call()
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "APPROVAL_CLAIMED")
            assert refused.json()["error"]["claimed_by"] == claim
            assert refused.json()["error"]["claim_expires_at"]
    assert holder.post(f"/runs/{run['id']}/resume").status_code == 200
    # decided: the claim binds nobody any more
    again = test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve"})
    assert again.status_code == 200
    assert (
        test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "reject"}).json()["error"]["code"]
        == "ALREADY_DECIDED"
    )


def test_a_claim_frees_itself(test_key: Api) -> None:
    run = waiting(test_key)
    Approval.objects.update(claimed_by={"type": "user", "id": "usr_x", "name": "X"}, claim_expires_at=timezone.now())
    assert test_key.post(f"/runs/{run['id']}/resume").status_code == 200
