"""What webhooks tell of workflow runs and of their tasks (docs/api/events-and-webhooks.md 6)."""

from typing import Any

import pytest

from approvals import clock as approvals_clock
from runs import clock as run_clock
from tests.cast import Api
from tests.runs.driving import request_of, shift, show
from tests.webhooks.receivers import Receiver, deliver_all, verify
from tests.workflows.engine import approval, begin, deliver, ran, task, tasks_of, work

pytestmark = pytest.mark.django_db
PAUSED = task("waits", "x [steps:2] [pause]")
EVERY = [
    *(f"{prefix}.{word}" for prefix in ("run", "workflow_run")
      for word in ("awaiting_human", "resumed", "succeeded", "failed", "cancelled", "timed_out")),
    "run.awaiting_input", "approval.created", "approval.decided", "approval.expired",
]  # fmt: skip


def subscribe(api: Api, receiver: Receiver) -> None:
    assert api.post("/webhooks", {"url": receiver.url, "events": EVERY}).status_code == 201


def decide(api: Api, run: dict[str, Any], **body: Any) -> None:
    assert api.post(f"/runs/{run['id']}/resume", {"approved": True} | body).status_code == 200
    work()


def test_the_address_of_a_run_hears_of_each_request_and_of_the_end(test_key: Api, receiver: Receiver) -> None:
    run = ran(test_key, [PAUSED, approval("ok")], webhook_url=receiver.url)
    decide(test_key, run)
    decide(test_key, run)
    deliver_all()
    assert receiver.events == ["workflow_run.awaiting_human"] * 2 + ["workflow_run.succeeded"]
    assert {got.body["run_id"] for got in receiver.got} == {run["id"]}
    assert [got.body["awaiting_step_id"] for got in receiver.got] == ["waits", "ok", None]
    assert len(test_key.get(f"/workflows/runs/{run['id']}/deliveries").json()["data"]) == 3


def test_its_secret_is_that_of_the_start(test_key: Api, receiver: Receiver) -> None:
    run = begin(test_key, [approval("ok")], webhook_url=receiver.url)
    work()
    deliver_all()
    (got,) = receiver.got
    verify(got, run["webhook_secret"])
    assert run["webhook_secret"] not in got.raw.decode()
    assert got.body["run"]["webhook_secret"] is None


def test_the_body_of_a_wait_shows_the_run_and_what_its_task_asks(test_key: Api, receiver: Receiver) -> None:
    run = ran(test_key, [task("a"), PAUSED], webhook_url=receiver.url)
    asked = request_of(test_key, run)
    deliver_all()
    (got,) = receiver.got
    body = got.body
    assert (body["event"], body["status"], body["run_id"]) == (
        "workflow_run.awaiting_human",
        "awaiting_human",
        run["id"],
    )
    assert body["awaiting_human_reason"] == body["reason"] == run["awaiting_human_reason"]
    assert (body["awaiting_step_id"], body["approval_id"]) == ("waits", asked["id"])
    assert (body["approval"], body["input_kind"]) == (asked, "approval")
    assert body["run"] == show(test_key, run["id"]) | {"active_seconds": body["run"]["active_seconds"]}


def test_the_body_of_an_end_has_the_output(test_key: Api, receiver: Receiver) -> None:
    run = ran(test_key, [task("a")], {"n": "{{a.steps}}"}, webhook_url=receiver.url)
    deliver_all()
    (got,) = receiver.got
    assert (got.body["event"], got.body["output"], got.body["result"]) == (
        "workflow_run.succeeded", {"n": 1}, run["result"],
    )  # fmt: skip
    assert got.body["run"] == run


def test_two_tasks_that_wait_are_two_webhooks(test_key: Api, receiver: Receiver) -> None:
    both = {"id": "p", "type": "parallel", "branches": [[PAUSED], [PAUSED | {"id": "too"}]]}
    run = ran(test_key, [both], webhook_url=receiver.url)
    deliver_all()
    assert receiver.events == ["workflow_run.awaiting_human"] * 2
    assert sorted(got.body["approval_id"] for got in receiver.got) == sorted(run["open_approvals"])


def test_a_subscriber_hears_of_the_run_and_of_requests_of_its_tasks(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver)
    run = ran(test_key, [PAUSED, approval("ok"), task("more", "z [fail]")])
    decide(test_key, run)
    decide(test_key, run)
    deliver_all()
    waits, _more = tasks_of(test_key, run)
    assert receiver.about(waits["id"]) == ["approval.created", "approval.decided", "run.awaiting_input"]
    assert receiver.about(run["id"]) == [
        "approval.created", "approval.decided", "run.awaiting_input", *["workflow_run.awaiting_human"] * 2,
        *["workflow_run.resumed"] * 2, "workflow_run.succeeded",
    ]  # fmt: skip
    assert {got.body["run_id"] for got in receiver.got} == {run["id"], waits["id"]}


def test_a_rejection_is_told_as_resumed_and_then_as_the_end(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver)
    run = ran(test_key, [approval("ok")])
    decide(test_key, run, approved=False)
    deliver_all()
    assert receiver.about(run["id"]) == [
        "approval.created", "approval.decided", "run.awaiting_input", "workflow_run.awaiting_human", "workflow_run.failed",
        "workflow_run.resumed",
    ]  # fmt: skip


@pytest.mark.parametrize(("on_timeout", "end"), [("cancel", "cancelled"), ("fail", "failed")])
@pytest.mark.parametrize("step", [approval("ok"), PAUSED], ids=["own", "of a task"])
def test_silence_is_told_of_the_request_and_of_the_run(
    test_key: Api, receiver: Receiver, step: dict[str, Any], on_timeout: str, end: str
) -> None:
    run = ran(test_key, [step], awaiting_human_timeout_seconds=60, on_timeout=on_timeout, webhook_url=receiver.url)
    subscribe(test_key, receiver)
    asked = request_of(test_key, run)
    shift(asked["run_id"], 61)
    approvals_clock.expiries()
    deliver_all()
    told = [got for got in receiver.got if got.event == "approval.expired"]
    assert [got.body["approval_id"] for got in told] == [asked["id"]]
    ends = [got.event for got in receiver.got if got.event.endswith(("cancelled", "failed"))]
    assert ends == [f"workflow_run.{end}"] * 2  # the run's own address and the subscriber


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_tasks_that_end_with_their_run_are_not_told(test_key: Api, receiver: Receiver, how: str) -> None:
    subscribe(test_key, receiver)
    run = begin(test_key, [task("a")], deadline_seconds=60)
    deliver()
    if how == "cancel":
        test_key.post(f"/runs/{run['id']}/cancel")
    else:
        shift(run["id"], 61)
        run_clock.deadlines()
    deliver_all()
    assert receiver.events == ["workflow_run.cancelled" if how == "cancel" else "workflow_run.timed_out"]


@pytest.mark.parametrize("ends", ["fail", "cancel"])
def test_where_nobody_is_waited_for_only_the_end_is_told(test_key: Api, receiver: Receiver, ends: str) -> None:
    subscribe(test_key, receiver)
    ran(test_key, [approval("ok")], on_awaiting_human=ends)
    ran(test_key, [PAUSED], on_awaiting_human=ends)
    deliver_all()
    assert receiver.events == [
        "workflow_run.failed" if ends == "fail" else "workflow_run.cancelled",
        "workflow_run.succeeded",
    ]


def test_a_budget_that_is_asked_for_is_told_once(test_key: Api, receiver: Receiver) -> None:
    branches = [[task("a", "x [steps:2]")], [task("b", "y [steps:2]")]]
    both = {"id": "p", "type": "parallel", "branches": branches}
    run = ran(test_key, [both], budget_cents=10, on_budget="ask", webhook_url=receiver.url)
    decide(test_key, run)
    deliver_all()
    assert receiver.events == ["workflow_run.awaiting_human", "workflow_run.succeeded"]
    assert receiver.got[0].body["approval"]["kind"] == "budget"
