"""The playbook agent at a real terminal: its one-line commands do what their sentences say."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.drivers.base import MachineSpec, Session
from machines.drivers.terminal import TerminalDriver
from runs.agents.base import Finish
from runs.agents.playbook import PlaybookAgent
from tests.agents.machines import Player

DRIVER = TerminalDriver()

TEST_FILE = """import unittest
class T(unittest.TestCase):
\tdef test_it(self): self.assertEqual("a\\\\b", "a" + chr(92) + "b")
"""


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Session]:
    spec = MachineSpec("mch_test", "terminal", tmp_path / "machine", 1280, 720)
    handle = await DRIVER.start(spec, None)
    try:
        yield await DRIVER.attach(spec, handle)
    finally:
        await DRIVER.stop(spec, handle)


async def played(session: Session, task: str) -> Finish:
    player = Player(task, session, PlaybookAgent(), machine_kind="terminal")
    end = await player.play()
    assert isinstance(end, Finish)
    return end


async def test_a_web_server_is_started_once_and_stopped_by_a_later_run(terminal: Session) -> None:
    for _ in range(2):
        assert (await played(terminal, "Start the web server and wait for it to listen on port 8080")).passed
    stop = "check that port 8080 is listening, stop the web server and check that port 8080 is not listening"
    assert (await played(terminal, stop)).passed
    assert (
        await played(terminal, "stop the web server and check that the page shows 'No web server is running.'")
    ).passed


async def test_a_web_server_that_cannot_start_fails_the_run(terminal: Session) -> None:
    assert not (await played(terminal, "start the web server on port 80")).passed


async def test_the_test_suite_is_found_and_its_failure_is_one(terminal: Session) -> None:
    assert not (await played(terminal, "run the test suite")).passed
    assert (
        await played(terminal, f"create a file named test_it.py with the text “{TEST_FILE}”; run the test suite")
    ).passed
    own = 'create a file named run-tests with the text "#!/bin/sh\nexit 3\n"; run `chmod +x run-tests`; run the tests'
    assert (await played(terminal, own)).summary == "Ended with exit code 3: run the tests"


async def test_a_file_has_exactly_the_text_and_programs_can_be_typed_to(terminal: Session) -> None:
    assert (await played(terminal, 'create a file named "a b" with the text "it\'s 100% \\n\tfine\n"')).passed
    assert await terminal.read_file("a b") == b"it's 100% \\n\tfine\n"
    task = 'run `cat > x.txt`; type "hello"; press Enter; press Ctrl+D; check that the file x.txt contains "hello"'
    assert (await played(terminal, task)).passed
