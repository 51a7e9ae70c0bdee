"""kill -9 of workers and of PostgreSQL in the middle of fifty workflow runs: each ends as its document says."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from config.own_processes import command_of, wait_until
from tests.ops.test_chaos import Caller, postmaster
from tests.ops.test_up import Installation, Start, start  # noqa: F401
from tests.workflows.engine import Step, approval, check, task

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
RUNS, MACHINES = 50, 25
ROUNDS = 5
ASSERTS = 1100  # in a loop: more than one slice of control flow


@dataclass(frozen=True)
class Story:
    """A document, and what has to become of its run; `cents` is None where it depends on who is quicker."""

    steps: list[Step]
    tasks: dict[str, int]  # how many child runs each step has
    others: int  # how often the log tells of other steps
    cents: int | None
    output: Any = None
    status: str = "succeeded"
    error: str | None = None
    verdict: str = "approve"
    says: dict[str, Any] = field(default_factory=dict)  # the output of the document


def acting(step_id: str, steps: int, words: str = "", machine: str = "{{inputs.m0}}") -> Step:
    return task(step_id, f"[steps:{steps}] [slow:600] {words}", agent="scripted", machine_id=machine)


def in_a_row() -> Story:
    steps = [acting("a", 2), check("ok", "{{a.passed}}", True), acting("b", 1)]
    says = {"cost": "{{a.cost_cents}}", "then": "{{b.status}}"}
    return Story(steps, {"a": 1, "b": 1}, 1, 15, {"cost": 10, "then": "succeeded"}, says=says)


def at_once() -> Story:
    branches = [[acting(f"b{n}", n + 1, machine=f"{{{{inputs.m{n}}}}}")] for n in range(3)]
    steps = [{"id": "p", "type": "parallel", "branches": branches}, acting("last", 1)]
    return Story(steps, {"b0": 1, "b1": 1, "b2": 1, "last": 1}, 0, 35, {"b": True}, says={"b": "{{b2.passed}}"})


def again() -> Story:
    body = [acting("a", 1), check("second", "{{vars.attempt}}", 2)]
    steps = [{"id": "r", "type": "retry", "max_attempts": 3, "body": body}]
    return Story(steps, {"a": 2}, 2, 10, {"n": 2}, says={"n": "{{vars.attempt}}"})


def in_vain() -> Story:
    steps = [{"id": "r", "type": "retry", "max_attempts": 2, "body": [acting("a", 1, "[fail]")]}]
    return Story(steps, {"a": 2}, 0, 10, {"passed": False}, says={"passed": "{{a.passed}}"})


def approved() -> Story:
    steps = [acting("a", 1), approval("gate", message="May it?"), acting("b", 2, "[pause]")]
    return Story(steps, {"a": 1, "b": 1}, 1, 15, {"by": "api_key"}, says={"by": "{{gate.by.type}}"})


def rejected() -> Story:
    steps = [acting("a", 1), approval("gate", message="May it?"), acting("never", 1)]
    return Story(steps, {"a": 1}, 1, 5, status="failed", error="STEP_FAILED", verdict="reject")


def often() -> Story:
    good = {"op": "eq", "left": "{{vars.iteration}}", "right": 2}
    body = [{"id": "i", "type": "if", "condition": good, "then": [acting("twice", 1)], "else": [acting("odd", 1)]}]
    return Story([{"id": "l", "type": "loop", "count": 3, "body": body}], {"twice": 1, "odd": 2}, 0, 15)


def for_long() -> Story:
    body = [check("c", "{{vars.iteration}}", "{{vars.iteration}}")]
    steps = [{"id": "l", "type": "loop", "count": ASSERTS, "body": body}, acting("a", 1)]
    return Story(steps, {"a": 1}, ASSERTS, 5, {"n": ASSERTS}, says={"n": "{{vars.iteration}}"})


def given_up() -> Story:
    branches = [[acting("slow", 400)], [acting("quick", 1, machine="{{inputs.m1}}"), check("no", 1, 2)]]
    steps = [{"id": "p", "type": "parallel", "branches": branches}]
    return Story(steps, {"slow": 1, "quick": 1}, 1, None, status="failed", error="STEP_FAILED")


def asked_at_once() -> Story:
    branches = [[acting(f"b{n}", 2, "[pause]", machine=f"{{{{inputs.m{n}}}}}")] for n in range(2)]
    return Story([{"id": "p", "type": "parallel", "branches": branches}], {"b0": 1, "b1": 1}, 0, 20)


STORIES = [in_a_row, at_once, again, in_vain, approved, rejected, often, for_long, given_up, asked_at_once]


def begin_all(api: Caller, half: Callable[[], None]) -> dict[str, Story]:
    """Start all runs; `half` is called in the middle."""
    machines = [
        api.call("POST", "/machines", {"display_name": f"m{n}", "kind": "simulated"}, key=f"machine-{n}").json()["id"]
        for n in range(MACHINES)
    ]
    begun = {}
    for n in range(RUNS):
        if n == RUNS // 2:
            half()
        story = STORIES[n % len(STORIES)]()
        inputs = {f"m{k}": machines[(3 * n + k) % MACHINES] for k in range(3)}
        definition = {"steps": story.steps} | ({"output": story.says} if story.says else {})
        answer = api.call("POST", "/workflows/runs", {"definition": definition, "inputs": inputs}, key=f"run-{n}")
        assert answer.status_code == 200, answer.text
        begun[answer.json()["id"]] = story
    return begun


def answer_all(api: Caller, begun: dict[str, Story]) -> None:
    for request in api.get("/approvals?limit=200")["data"]:
        verdict = begun[request["root_run_id"]].verdict if request["step_id"] == "gate" else "approve"
        body = {"verdict": verdict, "note": "so be it"}
        api.call("POST", f"/approvals/{request['id']}/decide", body, key=f"decide-{request['id']}")


# --- killing


def workers(installation: Installation) -> list[int]:
    cluster = installation.child("qcluster")
    return [pid for pid in installation.processes() if "qcluster" in " ".join(command_of(pid)) and pid != cluster]


def kill_some(installation: Installation, chance: random.Random) -> None:
    """A worker process, all of them, PostgreSQL, or a worker and PostgreSQL, without a word."""
    assert wait_until(lambda: len(workers(installation)) > 1, 30), installation.said
    one, database = chance.choice(workers(installation)), postmaster(installation)
    for pid in chance.choice([[one], [database], workers(installation), [one, database]]):
        os.kill(pid, signal.SIGKILL)


def rows(installation: Installation, query: str) -> list[Any]:
    """What the database says; nothing while it is away."""
    try:
        with psycopg.connect(installation.database(), connect_timeout=5) as connection:
            return connection.execute(query).fetchall()
    except psycopg.OperationalError:
        return []


def moved_on(api: Caller, installation: Installation, begun: dict[str, Story]) -> Callable[[], bool]:
    """Whatever was acting has completed a step, or acts no more: what loses its worker three times in a row without a step is
    given up on purpose (WORKER_LOST)."""
    query = "SELECT id, steps_completed FROM runs_run WHERE kind = 'agent' AND status = 'running'"
    before = rows(installation, query)

    def made() -> bool:
        answer_all(api, begun)
        now = rows(installation, query + " UNION ALL SELECT 'the database answers', 0")
        return bool(now) and not set(before) & set(now)

    return made


def all_ended(api: Caller, begun: dict[str, Story]) -> Callable[[], bool]:
    def ended() -> bool:
        answer_all(api, begun)
        runs = api.get("/workflows/runs?limit=200")["data"]
        return all(run["finished_at"] for run in runs if run["id"] in begun)

    return ended


# --- looking


def events_of(api: Caller, run_id: str) -> list[dict[str, Any]]:
    found, after = [], 0
    while True:
        page = api.get(f"/runs/{run_id}/events?format=json&limit=200&after={after}")
        found += page["data"]
        if not page["has_more"]:
            return found
        after = page["next_after"]


def check_log(api: Caller, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Nothing is missing or double in it; returns what it tells."""
    data = events_of(api, run["id"])
    assert [e["seq"] for e in data] == list(range(1, len(data) + 1)), "an event is missing or double"
    kinds = Counter(e["type"] for e in data)
    assert (kinds["done"], data[-1]["type"]) == (1, "done")
    if run["status"] != "cancelled":
        assert kinds["resumed"] == kinds["awaiting_human"]
        assert kinds["tool_call"] == kinds["tool_result"]
    return data


def check_run(api: Caller, run_id: str, story: Story) -> None:
    run = api.get(f"/runs/{run_id}")
    assert (run["status"], run["output"]) == (story.status, story.output), run
    assert (run["error"] or {}).get("code") == story.error, run
    tasks = api.get(f"/runs?parent_id={run_id}&limit=200")["data"]
    log = check_log(api, run)
    told = sum(each["status"] != "cancelled" for each in tasks)
    assert sum(e["type"] == "step" for e in log) == told + story.others
    bills = [e["data"] for e in log if e["type"] == "billing"]
    assert len(bills) == sum(each["status"] != "cancelled" or each["cost_cents"] > 0 for each in tasks)
    assert sum(bill["credits_charged"] for bill in bills) == bills[-1]["cost_cents"] == run["cost_cents"]
    for each in tasks:
        check_log(api, each)
        check_bill(api, each)
    assert run["cost_cents"] == sum(t["cost_cents"] for t in tasks)
    if story.cents is not None:
        assert run["cost_cents"] == story.cents, tasks


def check_bill(api: Caller, child: dict[str, Any]) -> None:
    ledger = api.get(f"/billing/ledger?run_id={child['id']}&type=capture&limit=200")["data"]
    assert sorted(t["step_index"] for t in ledger) == list(range(1, child["steps_completed"] + 1))
    assert sum(t["amount_cents"] for t in ledger) == child["cost_cents"]


def check_tasks(installation: Installation, begun: dict[str, Story]) -> None:
    """Every step had its child runs, and no other."""
    found = rows(
        installation, "SELECT parent_id, step_id, count(*) FROM runs_run WHERE parent_id IS NOT NULL GROUP BY 1, 2"
    )
    started: dict[str, dict[str, int]] = {run_id: {} for run_id in begun}
    for run_id, step_id, count in found:
        started[run_id][step_id] = count
    assert started == {run_id: story.tasks for run_id, story in begun.items()}
    tickets = "SELECT count(*) FROM workflows_ticket t JOIN runs_run r ON r.id = t.ref WHERE t.open AND r.status <> 'cancelled'"
    assert rows(installation, tickets) == [(0,)]
    assert rows(installation, "SELECT count(*) FROM runs_step WHERE status = 'acting'") == [(0,)]


def test_fifty_workflow_runs_end_as_written_whatever_is_killed(
    start: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RATE_LIMIT_PER_MINUTE", "RATE_LIMIT_RUNS_PER_MINUTE"):
        monkeypatch.setenv(name, "1000000")  # it looks more often than a program may
    monkeypatch.setenv("LEASE_SECONDS", "3")  # what is killed is taken up again soon
    chance = random.Random(os.environ.get("CHAOS_SEED", "11"))
    installation = start()
    assert wait_until(installation.ready, 120), installation.said
    api = Caller(installation)
    begun = begin_all(api, lambda: kill_some(installation, chance))
    for _ in range(ROUNDS):
        time.sleep(chance.random())  # a moment that nobody chose
        made = moved_on(api, installation, begun)
        kill_some(installation, chance)
        assert wait_until(made, 60), installation.said
    assert wait_until(all_ended(api, begun), 90, 0.2), installation.said
    check_tasks(installation, begun)
    for run_id, story in begun.items():
        check_run(api, run_id, story)
    balance = api.get("/billing/balance")
    assert (balance["ledger_ok"], balance["held_cents"]) == (True, 0), balance
    api.client.close()
    assert installation.stop() == 0
    assert installation.processes() == []
