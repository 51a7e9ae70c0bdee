"""Tools that start, look at and cancel runs; and the same runs as tasks, for clients that can wait for one."""

from datetime import timedelta
from typing import Any

import pytest

from runs.models import Run
from tests.cast import Api, Cast
from tests.mcp_server.calls import NEW, OLD, Mcp, error_of
from tests.runs.driving import drive_all

ALL = ("runs:read", "runs:write")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mcp(test_key: Api) -> Mcp:
    return Mcp(test_key.key)


@pytest.fixture
def waiting_client(test_key: Api) -> Mcp:
    return Mcp(test_key.key, tasks=True)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_run_is_started_looked_at_and_ends(test_key: Api, version: str) -> None:
    mcp = Mcp(test_key.key, version=version)
    run = mcp.tool("start_run", task="say hello", agent="scripted")
    assert (run["status"], run["task"], run["agent"]) == ("queued", "say hello", "scripted")
    assert "get_run" in run["next"]
    assert run["url"].endswith(f"/runs/{run['id']}")
    drive_all()
    ended = mcp.tool("get_run", id=run["id"])
    assert (ended["status"], ended["result"]["passed"]) == ("succeeded", True)
    assert "next" not in ended
    assert (ended["id"], ended["test"]) == (run["id"], True)


def test_a_run_is_that_of_the_api(mcp: Mcp, test_key: Api) -> None:
    run = mcp.tool("start_run", task="say hello", agent="scripted")
    shown = test_key.get(f"/runs/{run['id']}").json()
    assert shown["request_id"].startswith("req_")
    assert {key: shown[key] for key in run if key in shown} == {key: run[key] for key in run if key in shown}


def test_a_run_that_waits_says_for_what(mcp: Mcp) -> None:
    run = mcp.tool("start_run", task="x [pause]", agent="scripted")
    drive_all()
    waiting = mcp.tool("get_run", id=run["id"])
    assert waiting["status"] == "awaiting_human"
    assert waiting["waiting_on"]["code"] == "human"
    assert len(waiting["open_approvals"]) == 1
    assert "do not start it again" in waiting["next"]


def test_a_run_is_cancelled_once(mcp: Mcp) -> None:
    run = mcp.tool("start_run", task="x", agent="scripted")
    assert mcp.tool("cancel_run", id=run["id"], reason="Not needed.")["status"] == "cancelled"
    refusal = mcp.refusal("cancel_run", id=run["id"])
    assert (refusal["code"], refusal["current_state"]) == ("INVALID_STATE", "cancelled")


def test_a_call_repeated_under_its_name_starts_one_run(mcp: Mcp) -> None:
    first = mcp.tool("start_run", task="x", agent="scripted", external_id="Order 7, part 2/ü")
    drive_all()
    again = mcp.tool("start_run", task="x", agent="scripted", external_id="Order 7, part 2/ü")
    assert (again["id"], again["status"]) == (first["id"], "succeeded")
    assert mcp.tool("start_run", task="x", agent="scripted", external_id="other")["id"] != first["id"]
    refusal = mcp.refusal("start_run", task="y", agent="scripted", external_id="Order 7, part 2/ü")
    assert refusal["details"][0]["loc"] == ["external_id"]
    assert Run.objects.count() == 2


def test_a_name_belongs_to_its_key(mcp: Mcp, cast: Cast) -> None:
    first = mcp.tool("start_run", task="x", agent="scripted", external_id="a")
    assert (
        Mcp(cast.api(test=True).key).tool("start_run", task="x", agent="scripted", external_id="a")["id"] != first["id"]
    )


@pytest.mark.parametrize(
    ("arguments", "place", "kind"),
    [
        ({}, ["task"], "missing"),
        ({"task": ""}, ["task"], "value_error"),
        ({"task": 5}, ["task"], "type_error"),
        ({"task": "x", "machine": ""}, ["machine"], "value_error"),
        ({"task": "x", "agent": "nobody"}, ["agent"], "value_error"),
        ({"task": "x", "machine_id": "mch_1"}, ["machine_id"], "extra_forbidden"),
        ({"task": "x", "external_id": ""}, ["external_id"], "value_error"),
    ],
)
def test_the_model_reads_what_is_wrong(mcp: Mcp, arguments: dict[str, Any], place: list[str], kind: str) -> None:
    refusal = mcp.refusal("start_run", **arguments)
    assert [(d["loc"], d["type"]) for d in refusal["details"]] == [(place, kind)]
    assert not Run.objects.exists()


def test_a_machine_that_is_not_there_is_said_to_be_missing(live: Api) -> None:
    assert Mcp(live.key).refusal("start_run", task="x", machine="mch_none")["code"] == "MACHINE_NOT_FOUND"


def test_a_key_needs_the_scopes_of_the_api(cast: Cast) -> None:
    reads, writes = (Mcp(cast.api(test=True, scopes=frozenset({scope})).key) for scope in ALL)
    assert reads.refusal("start_run", task="x")["required_scope"] == "runs:write"
    run = writes.tool("start_run", task="x", agent="scripted")
    assert writes.refusal("get_run", id=run["id"])["required_scope"] == "runs:read"
    assert reads.refusal("cancel_run", id=run["id"])["code"] == "INSUFFICIENT_SCOPE"
    assert reads.tool("get_run", id=run["id"])["id"] == run["id"]


def test_what_others_have_does_not_exist(mcp: Mcp, live: Api, strangers: Cast) -> None:
    run = mcp.tool("start_run", task="x", agent="scripted")
    for other in (Mcp(live.key), Mcp(strangers.api(test=True).key)):
        assert other.refusal("get_run", id=run["id"])["code"] == "RUN_NOT_FOUND"
        assert other.refusal("cancel_run", id=run["id"])["code"] == "RUN_NOT_FOUND"


# --- as tasks


def started(client: Mcp, task: str = "x") -> dict[str, Any]:
    params = {"name": "start_run", "arguments": {"task": task, "agent": "scripted"}}
    return client.result("tools/call", params)


def look(client: Mcp, task_id: str) -> dict[str, Any]:
    return client.result("tasks/get", {"taskId": task_id})


def test_a_client_that_can_wait_gets_a_task(waiting_client: Mcp) -> None:
    handle = started(waiting_client, "say hello")
    assert handle["resultType"] == "task"
    assert handle["taskId"].startswith("run_")
    assert (handle["status"], handle["ttlMs"], handle["pollIntervalMs"]) == ("working", None, 1000)
    assert look(waiting_client, handle["taskId"])["status"] == "working"
    drive_all()
    ended = look(waiting_client, handle["taskId"])
    assert (ended["resultType"], ended["status"]) == ("complete", "completed")
    assert ended["result"]["isError"] is False
    assert ended["result"]["structuredContent"]["status"] == "succeeded"
    assert ended["lastUpdatedAt"] > ended["createdAt"]


def test_a_task_waits_for_a_person_as_its_run_does(waiting_client: Mcp, test_key: Api) -> None:
    task_id = started(waiting_client, "x [pause]")["taskId"]
    drive_all()
    working = look(waiting_client, task_id)
    assert (working["status"], working["statusMessage"]) == ("working", "Waiting for a person")
    test_key.post(f"/runs/{task_id}/resume", {"approved": False, "note": "Not today."})
    drive_all()
    ended = look(waiting_client, task_id)
    assert (ended["status"], ended["result"]["isError"]) == ("completed", True)
    assert ended["result"]["structuredContent"]["error"]["message"] == "Not today."


def test_who_waits_for_long_is_told_to_look_less_often(waiting_client: Mcp) -> None:
    task_id = started(waiting_client)["taskId"]
    intervals = []
    for minutes in (0, 5, 60):
        Run.objects.filter(id=task_id).update(created_at=Run.objects.get(id=task_id).created_at - minutes * MINUTE)
        intervals.append(look(waiting_client, task_id)["pollIntervalMs"])
    assert intervals == [1000, 5000, 15000]


def test_a_task_is_cancelled_and_that_is_acknowledged_again_and_again(waiting_client: Mcp) -> None:
    task_id = started(waiting_client)["taskId"]
    for _ in range(2):
        result = waiting_client.result("tasks/cancel", {"taskId": task_id})
        assert result["resultType"] == "complete"
    ended = look(waiting_client, task_id)
    assert ended["status"] == "cancelled"
    assert "result" not in ended
    assert waiting_client.result("tasks/update", {"taskId": task_id, "inputResponses": {}})["resultType"] == "complete"


def test_T_190_a_task_belongs_to_its_key(waiting_client: Mcp, cast: Cast, strangers: Cast, live: Api) -> None:
    task_id = started(waiting_client)["taskId"]
    for key in (cast.api(test=True).key, strangers.api(test=True).key, live.key):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert error_of(Mcp(key, tasks=True).call(method, {"taskId": task_id})) == (400, -32602)
    assert Run.objects.get(id=task_id).status == "queued"


def test_who_may_not_look_at_runs_gets_no_task(cast: Cast) -> None:
    client = Mcp(cast.api(test=True, scopes=frozenset({"runs:write"})).key, tasks=True)
    assert "taskId" not in started(client)


def test_a_client_without_tasks_gets_the_run(mcp: Mcp) -> None:
    assert started(mcp)["structuredContent"]["status"] == "queued"


def test_who_looks_all_the_time_is_told_to_come_later(waiting_client: Mcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.methods.LOOKS_PER_MINUTE", 1)
    task_id = started(waiting_client)["taskId"]
    look(waiting_client, task_id)
    refused = waiting_client.call("tasks/get", {"taskId": task_id})
    assert error_of(refused) == (429, -32600)
    assert "Retry-After" in refused
