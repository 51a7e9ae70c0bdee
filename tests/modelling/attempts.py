"""One task, one run: started by the API, answered where it asks, looked at when it has ended."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.drivers.conftest import Site
from tests.live.fresh import Fresh
from tests.modelling.tasks import Task
from tests.ops.test_up import ROOT

PROFILE = "tested"
DEADLINE, PATIENCE = 600, 660  # seconds; a small model on a small computer takes its time
MOST_STEPS = 40
ENDS = ("succeeded", "failed", "cancelled", "timed_out")


@dataclass(frozen=True)
class Attempt:
    """`problem`: "" when it passed. `tokens`: in and out, None where the server does not say."""

    task: str
    problem: str
    steps: int
    tokens: int | None
    seconds: float


def add_profile(fresh: Fresh, url: str, wire: str, model: str, options: str, key: str) -> None:
    words = ["models", "add", PROFILE, "--wire", wire, "--base-url", url, "--options", options]
    words += ["--model", model] if model else []
    words += ["--key-from", "MODEL_TEST_KEY"] if key else ["--no-key"]
    environment = {"DATA_DIR": str(fresh.folder), "DJANGO_SETTINGS_MODULE": "config.settings", "MODEL_TEST_KEY": key}
    command = [sys.executable, str(ROOT / "manage.py"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def attempt(fresh: Fresh, site: Site, task: Task, more: str = "") -> Attempt:
    """`more` goes after the task."""
    site.asked.clear()
    if task.prepare:
        fresh.shell(task.prepare)
    body = {
        "task": f"{task.text.format(site=f'http://{site.host}')}{more}", "machine_id": fresh.machine(task.kind), "agent": PROFILE,
        "cua_version": "v4", "max_steps": MOST_STEPS, "deadline_seconds": DEADLINE, **task.fields,
    }  # fmt: skip
    begun = time.monotonic()
    run = _until_its_end(fresh, fresh.ok("POST", "/v1/runs", body)["id"], task)
    return Attempt(
        task.name, _problem(fresh, site, task, run), run["steps_completed"], _tokens(fresh, run["id"]),
        time.monotonic() - begun,
    )  # fmt: skip


def _until_its_end(fresh: Fresh, run_id: str, task: Task) -> dict[str, Any]:
    """Whoever is asked agrees, and answers what the task says."""
    end = time.monotonic() + PATIENCE
    while (run := fresh.run(run_id))["state"] not in ENDS and time.monotonic() < end:
        for approval in run["open_approvals"]:
            _answer(fresh, run_id, fresh.ok("GET", f"/v1/approvals/{approval}"), task.answer)
        time.sleep(0.2)
    return dict(run)


def _answer(fresh: Fresh, run_id: str, request: dict[str, Any], answer: str) -> None:
    """A request that was answered or ended meanwhile is refused; the next look shows it."""
    if request["kind"] == "question":
        answers = {question["question"]: answer for question in request["questions"]}
        fresh.call("POST", f"/v1/runs/{run_id}/answer", {"answers": answers})
    elif request["kind"] == "input":
        names = request["input_schema"]["properties"]
        body = {"verdict": "submit", "values": dict.fromkeys(names, answer)}
        fresh.call("POST", f"/v1/approvals/{request['id']}/decide", body)
    else:
        fresh.call("POST", f"/v1/runs/{run_id}/resume", {"note": answer})


def _problem(fresh: Fresh, site: Site, task: Task, run: dict[str, Any]) -> str:
    if run["state"] != "succeeded":
        error = run["error"] or {}
        return f"{run['state']}: {error.get('code')} {error.get('message')}"
    return task.check(fresh, site, run)


def _tokens(fresh: Fresh, run_id: str) -> int | None:
    calls = fresh.ok("GET", f"/v1/runs/{run_id}/calls?limit=100")["data"]
    counts = [call[name] for call in calls for name in ("input_tokens", "output_tokens") if call["status"] == "ok"]
    return None if None in counts else sum(counts)


def report(attempts: Sequence[Attempt]) -> list[str]:
    lines = [f"{'task':<10} {'passed':<7} {'steps':>5} {'tokens':>9} {'seconds':>8}"]
    for one in attempts:
        tokens = "unknown" if one.tokens is None else str(one.tokens)
        row = f"{one.task:<10} {'no' if one.problem else 'yes':<7} {one.steps:>5} {tokens:>9} {one.seconds:>8.1f}"
        lines.append(f"{row}  {one.problem}".rstrip())
    passed = sum(not one.problem for one in attempts)
    return [*lines, f"{passed} of {len(attempts)} tasks passed"]
