"""Secrets that people give reach the agent and are found nowhere else (docs/api/approvals.md section 4)."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from approvals.models import Approval, Decision
from runs.agents.scripted import ScriptedAgent
from tests.cast import Api
from tests.runs.driving import drive_all, drive_and_die, show, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
SECRET = "tr0ub4dor-and-3"


def _dump() -> str:
    """Every row of every table as text; a column of bytes as what it would read in a dump and as what it is."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            found += [repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in cursor.fetchall()]
    return "\n".join(found)


def _answers(api: Api, run_id: str) -> str:
    paths = (
        f"/runs/{run_id}", "/runs", "/approvals?status=all", f"/runs/{run_id}/events?format=json",
        f"/runs/{run_id}/events/stream?format=json", *(f"/approvals/{a.id}" for a in Approval.objects.all()),
    )  # fmt: skip
    found = []
    for path in paths:
        answer = api.get(path)
        assert answer.status_code == 200, path
        found.append(answer.content.decode())
    return "\n".join(found)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the agent got to read."""
    payloads: list[dict[str, Any]] = []
    original = ScriptedAgent.next

    async def listening(self: ScriptedAgent, context: Any, session: Any) -> Any:
        payloads.extend(m.payload for m in context.messages)
        return await original(self, context, session)

    monkeypatch.setattr(ScriptedAgent, "next", listening)
    return payloads


def _clean(api: Api, run_id: str, *more: Any) -> None:
    assert SECRET not in _dump()
    assert SECRET not in _answers(api, run_id)
    for answer in more:
        assert SECRET not in answer.content.decode()


def test_a_password_is_redacted_everywhere(test_key: Api, heard: list[dict[str, Any]]) -> None:
    run = waiting(test_key, "x [secret]")
    path = f"/approvals/{run['open_approvals'][0]}/decide"
    body = {"verdict": "submit", "values": {"password": SECRET}}
    first = test_key.post(path, body, Idempotency_Key="k1")
    assert first.json()["decision"]["values"] == {"password": "[redacted]"}
    _clean(test_key, run["id"], first, test_key.post(path, body, Idempotency_Key="k1"))
    drive_and_die("write_outcome")
    _clean(test_key, run["id"])
    drive_all()
    assert {"values": {"password": SECRET}} in heard
    done = show(test_key, run["id"])
    assert done["status"] == "succeeded"
    assert "[redacted]" in done["result"]["summary"]
    _clean(test_key, run["id"], test_key.post(path, body))
    check_run(run["id"])


def test_the_same_secret_again_is_the_same_decision(test_key: Api) -> None:
    run = waiting(test_key, "x [secret]")
    path = f"/approvals/{run['open_approvals'][0]}/decide"
    first = test_key.post(path, {"verdict": "submit", "values": {"password": SECRET}}).json()
    again = test_key.post(path, {"verdict": "submit", "values": {"password": SECRET}})
    other = test_key.post(path, {"verdict": "submit", "values": {"password": "another " + SECRET}})
    assert again.json()["decision"]["id"] == first["decision"]["id"]
    assert other.json()["error"]["code"] == "ALREADY_DECIDED"
    _clean(test_key, run["id"], again, other)


def test_a_violation_does_not_repeat_the_secret(test_key: Api) -> None:
    run = waiting(test_key, "x [secret]")
    Approval.objects.update(
        input_schema={
            "properties": {"password": {"type": "string", "format": "password", "maxLength": 3}},
            "required": ["password"],
        }
    )
    path = f"/approvals/{run['open_approvals'][0]}/decide"
    refused = test_key.post(path, {"verdict": "submit", "values": {"password": SECRET}})
    assert refused.status_code == 422
    _clean(test_key, run["id"], refused)


@pytest.mark.parametrize("by", ["decide", "resume"])
def test_a_secret_answer_is_redacted_everywhere(test_key: Api, heard: list[dict[str, Any]], by: str) -> None:
    run = waiting(test_key, "x [question]")
    row = Approval.objects.get()
    row.questions[0]["secret"] = True
    row.save(update_fields=["questions"])
    if by == "decide":
        answer = test_key.post(f"/approvals/{row.id}/decide", {"verdict": "answer", "answers": {"q1": SECRET}})
    else:
        answer = test_key.post(f"/runs/{run['id']}/resume", {"note": SECRET})
    assert answer.status_code == 200
    assert Decision.objects.get().answers == {"q1": "[redacted]"}
    _clean(test_key, run["id"], answer)
    drive_all()
    assert {"answers": {"q1": {"value": SECRET, "custom": True}}} in heard
    _clean(test_key, run["id"], test_key.post(f"/runs/{run['id']}/resume", {"note": SECRET, "approval_id": row.id}))
    check_run(run["id"])
