"""The playbook agent at a real terminal: its one-line commands do what their sentences say."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.drivers.base import MachineSpec, Session
from machines.drivers.terminal.driver import TerminalDriver
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


async def test_a_folder_of_the_name_is_no_file(terminal: Session) -> None:
    end = await played(terminal, "run `mkdir d`, create a file named d")
    assert (end.passed, end.summary) == (False, "Ended with exit code 1: create a file named d")


async def test_a_file_is_looked_for_where_the_shell_stands(terminal: Session) -> None:
    task = 'run `echo home > n.txt; mkdir s; cd s`, create a file named n.txt with the text "here"'
    checks = 'check that the file n.txt contains "here", check that the file ~/n.txt contains "home"'
    player = Player(f"{task}, {checks}", terminal, PlaybookAgent(), machine_kind="terminal", engine="v4")
    end = await player.play()
    assert isinstance(end, Finish)
    assert end.passed, end.summary
    verdict = await player.agent.verify(player.context, terminal, end)
    assert 'the file n.txt holds "here"' in verdict.summary
    assert not (await played(terminal, "run `rm n.txt`, check that the file n.txt exists")).passed


@pytest.mark.parametrize(("megabytes", "check", "passed"), [
    (2, "contains", True), (2, "does not contain", False), (17, "does not contain", False), (17, "contains", False),
])  # fmt: skip
async def test_a_long_file_is_looked_through_or_nothing_is_said_of_its_end(
    terminal: Session, megabytes: int, check: str, passed: bool
) -> None:
    make = f"run `head -c {megabytes}M /dev/zero > big.log; echo ERROR >> big.log`"
    assert (await played(terminal, f'{make}, check that the file big.log {check} "ERROR"')).passed is passed
