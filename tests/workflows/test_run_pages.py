"""Starting, watching and repeating workflow runs by page."""

from typing import Any

import pytest

from runs.models import Run
from tests.cast import Api, Cast
from tests.pages.conftest import text
from tests.runs.driving import simulated, status_of
from tests.workflows.engine import approval, begin, check, ran, task, work
from tests.workflows.test_starting import saved
from workflows.models import Execution
from workflows.tree import marks_of, rows_of

SCHEMA = {
    "file": {"type": "string", "required": True, "description": "Its name"},
    "copies": {"type": "integer", "default": 2},
}


def _start(cast: Cast, workflow: dict[str, Any], **sent: Any) -> Any:
    return cast.browser("alice").post(f"/workflows/{workflow['id']}/run", sent)


def test_the_form_has_a_field_for_each_input_and_starts_a_run(cast: Cast, live: Api) -> None:
    workflow = saved(live, [task("a", "File {{inputs.file}}", agent="scripted")], inputs_schema=SCHEMA)
    page = text(cast.browser("alice").get(f"/workflows/{workflow['id']}/run"))
    assert 'name="v.file"' in page
    assert 'name="v.copies"' in page
    assert "Its name" in page
    answer = _start(cast, workflow, **{"v.file": "a.pdf", "v.copies": "3", "machine_id": simulated(live)})
    run = Run.objects.get(kind="workflow")
    assert answer["Location"] == f"/runs/{run.id}"
    assert run.inputs == {"file": "a.pdf", "copies": 3}


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(cast: Cast, live: Api) -> None:
    workflow = saved(live, [task("a")], inputs_schema=SCHEMA)
    answer = _start(cast, workflow, **{"v.copies": "many", "budget": "3.50"})
    page = text(answer)
    assert answer.status_code == 422
    assert "Field required." in page
    assert "many" in page
    assert 'value="3.50"' in page
    assert "name one here" in page  # the machine
    assert not Run.objects.exists()


def test_an_archived_workflow_says_so_and_starts_nothing(cast: Cast, live: Api) -> None:
    workflow = saved(live, [check("c", 1, 1)])
    live.delete(f"/workflows/{workflow['id']}")
    assert "archived" in text(cast.browser("alice").get(f"/workflows/{workflow['id']}/run"))
    assert _start(cast, workflow).status_code == 422
    assert not Run.objects.exists()


def test_a_run_is_repeated_with_other_inputs_and_both_know_it(cast: Cast, live: Api) -> None:
    workflow = saved(live, [check("c", "{{inputs.file}}", "b")], inputs_schema=SCHEMA)
    first = live.post(f"/workflows/{workflow['id']}/runs", {"inputs": {"file": "a"}, "budget_cents": 70}).json()
    work()
    alice = cast.browser("alice")
    form = alice.get(f"/runs/{first['id']}/again")
    assert form["Location"] == f"/workflows/{workflow['id']}/run?like={first['id']}"
    page = text(alice.get(form["Location"]))
    assert 'value="a"' in page
    assert 'value="0.7"' in page
    _start(cast, workflow, **{"v.file": "b", "like": first["id"]})
    second = Run.objects.exclude(id=first["id"]).get()
    assert (second.rerun_of, second.inputs["file"]) == (first["id"], "b")
    assert second.id in text(alice.get(f"/runs/{first['id']}"))
    assert first["id"] in text(alice.get(f"/runs/{second.id}"))


def test_a_document_that_is_not_saved_runs_again_too(cast: Cast, live: Api) -> None:
    first = ran(live, [check("c", "{{inputs.n}}", 1)], inputs={"n": 1}, name="By hand")
    alice = cast.browser("alice")
    assert "&quot;n&quot;: 1" in text(alice.get(f"/runs/{first['id']}/again"))
    alice.post(f"/runs/{first['id']}/again", {"v": '{"n": 2}'})
    second = Run.objects.exclude(id=first["id"]).get()
    assert (second.name, second.inputs, second.rerun_of) == ("By hand", {"n": 2}, first["id"])
    work()
    assert status_of(second.id) == "failed"


def test_a_run_of_another_workflow_is_not_repeated_here(cast: Cast, live: Api) -> None:
    workflow = saved(live, [check("c", 1, 1)])
    other = ran(live, [check("c", 1, 1)])
    assert cast.browser("alice").get(f"/workflows/{workflow['id']}/run?like={other['id']}").status_code == 404


def test_the_page_decides_in_place_and_comes_back(cast: Cast, live: Api) -> None:
    run = ran(live, [approval("ok", message="Is <b>this</b> right?"), check("c", 1, 1)])
    ana = cast.browser("ana")
    page = text(ana.get(f"/runs/{run['id']}"))
    assert "The workflow’s words" in page
    assert "Is &lt;b&gt;this&lt;/b&gt; right?" in page
    (approval_id,) = run["open_approvals"]
    sent = {"verdict": "approve", "back": f"/runs/{run['id']}"}
    answer = ana.post(f"/approvals/{approval_id}/decide", sent)
    assert answer["Location"] == f"/runs/{run['id']}?decided={approval_id}"
    work()
    page = text(ana.get(answer["Location"]))
    assert "Approved by you" in page
    assert "The workflow succeeded." in page


def test_a_task_leads_back_to_its_workflow_run(cast: Cast, test_key: Api) -> None:
    run = ran(test_key, [task("a", "x [pause]")])
    child = Run.objects.get(parent_id=run["id"])
    client = cast.browser("ana")
    client.post("/switch", {"mode": "test"})
    assert f'href="/runs/{run["id"]}#step-a"' in text(client.get(f"/runs/{child.id}"))
    card = text(client.get(f"/approvals/{run['open_approvals'][0]}"))
    assert f'href="/runs/{run["id"]}"' in card


# --- the marks of the drawing


def _marks(run: dict[str, Any]) -> dict[str, str]:
    found = Run.objects.get(id=run["id"])
    return dict(marks_of(rows_of(found, Execution.objects.get(run=found))))


def test_the_marks_say_where_the_run_is(test_key: Api) -> None:
    choice = {"id": "choose", "type": "if", "condition": {"op": "truthy", "value": "{{a.passed}}"}}
    choice |= {"then": [approval("ok")], "else": [check("never", 1, 1)]}
    run = ran(test_key, [task("a"), choice, {"id": "end", "type": "succeed"}])
    assert _marks(run) == {"a": "done", "choose": "waiting", "ok": "waiting"}
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    assert _marks(run) == {"a": "done", "choose": "done", "ok": "done", "never": "skipped", "end": "done"}


def test_a_task_at_work_and_a_failed_check_are_marked(test_key: Api) -> None:
    run = begin(test_key, [{"id": "again", "type": "retry", "max_attempts": 2, "body": [task("a"), check("b", 1, 2)]}])
    from tests.workflows.engine import deliver

    deliver()
    assert _marks(run) == {"again": "running", "a": "running"}
    work()
    assert _marks(run)["b"] == "failed"


def test_only_the_last_passes_of_a_loop_are_shown(test_key: Api) -> None:
    run = ran(test_key, [{"id": "l", "type": "loop", "count": 7, "body": [task("a", "x [steps:0]")]}])
    found = Run.objects.get(id=run["id"])
    row = next(r for r in rows_of(found, Execution.objects.get(run=found)) if r.step["id"] == "a")
    assert (row.visits, len(row.tasks), row.hidden) == (7, 5, 2)


@pytest.mark.parametrize("path", ["/runs", "/"])
def test_lists_call_a_workflow_run_by_its_name(cast: Cast, live: Api, path: str) -> None:
    ran(live, [approval("ok")], name="Month’s end")
    assert "Month’s end" in text(cast.browser("ana").get(path))
