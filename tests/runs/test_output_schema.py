"""output_schema: what a run hands over fits it, or the run fails and says what did not."""

from collections.abc import Callable
from typing import Any

import pytest

from machines.drivers.base import Session
from runs.agents import registry
from runs.agents.base import Context, Decision, Finish, Plan, Verdict
from runs.outputs import MOST_OF_OUTPUT, NOTHING, misfit
from tests.cast import Api, Cast
from tests.runs.driving import begin, data_of, drive_all, ended, request_of, show, waiting

pytestmark = pytest.mark.django_db
INVOICE = {
    "type": "object",
    "properties": {"number": {"type": "string"}, "total": {"type": "number"}},
    "required": ["number", "total"],
    "additionalProperties": False,
}
FITS = {"number": "4711", "total": 12.5}


class Handing:
    """An agent that ends at once and hands over what it was made with."""

    thinks = False

    def __init__(self, output: Any, *, passed: bool = True, verified: bool = True) -> None:
        self.output, self.passed, self.verified = output, passed, verified
        self.schema: Any = "never looked"

    async def next(self, context: Context, session: Session) -> Decision:
        self.schema = context.output_schema
        return Decision(Finish(self.passed, "All done.", output=self.output), context.memory)

    async def plan(self, context: Context, session: Session) -> Plan:
        return Plan("Nothing.", context.memory)

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        return Verdict(self.verified, "pass" if self.verified else "fail", "Looked.")


@pytest.fixture
def handing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Handing]:
    def of(output: Any, **facts: Any) -> Handing:
        agent = Handing(output, **facts)
        monkeypatch.setitem(registry._AGENTS, "scripted", agent)
        return agent

    return of


def test_T_188_an_output_that_fits_is_handed_over(test_key: Api, handing: Callable[..., Handing]) -> None:
    agent = handing(FITS)
    run = ended(test_key, output_schema=INVOICE)
    assert (run["status"], run["result"]["passed"], run["result"]["output"]) == ("succeeded", True, FITS)
    assert data_of(run["id"], "done")[0]["result"]["output"] == FITS
    assert agent.schema == INVOICE
    assert show(test_key, run["id"]) == run
    assert "output_schema" not in run  # the keys of a run are those of the contract


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, "There is no output"),
        ({}, "'number' is a required property"),
        ({"number": "4711"}, "'total' is a required property"),
        ({"number": 4711, "total": 1}, "number: 4711 is not of type 'string'"),
        (FITS | {"more": 1}, "'more' was unexpected"),
        ("4711", "'4711' is not of type 'object'"),
        (FITS | {"total": float("nan")}, "a number that JSON does not have"),
        (FITS | {"number": "a\0b"}, "NUL"),
        (FITS | {"number": "x" * MOST_OF_OUTPUT}, "larger than 64 KiB"),
    ],
)
def test_T_188_one_that_does_not_fit_fails_the_run_and_it_says_what_did_not(
    test_key: Api, handing: Callable[..., Handing], output: Any, says: str
) -> None:
    handing(output)
    run = ended(test_key, output_schema=INVOICE)
    assert (run["status"], run["error"]["code"]) == ("failed", "TASK_FAILED")
    assert says in run["error"]["message"]
    assert len(run["error"]["message"]) < 1000
    assert run["result"] == run["result"] | {"passed": False, "output": None, "summary": run["error"]["message"]}


@pytest.mark.parametrize("passed", [True, False])
def test_T_188_a_failed_run_keeps_only_what_fits(test_key: Api, handing: Callable[..., Handing], passed: bool) -> None:
    handing({"number": 1}, passed=passed, verified=False)
    run = ended(test_key, cua_version="v4", output_schema=INVOICE)
    assert (run["status"], run["result"]["output"]) == ("failed", None)
    assert run["error"]["code"] == ("VERIFICATION_FAILED" if passed else "TASK_FAILED")
    handing(FITS, passed=passed, verified=False)
    assert ended(test_key, cua_version="v4", output_schema=INVOICE)["result"]["output"] == FITS


def test_without_a_schema_an_output_is_handed_over_as_it_is(test_key: Api, handing: Callable[..., Handing]) -> None:
    agent = handing([1, {"b": 2, "a": None}])
    assert ended(test_key)["result"]["output"] == [1, {"b": 2, "a": None}]
    assert agent.schema is None


def test_the_scripted_agent_hands_nothing_over(test_key: Api) -> None:
    assert ended(test_key)["result"]["output"] is None
    run = ended(test_key, output_schema={"type": ["object", "null"]})
    assert (run["status"], run["result"]["output"]) == ("succeeded", None)
    run = ended(test_key, output_schema=INVOICE)
    assert (run["status"], run["steps_completed"], run["error"]["code"]) == ("failed", 3, "TASK_FAILED")


@pytest.mark.parametrize(
    ("schema", "says", "kind"),
    [
        ([], "dictionary", "type_error"),
        ("{}", "dictionary", "type_error"),
        ({"type": "objekt"}, "is not valid at 'type'", "value_error"),
        ({"type": "object", "description": "x" * 16_384}, "larger than 16 KiB", "value_error"),
        ({"$ref": "https://example.com/schema.json"}, "not a part of it", "value_error"),
        ({"$ref": "#"}, "refers to itself without end", "value_error"),
        ({"properties": {"a": {"pattern": "("}}}, "", "value_error"),
        ({"allOf": [{"type": "string"}] * 501}, "more than 500 parts", "value_error"),
    ],
)
def test_a_schema_that_is_none_is_refused(test_key: Api, schema: Any, says: str, kind: str) -> None:
    answer = test_key.post("/runs", {"task": "x", "output_schema": schema})
    assert answer.status_code == 422, answer.content
    (detail,) = answer.json()["error"]["details"]
    assert detail["loc"] == ["body", "output_schema"]
    assert detail["type"] == kind
    assert says in detail["msg"]


def test_null_is_no_schema_and_a_workflow_run_takes_none(test_key: Api) -> None:
    assert begin(test_key, output_schema=None)["status"] == "queued"
    body = {"definition": {"steps": [{"id": "a", "type": "task", "task": "x"}]}, "output_schema": {}}
    assert test_key.post("/workflows/runs", body).status_code == 422


def test_a_secret_of_the_run_is_never_handed_over(test_key: Api, handing: Callable[..., Handing], cast: Cast) -> None:
    from database.sealing import seal
    from runs.models import Run
    from tests.runs.driving import drive_all

    handing({"number": "pin 9321", "total": 1})
    run = begin(test_key, output_schema=INVOICE)
    Run.objects.filter(id=run["id"]).update(secrets=seal({"pin": "9321"}))
    drive_all()
    assert show(test_key, run["id"])["result"]["output"] == {"number": "pin [redacted]", "total": 1}


def test_a_check_has_an_end() -> None:
    schema = {"items": {"anyOf": [{"properties": {"x": {"minimum": n}}} for n in range(99, -1, -1)]}}
    assert misfit(schema, [{"x": 0}] * 5000) == "The output is too large to be checked against its output_schema."


@pytest.mark.parametrize("engine", ["v3", "v4"])
def test_T_188_who_did_it_by_hand_has_handed_nothing_over_and_the_run_says_so(test_key: Api, engine: str) -> None:
    run = waiting(test_key, "Please book me a flight", agent="playbook", output_schema=INVOICE, cua_version=engine)
    assert request_of(test_key, run)["kind"] == "takeover"
    assert test_key.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["error"]["code"], done["result"]["output"]) == ("failed", "TASK_FAILED", None)
    assert NOTHING in done["error"]["message"]
    assert "person" in done["error"]["message"]
