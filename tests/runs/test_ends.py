"""How a run ends by itself: the agent's word, the verifier's, the step limit (docs/api/runs.md sections 6 and 7)."""

from typing import Any

import pytest

from machines.drivers.base import MachineGone
from runs.agents.scripted import ScriptedAgent
from tests.cast import Api
from tests.runs.driving import begin, data_of, drive_all, ended, kinds, show
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def test_T_037_max_steps_used_up_without_an_end(test_key: Api) -> None:
    run = ended(test_key, "x [steps:5]", max_steps=2)
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == ("failed", 2, 10)
    assert (run["error"]["code"], run["error"]["reason_code"]) == ("MAX_STEPS_REACHED", "max_steps_reached")
    assert set(run["error"]) == {"code", "reason_code", "message", "details"}
    assert run["result"]["passed"] is False
    assert kinds(run["id"])[-3:] == ["error", "failed", "done"]
    (error,) = data_of(run["id"], "error")
    assert error == run["error"] | {"fatal": True}
    check_run(run["id"])


def test_the_end_may_be_declared_on_the_last_step(test_key: Api) -> None:
    run = ended(test_key, "x [steps:2]", max_steps=2)
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == ("succeeded", 2, 10)


def test_a_request_is_no_step(test_key: Api) -> None:
    made = begin(test_key, "x [steps:2] [pause:2]", max_steps=2)
    drive_all()
    assert test_key.post(f"/runs/{made['id']}/resume").status_code == 200
    drive_all()
    assert show(test_key, made["id"])["status"] == "succeeded"


def test_a_run_may_end_without_a_step(test_key: Api) -> None:
    run = ended(test_key, "x [steps:0]")
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == ("succeeded", 0, 0)
    check_run(run["id"])


@pytest.mark.parametrize(
    ("engine", "status", "passed", "code", "verdict"),
    [("v4", "failed", False, "VERIFICATION_FAILED", "fail"), ("v3", "succeeded", True, None, None)],
)
def test_T_038_unverified(
    test_key: Api, engine: str, status: str, passed: bool, code: str | None, verdict: Any
) -> None:
    run = ended(test_key, "x [unverified]", cua_version=engine)
    assert (run["status"], run["result"]["passed"], run["result"]["verdict"]) == (status, passed, verdict)
    assert (run["error"] or {}).get("code") == code
    assert run["result"]["status"] == status
    check_run(run["id"])


def test_v4_says_what_the_verifier_found(test_key: Api) -> None:
    assert ended(test_key, cua_version="v4")["result"]["verdict"] == "pass"


def test_the_agent_declares_failure(test_key: Api) -> None:
    run = ended(test_key, "x [fail]")
    assert (run["status"], run["error"]["code"], run["result"]["passed"]) == ("failed", "TASK_FAILED", False)
    assert run["steps_completed"] == 3
    assert "error" not in kinds(run["id"])
    check_run(run["id"])


@pytest.mark.parametrize(("engine", "cents"), [("v1", 24), ("v3", 15), ("v4", 15)])
def test_the_price_of_each_engine(test_key: Api, engine: str, cents: int) -> None:
    run = ended(test_key, cua_version=engine)
    assert (run["cost_cents"], run["credits_charged"]) == (cents, cents)
    assert [d["cost_cents"] for d in data_of(run["id"], "billing")] == [cents // 3, cents // 3 * 2, cents]


@pytest.mark.parametrize("part", ["next", "verify"])
def test_a_machine_that_ends_whenever_it_is_looked_at_ends_the_run(
    test_key: Api, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Without a step there is neither a limit nor a price that would end it."""

    async def too_large(*_: Any) -> None:
        raise MachineGone("The page is too large to be read.")

    monkeypatch.setattr(ScriptedAgent, part, too_large)
    run = ended(test_key, cua_version="v4")
    assert (run["status"], run["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert "too large to be read" in run["error"]["message"]
    check_run(run["id"])


@pytest.mark.parametrize("part", ["next", "verify"])
def test_an_agent_that_breaks_ends_its_run(test_key: Api, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr(ScriptedAgent, part, broken)
    run = ended(test_key, cua_version="v4")
    assert (run["status"], run["error"]["code"]) == ("failed", "AGENT_ERROR")
    assert "secret details" not in str(run)
    check_run(run["id"])
