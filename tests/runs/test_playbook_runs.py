"""Runs of the playbook agent at the doors: what was left out, what nobody could read, what the result says."""

from typing import Any

import pytest

from runs.agents.playbook.unread import NOTHING_READ
from runs.log import record
from runs.models import Run
from runs.services import lock_run
from tests.cast import Api, Cast
from tests.runs.driving import begin, data_of, drive_all, ended, request_of, show, waiting
from tests.workflows.engine import ran, task, work

pytestmark = pytest.mark.django_db
KEYS = {"passed", "status", "summary", "verdict", "output", "output_text", "skipped"}


def answered(api: Api, run: dict[str, Any], **answers: str) -> dict[str, Any]:
    response = api.post(f"/runs/{run['id']}/answer", {"answers": answers})
    assert response.status_code == 200, response.content
    drive_all()
    return show(api, run["id"])


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_T_178_one_skipped_instruction_and_the_run_has_not_passed(test_key: Api, version: str) -> None:
    run = waiting(test_key, "press Enter; dance; press Tab", agent="playbook", cua_version=version)
    run = answered(test_key, run, sentence="Skip")
    assert (run["status"], run["result"]["passed"], run["result"]["skipped"]) == ("succeeded", False, 1)
    assert "1 of 3 skipped" in run["result"]["summary"]
    assert set(run["result"]) == KEYS
    assert data_of(run["id"], "done")[0]["result"] == run["result"]


def test_T_178_a_denied_action_counts_as_skipped(test_key: Api) -> None:
    people = {"human_in_the_loop": True, "permission_mode": "approval"}
    run = waiting(test_key, "press Enter; press Tab", agent="playbook", **people)
    for verdict in ("reject", "approve"):
        test_key.post(f"/approvals/{request_of(test_key, run)['id']}/decide", {"verdict": verdict})
        drive_all()
    run = show(test_key, run["id"])
    assert (run["status"], run["result"]["passed"], run["result"]["skipped"]) == ("succeeded", False, 1)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_T_178_when_everything_is_skipped_the_run_fails(test_key: Api, version: str) -> None:
    run = waiting(test_key, "dance; stop", agent="playbook", cua_version=version)
    run = answered(test_key, run, sentence="Skip")
    assert (run["status"], run["error"]["code"]) == ("failed", "TASK_FAILED")
    assert (run["result"]["passed"], run["result"]["skipped"]) == (False, 1)


def test_a_workflow_goes_on_knowing_that_its_task_did_not_pass(test_key: Api) -> None:
    run = ran(test_key, [task("t", "press Enter; dance", agent="playbook")], {"passed": "{{t.passed}}"})
    answer = test_key.post(f"/runs/{run['id']}/answer", {"answers": {"sentence": "Skip"}})
    assert answer.status_code == 200, answer.content
    work()
    run = show(test_key, run["id"])
    assert (run["status"], run["output"]) == ("succeeded", {"passed": False})
    assert run["result"] == {
        "passed": True, "status": "succeeded", "summary": "", "verdict": None, "output": {"passed": False},
        "output_text": None, "skipped": 1,
    }  # fmt: skip


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_T_177_who_hands_back_a_task_that_nobody_could_read_has_done_it(test_key: Api, version: str) -> None:
    for call, body in ((("resume"), None), ("signal", {"action": "approve"}), ("resume", {"note": "Sent by hand."})):
        run = waiting(test_key, "Send the weekly mail", agent="playbook", cua_version=version)
        asked = request_of(test_key, run)
        assert (asked["kind"], asked["message"], asked["allowed_verdicts"]) == (
            "takeover", NOTHING_READ, ["approve", "reject"],
        )  # fmt: skip
        assert test_key.post(f"/runs/{run['id']}/{call}", body).status_code == 200
        drive_all()
        run = show(test_key, run["id"])
        assert (run["status"], run["result"]["passed"], run["result"]["verdict"]) == ("succeeded", True, None)
        assert "A person did this task: Send the weekly mail" in run["result"]["summary"]
    assert "Sent by hand." in run["result"]["summary"]


def test_T_177_a_rejection_fails_it(test_key: Api) -> None:
    for body in ({"approved": False}, {"approved": False, "note": "No."}):
        run = waiting(test_key, "Send the weekly mail", agent="playbook")
        assert test_key.post(f"/runs/{run['id']}/resume", body).status_code == 200
        run = show(test_key, run["id"])
        assert (run["status"], run["error"]["code"]) == ("failed", "REJECTED")


def test_T_177_without_people_it_fails_at_once(test_key: Api) -> None:
    run = ended(test_key, "Send the weekly mail", agent="playbook", human_in_the_loop=False)
    assert (run["status"], run["error"]["code"], run["error"]["message"]) == ("failed", "TASK_FAILED", NOTHING_READ)


def test_all_unread_sentences_are_one_request_whose_refusal_shows_what_would_answer_it(test_key: Api) -> None:
    run = waiting(test_key, "press Enter; dance; sing", agent="playbook")
    asked = request_of(test_key, run)
    assert [q["id"] for q in asked["questions"]] == ["sentence_1", "sentence_2"]
    assert all(len(q["options"]) == 6 for q in asked["questions"])
    refused = test_key.post(f"/runs/{run['id']}/resume").json()["error"]
    assert (refused["code"], refused["missing"]) == ("ANSWER_REQUIRED", ["sentence_1", "sentence_2"])
    run = answered(test_key, run, sentence_1="Skip", sentence_2="press Tab")
    assert (run["status"], run["steps_completed"], run["result"]["skipped"]) == ("succeeded", 2, 1)


def test_the_result_holds_the_last_output(test_key: Api) -> None:
    run = waiting(test_key, "press Enter, ask for approval", agent="playbook")
    row = lock_run(run["id"])
    for output in ("first", "last [...]"):
        record(row, ("tool_result", {"step": 1, "success": True, "output": output, "exit_code": 0}))
    record(row, ("tool_result", {"step": 1, "success": True}))
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert show(test_key, run["id"])["result"]["output_text"] == "last [...]"


def test_secrets_end_with_their_run(test_key: Api) -> None:
    run = waiting(test_key, "ask for the password, ask for approval", agent="playbook")
    body = {"verdict": "submit", "values": {"password": "hunter2hunter2"}}
    assert test_key.post(f"/approvals/{request_of(test_key, run)['id']}/decide", body).status_code == 200
    drive_all()
    kept = Run.objects.get(id=run["id"])
    assert kept.secrets is not None
    assert b"hunter2" not in bytes(kept.secrets)
    assert "hunter2" not in str(kept.memory)
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert Run.objects.get(id=run["id"]).secrets is None


def test_a_refused_run_costs_nothing(test_key: Api) -> None:
    run = begin(test_key, "Send the weekly mail", agent="playbook", human_in_the_loop=False)
    drive_all()
    assert show(test_key, run["id"])["cost_cents"] == 0


def test_a_task_with_values_is_not_offered_to_be_run_again_as_text(test_key: Api, cast: Cast) -> None:
    steps = [task("t", 'press Enter\ntype "{{inputs.v}}"', agent="playbook")]
    run = ran(test_key, steps, inputs={"v": 'x"\npress Tab\ntype "'})
    (child,) = test_key.get(f"/runs?parent_id={run['id']}").json()["data"]
    assert (child["status"], child["steps_completed"]) == ("succeeded", 2)
    browser = cast.browser("olga", mode="test")
    page = browser.get(f"/runs/{child['id']}").content.decode()
    assert "Run again" not in page
    assert "API call that makes the same run" not in page
    assert "press Tab" not in browser.get(f"/runs/new?like={child['id']}").content.decode()
