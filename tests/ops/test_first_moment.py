"""What is made once is asked for by many at the same moment: each gets the same, and nothing half-made stays behind."""

from pathlib import Path
from typing import Any

import pytest

from config.secret_key import secret_key
from machines.drivers.isolation import cgroups
from machines.processes import nodes
from tests.at_once import at_once

MANY = 8
ROUNDS = 25


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_the_node_of_a_process_has_one_name(round_: int, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / str(round_)
    assert len(set(at_once(*[nodes.this_node] * MANY))) == 1
    assert len(list((settings.DATA_DIR / "nodes").iterdir())) == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_installation_has_one_secret_key(round_: int, tmp_path: Path) -> None:
    place = tmp_path / str(round_)
    assert len(set(at_once(*[lambda: secret_key(place)] * MANY))) == 1
    [key] = place.iterdir()
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_whether_a_control_group_can_be_divided_does_not_depend_on_who_else_asks(round_: int, tmp_path: Path) -> None:
    assert at_once(*[lambda: cgroups._divisible(tmp_path)] * MANY) == [True] * MANY, round_
    assert not list(tmp_path.iterdir())
