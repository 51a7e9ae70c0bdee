"""The list of runs, the page of one run, starting, cancelling, and starting again."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Team
from inference.models import Profile
from machines.models import Machine
from runs.log import record
from runs.models import Run, Screenshot, Step
from runs.pages.timeline import action_words
from tests.cast import Cast
from tests.pages.conftest import Visit, request_of, text
from tests.runs.driving import drive_all, simulated

pytestmark = pytest.mark.django_db


def test_runs_are_filtered_and_searched_by_the_address(visit: Visit, begin: Callable[..., Run]) -> None:
    failed, waiting = begin("Pay rent [fail]"), begin("File taxes [pause]")
    bob = visit("bob")
    assert failed.id in text(bob.get("/runs?status=failed"))
    assert waiting.id not in text(bob.get("/runs?status=failed"))
    assert waiting.id in text(bob.get("/runs?status=active"))
    assert waiting.id in text(bob.get("/runs?q=TAXES"))
    assert failed.id not in text(bob.get("/runs?q=TAXES"))
    assert failed.id in text(bob.get(f"/runs?q={failed.id}"))
    assert "No run fits" in text(bob.get("/runs?q=nothing-like-it"))


def test_the_list_says_which_run_and_which_request_keep_a_queued_run_from_its_machine(
    visit: Visit, begin: Callable[..., Run], cast: Cast
) -> None:
    machine = simulated(cast.api(test=True))
    holder = begin("Ask me [pause]", machine_id=machine)
    begin("Me after that", machine_id=machine)
    page = text(visit("bob").get("/runs"))
    assert f"waits for a person: request {request_of(holder).id}" in page
    assert f'(<a href="/runs/{holder.id}">the run</a>)' in page
    assert "1 open request holds up 2 runs" in text(visit("ana").get("/"))


def test_long_lists_have_pages(visit: Visit, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.views.PAGE", 2)
    runs = [begin(f"number {n} [steps:0]") for n in range(3)]
    page = visit("bob").get("/runs")
    cursor = page.context["next_cursor"]
    assert runs[0].id not in text(page)
    older = visit("bob").get("/runs") if not cursor else visit("bob").get(f"/runs?cursor={cursor}")
    assert runs[0].id in text(older)
    assert visit("bob").get("/runs?cursor=forged").status_code == 400


def test_starting_a_run_from_the_form(visit: Visit, machine: Machine) -> None:
    sent = {
        "task": "Do it",
        "machine_id": machine.id,
        "agent": "scripted",
        "permission_mode": "approval",
        "budget": "1.50",
        "max_steps": "7",
    }
    answer = visit("alice", "live").post("/runs/new", sent)
    run = Run.objects.get()
    assert answer.redirect_chain[-1][0] == f"/runs/{run.id}"
    assert (run.task, run.machine_id, run.budget_cents, run.max_steps) == ("Do it", machine.id, 150, 7)
    assert (run.permission_mode, run.human_in_the_loop, run.created_by["name"]) == ("approval", True, "Alice")


def test_what_the_service_refuses_comes_back_with_the_form(visit: Visit) -> None:
    answer = visit("alice", "live").post("/runs/new", {"task": "Do it", "max_steps": "0"})
    assert answer.status_code == 422
    assert "greater than or equal to 1" in text(answer)
    answer = visit("alice", "live").post("/runs/new", {"task": "Do it"})
    assert "Name a machine; the team has no default machine." in text(answer)
    assert "Do it</textarea>" in text(answer)
    assert not Run.objects.exists()


def test_the_form_says_which_machine_is_the_teams_default(visit: Visit, machine: Machine) -> None:
    none, named = "Choose one: the team has no default machine", "The team’s default: Desk 1"
    assert none in text(visit("alice", "live").get("/runs/new"))
    Team.objects.update(default_machine_id=machine.id)
    assert named in text(visit("alice", "live").get("/runs/new"))
    Machine.objects.update(status="terminated", terminated_at=timezone.now())
    assert none in text(visit("alice", "live").get("/runs/new"))


def test_contradictions_are_told_at_their_field(visit: Visit) -> None:
    sent = {"task": "x", "human_in_the_loop": "false", "permission_mode": "approval"}
    assert "Needs human_in_the_loop true." in text(visit("alice").post("/runs/new", sent))


def test_running_again_is_the_form_filled_in(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("Once more [steps:1]", max_steps=9, budget_cents=250, priority=8)
    page = text(visit("alice").get(f"/runs/new?like={run.id}"))
    assert "Once more [steps:1]" in page
    assert 'name="max_steps" value="9"' in page
    assert 'value="2.5"' in page


def test_a_run_tells_why_it_waits_and_shows_its_request(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("Ask me [pause]")
    page = text(visit("ana").get(f"/runs/{run.id}"))
    assert "Waits for a person" in page
    assert "Scripted run asks for approval after step 1." in page
    assert f'id="card-{request_of(run).id}"' in page
    assert f"/ws/runs/{run.id}?after={run.next_seq - 1}" in page


def test_a_failed_run_begins_with_the_reason(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("[fail]", max_steps=1)
    page = text(visit("bob").get(f"/runs/{run.id}"))
    assert "MAX_STEPS_REACHED" in page
    assert page.index("used all its steps") < page.index('id="steps-title"')
    assert "Run it again with more steps." in page


def test_a_step_is_part_of_the_address(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("Three steps")
    page = text(visit("bob").get(f"/runs/{run.id}?step=1"))
    assert 'cx="101" cy="200"' in page
    assert "Clicked at 101, 200" in page
    assert "Typed “hello”" in page
    assert 'aria-current="step"' in page
    assert 'alt="Screen before step 1' in text(visit("bob").get(f"/runs/{run.id}?step=1&phase=before"))
    for odd in ("99", "-1", "0", "x", "٣", "1e3", "9" * 5000):
        assert visit("bob").get(f"/runs/{run.id}?step={odd}").status_code == 200


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("type_text", "{{secret:shop password}}", 'Typed the secret "shop password"'),
        ("type_text", "x {{secret:a}}", "Typed “x {{secret:a}}”"),
        ("fill", "{{ secret: code }}", 'Filled in the secret "code"'),
        ("fill", "ana", "Filled in “ana”"),
    ],
)
def test_a_step_that_typed_a_secret_names_it_as_its_request_did(name: str, text: str, words: str) -> None:
    assert action_words({"name": name, "params": {"text": text}}) == words


def test_long_runs_show_their_newest_steps_first(
    visit: Visit, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.views.SHOWN", 5)
    run = begin("[steps:8]")
    bob = visit("bob")
    assert "Show the 3 earlier steps" in text(bob.get(f"/runs/{run.id}"))
    assert "Show the 3 earlier steps" not in text(bob.get(f"/runs/{run.id}?all=1"))


def test_decided_requests_are_bands_with_their_decider(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    ana = visit("ana")
    ana.post(f"/approvals/{request_of(run).id}/decide", {"verdict": "approve", "note": "fine by me"})
    page = text(visit("bob").get(f"/runs/{run.id}"))
    assert "<strong>Approved</strong> by Ana" in page
    assert "“fine by me”" in page


def test_an_answered_question_shows_its_answer_in_its_band(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [question]")
    asked = request_of(run)
    (question,) = asked.questions
    chosen = question["options"][0]["label"]
    visit("ana").post(f"/approvals/{asked.id}/decide", {"verdict": "answer", f"q.{question['id']}": chosen})
    page = text(visit("bob").get(f"/runs/{run.id}"))
    band = page.split(f'id="band-{asked.id}"', 1)[1].split("</li>", 1)[0]
    assert "Answered" in band
    assert re.search(rf'<dd class="untrusted">{chosen}</dd>', band)


def test_what_a_person_did_alone_is_not_said_by_the_agent(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("Tidy the folder nicely", agent="playbook")
    visit("ana").post(f"/approvals/{request_of(run).id}/decide", {"verdict": "approve", "note": "tidied"})
    drive_all()
    run.refresh_from_db()
    assert run.result is not None
    assert run.result["passed"]
    page = text(visit("bob").get(f"/runs/{run.id}"))
    assert "a person says that the task is done" in page
    assert "the agent says" not in page


def test_cancelling_asks_first_and_keeps_the_reason(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    alice = visit("alice")
    assert "Cancel this run?" in text(alice.get(f"/runs/{run.id}/cancel"))
    page = text(alice.post(f"/runs/{run.id}/cancel", {"reason": "changed my mind"}))
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert "Run again" in page
    assert "has ended already" in text(alice.post(f"/runs/{run.id}/cancel"))


def test_the_same_run_as_an_api_call(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("It's mine", max_steps=7)
    call = visit("bob").get(f"/runs/{run.id}").context["api_call"]
    assert call.startswith("curl -X POST http://testserver/v1/runs")
    assert "It'\\''s mine" in call
    assert '"max_steps": 7' in call
    assert "deadline_clock" not in call


def test_the_system_prompt_is_never_shown(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]", system_prompt="only the agent reads this")
    assert run.system_prompt == "only the agent reads this"
    for person in ("olga", "bob"):
        assert "only the agent reads this" not in text(visit(person).get(f"/runs/{run.id}"))


def test_the_form_says_of_each_sentence_whether_it_is_understood_and_what_would_be(visit: Visit) -> None:
    alice = visit("alice")
    task = 'press Enter\nls -la\nclick "Save"'
    page = text(alice.post("/runs/new/reading", {"task": task, "agent": "playbook"}))
    assert "1 of 3 instructions cannot be read" in page
    assert page.count("Understood:") == 2
    assert "Not understood:" in page
    assert "<code>run `ls -la`</code>" in page
    assert "all understood" in text(alice.post("/runs/new/reading", {"task": "stop", "agent": "playbook"}))
    assert "a person has to do it" in text(alice.post("/runs/new/reading", {"task": "Tidy up", "agent": "playbook"}))
    hostile = text(alice.post("/runs/new/reading", {"task": "<b>x</b> \u202e\0", "agent": "playbook"}))
    assert "<b>" not in hostile
    for other in ({"task": task}, {"task": task, "agent": "scripted"}, {"task": " ", "agent": "playbook"}, {}):
        assert "nderstood" not in text(alice.post("/runs/new/reading", other))


def test_without_scripts_the_form_says_it_when_it_comes_back(visit: Visit) -> None:
    page = text(visit("alice", "live").get("/runs/new?task=ls+-la&agent=playbook"))
    assert "Nothing of this can be read" in page
    assert "run `ls -la`" in page
    refused = visit("alice").post("/runs/new", {"task": "stop; dance", "agent": "playbook", "priority": "99"})
    assert refused.status_code == 422
    assert "1 of 2 instructions cannot be read" in text(refused)


def test_the_form_says_where_the_run_would_go_before_it_is_started(visit: Visit, machine: Machine) -> None:
    Team.objects.update(default_machine_id=machine.id)
    alice = visit("alice", "live")
    assert "It runs on Desk 1, the team’s default." in text(alice.get("/runs/new"))
    Machine.objects.create(
        team=machine.team, test=False, kind="browser", display_name="Web <1>", created_by=machine.created_by,
        status="running", current_run_id="run_other",
    )  # fmt: skip
    page = text(alice.post("/runs/new/machine", {"task": "Open https://a.test/"}))
    assert "It runs on Web &lt;1&gt;: the task needs a machine of kind browser. Another run has it now" in page
    page = text(alice.post("/runs/new/machine", {"task": "Open https://a.test/", "machine_id": machine.id}))
    assert "It runs on Desk 1." in page
    assert "Open https://a.test/</textarea>" in page
    assert "There is no such machine." in text(alice.post("/runs/new/machine", {"machine_id": "mch_x\0"}))
    assert "It gets a simulated machine of its own." in text(visit("alice", "test").get("/runs/new"))
    assert not Run.objects.exists()


def test_who_has_a_model_is_told_that_a_terminal_shows_no_websites(visit: Visit, machine: Machine) -> None:
    Machine.objects.update(kind="terminal")
    Team.objects.update(default_machine_id=machine.id)
    Profile.objects.create(name="claude", wire="anthropic", model="m", created_by={}, is_default=True)
    alice = visit("alice", "live")
    words = "For work on websites choose a browser."
    assert words in text(alice.post("/runs/new/machine", {"task": "Sort it out"}))
    assert words not in text(alice.post("/runs/new/machine", {"task": "Sort it out", "agent": "playbook"}))
    page = text(alice.post("/runs/new/machine", {"task": "Open the website of the shop"}))
    assert "needs a machine of kind browser, and the team has none." in page
    assert "it goes to Desk 1, the team’s default, and has only that." in page


def test_a_task_for_a_kind_that_the_team_lacks_is_said_to_fail(visit: Visit, machine: Machine) -> None:
    Machine.objects.update(kind="terminal")
    Team.objects.update(default_machine_id=machine.id)
    page = text(visit("alice", "live").post("/runs/new/machine", {"task": "Open https://a.test/"}))
    assert "The task needs a machine of kind browser, and the team has none." in page
    assert "it goes to Desk 1, the team’s default, and fails there." in page


def test_a_task_that_no_one_machine_can_do_is_said_to_fail_before_it_is_started(visit: Visit, machine: Machine) -> None:
    Machine.objects.create(
        team=machine.team,
        test=False,
        kind="browser",
        display_name="Web",
        created_by=machine.created_by,
        status="running",
    )
    Machine.objects.filter(id=machine.id).update(kind="terminal")
    alice, fails = visit("alice", "live"), "An instruction of it needs a {} machine: the run fails there."
    mixed = {"task": "open https://a.test/ and run `ls`", "agent": "playbook"}
    page = text(alice.post("/runs/new/machine", mixed))
    assert f"It runs on Web: the task needs a machine of kind browser. {fails.format('terminal')}" in page
    page = text(alice.post("/runs/new/machine", mixed | {"machine_id": machine.id}))
    assert f"It runs on Desk 1. {fails.format('browser')}" in page
    page = text(alice.post("/runs/new/machine", {"task": "run `ls`", "agent": "playbook", "machine_id": machine.id}))
    assert "the run fails there" not in page
    page = text(alice.post("/runs/new/machine", mixed | {"machine_id": machine.id, "agent": "scripted"}))
    assert "the run fails there" not in page


def test_a_failed_run_opens_at_the_step_that_failed_with_its_exit_code_and_what_the_command_wrote(
    visit: Visit, begin: Callable[..., Run]
) -> None:
    run = begin("Three [steps:3]")
    Step.objects.filter(run=run, index=2).update(
        success=False, exit_code=2, error="Ended with exit code 2: ls: nothing\nlike it", output="ls: nothing\nlike it"
    )
    Screenshot.objects.filter(run=run, step=2).update(text="$ ls /nonexist")
    bob = visit("bob")
    assert 'aria-current="step"' not in text(bob.get(f"/runs/{run.id}"))  # it succeeded: nothing to open
    Run.objects.filter(id=run.id).update(status="failed", error={"code": "TASK_FAILED", "message": "No"})
    page = text(bob.get(f"/runs/{run.id}"))
    assert "Step 2, which failed" in page
    assert page.count('aria-current="step"') == page.count('class="step-failed"') == 1
    assert re.search(r"<dt>Exit code</dt><dd[^>]*>2</dd>", page)
    assert re.search(r"What the command wrote</h3>\s*<div[^>]*><pre[^>]*>ls: nothing\nlike it</pre>", page)
    assert re.search(r"The screen as text</summary>\s*<div[^>]*><pre[^>]*>\$ ls /nonexist</pre>", page)
    assert "Step 3, which failed" not in text(bob.get(f"/runs/{run.id}?step=3"))
    assert "What the command wrote" not in text(bob.get(f"/runs/{run.id}?step=3"))
    assert "Where it failed" in text(bob.get(f"/runs/{run.id}?step=3"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"success": True, "exit_code": 0}, "Ran rm -r old"),
        ({"success": False, "exit_code": 1}, "Ran rm -r old"),
        ({"success": False, "skipped": True}, "Run rm -r old"),
        ({"success": False}, "Run rm -r old"),
        ({"success": None, "status": "interrupted"}, "Run rm -r old"),
        ({"success": False, "action": {"name": "run_line", "params": {"keys": 1}}}, "run_line"),
    ],
)
def test_only_what_was_done_is_told_as_done(
    visit: Visit, begin: Callable[..., Run], fields: dict[str, Any], words: str
) -> None:
    run = begin("Three [steps:3]")
    action = {"name": "run_line", "params": {"command": "rm -r old"}}
    Step.objects.filter(run=run, index=2).update(**{"action": action} | fields)
    page = text(visit("bob").get(f"/runs/{run.id}"))
    assert f'<span class="step-act">{words}' in page
    assert words.startswith("Ran") or "Ran " not in page


def test_what_a_machine_said_of_a_step_besides_stands_at_it(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("Three [steps:3]")
    step = Step.objects.get(run=run, index=2)
    note = "The field shows <b>1.000,00</b>."
    with transaction.atomic():
        run.refresh_from_db()
        record(run, ("tool_result", {"step": 2, "call_id": step.call_id, "success": True, "note": note}))
    kept = "The field shows &lt;b&gt;1.000,00&lt;/b&gt;."
    assert text(visit("bob").get(f"/runs/{run.id}?step=3")).count(kept) == 1  # in its row alone
    assert text(visit("bob").get(f"/runs/{run.id}?step=2")).count(kept) == 2
    assert "<dt>Note</dt>" not in text(visit("bob").get(f"/runs/{run.id}?step=3"))


@pytest.mark.parametrize(
    ("result", "words", "look"),
    [
        ({"passed": True, "summary": "Done.", "output_text": "Linux <i>x</i>"}, "the agent says that", "note-good"),
        ({"passed": False, "summary": "1 of 3 skipped.", "skipped": 1}, "1 of 3 skipped", "note-warn"),
    ],
)
def test_the_end_says_what_happened(
    visit: Visit, begin: Callable[..., Run], result: dict[str, Any], words: str, look: str
) -> None:
    run = begin("Three [steps:3]")
    Run.objects.filter(id=run.id).update(result={"verdict": None, "skipped": 0} | result)
    page = text(visit("bob").get(f"/runs/{run.id}"))
    assert words in page
    assert f"{look} run-end" in page
    badge = "Succeeded" if result["passed"] else "Not all done"  # in its own strip and in the list
    assert f"{badge}</span>" in page
    assert f"{badge}</span>" in text(visit("bob").get("/runs"))
    assert ("Linux &lt;i&gt;x&lt;/i&gt;</pre>" in page) == ("output_text" in result)


def test_what_a_terminal_showed_stands_as_text_on_the_card(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    page = text(visit("ana").get("/"))
    assert "The screen as text" not in page
    Screenshot.objects.filter(run=run).update(text="agent@machine:~$ ls\n<b>notes</b>\u202e")
    page = text(visit("ana").get("/"))
    assert "agent@machine:~$ ls\n&lt;b&gt;notes&lt;/b&gt;" in page.split('aria-label="The screen as text">')[1]
    assert "\u202e" not in page
