"""The examples: in order, and written in sentences that the playbook agent reads."""

import json
from typing import Any

import pytest

from runs.agents.playbook import parse
from workflows.definition.documents import check_document
from workflows.definition.examples import examples
from workflows.definition.inputs import read_inputs
from workflows.definition.step_types import walk
from workflows.definition.templates import expand
from workflows.definition.value_rules import Work
from workflows.forms import pretty_json

EXAMPLES = list(examples().values())


@pytest.mark.parametrize("body", EXAMPLES, ids=list(examples()))
def test_an_example_is_in_order(body: dict[str, Any]) -> None:
    found = check_document(body, "create")
    assert (found.violations, found.warnings) == ([], [])
    assert json.loads(pretty_json(body["definition"])) == body["definition"]


@pytest.mark.parametrize("body", EXAMPLES, ids=list(examples()))
def test_its_tasks_are_understood_with_the_usual_inputs(body: dict[str, Any]) -> None:
    scope = {"inputs": read_inputs(body.get("inputs_schema"), {}, None), "vars": {}}
    tasks = [step for _at, step in walk(body["definition"]["steps"]) if step["type"] == "task"]
    for step in tasks:
        plan = parse(expand(step["task"], scope, Work()))
        assert plan.steps
        assert not plan.unknown, step["id"]
        assert step["agent"] == "playbook"


def test_they_show_what_workflows_can_do() -> None:
    kinds = {step["type"] for body in EXAMPLES for _at, step in walk(body["definition"]["steps"])}
    assert kinds == {"task", "assert", "if", "loop", "parallel", "human_approval", "retry", "succeed", "fail"}
    assert len({body["slug"] for body in EXAMPLES}) == 5
