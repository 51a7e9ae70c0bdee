"""The pages of workflows: writing, checking and saving without JavaScript, versions, what changed, and who may do it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.cast import Cast
from tests.pages.conftest import Visit, text
from tests.pages.reading import read
from tests.workflows.documents import approval, branch, eq, fail, task
from tests.workflows.engine import work
from workflows.models import Workflow, WorkflowVersion
from workflows.runs.starting import start_saved
from workflows.services import save_workflow, update_workflow

pytestmark = pytest.mark.django_db


def definition(*steps: Any) -> str:
    return json.dumps({"steps": list(steps)}, indent=2)


@pytest.fixture
def made(cast: Cast) -> Callable[..., Workflow]:
    """made(task("go")) is a workflow of the test world."""

    def make(*steps: Any, slug: str = "invoices", **more: Any) -> Workflow:
        values = {"name": "Invoices", "slug": slug, "definition": {"steps": list(steps) or [task()]}} | more
        return save_workflow(cast.actor("alice", test=True), values)

    return make


def sent(**fields: Any) -> dict[str, Any]:
    return {"name": "Invoices", "definition": definition(task()), "inputs_schema": "", "description": ""} | fields


def test_the_first_workflow_begins_with_an_example(visit: Visit) -> None:
    alice = visit("alice")
    page = text(alice.get("/workflows"))
    assert page.count("/workflows/new?example=") == 5
    assert "Wait for a file" in text(alice.get("/workflows/new?example=budget"))
    assert "example=" not in text(visit("bob").get("/workflows"))


def test_a_new_workflow_is_saved_with_a_slug_of_its_name(visit: Visit) -> None:
    answer = visit("alice").post("/workflows/new", sent(name="Monthly invoices", budget="12.50"))
    row = Workflow.objects.get()
    assert (row.slug, row.version, row.budget_cents_month, row.test) == ("monthly-invoices", 1, 1250, True)
    assert answer.request["PATH_INFO"] == f"/workflows/{row.id}"
    assert 'href="#step-go"' in text(answer)


def test_checking_stores_nothing_and_says_cost_and_wait_in_words(visit: Visit) -> None:
    steps = definition(task(max_steps=10), approval("gate", timeout_seconds=3600))
    page = text(visit("alice").post("/workflows/new", sent(definition=steps, check="1")))
    assert not Workflow.objects.exists()
    assert "at most <strong>$0.50</strong> per run" in page
    assert "at most <strong>1 h 0 min</strong>" in page
    endless = text(visit("alice").post("/workflows/new", sent(definition=definition(approval("gate")), check="1")))
    assert "<strong>without end</strong>" in endless


def test_what_is_wrong_has_its_line_and_nothing_is_lost(visit: Visit) -> None:
    steps = definition(task(), branch("i", {"op": "is", "left": 1, "right": 2}, []))
    answer = visit("alice").post("/workflows/new", sent(definition=steps, description="Kept"))
    page = text(answer)
    assert answer.status_code == 422
    line = next(n for n, line in enumerate(steps.splitlines(), 1) if '"is"' in line)
    assert f"Line {line}</a>" in page
    assert "steps.1.condition.op" in page
    assert "Kept" in page
    assert "&quot;op&quot;: &quot;is&quot;" in page
    assert not Workflow.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"definition": '{"steps": ['}, "something is not closed"),
        ({"definition": ""}, "There is no text."),
        ({"name": ""}, "Field required."),
        ({"slug": "No slug"}, "Must begin with a-z or 0-9"),
        ({"inputs_schema": "{"}, "Inputs, line 1"),
        ({"budget": "-1"}, "greater than or equal to 0"),
        ({"definition": definition(task(agent="nobody"))}, "Unknown agent"),
        ({"description": "x" * 2001}, "Must have 0 to 2000 characters"),
    ],
)
def test_nothing_that_is_wrong_is_saved(visit: Visit, fields: dict[str, Any], said: str) -> None:
    answer = visit("alice").post("/workflows/new", sent(**fields))
    assert answer.status_code == 422
    assert said in text(answer)
    assert not Workflow.objects.exists()


def test_a_missing_name_is_said_together_with_what_is_wrong_in_the_text(visit: Visit) -> None:
    answer = visit("alice").post("/workflows/new", {"name": "", "definition": '{"steps": 7}'})
    page = text(answer)
    assert answer.status_code == 422
    assert "Field required." in page
    assert 'class="problem is-error"' in page


def test_a_slug_that_is_taken_is_said_and_changes_nothing(visit: Visit, made: Callable[..., Workflow]) -> None:
    row = made()
    answer = visit("alice").post("/workflows/new", sent(slug="invoices"))
    assert answer.status_code == 422
    assert "There is a workflow “invoices” already" in text(answer)
    row.refresh_from_db()
    assert row.version == 1


def test_a_whole_body_of_the_api_can_be_pasted(visit: Visit) -> None:
    body = {"name": "Pasted", "slug": "pasted", "definition": {"steps": [task()]}, "metadata": {"a": 1}}
    visit("alice").post("/workflows/new", sent(name="", definition=json.dumps(body)))
    row = Workflow.objects.get()
    assert (row.name, row.slug, row.metadata) == ("Pasted", "pasted", {"a": 1})


def test_saving_makes_a_new_version(visit: Visit, made: Callable[..., Workflow]) -> None:
    row = made(task(), description="Old", inputs_schema={"file": {"type": "string"}}, metadata={"kept": True})
    alice = visit("alice")
    page = text(alice.get(f"/workflows/{row.id}/edit"))
    assert "Save as version 2" in page
    assert 'name="slug"' not in page
    new = definition(task("go", "Another"))
    answer = alice.post(f"/workflows/{row.id}/edit", sent(definition=new, based_on=1))
    row.refresh_from_db()
    assert (row.version, row.description, row.inputs_schema, row.metadata) == (2, "", {}, {"kept": True})
    assert row.definition["steps"][0]["task"] == "Another"
    assert "Saved as version 2." in text(answer)
    assert WorkflowVersion.objects.get(version=2).created_by["name"] == "Alice"


def test_somebody_saved_meanwhile_is_said_and_nothing_is_lost(
    cast: Cast, visit: Visit, made: Callable[..., Workflow]
) -> None:
    row = made()
    update_workflow(cast.actor("adam", test=True), row.id, {"description": "Theirs"})
    alice, mine = visit("alice"), definition(task("go", "Mine"))
    answer = alice.post(f"/workflows/{row.id}/edit", sent(definition=mine, based_on=1))
    page = text(answer)
    assert answer.status_code == 409
    assert "Adam saved version 2" in page
    assert "&quot;task&quot;: &quot;Mine&quot;" in page
    assert 'name="based_on" value="2"' in page
    assert "diff?from=1&amp;to=2" in page
    row.refresh_from_db()
    assert row.version == 2
    alice.post(f"/workflows/{row.id}/edit", sent(definition=mine, based_on=2))
    row.refresh_from_db()
    assert (row.version, row.definition["steps"][0]["task"]) == (3, "Mine")


def test_a_text_that_is_wrong_stands_beside_the_last_drawing(visit: Visit, made: Callable[..., Workflow]) -> None:
    row = made(task("first"))
    page = text(visit("alice").post(f"/workflows/{row.id}/edit", sent(definition='{"steps": [', based_on=1)))
    assert "of the last text that was in order" in page
    assert 'href="#step-first"' in page


def test_editing_can_begin_with_an_older_version(cast: Cast, visit: Visit, made: Callable[..., Workflow]) -> None:
    row = made(task("old"))
    update_workflow(cast.actor("alice", test=True), row.id, {"definition": {"steps": [task("new")]}})
    page = text(visit("alice").get(f"/workflows/{row.id}/edit?from=1"))
    assert "&quot;old&quot;" in page
    assert 'name="based_on" value="2"' in page


def test_the_check_answers_a_part_for_the_page(visit: Visit) -> None:
    alice = visit("alice")
    good = text(alice.post("/workflows/check", sent(), HX_Request="true"))
    assert good.count('id="checked"') == 1
    assert "<html" not in good
    keep = good.split('data-keep="')[1].split('"')[0]
    bad = text(alice.post("/workflows/check", sent(definition="{", shown=keep), HX_Request="true"))
    assert f'data-keep="{keep}"' in bad
    assert '<svg class="graph"' not in bad
    assert 'data-problem="definition" data-line="1"' in bad


def test_archiving_can_be_undone(visit: Visit, made: Callable[..., Workflow]) -> None:
    row, alice = made(), visit("alice")
    page = text(alice.post(f"/workflows/{row.id}/status", {"status": "archived"}))
    assert "Archived: no new run can be started." in page
    assert "Undo" in page
    assert "Invoices" not in text(alice.get("/workflows"))
    assert "Invoices" in text(alice.get("/workflows?status=archived"))
    alice.post(f"/workflows/{row.id}/status", {"status": "active"})
    alice.post(f"/workflows/{row.id}/status", {"status": "active"})
    row.refresh_from_db()
    assert (row.status, row.version) == ("active", 2)


def test_what_changed_between_versions(cast: Cast, visit: Visit, made: Callable[..., Workflow]) -> None:
    row, alice = made(task("go")), cast.actor("alice", test=True)
    update_workflow(alice, row.id, {"definition": {"steps": [task("go"), approval("gate")]}})
    update_workflow(alice, row.id, {"name": "Bills"})
    bob = visit("bob")
    assert "1 step added (gate). The name changed." in text(bob.get(f"/workflows/{row.id}/diff?from=1&to=3"))
    assert "<h1>From version 2 to 3</h1>" in text(bob.get(f"/workflows/{row.id}/diff"))
    assert "1 step removed (gate)" in text(bob.get(f"/workflows/{row.id}/diff?from=3&to=1"))
    assert bob.get(f"/workflows/{row.id}/diff?from=x").status_code == 404


def test_the_cell_of_a_button_that_is_not_there_is_empty(cast: Cast, made: Callable[..., Workflow]) -> None:
    """On a phone rows are folded, and only what is really empty takes no room there."""
    made()
    as_sent = Client()  # without a break of lines less
    as_sent.cookies = cast.browser("bob", mode="test").cookies
    assert '<td class="right"></td>' in text(as_sent.get("/workflows"))


def test_the_list_says_how_the_last_runs_went(cast: Cast, visit: Visit, made: Callable[..., Workflow]) -> None:
    asked = {"op": "exists", "value": "{{inputs.ask}}"}
    row = made(branch("i", {"op": "exists", "value": "{{inputs.bad}}"}, [fail()]), branch("j", asked, [approval()]))
    made(slug="other")
    for inputs in ({}, {}, {"bad": 1}, {"ask": 1}):
        start_saved(cast.actor("alice", test=True), row, {"inputs": inputs}, "req_test")
        work()
    page = text(visit("bob").get("/workflows"))
    part = page.split(f'id="{row.id}"')[1].split("</tr>")[0]
    assert "67 %" in part
    assert "of the last 3" in part
    assert part.count('class="run-link"') == 3
    assert "Waits for a person" in part
    assert "none yet" in page


def test_who_looks_on_sees_everything_and_no_way_to_change_it(visit: Visit, made: Callable[..., Workflow]) -> None:
    row = made(task(), inputs_schema={"file": {"type": "string"}})
    page = text(visit("bob").get(f"/workflows/{row.id}"))
    for word in ("Edit", "Archive"):
        assert word not in page
    assert "Version 1" in page
    assert "/edit" not in text(visit("bob").get(f"/workflows/{row.id}/versions/1"))


def test_words_of_the_author_are_shown_as_they_are_and_escaped(visit: Visit, made: Callable[..., Workflow]) -> None:
    evil = '"><script>x</script>\u202e'
    row = made(task("go", evil), branch("i", eq(evil, "{{go.passed}}"), []), name=evil, description=evil)
    alice = visit("alice")
    for path in ("", "/edit", "/versions/1", "/diff"):
        page = text(alice.get(f"/workflows/{row.id}{path}"))
        assert "<script>x" not in page
        assert read(page).inline == []
