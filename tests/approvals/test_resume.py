"""POST /v1/runs/{id}/resume (docs/api/approvals.md section 4)."""

import json
from typing import Any

import pytest

from approvals.answers import examples
from approvals.answers.reading import read_values
from approvals.models import Approval, Decision
from tests.cast import Api, Cast
from tests.runs.driving import (
    begin,
    data_of,
    drive_all,
    drive_and_die,
    ended,
    kinds,
    log,
    request_of,
    show,
    status_of,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def _resume(api: Api, run: dict[str, Any], body: Any = None, **headers: str) -> Any:
    return api.post(f"/runs/{run['id']}/resume", body, **headers)


@pytest.mark.parametrize(
    "body", [None, b"", b"  ", {}, {"note": None}, {"approved": None}, {"approved": True}, {"approval_id": " "}]
)
def test_T_051_resume_without_a_word_approves(test_key: Api, body: Any) -> None:
    run = waiting(test_key)
    answer = _resume(test_key, run, body)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["id"], answer.json()["status"]) == (run["id"], "running")
    (resumed,) = data_of(run["id"], "resumed")
    assert (resumed["approved"], resumed["verdict"], resumed["effect"], resumed["note"]) == (
        True,
        "approve",
        "proceed",
        None,
    )
    assert resumed["approval_id"] == run["open_approvals"][0]
    assert resumed["decided_by"]["type"] == "api_key"
    assert kinds(run["id"])[-2:] == ["resumed", "running"]
    check_run(run["id"])


def test_T_052_nothing_is_open(test_key: Api) -> None:
    queued = begin(test_key)
    for state in ("queued", "running"):
        error = _resume(test_key, queued).json()["error"]
        assert (error["code"], error["reason_code"]) == ("NOT_AWAITING_HUMAN", "run_not_awaiting_input")
        assert (error["current_state"], error["allowed_from"]) == (state, ["awaiting_human"])
        if state == "queued":
            drive_and_die("write_intent")
    drive_all()
    refused = _resume(test_key, queued)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["current_state"]) == (409, "RESUME_CONFLICT", "succeeded")
    assert (error["allowed_from"], error["last_decision"]) == (["awaiting_human"], None)


def test_the_conflict_names_the_last_decision(test_key: Api) -> None:
    run = waiting(test_key)
    _resume(test_key, run, {"approved": False})
    assert _resume(test_key, run).json()["error"]["last_decision"] == Decision.objects.get().id


def test_T_055_notes(test_key: Api) -> None:
    run = waiting(test_key)
    refused = _resume(test_key, run, {"note": "n" * 2001})
    assert (refused.status_code, refused.json()["error"]["details"][0]["loc"]) == (422, ["body", "note"])
    assert show(test_key, run["id"]) == run
    assert _resume(test_key, run, {"note": "take the blue one"}).status_code == 200
    drive_all()
    assert data_of(run["id"], "resumed")[0]["note"] == "take the blue one"
    assert Decision.objects.get().note == "take the blue one"
    texts = [d["text"] for k, d in log(run["id"])[kinds(run["id"]).index("resumed") :] if k == "text"]
    assert 'Received: {"note":"take the blue one"}' in texts[0]
    assert "take the blue one" in show(test_key, run["id"])["result"]["summary"]


@pytest.mark.parametrize(
    ("note", "message"), [("no", "no"), (None, "Rejected by a person."), ("", "Rejected by a person.")]
)
def test_T_056_rejecting_ends_a_pause(test_key: Api, note: str | None, message: str) -> None:
    run = waiting(test_key)
    done = _resume(test_key, run, {"approved": False, "note": note}).json()
    assert (done["status"], done["error"]["code"], done["error"]["message"]) == ("failed", "REJECTED", message)
    assert done["error"]["reason_code"] == "rejected"
    assert done["result"] == {
        "passed": False, "status": "failed", "summary": message, "verdict": None,
        "output": None, "output_text": None, "skipped": 0,
    }  # fmt: skip
    assert kinds(run["id"])[-3:] == ["resumed", "failed", "done"]
    assert data_of(run["id"], "resumed")[0]["approved"] is False
    check_run(run["id"])


@pytest.mark.parametrize("path", ["/runs", "/workflows/runs"])
@pytest.mark.parametrize("value", ["true", 1, 0, "false", []])
def test_T_057_approved_is_a_boolean(test_key: Api, path: str, value: Any) -> None:
    run = waiting(test_key)
    refused = test_key.post(f"{path}/{run['id']}/resume", {"approved": value})
    assert refused.status_code == 422, refused.content
    assert refused.json()["error"]["details"][0]["loc"] == ["body", "approved"]
    assert show(test_key, run["id"]) == run


def test_T_155_the_workflow_path_needs_the_word(test_key: Api) -> None:
    run = waiting(test_key)
    path = f"/workflows/runs/{run['id']}/resume"
    for body in (None, {}, {"approved": None}, {"note": "x"}):
        refused = test_key.post(path, body)
        assert refused.status_code == 422
        assert refused.json()["error"]["details"][0]["loc"] == ["body", "approved"]
    assert test_key.post("/workflows/runs/wfr_nowhere/resume").json()["error"]["code"] == "RUN_NOT_FOUND"
    assert show(test_key, run["id"]) == run
    assert test_key.post(path, {"approved": True}).json()["status"] == "running"


def test_bodies_are_strict(test_key: Api) -> None:
    run = waiting(test_key)
    for body in ({"aproved": True}, {"note": 5}, {"approval_id": 5}, b"[]", b"{"):
        assert _resume(test_key, run, body).status_code == 422
    assert show(test_key, run["id"]) == run


# --- questions and inputs


def test_T_073_resume_takes_what_is_recommended(test_key: Api) -> None:
    run = waiting(test_key, "x [question:rec]")
    assert _resume(test_key, run, {}).status_code == 200
    approval = Approval.objects.get()
    assert (approval.status, Decision.objects.get().answers) == (
        "answered",
        {"q1": {"value": "Support", "custom": False}},
    )
    (resumed,) = data_of(run["id"], "resumed")
    assert (resumed["approved"], resumed["verdict"]) == (True, "answer")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


def test_T_073_without_a_recommendation_an_answer_is_required(test_key: Api) -> None:
    run = waiting(test_key, "x [question]")
    for body in ({}, {"note": "  "}, {"approved": True}):
        refused = _resume(test_key, run, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "ANSWER_REQUIRED")
        assert refused.json()["error"]["missing"] == ["q1"]
    assert show(test_key, run["id"]) == run
    assert _resume(test_key, run, {"note": "Sales"}).status_code == 200
    assert Decision.objects.get().answers == {"q1": {"value": "Sales", "custom": False}}
    drive_all()
    assert '"value":"Sales"' in show(test_key, run["id"])["result"]["summary"]


def test_several_questions_take_no_note_as_answer(test_key: Api) -> None:
    run = waiting(test_key, "x [questions:2]")
    refused = _resume(test_key, run, {"note": "Sales"}).json()["error"]
    assert (refused["code"], refused["missing"]) == ("ANSWER_REQUIRED", ["q1", "q2"])


def test_a_note_that_chooses_nothing_is_refused_at_the_note(test_key: Api) -> None:
    run = waiting(test_key, "x [question:multi]")
    refused = _resume(test_key, run, {"note": " , "})
    assert (refused.status_code, refused.json()["error"]["details"][0]["loc"]) == (422, ["body", "note"])
    assert _resume(test_key, run, {"note": "Sales, Support"}).status_code == 200
    assert [a["value"] for a in Decision.objects.get().answers["q1"]] == ["Sales", "Support"]


@pytest.mark.parametrize(
    "task", ["x [question]", "x [question:multi]", "x [questions:2]", "x [questions:same]", "x [input]", "x [secret]"]
)
def test_a_refusal_for_want_of_an_answer_shows_a_body_that_works(test_key: Api, task: str) -> None:
    run = waiting(test_key, task)
    refused = _resume(test_key, run, {}).json()["error"]
    assert refused["code"] == "ANSWER_REQUIRED"
    assert all(name.strip("/") in refused["message"] for name in refused["missing"])
    assert json.dumps(refused["example"], ensure_ascii=False) in refused["message"]
    method, path = refused["send_to"].split(" ")
    assert (method, path) == ("POST", f"/v1/runs/{run['id']}/answer")
    assert test_key.post(path.removeprefix("/v1"), refused["example"]).status_code == 200
    drive_all()
    assert status_of(run["id"]) == "succeeded"


@pytest.mark.parametrize(
    "schema",
    [
        {"required": ["a"]},
        {"properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a"]},
        {"properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "boolean"}}, "required": ["a", "b"]},
        {"properties": {"a": {"type": "array", "items": {"type": "string", "minLength": 9}, "minItems": 2}}, "required": ["a"]},
        {"properties": {"a": {"properties": {"b": {"format": "email"}}, "required": ["b"]}}, "required": ["a"]},
    ],
)  # fmt: skip
def test_an_example_fits_the_schema(schema: dict[str, Any]) -> None:
    assert read_values(schema, examples.of_schema(schema), ())


def test_declining_a_question_goes_on(test_key: Api) -> None:
    run = waiting(test_key, "x [question]")
    done = _resume(test_key, run, {"approved": False, "note": "ask Bob"}).json()
    assert done["status"] == "running"
    (resumed,) = data_of(run["id"], "resumed")
    assert (resumed["approved"], resumed["verdict"], resumed["effect"]) == (False, "reject", "continue")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert 'Received: {"reason":"ask Bob"}' in str(log(run["id"]))
    check_run(run["id"])


def test_resume_cannot_invent_data(test_key: Api) -> None:
    run = waiting(test_key, "x [input]")
    refused = _resume(test_key, run, {"note": "zoe"}).json()["error"]
    assert (refused["code"], refused["missing"]) == ("ANSWER_REQUIRED", ["/recipient"])
    assert show(test_key, run["id"]) == run
    rejected = _resume(test_key, run, {"approved": False}).json()
    assert (rejected["status"], rejected["error"]["code"]) == ("failed", "REJECTED")


def test_resume_submits_what_the_schema_gives(test_key: Api) -> None:
    run = waiting(test_key, "x [input]")
    Approval.objects.update(
        input_schema={"type": "object", "properties": {"subject": {"type": "string", "default": "Hello"}}}
    )
    assert _resume(test_key, run, {"note": "fine"}).status_code == 200
    decision = Decision.objects.get()
    assert (decision.verdict, decision.values, decision.note) == ("submit", {"subject": "Hello"}, "fine")


def test_takeovers(test_key: Api) -> None:
    assert _resume(test_key, waiting(test_key, "x [takeover]")).json()["status"] == "running"
    failed = _resume(test_key, waiting(test_key, "x [takeover]"), {"approved": False}).json()
    assert failed["error"]["code"] == "REJECTED"


# --- naming, idempotency, rights


def test_naming_the_request(test_key: Api) -> None:
    run, other = waiting(test_key), waiting(test_key)
    wrong = _resume(test_key, run, {"approval_id": other["open_approvals"][0]})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")
    assert _resume(test_key, run, {"approval_id": "apr_nowhere"}).status_code == 404
    assert (status_of(run["id"]), status_of(other["id"])) == ("awaiting_human", "awaiting_human")
    assert _resume(test_key, run, {"approval_id": f"  {run['open_approvals'][0]} "}).status_code == 200


def test_an_idempotency_key_replays_after_the_run_moved_on(test_key: Api) -> None:
    run = waiting(test_key)
    first = _resume(test_key, run, {"note": "ok"}, Idempotency_Key="k1")
    drive_all()
    again = _resume(test_key, run, {"note": "ok"}, Idempotency_Key="k1")
    assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
    assert len(data_of(run["id"], "resumed")) == 1
    assert (
        _resume(test_key, run, {"note": "other"}, Idempotency_Key="k1").json()["error"]["code"]
        == "IDEMPOTENCY_KEY_REUSED"
    )


def test_a_refusal_binds_no_key(test_key: Api) -> None:
    run = begin(test_key, "x [pause]")
    assert _resume(test_key, run, None, Idempotency_Key="k1").status_code == 409
    drive_all()
    assert _resume(test_key, run, None, Idempotency_Key="k1").status_code == 200


def test_T_016_resuming_needs_its_scope(plain_live: Api, cast: Cast, test_key: Api) -> None:
    run = waiting(test_key)
    reader = cast.api(test=True, scopes=frozenset({"runs:read", "runs:write", "approvals:read"}))
    refused = _resume(reader, run)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["required_scope"]) == (
        403,
        "INSUFFICIENT_SCOPE",
        "approvals:decide",
    )
    assert plain_live.post("/runs/run_x/resume").json()["error"]["required_scope"] == "approvals:decide"


def test_T_017_a_malformed_body(test_key: Api) -> None:
    assert test_key.post("/runs/run_nowhere/resume", b"{").status_code == 404
    assert _resume(test_key, ended(test_key), b"{").status_code == 422


def test_resuming_a_tool_request(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="approval")
    assert request_of(test_key, run)["kind"] == "tool"
    assert _resume(test_key, run).json()["status"] == "running"
