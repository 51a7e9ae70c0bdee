"""POST /v1/runs: defaults, bounds and what is refused (docs/api/runs.md sections 2 to 4)."""

from typing import Any

import pytest

from accounts.models import IdempotencyRecord, Team
from billing.models import Transaction
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import begin, show, simulated

pytestmark = pytest.mark.django_db

DEFAULTS: dict[str, Any] = {
    "object": "agent.run", "status": "queued", "state": "queued", "parent_id": None, "task": "do it", "input": None,
    "cua_version": "v3", "agent": "scripted", "instructions": None, "max_steps": 50, "steps_completed": 0,
    "deadline_seconds": None, "deadline_clock": "active", "deadline_at": None, "active_seconds": 0,
    "on_awaiting_human": "pause", "awaiting_human_timeout_seconds": None, "on_timeout": "cancel",
    "awaiting_human_reason": None, "awaiting_human_since": None, "open_approvals": [], "parked_at": None, "resume_at": None,
    "human_in_the_loop": None, "permission_mode": "autonomous", "end_user": None, "priority": 5, "credits_charged": 0,
    "cost_cents": 0, "budget_cents": 0, "on_budget": "fail", "result": None, "error": None, "metadata": None,
    "webhook_url": None, "webhook_secret": None, "test": True, "started_at": None, "finished_at": None,
    "cancel_requested_at": None, "stop_confirmed_at": None,
}  # fmt: skip
DERIVED = {"id", "run_id", "root_id", "machine_id", "waiting_on", "created_by", "created_at", "request_id"}


def test_T_025_a_new_run_is_queued_with_the_defaults(test_key: Api) -> None:
    run = begin(test_key)
    assert {k: v for k, v in run.items() if k not in DERIVED} == DEFAULTS
    assert set(run) == set(DEFAULTS) | DERIVED
    assert run["created_by"]["type"] == "api_key"
    assert set(run["created_by"]) == {"type", "id"}
    assert run["created_at"].endswith("Z")


def test_T_026_state_is_status_and_run_id_is_id(test_key: Api) -> None:
    run = begin(test_key)
    for each in (run, show(test_key, run["id"]), *test_key.get("/runs").json()["data"]):
        assert (each["state"], each["run_id"], each["root_id"]) == (each["status"], each["id"], each["id"])


def test_request_id_is_that_of_the_creating_call(test_key: Api) -> None:
    answer = test_key.post("/runs", {"task": "x"})
    run = answer.json()
    assert run["request_id"] == answer["X-Request-Id"]
    assert show(test_key, run["id"])["request_id"] == run["request_id"]


@pytest.fixture
def public_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host name resolves to a public address."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [(2, 1, 6, "", ("93.184.216.34", 443))])


def test_T_028_secrets_are_shown_once_or_never(test_key: Api, public_names: None) -> None:
    assert begin(test_key)["webhook_secret"] is None
    headers = {"Idempotency_Key": "k1"}
    body = {"task": "x", "webhook_url": "https://hooks.example.com/x", "system_prompt": "Be quick."}
    first = test_key.post("/runs", body, **headers)
    run = first.json()
    assert run["webhook_secret"].startswith("whsec_")
    assert "system_prompt" not in run
    assert "Be quick." not in first.content.decode()
    assert test_key.post("/runs", body, **headers).json()["webhook_secret"] == run["webhook_secret"]
    assert show(test_key, run["id"])["webhook_secret"] is None
    assert all(r["webhook_secret"] is None for r in test_key.get("/runs").json()["data"])
    assert test_key.post(f"/runs/{run['id']}/cancel").json()["webhook_secret"] is None


def test_T_029_input_with_a_goal_starts_a_run(test_key: Api) -> None:
    answer = test_key.post("/runs", {"input": {"goal": "x", "colour": "blue"}})
    assert answer.status_code == 200, answer.content
    assert answer.json()["task"] == "x"
    assert answer.json()["input"] == {"goal": "x", "colour": "blue"}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"task": "x", "input": {"goal": "y"}}, ["task"]),  # T-030
    ({"task": None}, ["task"]),
    ({"task": ""}, ["task"]),
    ({"task": "x" * 16_001}, ["task"]),
    ({"task": 5}, ["task"]),
    ({"task": None, "input": {}}, ["input", "goal"]),
    ({"task": None, "input": {"goal": ""}}, ["input", "goal"]),
    ({"task": None, "input": {"goal": 7}}, ["input", "goal"]),
    ({"task": None, "input": {"goal": "g" * 16_001}}, ["input", "goal"]),
    ({"task": None, "input": {"goal": "g", **{f"k{i}": 1 for i in range(50)}}}, ["input"]),
    ({"task": None, "input": {"goal": "g", "more": "m" * 16_384}}, ["input"]),
    ({"metadata": {f"k{i}": 1 for i in range(51)}}, ["metadata"]),  # T-050
    ({"metadata": {"k": "ä" * 8_192}}, ["metadata"]),
    ({"metadata": []}, ["metadata"]),
    ({"max_steps": 0}, ["max_steps"]),
    ({"max_steps": 1001}, ["max_steps"]),
    ({"max_steps": "5"}, ["max_steps"]),
    ({"max_steps": True}, ["max_steps"]),
    ({"max_steps": 1.5}, ["max_steps"]),
    ({"deadline_seconds": 0}, ["deadline_seconds"]),
    ({"deadline_seconds": 86_401}, ["deadline_seconds"]),
    ({"awaiting_human_timeout_seconds": 0}, ["awaiting_human_timeout_seconds"]),
    ({"awaiting_human_timeout_seconds": 86_401}, ["awaiting_human_timeout_seconds"]),
    ({"budget_cents": -1}, ["budget_cents"]),
    ({"budget_cents": 10_000_001}, ["budget_cents"]),
    ({"priority": -1}, ["priority"]),
    ({"priority": 10}, ["priority"]),
    ({"cua_version": "v2"}, ["cua_version"]),
    ({"deadline_clock": "sun"}, ["deadline_clock"]),
    ({"on_awaiting_human": "wait"}, ["on_awaiting_human"]),
    ({"on_timeout": "approve"}, ["on_timeout"]),
    ({"on_budget": "pay"}, ["on_budget"]),
    ({"permission_mode": "strict"}, ["permission_mode"]),
    ({"human_in_the_loop": "true"}, ["human_in_the_loop"]),
    ({"human_in_the_loop": 1}, ["human_in_the_loop"]),
    ({"instructions": "i" * 16_001}, ["instructions"]),
    ({"system_prompt": "s" * 32_001}, ["system_prompt"]),
    ({"machine_id": ""}, ["machine_id"]),
    ({"machine_id": "m" * 129}, ["machine_id"]),
    ({"end_user": ""}, ["end_user"]),
    ({"end_user": "u" * 129}, ["end_user"]),
    ({"agent": "nobody"}, ["agent"]),
    ({"webhook_url": "http://127.0.0.1/x"}, ["webhook_url"]),
    ({"webhook_url": "https://example.com/" + "x" * 2048}, ["webhook_url"]),
    ({"colour": "blue"}, ["colour"]),
    # T-031, T-032
    ({"permission_mode": "approval"}, ["permission_mode"]),
    ({"permission_mode": "approval", "human_in_the_loop": None}, ["permission_mode"]),
    ({"permission_mode": "plan", "human_in_the_loop": False}, ["permission_mode"]),
    ({"human_in_the_loop": False, "on_awaiting_human": "pause"}, ["on_awaiting_human"]),
    ({"human_in_the_loop": False, "on_budget": "ask"}, ["on_budget"]),
]


@pytest.mark.parametrize(("fields", "loc"), REFUSED, ids=lambda v: str(v)[:60])
def test_T_030_T_031_T_032_T_050_bounds(test_key: Api, fields: dict[str, Any], loc: list[str]) -> None:
    answer = test_key.post("/runs", {"task": "x"} | fields, Idempotency_Key="k1")
    assert answer.status_code == 422, answer.content
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert ["body", *loc] in [d["loc"] for d in answer.json()["error"]["details"]]
    assert not Run.objects.exists()
    assert not IdempotencyRecord.objects.exists()


ACCEPTED: list[dict[str, Any]] = [
    {"task": "x" * 16_000},
    {"task": " "},
    {"task": None, "input": {"goal": "g", **{f"k{i}": 1 for i in range(49)}}},
    {"metadata": {f"k{i}": i for i in range(50)}},
    {"max_steps": 1},
    {"max_steps": 1000},
    {"deadline_seconds": 1},
    {"deadline_seconds": 86_400, "deadline_clock": "wall"},
    {"awaiting_human_timeout_seconds": 86_400, "on_timeout": "default_answer"},
    {"budget_cents": 10_000_000, "on_budget": "ask"},
    {"priority": 0},
    {"priority": 9},
    {"instructions": "i" * 16_000, "system_prompt": "s" * 32_000, "end_user": "u" * 128},
    {"human_in_the_loop": True, "permission_mode": "plan"},
    {"human_in_the_loop": False, "on_awaiting_human": "cancel"},
    {"agent": "playbook"},
    {"machine_id": "m" * 128},
]


@pytest.mark.parametrize("fields", ACCEPTED, ids=lambda v: str(v)[:60])
def test_the_bounds_themselves_are_accepted(test_key: Api, fields: dict[str, Any]) -> None:
    sent = {"task": "x"} | fields
    answer = test_key.post("/runs", sent)
    assert answer.status_code == 200, answer.content
    echoed = {k: v for k, v in sent.items() if k not in ("task", "system_prompt")}
    assert {k: answer.json()[k] for k in echoed} == echoed


def test_T_032_without_people_a_run_fails_when_one_is_needed(test_key: Api) -> None:
    assert begin(test_key, human_in_the_loop=False)["on_awaiting_human"] == "fail"


def test_all_violations_come_together(test_key: Api) -> None:
    answer = test_key.post("/runs", {"task": "x", "max_steps": 0, "priority": 12, "colour": 1})
    assert len(answer.json()["error"]["details"]) == 3


def test_max_steps_is_lowered_to_the_ceiling(test_key: Api, settings: Any) -> None:
    settings.MAX_STEPS_CEILING = 7
    assert begin(test_key, max_steps=9)["max_steps"] == 7


# --- machines


def test_a_test_run_without_a_machine_has_one_of_its_own(test_key: Api) -> None:
    assert begin(test_key, machine_id="mch_nowhere")["machine_id"] == "mch_nowhere"
    first, second = begin(test_key)["machine_id"], begin(test_key)["machine_id"]
    assert first
    assert first != second


def test_a_test_run_may_use_a_test_machine(test_key: Api) -> None:
    machine = simulated(test_key)
    run = begin(test_key, machine_id=machine)
    assert run["machine_id"] == machine
    assert not Run.objects.get(id=run["id"]).owns_machine


def test_a_live_run_needs_a_machine(live: Api, test_key: Api, cast: Cast, strangers: Cast) -> None:
    none = live.post("/runs", {"task": "x"})
    assert none.status_code == 422
    assert none.json()["error"]["details"][0]["loc"] == ["body", "machine_id"]
    for other in ("mch_nowhere", simulated(test_key), simulated(strangers.api())):
        assert live.post("/runs", {"task": "x", "machine_id": other}).json()["error"]["code"] == "MACHINE_NOT_FOUND"
    gone = simulated(live)
    assert live.delete(f"/machines/{gone}").status_code == 200
    assert live.post("/runs", {"task": "x", "machine_id": gone}).status_code == 404
    assert not Run.objects.exists()
    mine = simulated(live)
    Team.objects.filter(id=cast.team.id).update(default_machine_id=mine)
    assert begin(live, agent="scripted")["machine_id"] == mine


def test_a_live_run_has_the_default_agent(live: Api, cast: Cast) -> None:
    machine = simulated(live)
    assert begin(live, machine_id=machine)["agent"] == "playbook"
    Team.objects.filter(id=cast.team.id).update(default_agent="scripted")
    assert begin(live, machine_id=machine)["agent"] == "scripted"


def test_the_scripted_agent_works_live_only_where_allowed(live: Api, test_key: Api, settings: Any) -> None:
    machine = simulated(live)
    settings.ALLOW_SCRIPTED_LIVE = False
    assert live.post("/runs", {"task": "x", "machine_id": machine, "agent": "scripted"}).status_code == 422
    assert begin(test_key, agent="scripted")["agent"] == "scripted"


# --- room and scopes


def test_too_many_unfinished_runs(test_key: Api, live: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(max_active_runs=2)
    runs = [begin(test_key) for _ in range(2)]
    full = test_key.post("/runs", {"task": "x"})
    assert (full.status_code, full.json()["error"]["code"]) == (429, "TOO_MANY_RUNS")
    assert full["Retry-After"] == str(full.json()["error"]["retry_after"])
    begin(live, machine_id=simulated(live))  # the other world has room of its own
    test_key.post(f"/runs/{runs[0]['id']}/cancel")
    begin(test_key)


def test_runs_per_minute(test_key: Api, settings: Any) -> None:
    settings.RATE_LIMIT_RUNS_PER_MINUTE = 1
    begin(test_key)
    full = test_key.post("/runs", {"task": "x"})
    assert (full.status_code, full.json()["error"]["code"]) == (429, "RATE_LIMITED")


def test_starting_needs_its_scope(cast: Cast) -> None:
    reader = cast.api(test=True, scopes=frozenset({"runs:read"}))
    refused = reader.post("/runs", {"task": "x"}).json()["error"]
    assert (refused["code"], refused["required_scope"]) == ("INSUFFICIENT_SCOPE", "runs:write")


def test_starting_bills_nothing(live: Api) -> None:
    before = Transaction.objects.count()
    answer = live.post("/runs", {"task": "x", "machine_id": simulated(live)})
    assert answer.status_code == 200
    assert "X-Credits-Charged" not in answer
    assert Transaction.objects.count() == before
