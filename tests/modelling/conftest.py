"""The report of `make test-model`, in the last lines."""

from typing import Any

import pytest

from tests.modelling.attempts import Attempt, report

ATTEMPTS = pytest.StashKey[list[Attempt]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ATTEMPTS] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in report(attempts) if (attempts := config.stash.get(ATTEMPTS, [])) else ():
        terminalreporter.write_line(line)
