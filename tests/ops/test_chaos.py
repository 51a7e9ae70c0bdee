"""kill -9 of a worker, the web process and PostgreSQL in the middle of ten runs, five times: nothing is lost or doubled."""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from config.own_processes import wait_until
from config.postgres.home import choose_home, server_owner
from tests.ops.test_up import Installation, Start, start  # noqa: F401

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
LINES = 20
STEPS = 45
ROUNDS = 5


class Caller:
    """The API as a program meets it that knows a server may be away for a moment."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        first_run = (installation.data_dir / "first-run.txt").read_text()
        key = re.search(r"cs_live_\S+", first_run)
        assert key, first_run
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{installation.port}/v1", headers={"X-API-Key": key[0]}, timeout=20
        )

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        """Repeats until the server answers; what must not happen twice carries an Idempotency-Key."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            try:
                headers = {"Idempotency-Key": key} if key else {}
                answers.append(self.client.request(method, path, json=body, headers=headers))
            except httpx.TransportError:
                return False
            return answers[-1].status_code < 500

        assert wait_until(answered, 60), self.installation.said
        return answers[-1]

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def begin_runs(api: Caller) -> tuple[list[str], str]:
    """Nine scripted runs that each pause once, and one that writes lines on the real terminal; returns (all, the last)."""
    ids = []
    for n in range(9):
        machine = api.call(
            "POST", "/machines", {"display_name": f"m{n}", "kind": "simulated"}, key=f"machine-{n}"
        ).json()
        body = {"machine_id": machine["id"], "agent": "scripted", "task": f"[steps:{STEPS}] [slow:250] [pause:{5 + n}]"}
        ids.append(api.call("POST", "/runs", body, key=f"run-{n}").json()["id"])
    terminal = next(m["id"] for m in api.get("/machines")["data"] if m["kind"] == "terminal")
    task = "; ".join(f"run `sleep 0.5; echo line {n} >> log.txt`" for n in range(1, LINES + 1))
    ids.append(api.call("POST", "/runs", {"machine_id": terminal, "task": task}, key="run-terminal").json()["id"])
    return ids, terminal


def answer_all(api: Caller, log: Path) -> None:
    """The person: approves pauses; for a command whose outcome is unknown looks at the file first, as a person would."""
    for request in api.get("/approvals?limit=200")["data"]:
        if request["kind"] == "approval":
            body: dict[str, Any] = {"verdict": "approve"}
        else:
            question = request["questions"][0]
            number = re.search(r"line (\d+)", question["question"] + request["message"])
            written = log.read_text().split("\n") if log.exists() else []
            again = number is not None and f"line {number[1]}" not in written
            labels = [o["label"] for o in question["options"]]
            wanted = next(x for x in labels if x in (("Run again", "Retry") if again else ("Skip",)))
            body = {"verdict": "answer", "answers": {question["id"]: wanted}}
        api.call("POST", f"/approvals/{request['id']}/decide", body, key=f"decide-{request['id']}")


def steps_done(api: Caller, ids: list[str]) -> dict[str, int]:
    return {run_id: api.get(f"/runs/{run_id}")["steps_completed"] for run_id in ids}


def check_log(api: Caller, run_id: str) -> None:
    events = api.get(f"/runs/{run_id}/events?format=json&limit=200")
    data = events["data"]
    while events["has_more"]:
        events = api.get(f"/runs/{run_id}/events?format=json&limit=200&after={events['next_after']}")
        data += events["data"]
    run = api.get(f"/runs/{run_id}")
    assert run["status"] == "succeeded", (run, data[-6:])
    assert [e["seq"] for e in data] == list(range(1, len(data) + 1)), "an event is missing or double"
    kinds = Counter(e["type"] for e in data)
    assert kinds["done"] == 1
    assert data[-1]["type"] == "done"
    steps = [e["data"]["steps_completed"] for e in data if e["type"] == "step"]
    assert steps == list(range(1, run["steps_completed"] + 1))
    calls = Counter(e["data"]["call_id"] for e in data if e["type"] == "tool_call")
    results = Counter(e["data"]["call_id"] for e in data if e["type"] == "tool_result")
    assert calls == results, "every action has one known outcome"
    assert set(calls.values()) == {1}
    assert kinds["resumed"] == kinds["awaiting_human"]
    ledger = api.get(f"/billing/ledger?run_id={run_id}&type=capture&limit=200")["data"]
    assert sorted(t["step_index"] for t in ledger) == steps, "a charge is missing or double"
    assert sum(t["amount_cents"] for t in ledger) == run["cost_cents"] == 5 * len(steps)


def kill_in(installation: Installation, chance: random.Random) -> None:
    """One worker process, the web process and PostgreSQL, in any order, without a word."""
    cluster = installation.child("qcluster")
    workers = [
        p for p in installation.processes() if "qcluster" in Path(f"/proc/{p}/cmdline").read_text() and p != cluster
    ]
    victims = [chance.choice(workers), installation.child("daphne"), postmaster(installation)]
    chance.shuffle(victims)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


def postmaster(installation: Installation) -> int:
    return int((choose_home(installation.data_dir, server_owner()) / "postmaster.pid").read_text().split()[0])


def test_nothing_is_lost_or_doubled_when_everything_is_killed_five_times(
    start: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "1000000")  # it looks more often than a program may
    chance = random.Random(7)
    installation = start()
    assert wait_until(installation.ready, 120), installation.said
    api = Caller(installation)
    ids, terminal = begin_runs(api)
    log = installation.data_dir / "machines" / terminal / "home" / "log.txt"
    for _ in range(ROUNDS):
        before = steps_done(api, ids)
        kill_in(installation, chance)
        assert wait_until(progress(api, before, log), 120), installation.said
    assert wait_until(all_ended(api, ids, log), 180), installation.said
    for run_id in ids:
        check_log(api, run_id)
    assert log.read_text().split() == [w for n in range(1, LINES + 1) for w in ("line", str(n))]
    balance = api.get("/billing/balance")
    assert balance["ledger_ok"], balance
    assert balance["held_cents"] == 0
    with psycopg.connect(installation.database()) as connection:
        row = connection.execute("SELECT count(*) FROM runs_step WHERE status = 'acting'").fetchone()
    assert row == (0,)
    api.client.close()
    assert installation.stop() == 0
    assert installation.processes() == []


def progress(api: Caller, before: dict[str, int], log: Path) -> Callable[[], bool]:
    """Every run has ended, waits for the machine, or has completed a step since: a run whose worker is killed three times in
    a row without one is given up on purpose (WORKER_LOST)."""

    def made() -> bool:
        answer_all(api, log)
        runs = [api.get(f"/runs/{run_id}") for run_id in before]
        return all(r["finished_at"] or r["status"] == "queued" or r["steps_completed"] > before[r["id"]] for r in runs)

    return made


def all_ended(api: Caller, ids: list[str], log: Path) -> Callable[[], bool]:
    def ended() -> bool:
        answer_all(api, log)
        time.sleep(0.2)
        return all(api.get(f"/runs/{run_id}")["finished_at"] for run_id in ids)

    return ended
