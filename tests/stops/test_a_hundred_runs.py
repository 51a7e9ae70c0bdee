"""A hundred runs under way on real workers, terminals and a browser, and everything is stopped with two workers halted (SIGSTOP)."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.own_processes import wait_until
from tests.chromium import absence
from tests.ops.test_chaos import Caller, check_log
from tests.ops.test_up import Start, start  # noqa: F401

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
TERMINALS, EACH = 3, 8  # machines, and runs that queue for each of them
SCRIPTED, PAUSING, FLOWS, BROWSING = 54, 10, 8, 4
LINES = 4  # that each run on a terminal writes
WITHIN = 2.0  # seconds after which no machine does anything more


class Watched(Caller):
    """The installation with what was done on its machines, by their own account and by the log."""

    terminals: list[str]

    def row(self, statement: str) -> Any:
        with psycopg.connect(self.installation.database()) as connection:
            return connection.execute(statement).fetchone()

    def lines(self) -> list[str]:
        homes = [self.installation.data_dir / "machines" / each / "home" / "log.txt" for each in self.terminals]
        return [line for home in homes if home.exists() for line in home.read_text().splitlines()]

    def done(self) -> tuple[int, int, int]:
        """Lines on the terminals, actions begun, steps completed."""
        events = self.row("SELECT count(*) FROM runs_runevent WHERE type = 'tool_call'")[0]
        return len(self.lines()), events, self.row("SELECT coalesce(sum(steps_completed), 0) FROM runs_run")[0]

    def answer_all(self) -> None:
        """As a person would: of a command whose outcome is not known the file tells whether to run it again."""
        written = self.lines()
        for asked in self.get("/approvals?limit=200")["data"]:
            body: dict[str, Any] = {"verdict": "approve"}
            if asked["kind"] == "question":
                question = asked["questions"][0]
                line = re.search(r"r\d+ \d+", question["question"] + asked["message"])
                words = ("Skip",) if line and line[0] in written else ("Run again", "Retry", "Skip")
                label = next(w for w in words if w in [o["label"] for o in question["options"]])
                body = {"verdict": "answer", "answers": {question["id"]: label}}
            self.call("POST", f"/approvals/{asked['id']}/decide", body, key=f"decide-{asked['id']}")


@pytest.fixture
def api(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:  # noqa: F811
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "1000000")
    monkeypatch.setenv("RATE_LIMIT_RUNS_PER_MINUTE", "1000000")
    monkeypatch.setenv("FIRST_GRANT_CENTS", "1000000")
    monkeypatch.setenv("WORKERS", "4")
    installation = start()
    assert wait_until(installation.ready, 120), installation.said
    watched = Watched(installation)
    yield watched
    watched.client.close()


def make(api: Watched, name: str, kind: str) -> str:
    return str(api.call("POST", "/machines", {"display_name": name, "kind": kind}, key=f"m-{name}").json()["id"])


def begin(api: Watched, number: int, body: dict[str, Any], path: str = "/runs") -> str:
    answer = api.call("POST", path, body, key=f"r-{number}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def begin_all(api: Watched) -> list[str]:
    """A hundred: terminals, a browser, simulated machines, runs that ask, workflow runs."""
    api.terminals = [make(api, f"t{n}", "terminal") for n in range(TERMINALS)]
    simulated = [make(api, f"s{n}", "simulated") for n in range(24)]
    browser = make(api, "b", "browser") if not absence() else api.terminals[0]
    numbers = iter(range(1000))
    ids = []
    for n in range(TERMINALS * EACH):
        task = "; ".join(f"run `sleep 0.3; echo r{n} {line} >> log.txt`" for line in range(LINES))
        ids.append(begin(api, next(numbers), {"machine_id": api.terminals[n % TERMINALS], "task": task}))
    for n in range(SCRIPTED + PAUSING):
        task = "x [steps:12] [slow:250]" + (" [pause:3]" if n < PAUSING else "")
        body = {"machine_id": simulated[n % len(simulated)], "agent": "scripted", "task": task}
        ids.append(begin(api, next(numbers), body | {"deadline_seconds": 3600}))
    for n in range(FLOWS):
        steps = [{"id": f"t{k}", "type": "task", "task": "x [steps:4] [slow:250]"} for k in range(2)]
        body = {"definition": {"steps": steps}, "machine_id": simulated[n], "agent": "scripted"}
        ids.append(begin(api, next(numbers), body, "/workflows/runs"))
    for _ in range(BROWSING):
        task = "wait 1 seconds; press Tab; wait 1 seconds; press Tab"
        ids.append(begin(api, next(numbers), {"machine_id": browser, "task": task}))
    return ids


def driving(api: Watched) -> list[int]:
    """The processes of the workers that drive most, as their names tell."""
    with psycopg.connect(api.installation.database()) as connection:
        rows = connection.execute(
            "SELECT lease_owner FROM runs_run WHERE status = 'running' AND lease_owner IS NOT NULL"
            " GROUP BY 1 ORDER BY count(*) DESC"
        ).fetchall()
    return [int(name.split(":")[-2]) for (name,) in rows]


def test_stop_with_two_workers_halted_and_all_go_on_after_the_lift(api: Watched) -> None:
    ids = begin_all(api)
    assert len(ids) == 100
    assert wait_until(lambda: api.done()[0] >= 6 and api.done()[2] >= 60 and len(driving(api)) >= 3, 120), api.done()
    halted = driving(api)[:2]
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        stopped = api.call("POST", "/stop", {"scope": "team", "reason": "A test of the brake."}, key="stop").json()
        time.sleep(max(0.0, begun + WITHIN - time.monotonic()))  # the promise is about this time
        before = api.done()
        wait_until(lambda: api.get(f"/stop/{stopped['id']}")["confirmed_at"] is not None, 30)
    finally:
        for pid in halted:
            os.kill(pid, signal.SIGCONT)
    assert api.get(f"/stop/{stopped['id']}")["confirmed_at"] is not None
    leased = "SELECT count(*) FROM runs_run WHERE status = 'running' AND lease_owner IS NOT NULL"
    assert wait_until(lambda: api.row(leased) == (0,), 30), "a worker that woke keeps a run"
    after = api.done()
    assert after[:2] == before[:2], "something acted"
    waits = {(api.get(f"/runs/{run_id}")["waiting_on"] or {}).get("code") for run_id in ids}
    assert waits <= {"stopped", None}
    assert "stopped" in waits
    assert api.call("POST", f"/stop/{stopped['id']}/lift", key="lift").status_code == 200
    assert wait_until(lambda: ended(api, ids), 400), [api.get(f"/runs/{i}")["waiting_on"] for i in ids]
    check(api, ids)


def ended(api: Watched, ids: list[str]) -> bool:
    api.answer_all()
    time.sleep(0.3)
    return bool(api.row("SELECT count(*) FROM runs_run WHERE finished_at IS NULL") == (0,))


def check(api: Watched, ids: list[str]) -> None:
    for run_id in ids:
        if run_id.startswith("run_"):
            check_log(api, run_id)
    shown = [api.get(f"/runs/{run_id}") for run_id in ids]
    assert [(run["id"], run["status"], run["error"]) for run in shown if run["status"] != "succeeded"] == []
    expected = sorted(f"r{n} {line}" for n in range(TERMINALS * EACH) for line in range(LINES))
    assert sorted(api.lines()) == expected, "a line is missing or double"
    balance = api.get("/billing/balance")
    assert (balance["ledger_ok"], balance["held_cents"]) == (True, 0)
    assert api.row("SELECT count(*) FROM runs_step WHERE status = 'acting'") == (0,)
    assert api.row("SELECT count(*) FROM runs_run WHERE stopped_at IS NOT NULL") == (0,)
    frozen = [p for p in api.installation.processes() if _state(p) == "T"]
    assert frozen == [], "something still stands still"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
