"""Tools that ask people: what people see, what the program reads, and that no tool ever decides."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Approval
from mcp_server.long_work import task_of
from tests.cast import Api, Cast
from tests.mcp_server.calls import NEW, OLD, Mcp, error_of

MAIL = {"action": "mail.send", "params": {"to": "a@shop.test", "amount": 12}, "reason": "The customer asked for it."}


@pytest.fixture
def asker(cast: Cast) -> Api:
    """Its key may ask, and decides nothing."""
    return cast.api(scopes=frozenset({"approvals:request"}))


@pytest.fixture
def mcp(asker: Api) -> Mcp:
    return Mcp(asker.key)


@pytest.fixture
def person(cast: Cast) -> Api:
    """Somebody else who may decide."""
    return cast.api(owner="ana", scopes=frozenset({"approvals:read", "approvals:decide"}))


def decide(person: Api, approval_id: str, **body: Any) -> None:
    response = person.post(f"/approvals/{approval_id}/decide", body)
    assert response.status_code == 200, response.content


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_question_is_asked_and_answered(asker: Api, person: Api, version: str) -> None:
    mcp = Mcp(asker.key, version=version)
    asked = mcp.tool("ask_human", question="Which colour?", options=["Red", "Blue"])
    assert asked["status"] == "pending"
    assert "get_approval" in asked["next"]
    assert asked["url"].endswith(f"/approvals/{asked['id']}")
    assert mcp.tool("get_approval", id=asked["id"]) == asked
    shown = person.get(f"/approvals/{asked['id']}").json()
    assert (shown["kind"], shown["title"]) == ("question", "Which colour?")
    assert [option["label"] for option in shown["questions"][0]["options"]] == ["Red", "Blue"]
    decide(person, asked["id"], verdict="answer", answers={"answer": "Blue"}, note="As ever.")
    said = mcp.tool("get_approval", id=asked["id"])
    assert (said["status"], said["answer"], said["note"]) == ("answered", "Blue", "As ever.")
    assert (said["decided_by"], said["via"]) == ("a key", "api")


def test_a_long_question_is_whole_where_it_is_answered(mcp: Mcp, person: Api) -> None:
    question = "Why? " * 300
    shown = person.get(f"/approvals/{mcp.tool('ask_human', question=question)['id']}").json()
    assert len(shown["title"]) == 200
    assert shown["questions"][0]["question"] == question


def test_the_client_is_named_in_its_own_words(asker: Api, person: Api) -> None:
    asked = Mcp(asker.key).tool("ask_human", question="Why?")
    assert person.get(f"/approvals/{asked['id']}").json()["source"]["name"] == "desk"
    asked = Mcp(asker.key, version=OLD).tool("ask_human", question="Why?")
    assert person.get(f"/approvals/{asked['id']}").json()["source"]["name"] == "a key"


def test_an_approved_action_is_answered_as_it_is_to_be_done(mcp: Mcp, person: Api) -> None:
    asked = mcp.tool("request_approval", **MAIL, risk="spend")
    shown = person.get(f"/approvals/{asked['id']}").json()
    assert (shown["kind"], shown["title"]) == ("tool", "mail.send: The customer asked for it.")
    assert shown["agent_message"] == "The customer asked for it."
    assert (shown["action"]["params"], shown["action"]["risk"]) == (MAIL["params"], "spend")
    changed = {"name": "mail.send", "params": {"to": "a@shop.test", "amount": 10}}
    decide(person, asked["id"], verdict="approve", edited_action=changed)
    said = mcp.tool("get_approval", id=asked["id"])
    assert (said["status"], said["verdict"], said["edited"]) == ("approved", "approve", True)
    assert said["action"] == changed
    assert said["action_hash"] == shown["action_hash"]


def test_a_no_is_an_answer_with_its_reason(mcp: Mcp, person: Api) -> None:
    asked = mcp.tool("request_approval", **MAIL)
    decide(person, asked["id"], verdict="reject", note="Too dear.")
    said = mcp.tool("get_approval", id=asked["id"])
    assert (said["status"], said["note"]) == ("rejected", "Too dear.")
    assert "Do not" in said["next"]


def test_what_can_be_taken_back_is_not_yet_an_answer(mcp: Mcp, asker: Api, person: Api, cast: Cast) -> None:
    cast.team.undo_window_seconds = 30
    cast.team.save()
    asked = mcp.tool("request_approval", **MAIL)
    decide(person, asked["id"], verdict="approve")
    still = mcp.tool("get_approval", id=asked["id"])
    assert still["status"] == "pending"
    assert "action" not in still
    assert "take it back" in still["next"]
    assert look(Mcp(asker.key, tasks=True), asked["id"])["status"] == "working"


def test_a_rule_of_the_team_answers_at_once(mcp: Mcp, live: Api, asker: Api) -> None:
    assert live.post("/permissions", {"tool": "mail.send", "effect": "deny"}).status_code == 201
    said = mcp.tool("request_approval", **MAIL)
    assert (said["status"], said["via"]) == ("rejected", "policy")
    result = Mcp(asker.key, tasks=True).result("tools/call", {"name": "request_approval", "arguments": MAIL})
    assert result["resultType"] == "complete"


def test_asked_again_under_its_name_it_is_the_same_request(mcp: Mcp) -> None:
    first = mcp.tool("request_approval", **MAIL, external_id="order 7")
    assert mcp.tool("request_approval", **MAIL, external_id="order 7")["id"] == first["id"]
    assert mcp.tool("request_approval", **MAIL)["id"] != first["id"]
    changed = MAIL | {"params": {"to": "b@shop.test"}}
    second = mcp.tool("request_approval", **changed, external_id="order 7")
    void = mcp.tool("get_approval", id=first["id"])
    assert (void["status"], void["replaced_by"]) == ("void", second["id"])


def test_a_request_expires_unanswered(mcp: Mcp) -> None:
    asked = mcp.tool("ask_human", question="Why?", timeout=60)
    row = Approval.objects.get(id=asked["id"])
    assert row.expires_at - row.created_at == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("tool", "arguments", "place"),
    [
        ("ask_human", {}, ["question"]),
        ("ask_human", {"question": " "}, ["question"]),
        ("ask_human", {"question": "x", "options": []}, ["options"]),
        ("ask_human", {"question": "x", "options": ["a", ""]}, ["options", 1]),
        ("ask_human", {"question": "x", "timeout": 0}, ["timeout"]),
        ("ask_human", {"question": "x", "wait": 31}, ["wait"]),
        ("ask_human", {"question": "x", "webhook_url": "https://x.test"}, ["webhook_url"]),
        ("request_approval", MAIL | {"action": "mail send"}, ["action"]),
        ("request_approval", MAIL | {"params": "all"}, ["params"]),
        ("request_approval", MAIL | {"params": {"x": "y" * 70_000}}, ["action"]),
        ("request_approval", MAIL | {"reason": ""}, ["reason"]),
        ("request_approval", MAIL | {"risk": "none"}, ["risk"]),
        ("get_approval", {"id": 5}, ["id"]),
    ],
)
def test_the_model_reads_what_is_wrong(mcp: Mcp, tool: str, arguments: dict[str, Any], place: list[Any]) -> None:
    refusal = mcp.refusal(tool, **arguments)
    assert [detail["loc"] for detail in refusal["details"]] == [place]
    assert not Approval.objects.exists()


def test_two_options_of_one_name_are_refused(mcp: Mcp) -> None:
    refusal = mcp.refusal("ask_human", question="x", options=["a", "a"])
    assert refusal["code"] == "VALIDATION_ERROR"


def test_a_key_without_the_scope_asks_nobody(cast: Cast) -> None:
    reads = Mcp(cast.api(scopes=frozenset({"approvals:read", "approvals:decide"})).key)
    assert reads.refusal("ask_human", question="x")["required_scope"] == "approvals:request"
    assert reads.refusal("request_approval", **MAIL)["required_scope"] == "approvals:request"
    assert (
        Mcp(cast.api(scopes=frozenset({"runs:read"})).key).refusal("get_approval", id="x")["code"]
        == "INSUFFICIENT_SCOPE"
    )


def test_what_others_asked_is_not_found(mcp: Mcp, cast: Cast, strangers: Cast, test_key: Api) -> None:
    asked = mcp.tool("ask_human", question="x")
    others = (cast.api(scopes=frozenset({"approvals:request"})), strangers.api(), test_key)
    for other in others:
        assert Mcp(other.key).refusal("get_approval", id=asked["id"])["code"] == "APPROVAL_NOT_FOUND"
    assert Mcp(cast.api().key).tool("get_approval", id=asked["id"])["id"] == asked["id"]


# --- as tasks


def look(client: Mcp, task_id: str) -> dict[str, Any]:
    return client.result("tasks/get", {"taskId": task_id})


@pytest.fixture
def waiting_client(asker: Api) -> Mcp:
    return Mcp(asker.key, tasks=True)


def asked_task(client: Mcp) -> dict[str, Any]:
    return client.result("tools/call", {"name": "request_approval", "arguments": MAIL | {"wait": 5}})


def test_a_task_ends_with_what_a_person_said(waiting_client: Mcp, person: Api) -> None:
    handle = asked_task(waiting_client)
    assert (handle["resultType"], handle["status"]) == ("task", "working")
    assert handle["statusMessage"] == "Waiting for a person"
    task_id = handle["taskId"]
    assert look(waiting_client, task_id)["status"] == "working"
    decide(person, task_id, verdict="reject", note="No.")
    ended = look(waiting_client, task_id)
    assert (ended["status"], ended["result"]["isError"]) == ("completed", False)
    assert ended["result"]["structuredContent"]["note"] == "No."


def test_who_is_answered_before_the_call_is_has_the_answer(
    waiting_client: Mcp, person: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quickly(call: Any, task_id: str) -> Any:
        decide(person, task_id, verdict="reject", note="No.")
        return task_of(call, task_id)

    monkeypatch.setattr("mcp_server.methods.task_of", quickly)
    said = asked_task(waiting_client)
    assert (said["resultType"], said["structuredContent"]["status"]) == ("complete", "rejected")


def test_a_cancelled_task_asks_nobody_any_more(waiting_client: Mcp, person: Api) -> None:
    task_id = asked_task(waiting_client)["taskId"]
    for _ in range(2):
        assert waiting_client.result("tasks/cancel", {"taskId": task_id})["resultType"] == "complete"
    assert look(waiting_client, task_id)["status"] == "cancelled"
    assert person.post(f"/approvals/{task_id}/decide", {"verdict": "approve"}).status_code == 409


def test_a_decision_outlives_a_late_cancel(waiting_client: Mcp, person: Api) -> None:
    task_id = asked_task(waiting_client)["taskId"]
    decide(person, task_id, verdict="approve")
    waiting_client.result("tasks/cancel", {"taskId": task_id})
    assert look(waiting_client, task_id)["result"]["structuredContent"]["status"] == "approved"


def test_a_request_whose_time_is_over_is_no_task_to_cancel(waiting_client: Mcp) -> None:
    task_id = asked_task(waiting_client)["taskId"]
    Approval.objects.filter(id=task_id).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert waiting_client.result("tasks/cancel", {"taskId": task_id})["resultType"] == "complete"
    assert look(waiting_client, task_id)["status"] != "cancelled"


def test_T_190_a_task_belongs_to_its_key(waiting_client: Mcp, cast: Cast, strangers: Cast, test_key: Api) -> None:
    task_id = asked_task(waiting_client)["taskId"]
    for other in (cast.api(), strangers.api(), test_key):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert error_of(Mcp(other.key, tasks=True).call(method, {"taskId": task_id})) == (400, -32602)
    assert Approval.objects.get(id=task_id).status == "pending"
