"""What a start of a workflow run is refused for, and what it hands on (docs/api/workflows.md 1, 6 and 7)."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Team
from billing.models import Wallet
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import begin as begin_agent
from tests.runs.driving import show, simulated, status_of
from tests.workflows.engine import approval, begin, check, deliver, ran, task, tasks_of, work
from tests.workflows.test_starting import saved, started

Body = dict[str, Any]
SCRIPTED = task("a", agent="scripted")
ON_LOOPBACK = "http://127.0.0.1:9/hook"


def refused(api: Api, path: str, body: Body, **headers: str) -> tuple[int, Body]:
    answer = api.post(path, body, **headers)
    return answer.status_code, answer.json()["error"]


@pytest.fixture(params=["saved", "ad-hoc"])
def start(request: pytest.FixtureRequest) -> Any:
    """start(api, steps) gives the path and the body of a start, in either way."""

    def made(api: Api, steps: list[Body], **body: Any) -> tuple[str, Body]:
        if request.param == "ad-hoc":
            return "/workflows/runs", {"definition": {"steps": steps}} | body
        return f"/workflows/{saved(api, steps)['id']}/runs", body

    return made


# --- what is not there


def test_an_unknown_workflow_is_404_before_its_body_is_looked_at(live: Api, test_key: Api, strangers: Cast) -> None:
    workflow = saved(live, [approval()])
    for api, workflow_id in ((live, "wf_x"), (test_key, workflow["id"]), (strangers.api(), workflow["id"])):
        status, error = refused(api, f"/workflows/{workflow_id}/runs", {"nonsense": 1})
        assert (status, error["code"]) == (404, "WORKFLOW_NOT_FOUND")
    assert not Run.objects.exists()


def test_a_machine_that_is_not_there_is_404_at_a_live_start(live: Api, start: Any) -> None:
    path, body = start(live, [SCRIPTED], machine_id="mch_nowhere")
    status, error = refused(live, path, body)
    assert (status, error["code"]) == (404, "MACHINE_NOT_FOUND")
    assert not Run.objects.exists()


def test_a_malformed_start_of_an_archived_workflow_is_422(test_key: Api) -> None:
    schema = {"file": {"type": "string", "required": True}}
    workflow = saved(test_key, [approval()], inputs_schema=schema)
    test_key.delete(f"/workflows/{workflow['id']}")
    path = f"/workflows/{workflow['id']}/runs"
    for body in ({"priority": 10}, {"nonsense": 1}, {"inputs": {}}):
        assert refused(test_key, path, body)[0] == 422
    assert refused(test_key, path, {"inputs": {"file": "a"}})[0] == 409


def test_an_archived_workflow_that_is_posted_again_starts_runs(test_key: Api) -> None:
    workflow = saved(test_key, [approval()])
    test_key.delete(f"/workflows/{workflow['id']}")
    assert saved(test_key, [approval()])["id"] == workflow["id"]
    assert started(test_key, workflow)["workflow_version"] == 2


def test_what_runs_goes_on_when_its_workflow_is_archived(test_key: Api) -> None:
    workflow = saved(test_key, [approval("ok")])
    run = started(test_key, workflow)
    test_key.delete(f"/workflows/{workflow['id']}")
    work()
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    assert status_of(run["id"]) == "succeeded"


# --- machines


def test_a_live_task_goes_to_the_machine_of_its_step_or_start_or_team(live: Api, cast: Cast) -> None:
    of_step, of_start, of_team = (simulated(live, name) for name in ("step", "start", "team"))
    Team.objects.filter(id=cast.team.id).update(default_machine_id=of_team)
    named = task("b", agent="scripted", machine_id="{{inputs.where}}")
    run = ran(live, [SCRIPTED, named], machine_id=of_start, inputs={"where": of_step})
    assert [t["machine_id"] for t in tasks_of(live, run)] == [of_start, of_step]
    run = ran(live, [SCRIPTED])
    assert [t["machine_id"] for t in tasks_of(live, run)] == [of_team]
    assert run["machine_id"] == of_team


def test_a_live_document_without_tasks_needs_no_machine_and_no_money(live: Api, cast: Cast) -> None:
    Wallet.objects.filter(team=cast.team).update(available_cents=0)
    assert ran(live, [check("c", 1, 1)])["status"] == "succeeded"


def test_a_task_below_other_steps_needs_a_machine_too(live: Api, start: Any) -> None:
    hidden = {"id": "l", "type": "loop", "count": 1, "body": [task()]}
    status, error = refused(live, *start(live, [hidden]))
    assert (status, error["details"][0]["loc"]) == (422, ["body", "machine_id"])


@pytest.mark.parametrize("named", ["{{inputs.gone}}", "mch_nowhere"])
def test_a_machine_that_is_missing_ends_the_run_also_inside_retry(live: Api, named: str) -> None:
    steps = [{"id": "r", "type": "retry", "max_attempts": 3, "body": [task("a", machine_id=named)]}]
    run = ran(live, steps)
    assert (run["status"], run["error"]["code"], tasks_of(live, run)) == ("failed", "MACHINE_UNAVAILABLE", [])


@pytest.mark.parametrize("named", [{}, {"machine_id": "{{inputs.gone}}"}])
def test_each_test_task_has_a_simulated_machine_of_its_own(test_key: Api, named: Body) -> None:
    run = ran(test_key, [task("a", **named), task("b", **named)])
    machines = {t["machine_id"] for t in tasks_of(test_key, run)}
    assert len(machines) == 2
    assert (run["status"], run["machine_id"]) == ("succeeded", None)


def test_a_test_task_may_name_a_machine_that_is_not_there(test_key: Api) -> None:
    run = ran(test_key, [task("a"), task("b", machine_id="elsewhere")], machine_id="anywhere")
    assert [t["machine_id"] for t in tasks_of(test_key, run)] == ["anywhere", "elsewhere"]
    assert (run["status"], run["machine_id"]) == ("succeeded", "anywhere")


# --- money and rates


@pytest.mark.parametrize("cents", [4, 5])
def test_the_wallet_must_cover_one_step_of_the_cheapest_task(live: Api, cast: Cast, start: Any, cents: int) -> None:
    path, body = start(live, [SCRIPTED], machine_id=simulated(live))
    Wallet.objects.filter(team=cast.team).update(available_cents=cents)
    answer = live.post(path, body)
    if cents == 5:
        assert answer.status_code == 200
        return
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert (error["required"], error["balance"]) == (5, 4)
    assert not Run.objects.exists()


def test_an_engine_of_the_start_is_the_price_of_a_step(live: Api, cast: Cast, start: Any) -> None:
    path, body = start(live, [SCRIPTED], machine_id=simulated(live), cua_version="v1")
    Wallet.objects.filter(team=cast.team).update(available_cents=7)
    assert refused(live, path, body)[1]["required"] == 8


def test_a_test_start_needs_no_money(test_key: Api, cast: Cast, start: Any) -> None:
    Wallet.objects.filter(team=cast.team).update(available_cents=0)
    assert test_key.post(*start(test_key, [task()])).status_code == 200


def test_the_budget_of_the_key_holds_for_the_tasks_it_started(live: Api, start: Any) -> None:
    path, body = start(live, [task("a", "x [steps:3]", agent="scripted")], machine_id=simulated(live))
    ApiKey.objects.filter(test=False).update(budget_cents_month=10)
    run = live.post(path, body).json()
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["cost_cents"]) == ("failed", 10)
    assert ended["error"]["details"] == {"guard": "budget_cents", "scope": "key", "limit": 10, "used": 10}
    status, error = refused(live, path, body)
    assert (status, error["code"], error["scope"]) == (402, "BUDGET_EXCEEDED", "key")


def test_starts_of_workflows_count_among_the_starts_of_a_minute(
    test_key: Api, start: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", timezone.now().timestamp)
    settings.RATE_LIMIT_RUNS_PER_MINUTE = 2
    path, body = start(test_key, [approval()])
    begin_agent(test_key)
    assert test_key.post(path, body).status_code == 200
    status, error = refused(test_key, path, body)
    assert (status, error["code"]) == (429, "RATE_LIMITED")
    assert Run.objects.count() == 2


def test_tasks_are_no_starts_and_no_top_level_runs(test_key: Api, cast: Cast, settings: Any, start: Any) -> None:
    settings.RATE_LIMIT_RUNS_PER_MINUTE = 1
    Team.objects.filter(id=cast.team.id).update(max_active_runs=1)
    path, body = start(test_key, [task("a"), task("b"), approval("ok")])
    run = test_key.post(path, body).json()
    work()
    assert len(tasks_of(test_key, run)) == 2
    settings.RATE_LIMIT_RUNS_PER_MINUTE = 9
    status, error = refused(test_key, path, body)
    assert (status, error["code"]) == (429, "TOO_MANY_RUNS")


# --- the same call twice


def test_a_repeated_start_is_answered_as_the_first_time(test_key: Api, start: Any, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    path, body = start(test_key, [approval("ok")], webhook_url=ON_LOOPBACK, metadata={"k": [1]})
    first = test_key.post(path, body, Idempotency_Key="once")
    work()
    second = test_key.post(path, body, Idempotency_Key="once")
    assert first.json()["webhook_secret"].startswith("whsec_")
    assert second.content == first.content
    assert second.json()["status"] == "queued"
    assert ("Idempotency-Replayed" in first, second["Idempotency-Replayed"]) == (False, "true")
    assert Run.objects.count() == 1
    assert show(test_key, first.json()["id"])["webhook_secret"] is None
    status, error = refused(test_key, path, body | {"priority": 6}, Idempotency_Key="once")
    assert (status, error["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_refused_start_binds_no_key(test_key: Api, start: Any) -> None:
    path, body = start(test_key, [approval("ok")])
    assert refused(test_key, path, body | {"priority": 10}, Idempotency_Key="k")[0] == 422
    assert test_key.post(path, body, Idempotency_Key="k").status_code == 200
    assert Run.objects.count() == 1


# --- what is handed on

EVERYTHING: Body = {
    "machine_id": "mine", "agent": "scripted", "cua_version": "v4", "instructions": "gently", "system_prompt": "You are Eva.",
    "max_steps": 9, "on_awaiting_human": "fail", "awaiting_human_timeout_seconds": 60, "on_timeout": "reject",
    "on_budget": "ask", "human_in_the_loop": True, "permission_mode": "plan", "end_user": "eva", "priority": 8,
    "deadline_clock": "wall",
}  # fmt: skip
OF_STEP: Body = {
    "machine_id": "of {{inputs.n}}", "agent": "playbook", "cua_version": "v1", "instructions": "as {{inputs.n}}",
    "system_prompt": "{{inputs.n}}", "max_steps": 3, "on_awaiting_human": "cancel",
}  # fmt: skip


def test_a_task_has_all_terms_of_its_run(test_key: Api, start: Any) -> None:
    path, body = start(test_key, [task("a")], **EVERYTHING)
    run = test_key.post(path, body).json()
    deliver()
    (made,) = Run.objects.filter(parent_id=run["id"])
    assert {name: getattr(made, name) for name in EVERYTHING} == EVERYTHING
    assert (made.created_by, made.webhook_url, made.metadata, made.deadline_at) == (
        Run.objects.get(id=run["id"]).created_by, None, None, None,
    )  # fmt: skip


def test_the_step_says_otherwise_with_its_templates_filled_in(test_key: Api, start: Any) -> None:
    path, body = start(test_key, [task("a", **OF_STEP)], **EVERYTHING | {"inputs": {"n": 3}})
    run = test_key.post(path, body).json()
    deliver()
    (made,) = Run.objects.filter(parent_id=run["id"])
    filled = {name: value.replace("{{inputs.n}}", "3") if isinstance(value, str) else value
              for name, value in OF_STEP.items()}  # fmt: skip
    assert {name: getattr(made, name) for name in EVERYTHING} == EVERYTHING | filled


def test_the_task_of_a_start_is_an_input_unless_there_is_one(test_key: Api, start: Any) -> None:
    path, body = start(test_key, [task("a", "{{inputs.task}} [steps:0]")], task="File it")
    for inputs, expected in (({}, "File it [steps:0]"), ({"task": "Pay it"}, "Pay it [steps:0]")):
        run = test_key.post(path, body | {"inputs": inputs}).json()
        assert (run["task"], run["inputs"]) == ("File it", inputs)
        deliver()
        assert [t["task"] for t in tasks_of(test_key, run)] == [expected]


def test_a_run_without_people_is_refused_what_needs_them(test_key: Api, start: Any) -> None:
    path, body = start(test_key, [approval("ok")])
    for wrong, where in (
        ({"human_in_the_loop": False, "on_awaiting_human": "pause"}, "on_awaiting_human"),
        ({"human_in_the_loop": False, "on_budget": "ask"}, "on_budget"),
        ({"permission_mode": "plan"}, "permission_mode"),
        ({"webhook_url": "http://example.com/"}, "webhook_url"),
        ({"agent": "nobody"}, "agent"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"task": 1}, "task"),
    ):
        status, error = refused(test_key, path, body | wrong)
        assert (status, [d["loc"] for d in error["details"]]) == (422, [["body", where]])
    assert not Run.objects.exists()


def test_a_refused_document_is_told_with_the_wrong_terms(test_key: Api) -> None:
    body = {"steps": [task(), task()], "priority": 10, "human_in_the_loop": False, "on_budget": "ask"}
    status, error = refused(test_key, "/workflows/runs", body)
    found = {tuple(d["loc"][1:]) for d in error["details"]}
    assert (status, found) == (422, {("steps", 1, "id"), ("priority",), ("on_budget",)})


@pytest.mark.parametrize("inputs", [[], "x", 1])
def test_inputs_that_are_no_object_are_refused(test_key: Api, start: Any, inputs: Any) -> None:
    path, body = start(test_key, [approval("ok")], inputs=inputs)
    status, error = refused(test_key, path, body)
    assert (status, [d["loc"] for d in error["details"]]) == (422, [["body", "inputs"]])


def test_a_document_that_is_too_large_is_not_started(test_key: Api) -> None:
    steps = [{"id": "yes", "type": "succeed", "output": {"a": "x" * 256 * 1024}}]
    status, error = refused(test_key, "/workflows/runs", {"steps": steps})
    assert (status, error["code"], error["max_bytes"]) == (413, "PAYLOAD_TOO_LARGE", 256 * 1024)


# --- lists


def test_the_filters_of_runs_hold_for_the_list_of_workflow_runs(test_key: Api) -> None:
    begin_agent(test_key)
    waits = ran(test_key, [approval("ok")], end_user="eva")
    done = ran(test_key, [task("a")], machine_id="mine")

    def listed(query: str, path: str = "/workflows/runs") -> list[str]:
        return [each["id"] for each in test_key.get(f"{path}?{query}").json()["data"]]

    assert listed("") == [done["id"], waits["id"]]
    for query, expected in (
        ("status=succeeded", [done["id"]]),
        ("state=awaiting_human,succeeded", [done["id"], waits["id"]]),
        ("end_user=eva", [waits["id"]]),
        ("machine_id=mine", [done["id"]]),
        ("kind=workflow", [done["id"], waits["id"]]),
        ("kind=agent", []),
    ):
        assert listed(query) == expected, query
    assert listed(f"parent_id={done['id']}", "/runs") == [t["id"] for t in tasks_of(test_key, done)]
    assert listed(f"parent_id={done['id']}") == []
    assert test_key.get("/workflows/runs?parent_id=wfr_x").status_code == 404
    assert test_key.get("/workflows/runs?status=zombie").status_code == 400


# --- the object

OF_WORKFLOW_RUNS = {
    "workflow_id", "workflow_version", "inputs", "output", "awaiting_step_id", "iterations_used", "max_iterations", "spent_cents",
}  # fmt: skip


def test_a_workflow_run_has_all_keys_of_a_run_and_its_own(test_key: Api) -> None:
    agent_run, run = begin_agent(test_key), begin(test_key, [approval("ok")])
    assert run.keys() == agent_run.keys() | OF_WORKFLOW_RUNS
    assert not agent_run.keys() & OF_WORKFLOW_RUNS
    empty = (
        "task",
        "input",
        "parent_id",
        "workflow_id",
        "workflow_version",
        "output",
        "awaiting_step_id",
        "result",
        "error",
    )
    assert [run[name] for name in empty] == [None] * len(empty)
    assert (run["object"], run["status"], run["state"], run["root_id"]) == (
        "workflow.run",
        "queued",
        "queued",
        run["id"],
    )
    numbers = ("iterations_used", "spent_cents", "cost_cents", "credits_charged", "steps_completed", "budget_cents")
    assert [run[name] for name in numbers] == [0] * 6
    assert run["inputs"] == {}
