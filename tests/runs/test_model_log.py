"""What a run with a model leaves for its page besides its steps: looks, what its verifier saw, that its model was busy."""

from dataclasses import replace
from typing import Any, cast

import pytest

from inference.errors import ModelBusy
from machines import pictures
from machines.drivers.base import Session
from runs.agents import registry
from runs.agents.base import Agent, Context, Decision, Look, Verdict
from runs.driving import model_jobs
from runs.models import Look as Kept
from runs.models import Run
from runs.pages.model_activity import evidence_of
from tests.cast import Api
from tests.modelled import picture
from tests.runs.driving import begin, data_of, drive_all, drive_and_die, ended, show
from tests.runs.thinker import DONE, KEY, Thinker, Want, click, record

pytestmark = pytest.mark.django_db
REGION = (1, 2, 30, 40)


class Looker(Thinker):
    """Looks twice, once closer, whenever its model is asked."""

    async def next(self, context: Context, session: Session) -> Decision:
        decision = await super().next(context, session)
        if not decision.thought:
            return decision
        sha = pictures.store(picture("#123"))
        return replace(decision, looks=(Look(sha, 1280, 800), Look(sha, 580, 760, REGION)))


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    story: list[list[Want]] = [["look"], [click(1), KEY], [DONE]]
    agent = Looker(*story)
    monkeypatch.setitem(registry._AGENTS, "scripted", cast("Agent", agent))
    return agent


def looks(run_id: str) -> list[tuple[int, int, int, Any]]:
    rows = Kept.objects.filter(run_id=run_id).order_by("number")
    return [(row.number, row.step, row.width, row.region) for row in rows]


SEEN = [
    (0, 1, 1280, None), (1, 1, 580, list(REGION)), (2, 1, 1280, None), (3, 1, 580, list(REGION)), (4, 3, 1280, None),
    (5, 3, 580, list(REGION)),
]  # fmt: skip


def test_looks_are_kept_with_the_thought_that_they_led_to(test_key: Api, looker: Looker) -> None:
    run = ended(test_key)
    assert run["status"] == "succeeded"
    assert looks(run["id"]) == SEEN
    shots = test_key.get(f"/runs/{run['id']}/screenshots").json()["data"]
    assert {shot["phase"] for shot in shots} == {"before", "after"}  # looks are no pictures of steps


@pytest.mark.parametrize("at", ["thought", "write_intent", "write_outcome", "end"])
def test_a_worker_that_dies_doubles_no_look_of_a_thought_that_was_kept(test_key: Api, looker: Looker, at: str) -> None:
    run_id = begin(test_key)["id"]
    drive_and_die(at)
    drive_all()
    assert show(test_key, run_id)["status"] == "succeeded"
    numbers = [number for number, *_ in looks(run_id)]
    assert numbers == list(range(2 * looker.model.calls if at != "thought" else 6))


def test_what_the_verifier_saw_is_told_as_the_verifiers(test_key: Api, looker: Looker) -> None:
    looker.verdicts.append(Verdict(False, "fail", "It is not so.", ("One thing.", "Another."), (record(),)))
    run = ended(test_key, cua_version="v4")
    assert run["error"]["code"] == "VERIFICATION_FAILED"
    told = data_of(run["id"], "reasoning")
    assert told[-1] == {"text": "One thing.\nAnother.", "by": "verifier"}
    assert all("by" not in data for data in told[:-1])
    assert evidence_of(Run.objects.get(id=run["id"])) == ["One thing.", "Another."]


def test_that_the_model_is_busy_stands_in_the_log_and_short_waits_in_a_row_only_once(
    test_key: Api, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_jobs, "LEAST_WAIT", 0.0)
    looker.model.faults = [ModelBusy("Overloaded.", 0.01, record("busy")) for _ in range(3)]
    run = ended(test_key)
    assert run["status"] == "succeeded"
    (told,) = [data for data in data_of(run["id"], "text") if data.get("by") == "system"]
    assert told["text"].startswith("Overloaded. The model is asked again at ")
