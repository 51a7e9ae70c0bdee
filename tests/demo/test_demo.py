"""`make demo-model` as a person meets it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from config.own_processes import wait_until
from tests.ops.test_up import ROOT, Installation, free_port

OURS = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "COUNTERSIGN_TEST_SERVER")


@dataclass
class Demo:
    """A folder and a port, and what was printed."""

    folder: Path
    port: int

    @property
    def said(self) -> str:
        return (self.folder.parent / "said.txt").read_text()

    def start(self, **more: str) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        environment |= {"DATA_DIR": str(self.folder), "PORT": str(self.port), "DEMO_DELAY": "0.1"} | more
        with (self.folder.parent / "said.txt").open("wb") as said:
            command = [sys.executable, "-m", "tests.demo"]
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def says(self, words: str, process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
        assert wait_until(lambda: words in self.said or process.poll() is not None, seconds, 0.1), self.said
        assert words in self.said, self.said

    def call(self, path: str, body: dict[str, object]) -> None:
        key = re.search(r"cs_live_\S+", (self.folder / "first-run.txt").read_text())
        assert key
        answer = httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, headers={"X-API-Key": key[0]}, timeout=20)
        assert answer.is_success, answer.text


@pytest.fixture
def demo() -> Iterator[Demo]:
    place = Path(tempfile.mkdtemp(prefix="countersign-demo-"))  # tmp_path is closed to the user of root's PostgreSQL
    place.chmod(0o711)
    yield Demo(place / "data", free_port())
    shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.browser
def test_it_shows_a_thought_a_batch_a_question_and_a_verified_end_and_ctrl_c_ends_all_of_it(demo: Demo) -> None:
    process = demo.start()
    try:
        demo.says("press Approve", process)
        run = re.search(rf"Watch +http://127.0.0.1:{demo.port}/runs/(\w+)", demo.said)
        assert run, demo.said
        second = subprocess.run([sys.executable, "-m", "tests.demo"], cwd=ROOT, env=os.environ | {"DATA_DIR": str(demo.folder)},
                                capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert "already running over" in second.stderr
        demo.call(f"/v1/runs/{run[1]}/signal", {"action": "approve"})
        demo.says("Ctrl+C ends all of it.", process)
        kinds = re.findall(r"^  (thinks|says|does|asks|person|verifier|problem|failed) ", demo.said, re.MULTILINE)
        assert (kinds.count("does"), kinds.count("asks"), kinds.count("person")) == (8, 1, 1)
        assert {"problem", "failed"}.isdisjoint(kinds)
        assert re.search(r"^  verifier +Order 4711", demo.said, re.MULTILINE)
        assert re.search(r"^End +succeeded, verifier: pass; 8 steps", demo.said, re.MULTILINE)
        assert re.search(r"^Sign in +\S+@\S+ +\S+$", demo.said, re.MULTILINE)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert demo.said.endswith("Everything is stopped.\n")
    finally:
        process.kill()
        process.wait()
    assert wait_until(lambda: not Installation(demo.folder, demo.port, process).processes(), 20, 0.1)


@pytest.mark.slow
def test_without_a_browser_it_says_why_and_stops(demo: Demo) -> None:
    process = demo.start(MACHINE_BROWSER="/nowhere/chromium")
    assert process.wait(120) == 1, demo.said
    assert "There is no browser machine to show this on: MACHINE_BROWSER names /nowhere/chromium" in demo.said
    assert Installation(demo.folder, demo.port, process).processes() == []


def test_a_port_that_is_taken_is_named_before_anything_is_started(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", demo.port)):
        assert demo.start().wait(60) == 1
    assert demo.said == f"Port {demo.port} is taken: end what holds it, or set another PORT.\n"
    assert not (demo.folder / "demo.log").exists()
