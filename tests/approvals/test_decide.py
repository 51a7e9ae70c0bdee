"""POST /v1/approvals/{id}/decide: verdicts, repetition, lateness (docs/api/approvals.md sections 4 and 5)."""

from collections.abc import Callable
from typing import Any

import pytest

from approvals import clock as approvals_clock
from approvals.action_hash import action_hash
from approvals.models import Approval, Decision
from runs import clock
from tests.cast import Api, Cast
from tests.runs.driving import (
    begin,
    data_of,
    drive_all,
    drive_and_die,
    ended,
    log,
    request_of,
    shift,
    show,
    status_of,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}


def _decide(api: Api, approval: str, verdict: str = "approve", **body: Any) -> Any:
    return api.post(f"/approvals/{approval}/decide", {"verdict": verdict, **body})


def _error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_answer_says_what_is_true_after_the_commit(test_key: Api) -> None:
    run = waiting(test_key)
    approval = run["open_approvals"][0]
    result = _decide(test_key, approval, note="fine").json()
    assert (result["object"], result["resumed"], result["remembered"], result["policy_id"]) == (
        "decision_result",
        True,
        False,
        None,
    )
    assert result["run"] == {"id": run["id"], "status": "running", "state": "running"}
    assert (result["approval"]["status"], result["approval"]["version"]) == ("approved", 2)
    decision = result["decision"]
    assert decision["id"].startswith("dec_")
    assert (decision["verdict"], decision["effect"], decision["via"], decision["note"]) == (
        "approve",
        "proceed",
        "api",
        "fine",
    )
    assert decision["actor"]["type"] == "api_key"
    assert set(decision["receipt"]) == {
        "decided_at", "effective_at", "delivered_at", "execution_started_at", "executed_at", "outcome", "error"
    }  # fmt: skip
    assert result["approval"]["decision"] == decision == test_key.get(f"/approvals/{approval}").json()["decision"]


def test_a_rejection_that_ends_the_run_resumes_nothing(test_key: Api) -> None:
    run = waiting(test_key)
    result = _decide(test_key, run["open_approvals"][0], "reject", note="no").json()
    assert (result["resumed"], result["run"]["status"]) == (False, "failed")
    assert _decide(test_key, run["open_approvals"][0], "reject").json()["resumed"] is False


# --- section 5, row by row


def test_T_064_the_same_decision_again_is_the_same_decision(test_key: Api, cast: Cast) -> None:
    run = waiting(test_key)
    approval = run["open_approvals"][0]
    first = _decide(test_key, approval)
    for api in (test_key, cast.api(test=True, owner="ana")):
        again = _decide(api, approval)
        assert again.status_code == 200
        assert again.json()["decision"]["id"] == first.json()["decision"]["id"]
        assert again.json()["resumed"] is True
    by_resume = test_key.post(f"/runs/{run['id']}/resume", {"approval_id": approval})
    assert by_resume.status_code == 200
    drive_all()
    assert _decide(test_key, approval).json()["decision"]["id"] == first.json()["decision"]["id"]
    assert len(data_of(run["id"], "resumed")) == 1
    assert Decision.objects.count() == 1
    check_run(run["id"])


def test_an_empty_note_may_be_filled_but_not_changed(test_key: Api) -> None:
    approval = waiting(test_key)["open_approvals"][0]
    _decide(test_key, approval)
    assert _decide(test_key, approval, note="later").json()["decision"]["note"] == "later"
    assert _decide(test_key, approval, note="even later").json()["decision"]["note"] == "later"


def test_T_065_a_contrary_decision_comes_too_late(test_key: Api) -> None:
    run = waiting(test_key)
    approval = run["open_approvals"][0]
    first = _decide(test_key, approval).json()["decision"]
    refused = _decide(test_key, approval, "reject", note="stop!")
    error = refused.json()["error"]
    assert _error(refused) == (409, "ALREADY_DECIDED")
    assert (error["approval_id"], error["verdict"]) == (approval, "approve")
    assert (error["decided_by"], error["decided_at"]) == (first["actor"], first["at"])
    lost = Decision.objects.get(counts=False)
    assert (lost.loss, lost.verdict, lost.note, lost.effect) == ("ALREADY_DECIDED", "reject", "stop!", "none")
    named = test_key.post(f"/runs/{run['id']}/resume", {"approval_id": approval, "approved": False, "note": "stop"})
    assert _error(named) == (409, "ALREADY_DECIDED")
    assert Decision.objects.filter(counts=False).count() == 2
    assert test_key.get(f"/approvals/{approval}").json()["decision"]["id"] == first["id"]
    check_run(run["id"])


@pytest.mark.parametrize(
    ("task", "verdict", "first", "same", "other"),
    [
        ("[question]", "answer", {"answers": {"q1": "Sales"}}, {"answers": {"Inbox": "Sales"}}, {"answers": {"q1": "Support"}}),
        ("[input]", "submit", {"values": {"recipient": "a"}}, {"values": {"subject": "Hello", "recipient": "a"}},
         {"values": {"recipient": "b"}}),
    ],
)  # fmt: skip
def test_the_same_means_the_same_data(
    test_key: Api, task: str, verdict: str, first: dict[str, Any], same: dict[str, Any], other: dict[str, Any]
) -> None:
    approval = waiting(test_key, task)["open_approvals"][0]
    decision = _decide(test_key, approval, verdict, **first).json()["decision"]["id"]
    assert _decide(test_key, approval, verdict, **same).json()["decision"]["id"] == decision
    assert _error(_decide(test_key, approval, verdict, **other)) == (409, "ALREADY_DECIDED")
    assert _error(_decide(test_key, approval, "reject")) == (409, "ALREADY_DECIDED")


def _to_expired(api: Api, run: dict[str, Any]) -> None:
    shift(run["id"], 100)
    approvals_clock.expiries()


def _to_unswept(api: Api, run: dict[str, Any]) -> None:
    shift(run["id"], 100)


def _to_cancelled(api: Api, run: dict[str, Any]) -> None:
    api.post(f"/runs/{run['id']}/cancel")


def _to_void(api: Api, run: dict[str, Any]) -> None:
    Approval.objects.filter(run_id=run["id"]).update(
        status="void", resolved_at=run["created_at"], replaced_by="apr_next"
    )


@pytest.mark.parametrize(
    ("close", "code"),
    [
        (_to_expired, "APPROVAL_EXPIRED"),
        (_to_unswept, "APPROVAL_EXPIRED"),
        (_to_cancelled, "APPROVAL_CANCELLED"),
        (_to_void, "APPROVAL_VOID"),
    ],
)
@pytest.mark.parametrize("by", ["decide", "resume"])
def test_named_but_no_longer_open(
    test_key: Api, close: Callable[[Api, dict[str, Any]], None], code: str, by: str
) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=60)
    approval = run["open_approvals"][0]
    close(test_key, run)
    path = f"/approvals/{approval}/decide" if by == "decide" else f"/runs/{run['id']}/resume"
    refused = test_key.post(path, {"verdict": "approve"} if by == "decide" else {"approval_id": approval})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["approval_id"]) == (409, code, approval)
    assert error["resolved_at"]
    assert error.get("replaced_by") == ("apr_next" if code == "APPROVAL_VOID" else None)
    assert Decision.objects.get(counts=False).loss == code
    assert not data_of(run["id"], "resumed")


@pytest.mark.parametrize(
    ("state", "code"),
    [("queued", "NOT_AWAITING_HUMAN"), ("running", "NOT_AWAITING_HUMAN"), ("succeeded", "RESUME_CONFLICT"), ("failed", "RESUME_CONFLICT"),
     ("cancelled", "RESUME_CONFLICT"), ("timed_out", "RESUME_CONFLICT")],
)  # fmt: skip
def test_none_named_and_none_open(test_key: Api, state: str, code: str) -> None:
    if state in ("succeeded", "failed"):
        run = ended(test_key, "x" if state == "succeeded" else "x [fail]")
    else:
        run = begin(test_key, deadline_seconds=60)
    if state == "running":
        drive_and_die("write_intent")
    elif state == "cancelled":
        test_key.post(f"/runs/{run['id']}/cancel")
    elif state == "timed_out":
        shift(run["id"], 61)
        clock.deadlines()
    assert status_of(run["id"]) == state
    before = log(run["id"])
    refused = test_key.post(f"/runs/{run['id']}/resume")
    assert _error(refused) == (409, code)
    assert (refused.json()["error"]["current_state"], log(run["id"])) == (state, before)


def test_several_open_need_a_name(test_key: Api) -> None:
    """Two child runs of one root wait: no call guesses which is meant."""
    from runs.models import Run

    parent, one, two = waiting(test_key), waiting(test_key), waiting(test_key)
    for child in (one, two):
        Run.objects.filter(id=child["id"]).update(parent_id=parent["id"], root_id=parent["id"])
        Approval.objects.filter(run_id=child["id"]).update(root_run_id=parent["id"])
    ids = [r["open_approvals"][0] for r in (parent, one, two)]
    refused = test_key.post(f"/runs/{parent['id']}/resume")
    assert _error(refused) == (409, "AMBIGUOUS_TARGET")
    assert sorted(refused.json()["error"]["open"]) == sorted(ids)
    assert sorted(show(test_key, parent["id"])["open_approvals"]) == sorted(ids)
    assert show(test_key, one["id"])["open_approvals"] == [ids[1]]
    assert test_key.post(f"/runs/{one['id']}/resume").status_code == 200  # a child has one of its own
    named = test_key.post(f"/runs/{parent['id']}/resume", {"approval_id": ids[2]})
    assert (named.status_code, named.json()["id"]) == (200, parent["id"])
    assert status_of(two["id"]) == "running"


# --- bodies


@pytest.mark.parametrize(
    ("task", "body", "loc"),
    [
        ("[pause]", {"verdict": "answer"}, ["verdict"]),  # T-078
        ("[pause]", {"verdict": "submit"}, ["verdict"]),
        ("[pause]", {"verdict": "revise", "note": "x"}, ["verdict"]),
        ("[pause]", {"verdict": "yes"}, ["verdict"]),
        ("[pause]", {}, ["verdict"]),
        ("[pause]", {"verdict": 1}, ["verdict"]),
        ("[takeover]", {"verdict": "answer"}, ["verdict"]),
        ("[question]", {"verdict": "approve"}, ["verdict"]),
        ("[input]", {"verdict": "approve"}, ["verdict"]),
        ("[input]", {"verdict": "answer", "answers": {}}, ["verdict"]),
        ("[pause]", {"verdict": "approve", "answers": {"q1": "x"}}, ["answers"]),
        ("[pause]", {"verdict": "approve", "values": {"add_cents": 1}}, ["values"]),
        ("[pause]", {"verdict": "approve", "edited_action": {"name": "click", "params": {}}}, ["edited_action"]),
        ("[pause]", {"verdict": "reject", "values": {}}, ["values"]),
        ("[question]", {"verdict": "reject", "answers": {"q1": "Sales"}}, ["answers"]),
        ("[question]", {"verdict": "answer", "answers": {"q1": "Sales"}, "values": {}}, ["values"]),
        ("[input]", {"verdict": "submit", "values": {"recipient": "a"}, "remember": True}, ["remember"]),
        ("[pause]", {"verdict": "approve", "note": "n" * 2001}, ["note"]),
        ("[pause]", {"verdict": "approve", "remember": "forever"}, ["remember", "bool"]),
        ("[pause]", {"verdict": "approve", "colour": 1}, ["colour"]),
        ("[question]", {"verdict": "answer", "answers": {"nope": "Sales"}}, ["answers", "nope"]),
        ("[question]", {"verdict": "answer", "answers": {"q1": []}}, ["answers", "q1"]),
        ("[question:multi]", {"verdict": "answer", "answers": {"q1": []}}, ["answers", "q1"]),
        ("[questions:same]", {"verdict": "answer", "answers": {"Which one?": "Yes"}}, ["answers", "Which one?"]),
        ("[input]", {"verdict": "submit", "values": {}}, ["values", "recipient"]),  # T-074
        ("[input]", {"verdict": "submit", "values": {"recipient": 5}}, ["values", "recipient"]),
        ("[input]", {"verdict": "submit"}, ["values", "recipient"]),
    ],
    ids=lambda v: str(v)[:50],
)  # fmt: skip
def test_T_074_T_078_what_does_not_fit_changes_nothing(
    test_key: Api, task: str, body: dict[str, Any], loc: list[str]
) -> None:
    run = waiting(test_key, task)
    refused = test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", body)
    assert _error(refused) == (422, "VALIDATION_ERROR")
    assert ["body", *loc] in [d["loc"] for d in refused.json()["error"]["details"]]
    assert show(test_key, run["id"]) == run
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("task", "answers", "missing"),
    [
        ("[question]", {}, ["q1"]),
        ("[questions:2]", {"q1": "Sales"}, ["q2"]),
        ("[questions:same]", {"A": "Yes"}, ["q2"]),
    ],
)
def test_unanswered_questions_are_named(test_key: Api, task: str, answers: dict[str, Any], missing: list[str]) -> None:
    run = waiting(test_key, task)
    refused = _decide(test_key, run["open_approvals"][0], "answer", answers=answers)
    assert _error(refused) == (422, "ANSWER_REQUIRED")
    assert refused.json()["error"]["missing"] == missing
    assert show(test_key, run["id"]) == run


@pytest.mark.parametrize("key", ["q1", "Which inbox?", "Inbox"])
def test_T_068_three_ways_to_name_a_question(test_key: Api, key: str) -> None:
    run = waiting(test_key, "x [question]")
    result = _decide(test_key, run["open_approvals"][0], "answer", answers={key: "Sales"}).json()
    assert result["decision"]["answers"] == {"q1": {"value": "Sales", "custom": False}}
    assert result["approval"]["status"] == "answered"


def test_T_069_free_text_is_stored_verbatim(test_key: Api) -> None:
    run = waiting(test_key, "x [question]")
    result = _decide(test_key, run["open_approvals"][0], "answer", answers={"q1": "sales "}).json()
    assert result["decision"]["answers"] == {"q1": {"value": "sales ", "custom": True}}
    drive_all()
    assert '"value":"sales "' in show(test_key, run["id"])["result"]["summary"]


def test_T_062_values_with_defaults_reach_the_agent(test_key: Api) -> None:
    run = waiting(test_key, "x [input]")
    result = _decide(test_key, run["open_approvals"][0], "submit", values={"recipient": "zoe"}).json()
    assert result["decision"]["values"] == {"recipient": "zoe", "subject": "Hello"}
    drive_all()
    assert '"subject":"Hello"' in show(test_key, run["id"])["result"]["summary"]


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"properties": {"a": {"pattern": "(a+)+$"}}}, {"required": 5}], ids=str
)
def test_a_request_whose_schema_is_no_use_can_be_rejected(test_key: Api, schema: dict[str, Any]) -> None:
    run = waiting(test_key, "x [input]")
    Approval.objects.update(input_schema=schema)
    (request,) = run["open_approvals"]
    answer = _decide(test_key, request, "submit", values={"a": "a" * 60 + "b"})
    assert (answer.status_code, answer.json()["error"]["details"][0]["loc"]) == (422, ["body", "values"])
    assert _decide(test_key, request, "reject").status_code == 200


def test_T_072_a_recommended_label(test_key: Api) -> None:
    request = request_of(test_key, waiting(test_key, "x [question:rec]"))
    assert [(o["label"], o["recommended"]) for o in request["questions"][0]["options"]] == [
        ("Sales", False),
        ("Support", True),
    ]


# --- the hash of the action


def test_T_080_a_stale_action_hash(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    request = request_of(test_key, run)
    refused = _decide(test_key, request["id"], action_hash="0" * 64)
    assert _error(refused) == (409, "ACTION_CHANGED")
    assert refused.json()["error"]["action_hash"] == request["action_hash"]
    assert show(test_key, run["id"]) == run
    assert _decide(test_key, request["id"], action_hash=request["action_hash"]).status_code == 200


def test_T_081_the_hash_of_the_contracts_example() -> None:
    digest = action_hash("mch_4dE", "click", {"x": 612, "y": 448, "button": "left", "count": 1})
    assert digest == "87d340fe056cb4c38c8dddbf7d65d573017fcd4de04835371474338bed694ef7"
    assert digest == action_hash("mch_4dE", "click", {"count": 1, "button": "left", "y": 448, "x": 612})


def test_the_hash_of_a_request_is_that_of_its_action(test_key: Api) -> None:
    request = request_of(test_key, waiting(test_key, "x", **ASKING))
    action = request["action"]
    assert action_hash(action["machine_id"], action["name"], action["params"]) == request["action_hash"]


# --- whose request


def test_T_008_requests_of_others_are_not_there(test_key: Api, live: Api, strangers: Cast) -> None:
    approval = waiting(test_key)["open_approvals"][0]
    for api in (live, strangers.api(test=True)):
        assert _error(api.get(f"/approvals/{approval}")) == (404, "APPROVAL_NOT_FOUND")
        assert _error(_decide(api, approval)) == (404, "APPROVAL_NOT_FOUND")
        assert _error(api.post(f"/approvals/{approval}/decide", b"{")) == (404, "APPROVAL_NOT_FOUND")
        assert api.get("/approvals?status=all").json()["data"] == []


def test_an_idempotency_key_replays_a_decision(test_key: Api) -> None:
    approval = waiting(test_key)["open_approvals"][0]
    path, body = f"/approvals/{approval}/decide", {"verdict": "approve"}
    first = test_key.post(path, body, Idempotency_Key="k")
    drive_all()
    assert test_key.post(path, body, Idempotency_Key="k").content == first.content
