"""What the webhook_url of a run hears, and that its receiver never matters to the run."""

from typing import Any

import pytest
from django.db import transaction

from accounts.models import WebhookDelivery, WebhookEvent
from approvals import clock as approvals_clock
from approvals.models import Approval
from database.sealing import unseal
from runs import clock, services
from runs.models import RunEvent
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, ended, log, request_of, shift, show, status_of, waiting
from tests.webhooks.receivers import Receiver, closed_port, deliver_all, deliver_due, verify, verify_standard
from tests.workflows import engine as workflow

pytestmark = pytest.mark.django_db

KEYS = {
    "event", "type", "id", "timestamp", "created_at", "object", "run_id", "workflow_id", "status", "state", "result",
    "output", "error", "awaiting_human_reason", "reason", "awaiting_step_id", "approval_id", "input_kind", "change",
    "data", "run", "approval",
}  # fmt: skip


def go_on(api: Api, run: dict[str, Any]) -> None:
    assert api.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()


def log_of(api: Api, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/runs/{run_id}/deliveries").json()["data"]
    return found


def test_T_131_a_pause_and_a_success_are_two_webhooks(test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, webhook_url=receiver.url)
    deliver_all()
    go_on(test_key, run)
    deliver_all()
    assert receiver.events == ["run.awaiting_human", "run.succeeded"]
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 2


def test_the_body_of_a_wait(test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, webhook_url=receiver.url)
    approval = request_of(test_key, run)
    deliver_all()
    (got,) = receiver.got
    body = got.body
    assert set(body) == KEYS
    assert body["event"] == body["type"] == "run.awaiting_human"
    assert body["id"] == got.headers["webhook-id"]
    assert body["id"].startswith("evt_")
    assert body["object"] == "webhook.event"
    assert body["timestamp"] == body["created_at"]
    assert (body["run_id"], body["status"], body["state"]) == (run["id"], "awaiting_human", "awaiting_human")
    assert body["awaiting_human_reason"] == body["reason"] == run["awaiting_human_reason"]
    assert (body["approval_id"], body["input_kind"]) == (approval["id"], "approval")
    assert body["data"] == {"run_id": run["id"], "status": "awaiting_human"}
    nothing = ("workflow_id", "result", "output", "error", "awaiting_step_id", "change")
    assert all(body[name] is None for name in nothing)
    assert body["approval"] == approval
    assert set(body["run"]) == set(run)
    assert body["run"]["open_approvals"] == [approval["id"]]
    assert body["run"]["webhook_secret"] is None
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"] == "Countersign-Webhooks/1"


def test_the_body_of_an_end_is_the_run_as_it_reads_for_ever(test_key: Api, receiver: Receiver) -> None:
    run = ended(test_key, webhook_url=receiver.url)
    deliver_all()
    (got,) = receiver.got
    assert got.event == "run.succeeded"
    assert got.body["run"] == run
    assert got.body["result"] == run["result"]
    assert (got.body["approval"], got.body["reason"], got.body["approval_id"]) == (None, None, None)


def test_T_127_the_secret_of_a_run_verifies_both_signatures(test_key: Api, receiver: Receiver) -> None:
    made = begin(test_key, "x [pause]", webhook_url=receiver.url)
    drive_all()
    deliver_all()
    (got,) = receiver.got
    verify(got, made["webhook_secret"])
    verify_standard(got, made["webhook_secret"])
    assert "countersign-signature-previous" not in got.headers


def test_T_127_nothing_that_is_read_or_sent_holds_a_secret(test_key: Api, receiver: Receiver) -> None:
    made = begin(test_key, "x [secret]", webhook_url=receiver.url, system_prompt="Whisper.")
    team = test_key.post("/webhooks", {"url": receiver.url}).json()
    drive_all()
    approval = request_of(test_key, made)
    secret = {"verdict": "submit", "values": {"password": "hunter2hunter2"}}
    assert test_key.post(f"/approvals/{approval['id']}/decide", secret).status_code == 200
    drive_all()
    deliver_all()
    assert "approval.decided" in receiver.events
    run = f"/runs/{made['id']}"
    seen = [got.raw.decode() for got in receiver.got]
    paths = (run, f"{run}/deliveries", f"{run}/events?format=json", "/runs", "/webhooks", f"/webhooks/{team['id']}")
    seen += [test_key.get(path).content.decode() for path in (*paths, f"/webhooks/{team['id']}/deliveries")]
    for word in (made["webhook_secret"], team["secret"], "hunter2hunter2", "Whisper."):
        assert [text for text in seen if word in text] == []


@pytest.mark.parametrize(("task", "event"), [("x [fail]", "run.failed"), ("x", "run.succeeded")])
def test_each_end_is_one_webhook(test_key: Api, receiver: Receiver, task: str, event: str) -> None:
    ended(test_key, task, webhook_url=receiver.url)
    deliver_all()
    assert receiver.events == [event]


def test_cancel_and_deadline_are_told(test_key: Api, receiver: Receiver) -> None:
    cancelled = waiting(test_key, webhook_url=receiver.url)
    test_key.post(f"/runs/{cancelled['id']}/cancel")
    late = begin(test_key, webhook_url=receiver.url, deadline_seconds=60)
    shift(late["id"], 61)
    assert clock.deadlines() == 1
    deliver_all()
    assert receiver.about(cancelled["id"]) == ["run.awaiting_human", "run.cancelled"]
    assert receiver.about(late["id"]) == ["run.timed_out"]
    assert next(g for g in receiver.got if g.event == "run.timed_out").body["error"]["code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(("word", "event"), [("fail", "run.failed"), ("cancel", "run.cancelled")])
def test_T_035_a_run_that_does_not_wait_sends_no_awaiting_webhook(
    test_key: Api, receiver: Receiver, word: str, event: str
) -> None:
    test_key.post(
        "/webhooks", {"url": receiver.url, "events": ["approval.created", "run.awaiting_input", "run.awaiting_human"]}
    )
    ended(test_key, "x [pause]", on_awaiting_human=word, webhook_url=receiver.url)
    deliver_all()
    assert receiver.events == [event]


def test_T_036_each_wait_has_its_own_webhook(test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, "x [pause:1][pause:2]", webhook_url=receiver.url)
    go_on(test_key, run)
    go_on(test_key, run)
    deliver_all()
    assert receiver.events == ["run.awaiting_human", "run.awaiting_human", "run.succeeded"]
    first, second = receiver.got[:2]
    assert first.headers["webhook-id"] != second.headers["webhook-id"]
    assert [first.body["approval_id"], second.body["approval_id"]] == list(
        Approval.objects.filter(run_id=run["id"]).order_by("seq").values_list("id", flat=True)
    )


def test_T_108_silence_that_cancels_is_one_webhook(test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=2, on_timeout="cancel", webhook_url=receiver.url)
    deliver_all()
    shift(run["id"], 3)
    assert approvals_clock.expiries() == 1
    assert approvals_clock.expiries() == 0
    deliver_all()
    assert receiver.events == ["run.awaiting_human", "run.cancelled"]
    error = receiver.got[1].body["error"]
    assert (error["code"], error["reason_code"]) == ("SIGNAL_TIMEOUT", "signal_timeout")


def test_polling_sends_nothing(test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, webhook_url=receiver.url)
    deliver_all()
    for _ in range(3):
        show(test_key, run["id"])
        drive_all()
    deliver_all()
    assert receiver.events == ["run.awaiting_human"]


def test_T_130_a_receiver_that_refuses_connections_leaves_the_run_untouched(test_key: Api, receiver: Receiver) -> None:
    dead = closed_port()
    run = waiting(test_key, webhook_url=dead)
    before = log(run["id"])
    deliver_due()
    assert log(run["id"]) == before
    (row,) = log_of(test_key, run["id"])
    assert (row["status"], row["attempts"], row["response_status"], row["reason"]) == (
        "pending",
        1,
        None,
        "Connection refused",
    )
    assert row["next_attempt_at"]
    assert (row["event"], row["url"], row["webhook_id"], row["run_id"]) == ("run.awaiting_human", dead, None, run["id"])
    go_on(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    deliver_all()
    assert {(r["event"], r["status"], r["attempts"]) for r in log_of(test_key, run["id"])} == {
        ("run.awaiting_human", "failed", 6), ("run.succeeded", "failed", 6)
    }  # fmt: skip
    assert all(r["finished_at"] and r["next_attempt_at"] is None for r in log_of(test_key, run["id"]))
    assert not RunEvent.objects.filter(run_id=run["id"], type="error").exists()


def test_a_change_that_is_rolled_back_sends_nothing(cast: Cast, test_key: Api, receiver: Receiver) -> None:
    run = waiting(test_key, webhook_url=receiver.url)
    with transaction.atomic():
        services.cancel_run(cast.actor(test=True), run["id"])
        assert WebhookEvent.objects.filter(type="run.cancelled").exists()
        transaction.set_rollback(True)
    deliver_all()
    assert receiver.events == ["run.awaiting_human"]


def test_child_runs_send_none_but_that_they_ask(test_key: Api, receiver: Receiver) -> None:
    events = ["run.awaiting_human", "run.awaiting_input", "run.succeeded", "workflow_run.resumed"]
    test_key.post("/webhooks", {"url": receiver.url, "events": events})
    run = workflow.ran(test_key, [workflow.task("a", "x [pause]")], webhook_url=receiver.url)
    (child,) = workflow.tasks_of(test_key, run)
    go_on(test_key, child)
    workflow.work()
    deliver_all()
    assert receiver.about(child["id"]) == ["run.awaiting_input"]
    expected = ["workflow_run.awaiting_human", "workflow_run.resumed", "workflow_run.succeeded"]
    assert sorted(receiver.about(run["id"])) == expected


def test_the_deliveries_of_a_run_are_the_teams(test_key: Api, live: Api, strangers: Cast, receiver: Receiver) -> None:
    run = ended(test_key, webhook_url=receiver.url)
    for other in (live, strangers.api(test=True)):
        assert other.get(f"/runs/{run['id']}/deliveries").json()["error"]["code"] == "RUN_NOT_FOUND"
    assert len(log_of(test_key, run["id"])) == 1
    assert len(test_key.get(f"/workflows/runs/{run['id']}/deliveries").json()["data"]) == 1


def test_the_secret_of_a_run_lies_sealed(test_key: Api, receiver: Receiver) -> None:
    made = begin(test_key, webhook_url=receiver.url)
    drive_all()
    row = WebhookDelivery.objects.get(event__run_id=made["id"])
    assert made["webhook_secret"].encode() not in bytes(row.secret or b"")
    assert unseal(row.secret or b"") == made["webhook_secret"]
