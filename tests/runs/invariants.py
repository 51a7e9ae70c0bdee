"""What holds for every run at every moment, whatever happened to it."""

from collections import Counter
from itertools import pairwise
from typing import Any

from approvals.models import Approval, Decision
from billing.access import open_holds
from billing.models import Transaction
from machines.models import Machine
from runs.models import MOVES, Run, RunEvent, Step

Log = list[tuple[str, dict[str, Any]]]
DECIDED = ("approved", "rejected", "answered", "revised", "void")
OF_A_STEP = ["screenshot", "tool_call", "tool_result", "screenshot", "step", "billing"]


def check_run(run_id: str) -> None:
    """Raises AssertionError when the rows of an agent run contradict each other or the contract."""
    run = Run.objects.get(id=run_id)
    rows = list(RunEvent.objects.filter(run_id=run_id).order_by("seq"))
    assert [r.seq for r in rows] == list(range(1, run.next_seq)), "the log has gaps"
    log = [(r.type, r.data) for r in rows]
    _check_states(run, log)
    _check_requests(run, log)
    _check_calls(run, log)
    _check_steps(run, log)
    _check_money(run)
    if run.is_terminal:
        _check_end(run, log)


def _check_states(run: Run, log: Log) -> None:
    states = [data["status"] for kind, data in log if kind == "status"]
    assert log[0] == ("status", {"status": "queued"}), log[0]
    for before, after in pairwise(states):
        assert after in MOVES[before], f"{before} -> {after}"
    assert states[-1] == run.status, (states, run.status)


def _check_requests(run: Run, log: Log) -> None:
    """One pair of events for each request that was seen waiting, one `resumed` for each that was decided."""
    pairs = list(pairwise(log))
    opened = [after for before, after in pairs if before == ("status", {"status": "awaiting_human"})]
    assert all(kind == "awaiting_human" for kind, _ in opened), opened
    asked = [data["approval_id"] for kind, data in log if kind == "awaiting_human"]
    assert len(asked) == len(opened) == len(set(asked)), asked
    resumed = Counter(data["approval_id"] for kind, data in log if kind == "resumed")
    assert set(resumed.values()) <= {1}, resumed
    decided = Approval.objects.filter(run_id=run.id, status__in=DECIDED)
    assert set(resumed) <= {a.id for a in decided}, resumed
    # Inside the undo window a decision has no effect yet, and never has one if the run ends there.
    assert {a.id for a in decided if a.undo_until is None} <= set(resumed), resumed
    for (kind, data), (following, state) in pairs:
        if kind == "resumed":
            ends = data["effect"] == "fail_run"
            assert following == "error" or (following, state) == ("status", {"status": "failed" if ends else "running"})
    pending = Approval.objects.filter(run_id=run.id, status="pending").count()
    waits = run.status == "awaiting_human" and run.resume_at is None
    assert pending == (1 if waits else 0), (pending, run.status)
    closed = Approval.objects.filter(run_id=run.id).exclude(status="pending")
    assert Decision.objects.filter(approval__in=closed, counts=True).count() == closed.count()


def _check_calls(run: Run, log: Log) -> None:
    calls = [data["call_id"] for kind, data in log if kind == "tool_call"]
    results = [data["call_id"] for kind, data in log if kind == "tool_result"]
    assert len(set(calls)) == len(calls)
    assert len(set(results)) == len(results)
    assert set(results) <= set(calls)
    ends = {s.call_id: s.status for s in Step.objects.filter(run=run)}
    assert set(ends) == set(calls), "every intent is in the log, and nothing else"
    for call in calls:
        assert (ends[call] in ("completed", "interrupted")) == (call in results), (call, ends[call])


def _check_steps(run: Run, log: Log) -> None:
    """Completed steps are 1..n, each written in one piece, each billed once and in order."""
    done = list(Step.objects.filter(run=run, status="completed").order_by("index"))
    assert [s.index for s in done] == list(range(1, run.steps_completed + 1))
    assert [d["steps_completed"] for k, d in log if k == "step"] == [s.index for s in done]
    costs, total = [], 0
    for step in done:
        total += step.cost_cents
        costs.append(total)
    assert [d["cost_cents"] for k, d in log if k == "billing"] == costs
    assert run.cost_cents == total
    log = [(kind, data) for kind, data in log if kind != "takeover" and "by" not in data]  # people act when they like
    words = [kind for kind, _ in log]
    for at in [i for i, kind in enumerate(words) if kind == "step"]:
        assert words[at - 4 : at + 2] == OF_A_STEP, words[at - 4 : at + 2]
        index = log[at][1]["steps_completed"]
        assert log[at - 3][1]["step"] == log[at - 2][1]["step"] == index
        assert (log[at - 4][1]["phase"], log[at - 1][1]["phase"]) == ("before", "after")
    assert Step.objects.filter(run=run, status="acting").count() <= (0 if run.status != "running" else 1)


def _check_money(run: Run) -> None:
    captures = list(Transaction.objects.filter(run_id=run.id, type="capture").order_by("step_index"))
    holds = open_holds(run_id=run.id).count()
    if run.test:
        assert not Transaction.objects.filter(run_id=run.id).exists()
        return
    assert sum(c.amount_cents for c in captures) == run.cost_cents
    assert [c.step_index for c in captures] == list(range(1, run.steps_completed + 1))
    assert holds <= (0 if run.is_terminal else 1), "a hold was left behind"


def _check_end(run: Run, log: Log) -> None:
    ends = [data for kind, data in log if kind == "done"]
    assert ends == [{"status": run.status, "result": run.result, "error": run.error}], ends
    assert [kind for kind, _ in log[-2:]] == ["status", "done"]
    assert (run.result is None) == (run.status in ("cancelled", "timed_out")), run.result
    assert run.finished_at is not None
    assert run.deadline_at is None
    assert run.inbox_secrets is None
    assert not Machine.objects.filter(current_run_id=run.id).exists(), "the machine is still reserved"
