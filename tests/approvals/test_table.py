"""The table of docs/api/approvals.md section 4, cell by cell: what each call means for each kind of request."""

from typing import Any

import pytest

from approvals.models import Approval, Decision
from tests.cast import Api
from tests.runs.driving import show, status_of, waiting

pytestmark = pytest.mark.django_db

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "approval": ("x [pause]", {}),
    "takeover": ("x [takeover]", {}),
    "tool": ("x [steps:1]", {"human_in_the_loop": True, "permission_mode": "approval"}),
    "plan": ("x", {"human_in_the_loop": True, "permission_mode": "plan"}),
    "question": ("x [question:rec]", {}),
    "input": ("x [input]", {}),
    "budget": ("x", {"budget_cents": 5, "on_budget": "ask"}),
}
# Data that fits the kind; where none does, any.
DATA = {"question": {"q1": "Sales"}, "input": {"recipient": "zoe"}, "plan": {"feedback": "shorter"}}

Cell = tuple[str, str] | int  # (verdict, effect), or the status of the refusal
GO: Cell = ("approve", "proceed")
TABLE: dict[str, dict[str, Cell]] = {
    "resume yes": {
        "approval": GO, "takeover": GO, "tool": GO, "plan": GO, "question": ("answer", "proceed"),
        "input": ("submit", "proceed"), "budget": GO,
    },
    "resume no": {
        "approval": ("reject", "fail_run"), "takeover": ("reject", "fail_run"), "tool": ("reject", "skip_action"),
        "plan": ("revise", "revise"), "question": ("reject", "continue"), "input": ("reject", "fail_run"),
        "budget": ("reject", "fail_run"),
    },
    "signal approve": {
        "approval": GO, "takeover": GO, "tool": GO, "plan": GO, "question": 409, "input": 409, "budget": GO,
    },
    "signal reject": dict.fromkeys(KINDS, ("reject", "fail_run")),
    "signal submit_input": {
        "approval": 409, "takeover": 409, "tool": 409, "plan": ("revise", "revise"), "question": ("answer", "proceed"),
        "input": ("submit", "proceed"), "budget": 409,
    },
    "approve allow": {
        "approval": GO, "takeover": GO, "tool": GO, "plan": 409, "question": 409, "input": 409, "budget": GO,
    },
    "approve deny": {
        "approval": ("reject", "fail_run"), "takeover": ("reject", "fail_run"), "tool": ("reject", "skip_action"),
        "plan": 409, "question": 409, "input": 409, "budget": ("reject", "fail_run"),
    },
    "answer": {
        "approval": 409, "takeover": 409, "tool": 409, "plan": ("revise", "revise"), "question": ("answer", "proceed"),
        "input": ("submit", "proceed"), "budget": 409,
    },
}  # fmt: skip
CELLS = [(call, kind) for call, row in TABLE.items() for kind in row]
SIGNALS = {
    "approval": ["approve", "reject"], "takeover": ["approve", "reject"], "tool": ["approve", "reject"],
    "plan": ["approve", "reject", "submit_input"], "question": ["reject", "submit_input"],
    "input": ["reject", "submit_input"], "budget": ["approve", "reject"],
}  # fmt: skip


def _asked(api: Api, kind: str) -> tuple[dict[str, Any], Approval]:
    task, more = KINDS[kind]
    run = waiting(api, task, **more)
    approval = Approval.objects.get(run_id=run["id"], status="pending")
    assert approval.kind == kind
    return run, approval


def _call(api: Api, call: str, run: dict[str, Any], approval: Approval) -> Any:
    verb, _, word = call.partition(" ")
    path = f"/runs/{run['id']}/{verb}"
    data = DATA.get(approval.kind, {"a": "b"})
    if verb == "resume":
        return api.post(path, {"approved": word == "yes"})
    if verb == "signal":
        return api.post(path, {"action": word, "payload": data if word == "submit_input" else {}})
    if verb == "approve":
        return api.post(path, {"request_id": approval.id, "decision": word})
    return api.post(path, {"answers": data})


def test_the_table_is_whole() -> None:
    assert all(set(row) == set(KINDS) for row in TABLE.values())
    assert len(CELLS) == 8 * 7


@pytest.mark.parametrize(("call", "kind"), CELLS, ids=lambda v: v.replace(" ", "-"))
def test_a_cell(test_key: Api, call: str, kind: str) -> None:
    run, approval = _asked(test_key, kind)
    if (call, kind) == ("resume yes", "input"):  # its schema has to be content with its defaults
        Approval.objects.update(input_schema={"properties": {"subject": {"default": "Hello"}}})
    answer = _call(test_key, call, run, approval)
    expected = TABLE[call][kind]
    if isinstance(expected, int):
        _check_refusal(answer, call, kind)
        assert show(test_key, run["id"]) == run
        assert not Decision.objects.exists()
        return
    assert answer.status_code == 200, answer.content
    decision = Decision.objects.get()
    assert (decision.verdict, decision.effect, decision.counts) == (*expected, True)
    assert status_of(run["id"]) == ("failed" if expected[1] == "fail_run" else "running")


def _check_refusal(answer: Any, call: str, kind: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["kind"]) == (409, "state_error", kind)
    if call.startswith("signal"):
        assert (error["code"], error["reason_code"]) == ("INVALID_SIGNAL_TYPE", "invalid_signal_type")
        assert error["allowed"] == SIGNALS[kind]
    else:
        assert error["code"] == "WRONG_ENDPOINT"
        assert error["use"] == ("approve" if call == "answer" else "answer")


# --- words


@pytest.mark.parametrize(
    ("kind", "path", "body", "loc"),
    [
        ("approval", "resume", {"note": "n" * 2001}, ["note"]),
        ("approval", "signal", {"action": "reject", "payload": {"reason": "n" * 2001}}, ["payload", "reason"]),
        ("approval", "signal", {"action": "approve", "payload": {"note": "n" * 2001}}, ["payload", "note"]),
        ("plan", "signal", {"action": "submit_input", "payload": {"feedback": "n" * 2001}}, ["payload", "feedback"]),
        ("plan", "signal", {"action": "submit_input", "payload": {"say": "n" * 2001}}, ["payload"]),
        ("plan", "answer", {"answers": {"Plan Approval": "n" * 2001}}, ["answers", "Plan Approval"]),
    ],
)
def test_T_055_words_that_are_too_long_are_refused_and_not_cut(
    test_key: Api, kind: str, path: str, body: dict[str, Any], loc: list[str]
) -> None:
    run, _ = _asked(test_key, kind)
    refused = test_key.post(f"/runs/{run['id']}/{path}", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert [d["loc"] for d in refused.json()["error"]["details"]] == [["body", *loc]]
    assert show(test_key, run["id"]) == run


@pytest.mark.parametrize(
    ("kind", "path", "body", "loc"),
    [
        ("input", "signal", {"action": "submit_input", "payload": {"recipient": 5}}, ["payload", "recipient"]),
        ("input", "signal", {"action": "submit_input", "payload": {}}, ["payload", "recipient"]),
        ("question", "signal", {"action": "submit_input", "payload": {"q1": 5}}, ["payload", "q1"]),
        ("input", "answer", {"answers": {"recipient": 5}}, ["answers", "recipient"]),
        ("question", "answer", {"answers": {"q1": 5}}, ["answers", "q1"]),
    ],
)
def test_T_074_a_violation_is_named_where_it_stands_in_the_body(
    test_key: Api, kind: str, path: str, body: dict[str, Any], loc: list[str]
) -> None:
    run, _ = _asked(test_key, kind)
    refused = test_key.post(f"/runs/{run['id']}/{path}", body)
    assert refused.status_code == 422
    assert [d["loc"] for d in refused.json()["error"]["details"]] == [["body", *loc]]
    assert show(test_key, run["id"]) == run


def test_2000_characters_arrive_whole(test_key: Api) -> None:
    run, _ = _asked(test_key, "approval")
    test_key.post(f"/runs/{run['id']}/signal", {"action": "reject", "payload": {"reason": "n" * 2000}})
    assert show(test_key, run["id"])["error"]["message"] == "n" * 2000


@pytest.mark.parametrize(
    "answers", [{"Plan Approval": ""}, {"x": "  "}, {"x": ["approve"]}, {"x": True}, {"x": None}, {"a": "approve", "b": "No"}]
)  # fmt: skip
def test_T_094_a_plan_takes_one_answer_that_is_a_text(test_key: Api, answers: dict[str, Any]) -> None:
    run, _ = _asked(test_key, "plan")
    refused = test_key.post(f"/runs/{run['id']}/answer", {"answers": answers})
    assert refused.status_code == 422, refused.content
    assert refused.json()["error"]["details"][0]["loc"][:2] == ["body", "answers"]
    assert show(test_key, run["id"]) == run


@pytest.mark.parametrize(
    ("word", "verdict"), [(" APPROVE ", "approve"), ("approve!", "revise"), ("Approved", "revise")]
)
def test_T_094_only_that_word_approves(test_key: Api, word: str, verdict: str) -> None:
    run, _ = _asked(test_key, "plan")
    answer = test_key.post(f"/runs/{run['id']}/answer", {"answers": {"anything": word}})
    assert answer.json()["approval"]["decision"]["verdict"] == verdict


def test_data_never_counts_as_consent(test_key: Api) -> None:
    run, _ = _asked(test_key, "plan")
    body = {"action": "submit_input", "payload": {"feedback": "approve"}}
    assert test_key.post(f"/runs/{run['id']}/signal", body).status_code == 200
    assert Decision.objects.get().verdict == "revise"


def test_feedback_on_a_plan_may_be_any_object(test_key: Api) -> None:
    run, _ = _asked(test_key, "plan")
    body = {"action": "submit_input", "payload": {"steps": 2, "why": "zu lang – é"}}
    assert test_key.post(f"/runs/{run['id']}/signal", body).status_code == 200
    assert Decision.objects.get().note == '{"steps": 2, "why": "zu lang – é"}'


# --- answers of the calls


def test_what_the_calls_answer(test_key: Api) -> None:
    run, approval = _asked(test_key, "question")
    signal = test_key.post(f"/runs/{run['id']}/signal", {"action": "submit_input", "payload": {"answer": "Sales"}})
    assert signal.json() == {
        "object": "signal", "id": Decision.objects.get().id, "action": "submit_input", "run_id": run["id"],
        "approval_id": approval.id, "status": "running", "state": "running", "resumed": True,
    }  # fmt: skip
    run, approval = _asked(test_key, "tool")
    path = f"/runs/{run['id']}/approve"
    item = test_key.post(path, {"request_id": f" {approval.id} ", "decision": "allow", "remember": True}).json()
    listed = test_key.get(f"/runs/{run['id']}/permissions").json()
    assert item == listed[0] | {"resumed": True, "remembered": True}
    assert set(listed[0]) - set(test_key.get(f"/approvals/{approval.id}").json()) == {"tool_name", "tool_input"}
    for blank in ("", "  "):
        refused = test_key.post(path, {"request_id": blank, "decision": "allow"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")
    assert test_key.post(path, {"decision": "allow"}).status_code == 422


@pytest.mark.parametrize(
    ("kind", "name", "given"),
    [
        ("approval", "human_approval", {}),
        ("budget", "human_approval", {}),
        ("takeover", "request_takeover", {}),
        ("tool", "click", {"x": 101, "y": 200, "button": "left", "count": 1}),
        ("question", "ask_user_question", {}),
        ("input", "ask_user_question", {}),
        ("plan", "plan_approval", {}),
    ],
)
def test_T_076_each_kind_has_its_tool_name(test_key: Api, kind: str, name: str, given: dict[str, Any]) -> None:
    run, approval = _asked(test_key, kind)
    (item,) = test_key.get(f"/runs/{run['id']}/permissions").json()
    assert (item["tool_name"], item["status"], item["id"]) == (name, "pending", approval.id)
    if kind == "tool":
        assert item["tool_input"] == given
    if kind == "question":
        assert item["tool_input"] == {"questions": approval.questions}
    if kind == "plan":
        (question,) = item["tool_input"]["questions"]
        assert (question["header"], question["question"]) == ("Plan Approval", "1. click\n2. type\n3. press")
        assert [o["label"] for o in question["options"]] == ["Approve", "Revise"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("approved", "allowed"), ("rejected", "denied"), ("answered", "answered"), ("expired", "timeout"),
     ("cancelled", "cancelled"), ("void", "cancelled")],
)  # fmt: skip
def test_T_076_the_words_of_the_permissions_list(test_key: Api, stored: str, shown: str) -> None:
    run, _ = _asked(test_key, "approval")
    Approval.objects.update(status=stored, resolved_at=run["created_at"])
    assert [item["status"] for item in test_key.get(f"/runs/{run['id']}/permissions").json()] == [shown]


def test_blank_names_are_no_names(test_key: Api) -> None:
    for path, body in (
        ("resume", {"approval_id": " "}),
        ("signal", {"action": "submit_input", "payload": {"q1": "Sales"}, "approval_id": ""}),
        ("answer", {"answers": {"q1": "Sales"}, "request_id": "  "}),
    ):
        run, _ = _asked(test_key, "question")
        assert test_key.post(f"/runs/{run['id']}/{path}", body).status_code == 200, path


def test_a_request_of_another_run_is_not_found(test_key: Api) -> None:
    run, _ = _asked(test_key, "question")
    _, other = _asked(test_key, "question")
    for path, body in (
        ("resume", {"approval_id": other.id}),
        ("signal", {"action": "reject", "approval_id": other.id}),
        ("answer", {"answers": {"q1": "Sales"}, "request_id": other.id}),
        ("approve", {"decision": "deny", "request_id": other.id}),
    ):
        refused = test_key.post(f"/runs/{run['id']}/{path}", body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "APPROVAL_NOT_FOUND"), path


@pytest.mark.parametrize(
    ("path", "body"),
    [("signal", {"action": "approve"}), ("answer", {"answers": {"a": "b"}}), ("resume", {})],
)
@pytest.mark.parametrize("ended", [False, True])
def test_T_061_T_067_nothing_is_open(test_key: Api, path: str, body: dict[str, Any], ended: bool) -> None:
    made = test_key.post("/runs", {"task": "x"}).json()
    if ended:
        test_key.post(f"/runs/{made['id']}/cancel")
    refused = test_key.post(f"/runs/{made['id']}/{path}", body)
    error = refused.json()["error"]
    code = "RESUME_CONFLICT" if ended and path == "resume" else "NOT_AWAITING_HUMAN"
    assert (refused.status_code, error["code"], error["allowed_from"]) == (409, code, ["awaiting_human"])
    assert error["current_state"] == ("cancelled" if ended else "queued")
    if code == "NOT_AWAITING_HUMAN":
        assert error["reason_code"] == "run_not_awaiting_input"
