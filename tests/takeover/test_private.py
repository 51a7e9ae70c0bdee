"""T-172: of a private takeover nothing is stored, streamed to others or sent to a model."""

from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from machines import pictures
from machines.models import Machine
from machines.services import remember_picture
from runs.driving.agent_view import AgentView
from runs.driving.steps import LeaseLost
from runs.models import Screenshot
from runs.secrets.redaction import NO_SECRETS
from tests.cast import Api, Cast
from tests.runs.driving import begin, data_of, drive_all, show, simulated, status_of, waiting
from tests.takeover.control import code, drive_with, release, take

SECRET = "correct horse battery staple"


@pytest.fixture
def machine(live: Api) -> str:
    return simulated(live)


@pytest.fixture
def other(cast: Cast) -> Api:
    return cast.api(owner="ana")


def everything_stored() -> str:
    """All rows of all tables of this product, and its queue."""
    return "\n".join(str(list(model.objects.values())) for model in apps.get_models())


def test_T_172_nothing_typed_is_found_in_events_database_or_answers(live: Api, other: Api, machine: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    lease = take(live, machine, private=True)
    path = f"/machines/{machine}/actions"
    typed = {"command": "type_text", "parameters": {"text": SECRET}, "lease_id": lease["id"]}
    assert live.post(path, typed, Idempotency_Key="once").status_code == 200
    assert live.post(path, {"command": "key_press", "parameters": {"key": "z"}}).status_code == 200
    assert live.post(f"{path}/batch", {"steps": [typed]}).status_code == 200
    release(live, lease)
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert SECRET not in everything_stored()
    about = f"/runs/{run['id']}"
    for address in (about, f"{about}/events?format=json", f"/machines/{machine}", "/approvals?status=all"):
        assert SECRET not in other.get(address).content.decode()
    assert live.get("/idempotency/once").status_code == 404
    (taken, released) = data_of(run["id"], "takeover")
    assert (taken["private"], taken["note"], released["note"]) == (True, None, None)
    assert taken["by"] == lease["holder"]
    assert taken["at"] <= released["at"]


def test_T_172_others_get_no_screenshot_and_the_holder_does(live: Api, other: Api, machine: str) -> None:
    lease = take(live, machine, private=True)
    assert code(other.get(f"/machines/{machine}/screenshot")) == (409, "MACHINE_IN_TAKEOVER")
    assert live.get(f"/machines/{machine}/screenshot").status_code == 200
    release(live, lease)
    assert other.get(f"/machines/{machine}/screenshot").status_code == 200


def test_a_takeover_that_is_not_private_may_be_watched(live: Api, other: Api, machine: str) -> None:
    take(live, machine)
    assert other.get(f"/machines/{machine}/screenshot").status_code == 200


def test_T_172_a_screenshot_that_fell_into_a_private_takeover_is_not_given_out(
    live: Api, other: Api, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from machines.actions import by_hand

    real = by_hand.with_session

    def slow(*args: Any) -> Any:
        seen = real(*args)
        release(live, take(live, machine, private=True))
        return seen

    monkeypatch.setattr(by_hand, "with_session", slow)
    assert code(other.get(f"/machines/{machine}/screenshot")) == (409, "MACHINE_IN_TAKEOVER")


def test_T_172_the_step_at_the_boundary_keeps_no_picture_of_that_time(
    live: Api, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[bytes] = []
    real = pictures.store

    def store(png: bytes) -> str:
        stored.append(png)
        return real(png)

    monkeypatch.setattr(pictures, "store", store)
    begin(live, machine_id=machine, agent="scripted")
    made: list[dict[str, Any]] = []
    drive_with("private_since", lambda: made.append(take(live, machine, private=True)), nth=2)  # as the action ends
    run_id = made[0]["run_id"]
    assert show(live, run_id)["steps_completed"] == 1
    assert status_of(run_id) == "awaiting_human"
    assert [s.phase for s in Screenshot.objects.filter(run_id=run_id)] == ["before"]
    assert len(stored) == 1
    release(live, made[0])
    drive_all()
    assert status_of(run_id) == "succeeded"


def test_T_172_an_agent_sees_nothing_of_a_private_takeover(live: Api, machine: str) -> None:
    begin(live, machine_id=machine, agent="scripted")
    made: list[dict[str, Any]] = []
    drive_with("private_since", lambda: made.append(take(live, machine, private=True)))
    assert data_of(made[0]["run_id"], "screenshot") == []
    assert status_of(made[0]["run_id"]) == "awaiting_human"


@pytest.mark.asyncio
@pytest.mark.django_db
@pytest.mark.parametrize("look", ["screenshot", "elements", "text", "state"])
async def test_every_look_of_an_agent_is_dropped(look: str) -> None:
    class Eyes:
        def __getattr__(self, name: str) -> Any:
            async def seen() -> str:
                return SECRET

            return seen

    async def private(*_: Any) -> bool:
        return True

    with pytest.raises(LeaseLost):
        await getattr(AgentView(Eyes(), "run_1", private, NO_SECRETS), look)()  # type: ignore[arg-type]


def test_T_172_the_machines_last_picture_stays_the_one_before(live: Api, machine: str) -> None:
    before = timezone.now()
    remember_picture(machine, "a" * 64, before)
    lease = take(live, machine, private=True)
    during = timezone.now()
    remember_picture(machine, "b" * 64, during)
    release(live, lease)
    remember_picture(machine, "b" * 64, during)
    assert Machine.objects.get(id=machine).picture == "a" * 64
    remember_picture(machine, "c" * 64, timezone.now())
    assert Machine.objects.get(id=machine).picture == "c" * 64


def test_the_note_given_at_the_end_is_meant_for_the_agent(live: Api, machine: str) -> None:
    run = waiting(live, "x [takeover]", machine_id=machine, agent="scripted")
    release(live, take(live, machine, private=True), note="You are logged in.")
    drive_all()
    assert "You are logged in." in show(live, run["id"])["result"]["summary"]
