"""The ten tasks themselves, with the emulator as the model: what it does well passes, what it does not is told."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.emulator.server import Emulator, in_thread
from tests.modelling.stories import WRONG, stories
from tests.modelling.tasks import TASKS
from tests.ops.test_up import ROOT, free_port

OURS = ("DATABASE_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE", "COUNTERSIGN_TEST_SERVER", "NOTHING_SKIPPED")


def run_them(environment: Mapping[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in OURS and "PYTEST" not in name}
    command = [sys.executable, "-m", "pytest", "-m", "model", "-p", "no:cacheprovider", "tests/modelling", *words]
    return subprocess.run(
        command, cwd=ROOT, env=inherited | dict(environment), capture_output=True, text=True, timeout=900, check=False
    )


@pytest.mark.slow
@pytest.mark.browser
def test_the_report_says_of_each_task_whether_it_passed() -> None:
    pytest.importorskip("openai")
    port = free_port()
    with in_thread(Emulator(stories(port), wires=("compatible",))) as emulator:
        environment = {
            "MODEL_TEST_URL": emulator.url("compatible"), "MODEL_TEST_MODEL": "model-1", "MODEL_TEST_KEY": "sk-test-12345678",
            "MODEL_TEST_EMULATED": str(port),
        }  # fmt: skip
        done = run_them(environment)
        assert emulator.refused == []
        assert {body.headers["authorization"] for body in emulator.bodies} == {"Bearer sk-test-12345678"}
    rows = dict(re.findall(r"^(\w+) +((?:yes|no) .*)$", done.stdout, re.MULTILINE))
    assert list(rows) == [task.name for task in TASKS], done.stdout + done.stderr
    assert {name for name, row in rows.items() if row.startswith("no")} == set(WRONG), done.stdout
    assert all(words in rows[name] for name, words in WRONG.items()), done.stdout
    steps, tokens, seconds = rows["contact"].split()[1:]
    assert (steps, int(tokens) > 0, float(seconds) > 0) == ("6", True, True)
    assert "8 of 10 tasks passed" in done.stdout
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.browser
def test_a_vendor_s_wire_with_options_is_taken_too() -> None:
    pytest.importorskip("anthropic")
    port = free_port()
    with in_thread(Emulator(stories(port), wires=("anthropic",))) as emulator:
        environment = {
            "MODEL_TEST_URL": emulator.url("anthropic"), "MODEL_TEST_WIRE": "anthropic", "MODEL_TEST_MODEL": "model-1",
            "MODEL_TEST_KEY": "sk-test-12345678", "MODEL_TEST_OPTIONS": '{"computer": "older"}', "MODEL_TEST_EMULATED": str(port),
        }  # fmt: skip
        done = run_them(environment, "-k", "pricing or note")
        assert emulator.refused == []
        assert "computer_20251124" in str(emulator.bodies[0].json["tools"])
    assert "2 of 2 tasks passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_without_a_model_nothing_is_started_and_it_is_said() -> None:
    done = subprocess.run(["make", "test-model"], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "MODEL_TEST_URL names no model" in done.stdout
