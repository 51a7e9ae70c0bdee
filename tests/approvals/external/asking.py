"""Programs that ask, as the tests of external requests begin."""

from typing import Any

from tests.cast import Api, Cast

MAIL = {"name": "mail.send", "params": {"to": "a@shop.test"}, "url": "https://shop.test/send"}
QUESTIONS = [{"question": "Which colour?", "options": [{"label": "Red"}, {"label": "Blue (Recommended)"}]}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}, "required": ["n"]}
BODIES: dict[str, dict[str, Any]] = {
    "approval": {"kind": "approval", "title": "Go on?"},
    "tool": {"kind": "tool", "title": "Send the mail", "action": MAIL},
    "question": {"kind": "question", "title": "A colour", "questions": QUESTIONS},
    "input": {"kind": "input", "title": "A number", "input_schema": SCHEMA},
}
YES: dict[str, dict[str, Any]] = {
    "approval": {"verdict": "approve"},
    "tool": {"verdict": "approve"},
    "question": {"verdict": "answer", "answers": {"q1": "Red"}},
    "input": {"verdict": "submit", "values": {"n": 4}},
}
NO = {"verdict": "reject", "note": "Not today."}


def asker(cast: Cast, *, test: bool = False, owner: str = "olga") -> Api:
    """A program's key that can do nothing but ask."""
    return cast.api(scopes=frozenset({"approvals:request"}), test=test, owner=owner)


def ask(api: Api, kind: str = "tool", **fields: Any) -> dict[str, Any]:
    """The request, asked now or before."""
    answer = api.post("/approvals", BODIES[kind] | fields)
    assert answer.status_code in (200, 201), answer.content
    row: dict[str, Any] = answer.json()
    return row


def decide(api: Api, row: dict[str, Any], **answer: Any) -> Any:
    return api.post(f"/approvals/{row['id']}/decide", answer or YES[row["kind"]])


def read(api: Api, row: dict[str, Any]) -> dict[str, Any]:
    now: dict[str, Any] = api.get(f"/approvals/{row['id']}").json()
    return now


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def locs(answer: Any) -> list[list[str | int]]:
    assert answer.status_code == 422, answer.content
    return [detail["loc"] for detail in answer.json()["error"]["details"]]
