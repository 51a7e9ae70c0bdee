"""The ten-move story while real worker processes are killed by SIGKILL right after a commit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from inference.models import Call
from runs.agents.model.agent_memory import State
from runs.models import Run
from tests.cast import Api, Cast
from tests.chance import ROUNDS
from tests.emulator.server import Emulator
from tests.runs.driving import expire_lease, show, simulated, status_of
from tests.runs.invariants import check_run
from tests.runs.ten_moves import ACTIONS, CALLS, Played, decide_all, emulated, profile, start, story_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.again]
EACH = 16 if ROUNDS < 50 else 3  # every so many commits; make test-deep takes its time


@dataclass
class Workers:
    """Worker processes, one after the other, and the machine's own record of what they did to it."""

    process: subprocess.Popen[str]
    record: Path

    def work(self, nth: int = 0) -> int:
        """Drive what can go on: how many commits that took; -9 when the worker was killed on the way."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{nth}\n")
        self.process.stdin.flush()
        ended = int(self.process.stdout.readline())
        assert ended == -9 or ended >= 0
        return ended

    def done(self) -> list[tuple[str, int | None]]:
        """What the machine did since the last time."""
        lines = self.record.read_text().splitlines()
        self.record.write_text("")
        return [(name, params.get("x")) for name, params in map(json.loads, lines)]


@pytest.fixture
def vendor(cast: Cast, settings: Any) -> Iterator[Emulator]:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    with emulated("anthropic", {"again": story_for("anthropic", "again")}) as emulator:
        profile(cast, emulator)
        yield emulator


@pytest.fixture
def workers(database_url: str, tmp_path: Path) -> Iterator[Workers]:
    environment = os.environ | {"DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    record = tmp_path / "record.jsonl"
    record.touch()
    command = [sys.executable, "-m", "tests.runs.dying", str(record)]
    with subprocess.Popen(
        command, env=environment, cwd=django_settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Workers(process, record)
        assert process.stdin
        process.stdin.close()
        assert process.wait(20) == 0


def play(api: Api, vendor: Emulator, workers: Workers, machine: str, nth: int) -> tuple[Played, bool]:
    """A run whose worker is killed after the n-th commit, 0 = nobody is; and whether it came that far."""
    before, left, killed = vendor.requests.total(), nth, False
    run = start(api, machine, "again")
    while status_of(run["id"]) not in ("succeeded", "failed"):
        commits = workers.work(left)
        if commits < 0:
            left, killed = 0, True
            expire_lease(run["id"])
            continue
        left -= commits if left else 0
        if status_of(run["id"]) == "awaiting_human":
            decide_all(api, run)
    check_run(run["id"])
    calls = Call.objects.filter(run_id=run["id"], status="ok").count()
    log = State.of(Run.objects.get(id=run["id"]).memory).log
    return Played(show(api, run["id"]), log, vendor.requests.total() - before, calls), killed


def test_T_186_the_ten_moves_are_the_same_whichever_worker_is_killed(
    live: Api, vendor: Emulator, workers: Workers
) -> None:
    machine = simulated(live)
    whole, _ = play(live, vendor, workers, machine, 0)
    assert (workers.done(), whole.asked) == (ACTIONS, CALLS), whole.run
    killed, rounds, steps = True, 0, whole.run["steps_completed"]
    for nth in count(EACH // 3 + 1, EACH):
        played, killed = play(live, vendor, workers, machine, nth)
        rounds += 1
        assert (played.run["status"], workers.done(), played.run["steps_completed"]) == ("succeeded", ACTIONS, steps), (
            nth
        )
        assert played.calls == played.asked, nth
        unknown = str(Run.objects.get(id=played.run["id"]).memory).count("The outcome is unknown")
        assert played.asked == CALLS + (unknown > 0), nth  # the one call that cannot be saved
        assert unknown or played.log == whole.log, nth
        if not killed:
            break
    assert rounds * EACH > 40
    balance = live.get("/billing/balance").json()
    assert (balance["held_cents"], balance["ledger_ok"]) == (0, True)
    assert balance["available_cents"] == 10_000 - 5 * steps * (rounds + 1)
