"""The log of a workflow run: which events, in which order, with which data (docs/api/events-and-webhooks.md 1 and 4)."""

from typing import Any

import pytest

from approvals import clock as approvals_clock
from runs import clock as run_clock
from tests.cast import Api
from tests.runs.driving import data_of, drive_all, kinds, log, shift, show, simulated, status_of
from tests.workflows.engine import approval, begin, check, deliver, ran, task, tasks_of, work

DONE = {"status", "output", "error", "message", "result"}
PAUSED = task("waits", "x [steps:2] [pause]")


def last_billed(run_id: str) -> int:
    return data_of(run_id, "billing")[-1]["cost_cents"] if data_of(run_id, "billing") else 0


def cancelled(api: Api) -> dict[str, Any]:
    run = ran(api, [approval("ok")])
    api.post(f"/runs/{run['id']}/cancel", {"reason": "enough"})
    return show(api, run["id"])


def timed_out(api: Api) -> dict[str, Any]:
    run = begin(api, [task()], deadline_seconds=60)
    shift(run["id"], 61)
    run_clock.deadlines()
    return show(api, run["id"])


def unanswered(api: Api) -> dict[str, Any]:
    run = ran(api, [approval("ok", timeout_seconds=60)])
    shift(run["id"], 61)
    approvals_clock.expiries()
    return show(api, run["id"])


def not_lifted(api: Api) -> dict[str, Any]:
    run = ran(api, [task("a", "x [steps:2]")], budget_cents=5, on_budget="ask")
    api.post(f"/runs/{run['id']}/resume", {"approved": False})
    return show(api, run["id"])


def succeeded(api: Api) -> dict[str, Any]:
    return ran(api, [{"id": "yes", "type": "succeed", "message": "all done", "output": {"n": 1}}])


def failed(api: Api) -> dict[str, Any]:
    return ran(api, [{"id": "no", "type": "fail", "message": "broken"}])


@pytest.mark.parametrize("ending", [cancelled, timed_out, unanswered, not_lifted, succeeded, failed])
def test_done_has_the_same_keys_however_the_run_ends(test_key: Api, ending: Any) -> None:
    run = ending(test_key)
    assert run["finished_at"] is not None
    (done,) = data_of(run["id"], "done")
    assert set(done) == DONE
    assert (done["status"], done["error"], done["result"], done["output"]) == (
        run["status"], run["error"], run["result"], run["output"],
    )  # fmt: skip
    assert kinds(run["id"])[-2:] == [run["status"], "done"]


def test_the_done_of_a_task_has_the_keys_of_an_agent_run(test_key: Api) -> None:
    run = ran(test_key, [task("bad", "x [fail]"), PAUSED])
    test_key.post(f"/runs/{run['id']}/cancel")
    assert [set(data_of(t["id"], "done")[0]) for t in tasks_of(test_key, run)] == [{"status", "result", "error"}] * 2


def test_the_message_of_succeed_is_a_text_the_summary_and_that_of_done(test_key: Api) -> None:
    run = succeeded(test_key)
    assert kinds(run["id"]) == ["queued", "running", "text", "succeeded", "done"]
    assert data_of(run["id"], "text") == [{"text": "all done"}]
    assert data_of(run["id"], "done")[0]["message"] == "all done"
    assert run["result"] == {
        "passed": True, "status": "succeeded", "summary": "all done", "verdict": None,
        "output": {"n": 1}, "output_text": None, "skipped": 0,
    }  # fmt: skip
    assert run["output"] == {"n": 1}


def test_the_message_of_fail_is_the_summary(test_key: Api) -> None:
    run = failed(test_key)
    assert run["result"] == {
        "passed": False, "status": "failed", "summary": "broken", "verdict": None,
        "output": None, "output_text": None, "skipped": 0,
    }  # fmt: skip
    assert run["error"] == {
        "code": "WORKFLOW_FAILED", "reason_code": "workflow_failed", "message": "broken", "details": None,
    }  # fmt: skip


def test_each_type_of_step_says_what_became_of_it(test_key: Api) -> None:
    run = ran(test_key, [task("bad", "x [steps:1] [fail]"), check("c", 1, 1), approval("ok")])
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True, "note": "fine"})
    work()
    (child,) = tasks_of(test_key, run)
    bad, checked, asked = data_of(run["id"], "step")
    assert bad == {"step_id": "bad", "type": "task", "passed": False, "status": "failed", "run_id": child["id"]}
    assert checked == {"step_id": "c", "type": "assert", "passed": True}
    by = asked.pop("by")
    assert asked == {"step_id": "ok", "type": "human_approval", "approved": True, "note": "fine"}
    assert (set(by), by["type"]) == ({"type", "id", "name"}, "api_key")


def test_what_is_asked_names_its_step_in_the_log_of_the_run_and_not_in_that_of_the_task(test_key: Api) -> None:
    run = ran(test_key, [PAUSED])
    (child,) = tasks_of(test_key, run)
    (of_run,), (of_child,) = (data_of(each["id"], "awaiting_human") for each in (run, child))
    assert (of_run["step_id"], of_run["awaiting_step_id"]) == ("waits", "waits")
    assert (of_child["step_id"], of_child["awaiting_step_id"]) == (None, None)
    rest = of_run.keys() - {"step_id", "awaiting_step_id"}
    assert {name: of_run[name] for name in rest} == {name: of_child[name] for name in rest}
    assert of_run["message"] == of_run["reason"] == run["awaiting_human_reason"]


def test_with_another_request_open_the_log_says_resumed_only(test_key: Api) -> None:
    run = ran(test_key, [{"id": "p", "type": "parallel", "branches": [[PAUSED], [PAUSED | {"id": "too"}]]}])
    before = len(log(run["id"]))
    for approval_id in run["open_approvals"]:
        test_key.post(f"/runs/{run['id']}/resume", {"approved": True, "approval_id": approval_id})
    assert kinds(run["id"])[before:] == ["resumed", "resumed", "running"]
    work()
    assert status_of(run["id"]) == "succeeded"


def test_a_guard_is_an_error_before_the_end_and_a_failed_step_is_none(test_key: Api) -> None:
    loop = {"id": "l", "type": "loop", "count": 3, "body": []}
    run = ran(test_key, [loop], max_iterations=2)
    assert kinds(run["id"]) == ["queued", "running", "error", "failed", "done"]
    (error,) = data_of(run["id"], "error")
    assert error == run["error"] | {"fatal": True}
    assert (run["iterations_used"], run["max_iterations"]) == (3, 2)
    assert error["details"] == {"guard": "max_iterations", "scope": "run", "limit": 2, "used": 3}
    failed = ran(test_key, [check("c", 1, 2)])
    assert kinds(failed["id"]) == ["queued", "running", "step", "failed", "done"]


# --- what it costs


@pytest.mark.parametrize("world", ["live", "test"])
def test_the_last_billing_event_is_the_cost_of_the_run_also_with_tasks_that_were_cancelled(
    request: pytest.FixtureRequest, world: str
) -> None:
    api: Api = request.getfixturevalue("live" if world == "live" else "test_key")
    where = {"machine_id": simulated(api)} if world == "live" else {}
    steps = [task("a", agent="scripted"), PAUSED | {"agent": "scripted"}]
    run = ran(api, steps, **where)
    assert (run["cost_cents"], run["steps_completed"], last_billed(run["id"])) == (10, 2, 5)
    api.post(f"/runs/{run['id']}/cancel")
    ended = show(api, run["id"])
    assert (ended["cost_cents"], ended["credits_charged"], ended["steps_completed"]) == (10, 10, 2)
    assert data_of(run["id"], "billing")[-1] == {"spent_cents": 10, "cost_cents": 10, "credits_charged": 5}
    assert kinds(run["id"])[-2:] == ["cancelled", "done"]


def test_a_branch_that_is_given_up_is_billed_in_the_log(test_key: Api) -> None:
    failing = [task("quick", "y [steps:1]"), check("no", "{{vars.attempt}}", 2)]
    inner = {"id": "p", "type": "parallel", "branches": [[PAUSED], failing]}
    run = ran(test_key, [{"id": "again", "type": "retry", "max_attempts": 2, "body": [inner]}])
    assert run["status"] == "awaiting_human"
    assert sum(e["credits_charged"] for e in data_of(run["id"], "billing")) == 15  # quick twice, the one given up
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"], last_billed(run["id"])) == ("succeeded", 25, 25)
    assert sum(e["credits_charged"] for e in data_of(run["id"], "billing")) == 25


def test_a_task_whose_end_the_run_never_heard_of_is_billed_in_the_log(test_key: Api) -> None:
    run = begin(test_key, [task()])
    deliver()
    drive_all()
    test_key.post(f"/runs/{run['id']}/cancel")
    work()
    assert kinds(run["id"]) == ["queued", "running", "billing", "cancelled", "done"]
    assert (last_billed(run["id"]), show(test_key, run["id"])["cost_cents"]) == (5, 5)


def test_a_task_that_did_nothing_yet_is_not_billed_in_the_log(test_key: Api) -> None:
    run = begin(test_key, [task()])
    deliver()
    test_key.post(f"/runs/{run['id']}/cancel")
    assert kinds(run["id"]) == ["queued", "running", "cancelled", "done"]


# --- the enveloped stream


def envelopes(api: Api, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/workflows/runs/{run_id}/events/stream?format=json").json()["data"]
    return found


def test_a_whole_run_is_enveloped(test_key: Api) -> None:
    run = ran(test_key, [task("a"), approval("ok")], {"a": 1})
    (asked,) = run["open_approvals"]
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True, "note": "fine"})
    work()
    found = envelopes(test_key, run["id"])
    assert [e["type"] for e in found] == [
        "run.created", "run.worker.started", "run.step.completed", "run.awaiting_input", "run.resumed",
        "run.step.completed", "run.worker.succeeded",
    ]  # fmt: skip
    values = [e["payload"]["value"] for e in found]
    assert values[0] == {"run_id": run["id"], "kind": "workflow", "status": "queued"}
    assert found[0]["payload"]["redacted"] is True
    assert values[1] == {"from_status": "queued", "to_status": "running"}
    assert (values[2]["step_id"], values[2]["content"]) == ("a", None)
    assert (values[3]["approval_id"], values[3]["request_id"], values[3]["step_id"]) == (asked, asked, "ok")
    assert (values[4]["approved"], values[4]["note"]) == (True, "fine")
    assert values[6]["from_status"] == "running"
    assert values[6]["output"] == {"a": 1}
    seqs = [row["seq"] for row in test_key.get(f"/runs/{run['id']}/events?format=json").json()["data"]]
    assert {e["seq"] for e in found} <= set(seqs)
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(
    ("start", "kind", "reason"),
    [
        ({"on_awaiting_human": "cancel"}, "run.cancelled", "awaiting_human"),
        ({"on_awaiting_human": "fail"}, "run.worker.failed", "awaiting_human"),
        ({"human_in_the_loop": False}, "run.worker.failed", "awaiting_human"),
    ],
)
def test_an_end_at_a_human_approval_is_enveloped(test_key: Api, start: dict[str, Any], kind: str, reason: str) -> None:
    run = ran(test_key, [approval("ok")], **start)
    found = envelopes(test_key, run["id"])
    assert [e["type"] for e in found] == ["run.created", "run.worker.started", kind]
    assert found[-1]["payload"]["value"]["reason_code"] == reason
    assert found[-1]["payload"]["value"]["from_status"] == "running"


def test_silence_and_a_call_are_different_cancels(test_key: Api) -> None:
    for ending, reason in ((unanswered, "signal_timeout"), (cancelled, "cancelled_by_request")):
        last = envelopes(test_key, ending(test_key)["id"])[-1]
        assert (last["type"], last["payload"]["value"]["reason_code"]) == ("run.cancelled", reason)


def test_a_limit_shows_before_the_failure(test_key: Api) -> None:
    run = ran(test_key, [task("a", "x [steps:2]")], budget_cents=5)
    found = envelopes(test_key, run["id"])
    assert [e["type"] for e in found][-2:] == ["run.limit_exceeded", "run.worker.failed"]
    assert found[-1]["payload"]["value"]["reason_code"] == "budget_cents"
    drive_all()
    assert envelopes(test_key, run["id"]) == found
