"""A run that waits for a person is backed up while everything runs, and decided in another place."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.own_processes import wait_until
from tests.live.fresh import Fresh, installed
from tests.ops.backups import WORDS
from tests.ops.test_up import ROOT, installations, wait_for_ready

TASK = "Run `echo before > seen; ln -s /etc outside`, then ask for approval to go on, then run `cat seen > after`"


def manage(data_dir: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DATA_DIR": str(data_dir), "BACKUP_PASSPHRASE": WORDS, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, str(ROOT / "manage.py"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_waiting_run_is_decided_in_the_restored_place(tmp_path: Path) -> None:
    places = installed()
    first: Fresh = next(places)
    run = first.ok("POST", "/v1/runs", {"task": TASK, "machine_id": first.machine()})["id"]
    simulated = first.ok("POST", "/v1/runs", {"task": "x [pause]", "agent": "scripted"}, first.test)["id"]
    first.reaches(run, "awaiting_human")
    assert wait_until(lambda: first.run(simulated, first.test)["state"] == "awaiting_human", 30, 0.1)
    machine = first.machine()
    shown = first.ok("GET", f"/v1/runs/{run}/events?format=json")["data"]
    manage(first.folder, "backup", str(tmp_path / "file"))

    def restore(data_dir: Path) -> None:
        data_dir.mkdir(mode=0o711)
        manage(data_dir, "restore", str(tmp_path / "file"))

    starts = installations(restore)
    second_place = next(starts)()
    wait_for_ready(second_place)
    assert not re.search(r"cs_live_\S+", second_place.said)  # no first team is made: there is one
    second = Fresh(f"http://127.0.0.1:{second_place.port}", first.live, first.test, second_place.data_dir, second_place)
    assert second.run(run)["state"] == "awaiting_human"
    assert second.ok("GET", f"/v1/runs/{run}/events?format=json")["data"][: len(shown)] == shown
    machine_there = second.ok("GET", f"/v1/machines/{machine}")
    assert wait_until(lambda: second.ok("GET", f"/v1/machines/{machine}")["status"] == "running", 30, 0.1), (
        machine_there
    )
    second.ok("POST", f"/v1/runs/{run}/resume", {"note": "Go on."})
    second.reaches(run, "succeeded")
    second.ok("POST", f"/v1/runs/{simulated}/resume", {}, first.test)
    assert wait_until(lambda: second.run(simulated, first.test)["state"] == "succeeded", 30, 0.1)
    assert second.shell("cat after; readlink outside")["output"] == "before\n/etc\n"

    # The place that was backed up neither noticed nor shares anything with it.
    assert first.run(run)["state"] == "awaiting_human"
    home = first.folder / "machines" / machine / "home"
    assert (home / "seen").exists()
    assert not (home / "after").exists()
    next(starts, None)  # the end of one ends nothing of the other
    first.ok("POST", f"/v1/runs/{run}/resume", {"note": "Go on."})
    first.reaches(run, "succeeded")
    next(places, None)
