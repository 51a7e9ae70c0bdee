"""The commands that the product was asked for by, word for word, on a fresh installation with the default agent.

Host, key and ids are replaced, nothing else.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.own_processes import wait_until
from tests.live.fresh import Fresh, installed
from tests.live.seed_client import SeedClient

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NO_MODEL = "No model is connected and I cannot read this task: a person has to do it"
SYSTEM_PROMPT = (
    "You are a helpful assistant that uses the computer to complete tasks. Always try to finish the task before returning. "
    "If you get stuck, ask for clarification."
)
SUITE = "printf '#!/bin/sh\\necho all 3 tests passed\\n' > run-tests && chmod +x run-tests"


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    yield from installed()


@pytest.fixture(autouse=True)
def _machines_are_free(fresh: Fresh) -> Iterator[None]:
    yield
    try:
        assert wait_until(fresh.is_free, 10, 0.1)
    finally:
        for run in fresh.ok("GET", "/v1/runs?status=queued,running,awaiting_human")["data"]:
            fresh.call("POST", f"/v1/runs/{run['id']}/cancel")


# --- 1. approve and resume


def test_T_176_the_first_command_succeeds_verified_and_the_file_is_there(fresh: Fresh) -> None:
    fresh.shell("rm -f approval.txt")
    body = {
        "machine_id": fresh.machine(), "task": "Create a file named approval.txt and stop", "cua_version": "v4",
        "on_awaiting_human": "pause", "max_steps": 20,
    }  # fmt: skip
    made = fresh.ok("POST", "/v1/runs", body)
    assert (made["state"], made["status"]) == ("queued", "queued")
    run = fresh.reaches(made["id"], "succeeded", "failed")
    assert (run["state"], run["result"]["passed"], run["result"]["verdict"]) == ("succeeded", True, "pass"), run
    assert set(run["result"]) == {"passed", "status", "summary", "verdict", "output", "output_text", "skipped"}
    assert made["id"] in [r["id"] for r in fresh.ok("GET", "/v1/runs")["data"]]
    assert fresh.shell("ls approval.txt")["exit_code"] == 0
    assert fresh.call("POST", f"/v1/runs/{made['id']}/resume").status_code == 409
    assert fresh.call("POST", f"/v1/runs/{made['id']}/cancel").status_code == 409


def test_T_176_a_file_that_a_person_removed_before_the_end_is_missed(fresh: Fresh) -> None:
    task = "Create a file named approval.txt, ask for approval and stop"
    body = {"machine_id": fresh.machine(), "task": task, "cua_version": "v4"}
    run_id = fresh.ok("POST", "/v1/runs", body)["id"]
    fresh.reaches(run_id, "awaiting_human")
    (file,) = fresh.folder.glob(f"**/{fresh.machine()}/**/approval.txt")  # the run has the machine's shell
    file.unlink()
    assert fresh.ok("POST", f"/v1/runs/{run_id}/resume")["state"] == "running"
    run = fresh.reaches(run_id, "succeeded", "failed")
    assert (run["state"], run["error"]["code"], run["result"]["passed"]) == ("failed", "VERIFICATION_FAILED", False), (
        run
    )
    assert "approval.txt" in run["result"]["summary"]


def test_the_first_command_is_cancelled_while_it_waits(fresh: Fresh) -> None:
    body = {"machine_id": fresh.machine(), "task": "ask for approval, then stop", "cua_version": "v4"}
    run_id = fresh.ok("POST", "/v1/runs", body)["id"]
    fresh.reaches(run_id, "awaiting_human")
    assert fresh.ok("POST", f"/v1/runs/{run_id}/cancel")["state"] == "cancelled"


def test_the_result_says_what_the_last_command_said(fresh: Fresh) -> None:
    task = 'Run `echo all is well`, run `true`, check that the page shows "well"'
    run_id = fresh.ok("POST", "/v1/runs", {"machine_id": fresh.machine(), "task": task, "cua_version": "v4"})["id"]
    result = fresh.reaches(run_id, "succeeded", "failed")["result"]
    assert (result["passed"], result["verdict"], result["skipped"]) == (True, "pass", 0), result
    only = {"machine_id": fresh.machine(), "task": "Run `echo all is well`"}
    run = fresh.reaches(fresh.ok("POST", "/v1/runs", only)["id"], "succeeded", "failed")
    assert "all is well" in run["result"]["output_text"]


# --- 2. autonomous run


def pricing(fresh: Fresh) -> str:
    body = {
        "machine_id": fresh.machine(), "task": "Open the Coasty website and find the pricing page", "cua_version": "v4",
        "instructions": "If you see a login modal, skip it", "system_prompt": SYSTEM_PROMPT, "max_steps": 200,
        "deadline_seconds": 600, "on_awaiting_human": "pause", "webhook_url": "https://example.com/hook",
    }  # fmt: skip
    run_id = str(fresh.ok("POST", "/v1/runs", body)["id"])
    run = fresh.reaches(run_id, "awaiting_human", "failed")
    assert (run["state"], run["awaiting_human_reason"]) == ("awaiting_human", NO_MODEL)
    (approval,) = run["open_approvals"]
    assert fresh.ok("GET", f"/v1/approvals/{approval}")["kind"] == "takeover"
    return run_id


def signal(fresh: Fresh, run_id: str, action: str) -> None:
    answer = fresh.call("POST", f"/v1/runs/{run_id}/signal", {"action": action})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "way",
    [
        lambda fresh, run: fresh.ok("POST", f"/v1/runs/{run}/resume"),
        lambda fresh, run: signal(fresh, run, "approve"),
        lambda fresh, run: fresh.ok(
            "POST", f"/v1/approvals/{fresh.run(run)['open_approvals'][0]}/decide", {"verdict": "approve"}
        ),
    ],
    ids=["resume", "signal", "decide"],
)
def test_T_177_a_person_ends_what_cannot_be_read(fresh: Fresh, way: Callable[[Fresh, str], Any]) -> None:
    run_id = pricing(fresh)
    way(fresh, run_id)
    run = fresh.reaches(run_id, "succeeded", "failed")
    assert (run["state"], run["result"]["passed"], run["result"]["verdict"]) == ("succeeded", True, None), run
    assert run["result"]["summary"] == "A person did this task: Open the Coasty website and find the pricing page"
    events = fresh.call("GET", f"/v1/runs/{run_id}/events", Last_Event_ID="1")
    assert events.status_code in (200, 204)
    assert '"done"' in events.text or "event: done" in events.text


def test_T_177_a_rejection_fails_it(fresh: Fresh) -> None:
    run_id = pricing(fresh)
    signal(fresh, run_id, "reject")
    run = fresh.reaches(run_id, "succeeded", "failed")
    assert (run["state"], run["error"]["code"]) == ("failed", "REJECTED")


def test_T_177_without_people_it_fails_with_the_same_words(fresh: Fresh) -> None:
    body = {"machine_id": fresh.machine(), "task": "Tidy up my desk", "human_in_the_loop": False}
    run = fresh.reaches(fresh.ok("POST", "/v1/runs", body)["id"], "succeeded", "failed")
    assert (run["state"], run["error"]["code"], run["error"]["message"]) == ("failed", "TASK_FAILED", NO_MODEL)


# --- 3. modes of people


@pytest.mark.parametrize("mode", ["approval", "plan"])
def test_no_people_and_a_mode_that_needs_them_is_refused(fresh: Fresh, mode: str) -> None:
    body = {"machine_id": fresh.machine(), "task": "stop", "human_in_the_loop": False, "permission_mode": mode}
    assert fresh.call("POST", "/v1/runs", body).status_code == 422


def test_questions_are_answered_by_their_text(fresh: Fresh) -> None:
    task = 'ask "Which colour?" with the options "Red", "Green", then create a file named colour.txt with the text "x"'
    run_id = fresh.ok("POST", "/v1/runs", {"machine_id": fresh.machine(), "task": task, "human_in_the_loop": True})[
        "id"
    ]
    fresh.reaches(run_id, "awaiting_human")
    answer = fresh.ok("POST", f"/v1/runs/{run_id}/answer", {"answers": {"Which colour?": "Green"}})
    assert (answer["status"], answer["resumed"]) == ("ok", True)
    assert fresh.reaches(run_id, "succeeded", "failed")["state"] == "succeeded"


def test_a_plan_is_revised_and_approved_and_each_tool_call_asked_about(fresh: Fresh) -> None:
    body = {"machine_id": fresh.machine(), "task": "run `true`", "human_in_the_loop": True, "permission_mode": "plan"}
    run_id = fresh.ok("POST", "/v1/runs", body)["id"]
    fresh.reaches(run_id, "awaiting_human")
    fresh.ok("POST", f"/v1/runs/{run_id}/answer", {"answers": {"plan": "Do it more slowly."}})
    assert wait_until(lambda: len(fresh.run(run_id)["open_approvals"]) == 1, 20, 0.1)
    fresh.ok("POST", f"/v1/runs/{run_id}/answer", {"answers": {"plan": "Approve"}})
    assert fresh.reaches(run_id, "succeeded", "failed")["state"] == "succeeded"

    body |= {"permission_mode": "approval"}
    run_id = fresh.ok("POST", "/v1/runs", body)["id"]
    (approval,) = fresh.reaches(run_id, "awaiting_human")["open_approvals"]
    allow = {"request_id": approval, "decision": "allow", "remember": True}
    assert fresh.ok("POST", f"/v1/runs/{run_id}/approve", allow)["remembered"] is True
    assert fresh.reaches(run_id, "succeeded", "failed")["state"] == "succeeded"
    for policy in fresh.ok("GET", "/v1/permissions")["data"]:
        assert fresh.call("DELETE", f"/v1/permissions/{policy['id']}").status_code == 204


# --- 4. signals and the enveloped stream


@pytest.mark.parametrize("world", ["live", "test"])
@pytest.mark.parametrize(("answer", "end"), [(True, "run.worker.succeeded"), (False, "run.worker.failed")])
def test_T_177_the_client_program_ends_by_itself(fresh: Fresh, world: str, answer: bool, end: str) -> None:
    client = SeedClient(fresh.base, getattr(fresh, world), answer)
    run_id = client.start()
    assert client.follow(run_id) == (end if world == "live" else "run.worker.succeeded"), client.types
    assert ("run.awaiting_input" in client.types) == (world == "live")


@pytest.mark.parametrize("cut", [97, 230, 411, 800])
def test_the_client_program_survives_cut_connections(fresh: Fresh, cut: int) -> None:
    client = SeedClient(fresh.base, fresh.live, True, cut=0)
    run_id = client.start()
    assert client.follow(run_id) == "run.worker.succeeded"
    longest = max(len(line) for line in fresh.call("GET", f"/v1/runs/{run_id}/events/stream").text.split("\n\n")) + 2
    again = SeedClient(fresh.base, fresh.live, True, cut=longest + cut)
    assert again.follow(run_id) == "run.worker.succeeded"
    assert again.seqs == client.seqs


@pytest.mark.skipif(not shutil.which("npm") or not shutil.which("node"), reason="Node.js is not installed")
@pytest.mark.parametrize(("answer", "end"), [("yes", "run.worker.succeeded"), ("no", "run.worker.failed")])
def test_the_client_program_itself_ends_in_node(fresh: Fresh, node_folder: Path, answer: str, end: str) -> None:
    command = ["node", str(node_folder / "client.mjs"), fresh.base, fresh.live, answer]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"type": end}


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program beside the published library, from the package registry."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copy(HERE / "client.mjs", folder)
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(folder),
        "@microsoft/fetch-event-source@2.0.1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"The package registry cannot be reached: {done.stderr[-200:]}")
    return folder


def test_a_signal_carries_data_and_a_reason(fresh: Fresh) -> None:
    run_id = fresh.ok("POST", "/v1/runs", {"task": "x [input]"}, key=fresh.test)["id"]
    assert wait_until(lambda: fresh.run(run_id, fresh.test)["state"] == "awaiting_human", 20, 0.1)
    payload = {
        "recipient": "team-leads@company.com", "subject": "Q1 Summary",
        "additional_context": "Only include announcements from March.",
    }  # fmt: skip
    path, headers = f"/v1/runs/{run_id}/signal", {"Idempotency_Key": "5f0f7c1e-9d5b-4a7e-8a51-1d1f6f2b8f11"}
    sent = fresh.call("POST", path, {"action": "submit_input", "payload": payload}, key=fresh.test, **headers)
    assert sent.status_code == 200, sent.text
    assert wait_until(lambda: fresh.run(run_id, fresh.test)["state"] == "succeeded", 20, 0.1)
    late = fresh.call("POST", path, {"action": "approve"}, key=fresh.test)
    assert (late.status_code, late.json()["error"]["reason_code"]) == (409, "run_not_awaiting_input")
    wrong = fresh.call("POST", path, {"action": "dance"}, key=fresh.test)
    assert (wrong.status_code, wrong.json()["error"]["reason_code"]) == (422, "invalid_signal_type")


# --- 5. workflow


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_the_workflow_sets_up_tests_waits_and_cleans_up(fresh: Fresh, version: str) -> None:
    assert fresh.shell(SUITE)["exit_code"] == 0
    equals = {"type": "field_equals", "value": "succeeded"}
    steps = [
        {"id": "start_up", "type": "task", "task": "Start the web server and wait for it to listen on port 8080",
         "max_steps": 20},
        {"id": "assert_ready", "type": "assert", "condition": equals | {"field": "start_up.status"}},
        {"id": "run_test", "type": "task", "task": "Run the integration test suite", "max_steps": 50},
        {"id": "check_test", "type": "assert", "condition": equals | {"field": "run_test.status"}},
        {"id": "human_ok", "type": "human_approval", "instruction": "Review the test results"},
        {"id": "cleanup", "type": "task", "task": "Stop the web server", "max_steps": 10},
        {"id": "final", "type": "succeed", "message": "Setup and test workflow completed successfully"},
    ]  # fmt: skip
    workflow = fresh.ok("POST", "/v1/workflows", {"name": "setup-and-test", "version": "1.0.0", "steps": steps})
    start = {"machine_id": fresh.machine(), "cua_version": version}
    run_id = fresh.ok("POST", f"/v1/workflows/{workflow['id']}/runs", start)["id"]
    run = fresh.reaches(run_id, "awaiting_human", "failed")
    assert (run["state"], run["awaiting_step_id"]) == ("awaiting_human", "human_ok"), run
    assert fresh.ok("POST", f"/v1/runs/{run_id}/resume")["id"] == run_id
    run = fresh.reaches(run_id, "succeeded", "failed")
    tasks = fresh.ok("GET", f"/v1/runs?parent_id={run_id}")["data"]
    assert run["state"] == "succeeded", (run, tasks)
    assert run["result"]["summary"] == "Setup and test workflow completed successfully"
    assert [task["result"]["passed"] for task in tasks] == [True, True, True], tasks
    assert {task["result"]["verdict"] for task in tasks} == {"pass" if version == "v4" else None}
