"""Whether an action can be undone: by its name, raised by what is pressed or typed."""

import pytest

from machines.actions import COMMANDS, READ_ONLY, class_of, strictest


def test_every_action_has_a_class():
    assert {name for name in COMMANDS if class_of(name) == "read"} == READ_ONLY | {"done", "fail"}
    assert {class_of(name) for name in COMMANDS} == {"read", "reversible"}


@pytest.mark.parametrize("name", ["mail.send", "clickx", ""])
def test_an_action_that_nobody_knows_cannot_be_undone(name):
    assert class_of(name) == "irreversible"


def test_of_several_the_strictest_counts():
    assert strictest([]) == "read"
    assert strictest(["reversible", "read"]) == "reversible"
    assert strictest(["reversible", "irreversible", "read"]) == "irreversible"
