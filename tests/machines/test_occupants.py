"""The port between machines and what works at them: the occupant is registered, and machines know of no run."""

import re
from pathlib import Path

import pytest

from machines import occupants
from runs.occupant import ControlledRun, RunOccupant

ROOT = Path(__file__).parents[2]


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_every_type_of_occupant_is_registered() -> None:
    assert set(occupants._OCCUPANTS) == set(occupants.TYPES)
    assert isinstance(occupants.occupant(), RunOccupant)


def test_what_is_no_type_is_not_registered() -> None:
    with pytest.raises(ValueError, match="no type"):
        occupants.register("person", RunOccupant)


@pytest.mark.parametrize(("cls", "protocol"), [(RunOccupant, occupants.Occupant), (ControlledRun, occupants.Locked)])
def test_a_run_answers_everything_that_machines_ask(cls: type, protocol: type) -> None:
    assert members(protocol) <= members(cls)


def test_machines_read_no_table_of_runs_and_use_none_of_their_template_tags() -> None:
    modules = [path for path in (ROOT / "machines").rglob("*.py") if "migrations" not in path.parts]
    pages = list((ROOT / "templates" / "machines").rglob("*.*"))
    assert modules
    assert pages
    assert not [path for path in modules if re.search(r"\bruns_(run|step|event)|\bfrom runs\b", path.read_text())]
    assert not [path for path in pages if re.search(r"{% load [^%]*\bruns\b", path.read_text())]
