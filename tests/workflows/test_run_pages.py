"""Starting, watching and repeating workflow runs by page."""

import re
from copy import copy
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from machines.models import Machine
from runs.models import Run
from tests.cast import Api, Cast, make_cast
from tests.mail.post import carry, later, link_in
from tests.pages.conftest import text
from tests.runs.driving import simulated, status_of
from tests.workflows.engine import approval, begin, check, deliver, ran, task, work
from tests.workflows.test_starting import saved
from workflows.drawing.run_progress import marks_of, rows_of
from workflows.models import Execution, Ticket

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
    page = text(cast.browser("alice").get(f"/workflows/{workflow['id']}/run"))
    assert "This workflow is archived" in page
    assert "Reactivate" in page
    answer = _start(cast, workflow)
    assert answer.status_code == 422
    assert "It is archived; it would have to be active." in text(answer)
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
    deliver()
    assert _marks(run) == {"again": "running", "a": "running"}
    work()
    assert _marks(run)["b"] == "failed"


def test_a_step_that_holds_others_failed_with_the_one_that_ended_the_run(test_key: Api) -> None:
    again = {"id": "again", "type": "retry", "max_attempts": 2, "body": [task("a", "x [fail]"), check("b", 1, 2)]}
    assert _marks(ran(test_key, [again])) == {"again": "failed", "a": "failed", "b": "failed"}
    quiet = {"id": "quiet", "type": "loop", "count": 1, "body": [task("a", "x [fail]")]}
    assert _marks(ran(test_key, [quiet, check("b", 1, 1)])) == {"quiet": "done", "a": "failed", "b": "done"}


def test_a_loop_that_used_up_the_iterations_is_where_the_run_failed(cast: Cast, live: Api) -> None:
    loop = {"id": "l", "type": "loop", "count": 9, "body": [check("c", 1, 1)]}
    run = ran(live, [check("b", 1, 1), loop], max_iterations=3)
    assert _marks(run) == {"b": "done", "l": "failed", "c": "done"}
    page = text(cast.browser("alice").get(f"/runs/{run['id']}"))
    assert "Run it again with more iterations" in page
    assert re.search(r"<dt>Iterations</dt>\s*<dd class=.num.>\s*3\s*<", page)


# --- what to do next


@pytest.mark.parametrize(
    ("steps", "start", "advice"),
    [
        ([check("c", 1, 2)], {}, 'It ended at <a class="mono" href="#step-c">c</a>. Look at what came of the steps before'),
        ([{"id": "no", "type": "fail"}], {}, 'It ended at <a class="mono" href="#step-no">no</a>.'),
        ([approval("ok")], {"on_awaiting_human": "fail"}, "Run it again and let it wait."),
        ([task("a", "x [steps:3]")], {"budget_cents": 5}, "Run it again with a larger budget"),
        ([task("a", machine_id="mch_none")], {}, "Look at the machines"),
    ],
)  # fmt: skip
def test_a_run_that_failed_says_what_to_do_next(
    cast: Cast, live: Api, steps: list[dict[str, Any]], start: dict[str, Any], advice: str
) -> None:
    run = ran(live, steps, agent="scripted", machine_id=simulated(live), **start)
    assert run["status"] == "failed", run
    assert advice in text(cast.browser("alice").get(f"/runs/{run['id']}"))


def test_after_a_no_the_page_says_how_to_go_on(cast: Cast, live: Api) -> None:
    run = ran(live, [approval("ok")])
    live.post(f"/runs/{run['id']}/resume", {"approved": False})
    work()
    assert "Change what they did not like" in text(cast.browser("alice").get(f"/runs/{run['id']}"))


def test_a_task_says_why_it_does_not_move(cast: Cast, live: Api) -> None:
    machine = simulated(live)
    Machine.objects.filter(id=machine).update(status="stopped")
    run = begin(live, [task("a", agent="scripted")], machine_id=machine)
    deliver()
    assert "The machine is stopped" in text(cast.browser("alice").get(f"/runs/{run['id']}"))


# --- long runs


def test_only_the_last_passes_of_a_loop_are_shown(test_key: Api) -> None:
    run = ran(test_key, [{"id": "l", "type": "loop", "count": 7, "body": [task("a", "x [steps:0]")]}])
    found = Run.objects.get(id=run["id"])
    row = next(r for r in rows_of(found, Execution.objects.get(run=found)) if r.step["id"] == "a")
    assert (row.visits, len(row.tasks), row.hidden) == (7, 5, 2)


def test_the_page_asks_no_more_of_the_database_however_long_the_run_is(cast: Cast, test_key: Api) -> None:
    steps = [
        {"id": "l", "type": "loop", "count": 6, "body": [task("a", "x [steps:0]"), check("c", 1, 1)]},
        approval("ok"),
    ]
    run = ran(test_key, steps)
    ana = cast.browser("ana")
    ana.post("/switch", {"mode": "test"})
    with CaptureQueriesContext(connection) as before:
        text(ana.get(f"/runs/{run['id']}"))
    _add_tasks(run["id"], "a", 500)
    with CaptureQueriesContext(connection) as after:
        page = text(ana.get(f"/runs/{run['id']}"))
    assert len(after) == len(before) < 30
    assert "The last 4 of them" in page
    assert "<summary>505 earlier</summary>" in page
    assert page.count('class="flow-pass"') == 5 + 1


def _add_tasks(run_id: str, step_id: str, number: int) -> None:
    """More child runs of a step, each like the first."""
    first = Run.objects.filter(parent_id=run_id)[0]
    tasks = [copy(first) for _ in range(number)]
    for n, each in enumerate(tasks):
        each.id, each._state.adding = f"run_{n:022d}", True
    Run.objects.bulk_create(tasks)
    execution = Execution.objects.get(run_id=run_id)
    execution.tickets.bulk_create(
        Ticket(execution=execution, number=1000 + n, kind="task", step_id=step_id, ref=each.id, open=False)
        for n, each in enumerate(tasks)
    )


def test_a_document_of_many_steps_shows_less_of_each(test_key: Api) -> None:
    steps = [task(f"t{n}", "x [steps:0]") for n in range(80)]
    run = ran(test_key, [{"id": "l", "type": "loop", "count": 3, "body": steps[:2]}])
    found, execution = Run.objects.get(id=run["id"]), Execution.objects.get(run_id=run["id"])
    execution.definition = {"steps": steps}
    assert [len(row.tasks) for row in rows_of(found, execution)[:2]] == [2, 2]


# --- all tasks of a run


def test_all_tasks_of_a_run_stand_on_a_page_of_their_own(cast: Cast, live: Api) -> None:
    run = ran(live, [task("a", "First one [steps:0]", agent="scripted"), task("b", "Second one [fail]", agent="scripted")],
              name="Both", machine_id=simulated(live))  # fmt: skip
    bob = cast.browser("bob")
    address = f"/runs?parent_id={run['id']}"
    assert address in text(bob.get(f"/runs/{run['id']}"))
    page = text(bob.get(address))
    assert "Tasks of Both" in page
    assert page.index("Second one") < page.index("First one")
    assert "First one" not in text(bob.get(f"{address}&status=failed"))
    assert "No tasks yet" in text(bob.get(f"/runs?parent_id={ran(live, [check('c', 1, 1)])['id']}"))
    assert bob.get("/runs?parent_id=wfr_none").status_code == 404


def test_another_teams_tasks_are_not_found(cast: Cast, live: Api) -> None:
    run = ran(live, [check("c", 1, 1)])
    assert make_cast("strangers").browser("bob").get(f"/runs?parent_id={run['id']}").status_code == 404


# --- lists, mails


@pytest.mark.parametrize("path", ["/runs", "/"])
def test_lists_call_a_workflow_run_by_its_name(cast: Cast, live: Api, path: str) -> None:
    ran(live, [approval("ok")], name="Month’s end")
    page = text(cast.browser("ana").get(path))
    assert "Month’s end" in page
    assert '<span class="mono">ok</span>' in page


def test_the_queue_says_that_a_task_of_a_workflow_asks(cast: Cast, test_key: Api) -> None:
    ran(test_key, [task("odd", "x [pause]")], name="Month’s end")
    ana = cast.browser("ana")
    ana.post("/switch", {"mode": "test"})
    assert 'Task <span class="mono">odd</span> of a workflow: x [pause]' in " ".join(text(ana.get("/")).split())


def _words(letter: Any) -> list[str]:
    """The text and the page of a letter, each on one line."""
    return [" ".join(strip_tags(each.replace("<", " <")).split()) for each in (letter.body, letter.alternatives[0][0])]


def test_mails_speak_of_workflows_and_their_steps(cast: Cast, test_key: Api) -> None:
    ran(test_key, [approval("sign_off", message="Publish?")], name="Month’s end")
    for words in _words(carry()[0]):
        assert "Workflow Month’s end Started by" in words
        assert "Step sign_off Waiting" in words
        assert "agent" not in words.lower()
    ran(test_key, [task("odd", "x [pause]")], name="Month’s end")
    later()
    for words in _words(carry()[0]):
        assert "Workflow its task odd Started by" in words
    ran(test_key, [approval("sign_off")], name="Month’s end")
    ran(test_key, [task("odd", "x [pause]")])
    later()
    for words in _words(carry()[0]):
        assert "Workflow: Month’s end, step sign_off" in words
        assert "Task odd of a workflow: x [pause]" in words


def test_the_mailed_page_names_the_step_and_does_not_speak_of_agents(cast: Cast, test_key: Api) -> None:
    ran(test_key, [approval("sign_off", message="Publish?")], name="Month’s end")
    letter = next(each for each in carry() if each.to == ["ana@acme.test"])
    page = text(cast.browser("ana").get(link_in(letter)))
    assert '<dt>Step</dt><dd><span class="mono">sign_off</span></dd>' in page
    assert "The agent" not in page
