"""Claims, assignments, extensions, comments; and quorums."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Group, Membership
from approvals.models import Approval, Vote
from runs.models import RunEvent
from tests.cast import Api, Cast
from tests.runs.driving import drive_all
from web.times import rfc3339

pytestmark = pytest.mark.django_db


def waiting(api: Api, task: str = "x [pause]", **more: object) -> Approval:
    run_id = api.post("/runs", {"task": task, **more}).json()["id"]
    drive_all()
    return Approval.objects.get(run_id=run_id, status="pending")


def test_T_085_a_claim_keeps_others_out_until_it_runs_out(test_key: Api, cast: Cast) -> None:
    approval = waiting(test_key)
    other = cast.api(test=True, owner="ana")
    assert test_key.post(f"/approvals/{approval.id}/claim").json()["claimed_by"]["type"] == "api_key"
    for path, body in (
        (f"/approvals/{approval.id}/decide", {"verdict": "approve"}),
        (f"/approvals/{approval.id}/claim", {}),
        (f"/runs/{approval.run_id}/resume", {}),
        (f"/runs/{approval.run_id}/signal", {"action": "approve"}),
        (f"/runs/{approval.run_id}/approve", {"request_id": approval.id, "decision": "allow"}),
    ):
        answer = other.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "APPROVAL_CLAIMED"), path
    Approval.objects.filter(id=approval.id).update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    assert other.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"}).status_code == 200


def test_a_call_of_its_holder_keeps_a_claim_alive(test_key: Api, cast: Cast) -> None:
    approval = waiting(test_key, awaiting_human_timeout_seconds=600)
    path = f"/approvals/{approval.id}"
    test_key.post(f"{path}/claim")
    for call, body in (
        ("comment", {"text": "looking"}), ("extend", {"seconds": 5}), ("assign", {"assignee": cast.people["ana"].id}),
    ):  # fmt: skip
        soon = timezone.now() + timedelta(seconds=9)
        Approval.objects.update(claim_expires_at=soon)
        assert cast.api(test=True, owner="ana").post(f"{path}/comment", {"text": "hi"}).status_code == 200
        assert Approval.objects.get().claim_expires_at == soon
        assert test_key.post(f"{path}/{call}", body).status_code == 200
        assert Approval.objects.get().claim_expires_at > timezone.now() + timedelta(minutes=9)


def test_a_claim_that_ran_out_is_not_revived(test_key: Api) -> None:
    approval = waiting(test_key)
    test_key.post(f"/approvals/{approval.id}/claim")
    past = timezone.now() - timedelta(seconds=1)
    Approval.objects.update(claim_expires_at=past)
    test_key.post(f"/approvals/{approval.id}/comment", {"text": "hm"})
    assert Approval.objects.get().claim_expires_at == past


def test_admins_and_the_assignee_take_a_claim_over(test_key: Api, cast: Cast) -> None:
    approval = waiting(test_key)
    path = f"/v1/approvals/{approval.id}/claim"
    test_key.post(f"/approvals/{approval.id}/claim")

    def take(name: str) -> int:
        client = cast.browser(name)
        answer = client.post(path, {"take_over": True}, "application/json", headers={"X-Team-Mode": "test"})
        return int(answer.status_code)

    assert (take("ana"), take("olga"), take("ana")) == (409, 200, 409)
    approvers = group(cast, "approvers", "ana")
    assert test_key.post(f"/approvals/{approval.id}/assign", {"assignee": approvers.id}).status_code == 200
    assert take("ana") == 200
    Approval.objects.update(assignee=cast.people["olga"].id)
    nobodys = cast.api(test=True)
    ApiKey.objects.update(owner=None)
    Approval.objects.update(assignee=None)
    assert nobodys.post(f"/approvals/{approval.id}/claim", {"take_over": True}).status_code == 409


def test_release_gives_a_request_back_and_repeats_without_change(test_key: Api) -> None:
    approval = waiting(test_key)
    test_key.post(f"/approvals/{approval.id}/claim")
    for _ in range(2):
        answer = test_key.post(f"/approvals/{approval.id}/release")
        assert (answer.status_code, answer.json()["claimed_by"]) == (200, None)
    events = RunEvent.objects.filter(run_id=approval.run_id, type="approval").order_by("seq")
    changes = [e.data["change"] for e in events]
    assert changes == ["claimed", "released"]


def test_the_log_says_to_whom_and_until_when(test_key: Api, cast: Cast) -> None:
    approval = waiting(test_key, awaiting_human_timeout_seconds=100)
    ana = cast.people["ana"].id
    test_key.post(f"/approvals/{approval.id}/assign", {"assignee": ana})
    until = test_key.post(f"/approvals/{approval.id}/extend", {"seconds": 60}).json()["expires_at"]
    test_key.post(f"/approvals/{approval.id}/claim")
    assigned, extended, claimed = (
        e.data for e in RunEvent.objects.filter(run_id=approval.run_id, type="approval").order_by("seq")
    )
    assert (assigned["before"], assigned["after"]) == ({"assignee": None}, {"assignee": ana})
    assert (extended["before"], extended["after"]) == (
        {"expires_at": rfc3339(approval.expires_at)},
        {"expires_at": until},
    )
    assert set(claimed) == {"approval_id", "change", "by", "at"}


def test_T_086_assign_needs_a_decider_and_extend_an_expiry(test_key: Api, cast: Cast) -> None:
    approval = waiting(test_key)
    bob, ana = cast.people["bob"].id, cast.people["ana"].id
    assert test_key.post(f"/approvals/{approval.id}/assign", {"assignee": bob}).status_code == 422
    answer = test_key.post(f"/approvals/{approval.id}/assign", {"assignee": ana, "note": "you know them"})
    assert (answer.json()["assignee"], answer.json()["comments"][0]["text"]) == (ana, "you know them")
    assert test_key.post(f"/approvals/{approval.id}/extend", {"seconds": 60}).status_code == 409
    timed = waiting(test_key, awaiting_human_timeout_seconds=100)
    later = test_key.post(f"/approvals/{timed.id}/extend", {"seconds": 60}).json()["expires_at"]
    assert later > timed.expires_at.isoformat()
    test_key.post(f"/approvals/{timed.id}/decide", {"verdict": "approve"})
    late = test_key.post(f"/approvals/{timed.id}/extend", {"seconds": 60})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "ALREADY_DECIDED")


def test_a_comment_never_decides(test_key: Api) -> None:
    approval = waiting(test_key)
    answer = test_key.post(f"/approvals/{approval.id}/comment", {"text": "approve"})
    assert (answer.json()["status"], answer.json()["comments"][0]["text"]) == ("pending", "approve")
    assert test_key.post(f"/approvals/{approval.id}/comment", {"text": ""}).status_code == 422


def test_nothing_is_written_after_the_end_of_a_log(test_key: Api) -> None:
    approval = waiting(test_key)
    path = f"/approvals/{approval.id}"
    test_key.post(f"{path}/claim")
    test_key.post(f"/runs/{approval.run_id}/cancel")
    assert test_key.post(f"{path}/comment", {"text": "too bad"}).json()["comments"][0]["text"] == "too bad"
    assert test_key.post(f"{path}/release").json()["claimed_by"] is None
    last = RunEvent.objects.filter(run_id=approval.run_id).order_by("seq").last()
    assert last is not None
    assert last.type == "done"


def group(cast: Cast, name: str, *people: str) -> Group:
    made = Group.objects.create(team=cast.team, name=name)
    made.users.set([cast.people[p] for p in people])
    return made


def decide_as(cast: Cast, name: str, approval: Approval, verdict: str = "approve", **body: object) -> tuple[int, dict]:
    client = cast.browser(name)
    client.get("/")
    headers = {"X-Team-Mode": "test"}
    path = f"/v1/approvals/{approval.id}/decide"
    answer = client.post(path, {"verdict": verdict, **body}, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def test_T_088_a_quorum_needs_every_group_and_counts_a_person_once(test_key: Api, cast: Cast) -> None:
    for name in ("alice", "bob"):
        Membership.objects.filter(user=cast.people[name]).update(roles=["approver"])
    group(cast, "finance", "ana", "alice")
    group(cast, "security", "ana", "bob")
    quorum = [{"group": "finance", "count": 1}, {"group": "security", "count": 1}]
    assert test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum}).status_code == 201
    approval = waiting(test_key, "x [steps:1]")
    assert (
        test_key.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"}).json()["error"]["code"]
        == "NOT_ELIGIBLE"
    )
    for name in ("ana", "ana", "alice"):
        status, body = decide_as(cast, name, approval)
        if name == "ana":
            assert (status, body["approval"]["status"], body["resumed"]) == (200, "pending", False)
        else:
            assert (status, body["error"]["code"]) == (403, "NOT_ELIGIBLE")
    assert Vote.objects.filter(approval=approval).count() == 1
    votes = RunEvent.objects.filter(run_id=approval.run_id, type="approval", data__change="vote")
    assert [e.data["by"]["name"] for e in votes] == ["Ana"], "who says it again changes nothing"
    status, body = decide_as(cast, "bob", approval)
    assert (status, body["approval"]["status"], body["resumed"]) == (200, "approved", True)
    drive_all()
    second = waiting(test_key, "x [steps:1]")
    decide_as(cast, "ana", second)
    status, body = decide_as(cast, "ana", second, "reject")
    assert (status, body["approval"]["status"]) == (200, "rejected")


def test_an_edit_clears_earlier_votes_and_later_ones_are_on_the_edit(test_key: Api, cast: Cast) -> None:
    group(cast, "finance", "ana")
    group(cast, "owners", "olga")
    quorum = [{"group": "finance", "count": 1}, {"group": "owners", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    approval = waiting(test_key, "x [steps:1]")
    edit = {"name": "click", "params": {"x": 7, "y": 8}}
    first = decide_as(cast, "ana", approval, action_hash=approval.action_hash)[1]["approval"]
    assert [v["actor"]["name"] for v in first["votes"]] == ["Ana"]
    shown = decide_as(cast, "olga", approval, edited_action=edit, action_hash=approval.action_hash)[1]["approval"]
    assert ([v["actor"]["name"] for v in shown["votes"]], shown["status"]) == (["Olga"], "pending")
    assert shown["edited_action"]["params"] == {"x": 7, "y": 8, "button": "left", "count": 1}
    assert shown["action"]["params"]["x"] == 101
    status, body = decide_as(cast, "ana", approval, action_hash=approval.action_hash)
    assert (status, body["error"]["code"]) == (409, "ACTION_CHANGED"), "she was shown the action as it was proposed"
    assert body["error"]["action_hash"] == shown["action_hash"] != approval.action_hash
    status, body = decide_as(cast, "ana", approval, action_hash=shown["action_hash"])
    assert (status, body["approval"]["status"]) == (200, "approved")
    assert (body["decision"]["action_before"]["params"]["x"], body["decision"]["action_after"]["params"]["x"]) == (
        101,
        7,
    )
    drive_all()
    call = RunEvent.objects.get(run_id=approval.run_id, type="tool_call").data
    assert (call["edited"], call["params"]["x"]) == (True, 7)


def test_the_card_shows_what_a_vote_has_changed(test_key: Api, cast: Cast) -> None:
    need = [{"group": "anyone", "count": 2}]
    test_key.post("/permissions", {"tool": "type_text", "effect": "ask", "quorum": need})
    approval = waiting(test_key, "x [steps:2]")
    edit = {"name": "type_text", "params": {"text": "goodbye"}}
    test_key.post(f"/approvals/{approval.id}/decide", {"verdict": "approve", "edited_action": edit})
    ana = cast.browser("ana")
    session = ana.session
    session["mode"] = "test"
    session.save()
    page = ana.get(f"/approvals/{approval.id}").content.decode()
    approval.refresh_from_db()
    assert page.index("goodbye") < page.index("A person changed this") < page.index("hello")
    assert f'name="action_hash" value="{approval.action_hash}"' in page
    same = {"verdict": "approve", "p.text": "goodbye", "action_hash": approval.action_hash}
    ana.post(f"/approvals/{approval.id}/decide", same)
    decision = approval.decisions.get(counts=True)
    assert decision.action_after["params"]["text"] == "goodbye"


def test_an_unknown_group_in_a_quorum_is_refused(test_key: Api) -> None:
    body = {"tool": "click", "effect": "ask", "quorum": [{"group": "nobody", "count": 1}]}
    answer = test_key.post("/permissions", body)
    assert answer.json()["error"]["details"][0]["loc"] == ["body", "quorum", 0, "group"]
