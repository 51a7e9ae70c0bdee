"""A model's profile is changed, disabled or deleted, its key revoked or its SDK gone, while runs wait or work."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from database.sealing import seal
from inference.models import Call, Profile
from inference.wires import transport
from runs.driving import thinking
from runs.models import Run
from tests.agents.model.test_wires import needs
from tests.cast import Api
from tests.conventions.conftest import refused
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Story, Turn
from tests.inference.shots import profile
from tests.runs.driving import begin, drive_all, request_of, show, simulated, status_of, until
from tests.runs.invariants import check_run
from tests.runs.thinker import ASKING, decide

pytestmark = pytest.mark.django_db
KEY = "sk-test-0123456789abcdef"
FIRST = ("click", {"x": 32, "y": 200, "button": "left", "count": 1})
SECOND = ("click", {"x": 64, "y": 200, "button": "left", "count": 1})
END = Turn([("finish", {"passed": True, "summary": "Clicked."})])
# A new conversation begins the story anew.
STORIES = {"two": Story([Turn([FIRST, SECOND]), END]), "one": Story([Turn([FIRST]), END]), "end": Story([END])}


@pytest.fixture
def vendor(live: Api) -> Iterator[Emulator]:
    """Profile "seer" over chat completions; the emulator speaks two wires."""
    needs("compatible")
    needs("anthropic")
    with in_thread(Emulator(STORIES, wires=("compatible", "anthropic"), keys={KEY})) as emulator:
        profile("seer", base_url=emulator.url("compatible"), key=seal(KEY), options={"coordinates": "pixels"})
        yield emulator


def start(live: Api, story: str = "two", **more: Any) -> dict[str, Any]:
    return begin(live, f"Click. story:{story}", agent="seer", machine_id=simulated(live), **more)


def edit(**values: Any) -> None:
    row = Profile.objects.get(name="seer")
    for name, value in {**values, "version": row.version + 1}.items():
        setattr(row, name, value)
    row.save()


def revoked(emulator: Emulator) -> None:
    emulator.keys = {"another"}


def mended(emulator: Emulator) -> None:
    emulator.keys = {KEY}
    if not Profile.objects.filter(name="seer").exists():
        profile("seer", base_url=emulator.url("compatible"), key=seal(KEY), options={"coordinates": "pixels"})
    edit(disabled_at=None, key=seal(KEY))


CHANGES: list[Any] = [
    pytest.param(lambda emulator: edit(disabled_at=timezone.now()), "is disabled", id="disabled"),
    pytest.param(lambda emulator: Profile.objects.all().delete(), "There is no model profile", id="deleted"),
    pytest.param(revoked, "was refused (401)", id="revoked"),
    pytest.param(lambda emulator: edit(key=b"nonsense"), "enter it again", id="sealed"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_happens_to_a_profile_while_a_run_waits_for_a_person_is_asked_about(
    live: Api, vendor: Emulator, acted: list[Any], change: Callable[[Emulator], Any], words: str
) -> None:
    run = start(live, "one", **ASKING)
    drive_all()
    change(vendor)
    decide(live, run)  # the click
    request = request_of(live, run)
    assert request["evidence"]["model"] == {"profile": "seer", "problem": "misconfigured"}
    assert words in request["message"]
    assert KEY not in json.dumps(request)
    mended(vendor)
    decide(live, run)
    assert status_of(run["id"]) == "succeeded"
    assert [params["x"] for _, params in acted] == [32]
    assert Call.objects.filter(run_id=run["id"]).count() == vendor.requests["compatible"]
    check_run(run["id"])


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_without_people_it_ends_the_run_with_a_model_error(
    live: Api, vendor: Emulator, change: Callable[[Emulator], Any], words: str
) -> None:
    run = start(live, human_in_the_loop=False)
    change(vendor)
    drive_all()
    done = show(live, run["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "MODEL_ERROR")
    assert words in done["error"]["message"]
    check_run(run["id"])


@pytest.mark.parametrize(
    "values",
    [
        {"wire": "anthropic"}, {"model": "model-2"}, {"options": {"coordinates": "thousand"}},
        {"options": {"coordinates": "pixels", "dialect": "json_point"}}, {"options": {"coordinates": "pixels", "tools": "text"}},
        {"options": {"coordinates": "pixels", "max_side": 640}},
    ],
    ids=["wire", "model", "coordinates", "dialect", "tools", "size"],
)  # fmt: skip
def test_a_profile_that_is_edited_in_the_middle_of_a_batch_begins_a_new_conversation(
    live: Api, vendor: Emulator, acted: list[Any], values: dict[str, Any]
) -> None:
    """What was approved is done; nothing of the old form is sent in the new one."""
    vendor.stories["two"] = Story([Turn([FIRST, SECOND]), END])
    run = start(live, "two", **ASKING)
    drive_all()
    edit(**values, base_url=vendor.url(values.get("wire", "compatible")))
    vendor.stories["two"] = Story([END])
    decide(live, run)
    assert [params["x"] for _, params in acted] == [32]
    while status_of(run["id"]) == "awaiting_human":
        decide(live, run)
    done = show(live, run["id"])
    assert done["status"] == "succeeded", done["error"]
    memory = Run.objects.get(id=run["id"]).memory
    assert (memory["episode"], len(memory["old"])) == (2, 1)
    assert "click" in json.dumps(vendor.bodies[-1].json)
    check_run(run["id"])


def test_an_edit_that_changes_no_form_leaves_the_conversation(live: Api, vendor: Emulator) -> None:
    run = start(live, "one", **ASKING)
    drive_all()
    edit(options={"coordinates": "pixels", "max_tokens": 2000}, prices={"input": 1, "output": 2})
    decide(live, run)
    assert status_of(run["id"]) == "succeeded"
    assert Run.objects.get(id=run["id"]).memory["episode"] == 1


def test_a_picture_that_is_gone_from_the_store_costs_an_episode_and_no_run(live: Api, vendor: Emulator) -> None:
    run = start(live, "one", **ASKING)
    drive_all()
    row = Run.objects.get(id=run["id"])
    (shown,) = row.screenshots.values_list("sha256", flat=True)
    row.memory["log"] = [item.replace(shown, "0" * 64) for item in row.memory["log"]]  # as if that one had been there
    row.save(update_fields=["memory"])
    vendor.stories["one"] = Story([END])
    decide(live, run)
    assert status_of(run["id"]) == "succeeded"
    assert Run.objects.get(id=run["id"]).memory["episode"] == 2
    check_run(run["id"])


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_an_sdk_that_is_not_there_or_does_not_load_is_a_matter_for_people(
    live: Api, vendor: Emulator, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    edit(name="newcomer")  # its client was not made yet
    if how == "missing":
        find = importlib.util.find_spec
        monkeypatch.setattr(transport, "find_spec", lambda name: None if name == "openai" else find(name))
    else:
        monkeypatch.setattr("inference.wires.chat.ChatWire.__init__", _broken)
    run = begin(live, "Click. story:one", agent="newcomer", machine_id=simulated(live))
    drive_all()
    request = request_of(live, run)
    assert request["evidence"]["model"]["problem"] == "misconfigured"
    assert "make models" in request["message"]
    monkeypatch.undo()
    decide(live, run)
    assert status_of(run["id"]) == "succeeded"


def _broken(*args: Any) -> None:
    raise ImportError("an old version")


def test_a_run_of_the_test_world_asks_no_model(test_key: Api, live: Api, vendor: Emulator) -> None:
    error = refused(test_key.post("/runs", {"task": "Click. story:one", "agent": "seer"}), 422, "VALIDATION_ERROR")
    assert error["details"][0]["loc"] == ["body", "agent"]
    assert "live keys only" in error["details"][0]["msg"]
    assert sum(vendor.requests.values()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_run_that_waits_for_its_turn_says_so_and_can_be_cancelled(
    live: Api, vendor: Emulator, worker: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.LEASE_SECONDS = 600
    monkeypatch.setattr(thinking, "SHOWN_AFTER", 0.05)
    vendor.stories["slow"] = Story([Turn([FIRST], delay=600)])
    edit(limits={"concurrent": 1})
    host = worker()
    first = start(live, "slow")["id"]
    until(lambda: vendor.requests["compatible"] == 1)
    second, third = start(live, "one")["id"], start(live, "one")["id"]
    for run_id in (second, third):
        waits = until(lambda run_id=run_id: show(live, run_id)["waiting_on"])
        assert (waits["code"], "1 times at once" in waits["message"]) == ("model_busy", True)
    assert live.post(f"/runs/{second}/cancel").status_code == 200
    until(lambda: Run.objects.get(id=second).stop_confirmed_at)
    assert (second in host.driving, Call.objects.filter(run_id=second).exists()) == (False, False)
    assert live.post(f"/runs/{first}/cancel").status_code == 200
    until(lambda: status_of(third) == "succeeded")
    assert Run.objects.get(id=third).model_wait is None
    for run_id in (first, second, third):
        check_run(run_id)
