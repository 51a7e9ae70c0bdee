"""Tasks of a workflow that nobody named a machine for: each goes to one of the kind that it needs, and back to where it was."""

import re
from typing import Any

import pytest

from machines.models import Machine
from runs.models import Run
from runs.services import cancel_run
from tests.cast import Api, Cast
from tests.runs.test_machine_choice import row
from tests.workflows.engine import begin, deliver, task, tasks_of
from workflows.definition.examples import examples

pytestmark = pytest.mark.django_db
PARALLEL = [{"id": "p", "type": "parallel", "branches": [
    [task("a", "Open https://a.test/")], [task("b", "Run `ls`")], [task("c", "Wait 1 second")],
]}]  # fmt: skip


def placed(live: Api, run: dict[str, Any]) -> dict[str, str]:
    """Names of the machines that the run's tasks have, by step."""
    names = dict(Machine.objects.values_list("id", "display_name"))
    return {t["task"]: names[t["machine_id"]] for t in tasks_of(live, run)}


def deliver_all() -> None:
    while deliver():
        pass


def test_each_task_goes_to_the_kind_that_it_needs(live: Api, cast: Cast) -> None:
    row(cast, "terminal", "T", default=True)
    row(cast, "browser", "B")
    run = begin(live, PARALLEL)
    deliver_all()
    assert placed(live, run) == {"Open https://a.test/": "B", "Run `ls`": "T", "Wait 1 second": "T"}


def test_a_machine_of_the_start_is_everybodys(live: Api, cast: Cast) -> None:
    browser = row(cast, "browser", "B")
    row(cast, "terminal", "T", default=True)
    run = begin(live, PARALLEL, machine_id=browser)
    deliver_all()
    assert set(placed(live, run).values()) == {"B"}


def test_a_task_goes_where_the_workflow_worked_before_also_when_another_machine_is_idle(live: Api, cast: Cast) -> None:
    first, _ = row(cast, "terminal", "First", default=True), row(cast, "terminal", "Second")
    run = begin(live, [task("a", "Run `ls`"), task("b", "Run `pwd`")])
    deliver_all()
    assert placed(live, run) == {"Run `ls`": "First"}
    cancel_run(cast.actor(), Run.objects.get(parent_id=run["id"]).id, None)
    Machine.objects.filter(id=first).update(current_run_id="run_other")
    deliver_all()
    assert placed(live, run) == {"Run `ls`": "First", "Run `pwd`": "First"}


def test_the_example_with_a_web_form_needs_no_machine_named(live: Api, cast: Cast) -> None:
    row(cast, "terminal", "T", default=True)
    row(cast, "browser", "B")
    example = examples()["browser-form"]
    body = {"definition": example["definition"], "inputs_schema": example["inputs_schema"]}
    run = live.post("/workflows/runs", body).json()
    deliver_all()
    assert set(placed(live, run).values()) == {"B"}


def test_without_any_machine_the_start_is_refused_with_the_way_on(live: Api) -> None:
    answer = live.post("/workflows/runs", {"definition": {"steps": PARALLEL}})
    assert (answer.status_code, answer.json()["error"]["reason_code"]) == (422, "no_machine")
    assert not Run.objects.exists()


def test_a_run_again_names_no_machine_unless_the_first_did(live: Api, cast: Cast) -> None:
    browser = row(cast, "browser", "B")
    row(cast, "terminal", "T", default=True)
    page = cast.browser("olga", world="live")
    free, bound = begin(live, PARALLEL), begin(live, PARALLEL, machine_id=browser)
    deliver_all()
    for run, machines in ((free, {"B", "T"}), (bound, {"B"})):
        cancel_run(cast.actor(), run["id"], None)
        form = page.get(f"/runs/{run['id']}/again").content.decode()
        sent = dict(re.findall(r'name="(machine_id|inputs)"[^>]*value="([^"]*)"', form))
        chosen = re.search(
            r'<option value="([^"]*)" selected', form.split('name="machine_id"')[1].split("</select>")[0]
        )
        answer = page.post(f"/runs/{run['id']}/again", sent | {"machine_id": chosen[1] if chosen else ""})
        assert answer.status_code == 302, answer.content
        deliver_all()
        again = Run.objects.get(rerun_of=run["id"])
        assert set(placed(live, {"id": again.id}).values()) == machines
