"""A lease by itself: who may take, keep and give back control of a machine that no run drives."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import AuditEntry
from machines.models import Machine, TakeoverLease
from machines.takeover.services import lapses
from tests.cast import Api, Cast
from tests.runs.driving import simulated
from tests.takeover.control import code, lapse, pass_time, release, take


@pytest.fixture
def other(cast: Cast) -> Api:
    """Another key of the same team."""
    return cast.api(owner="alice")


def test_nobody_controls_a_new_machine(live: Api) -> None:
    machine = simulated(live)
    assert code(live.get(f"/machines/{machine}/takeover")) == (404, "NOT_FOUND")
    assert live.get(f"/machines/{machine}").json()["takeover"] is None


def test_a_lease_says_who_holds_it_until_when(live: Api) -> None:
    machine = simulated(live)
    lease = take(live, machine, note="log in")
    assert lease["id"].startswith("tko_")
    assert (lease["object"], lease["machine_id"]) == ("takeover", machine)
    assert (lease["run_id"], lease["approval_id"]) == (None, None)
    assert (lease["private"], lease["holder"]["type"]) == (False, "api_key")
    row = TakeoverLease.objects.get()
    assert (row.expires_at - row.taken_at).total_seconds() == 30
    assert (row.idle_expires_at - row.taken_at).total_seconds() == 600
    shown = {k: v for k, v in lease.items() if k != "request_id"}
    assert live.get(f"/machines/{machine}/takeover").json().items() >= shown.items()
    assert live.get(f"/machines/{machine}").json()["takeover"] == shown
    assert live.get("/machines").json()["data"][0]["takeover"] == shown


def test_taking_again_gives_the_same_lease(live: Api) -> None:
    machine = simulated(live)
    first = take(live, machine)
    assert take(live, machine, private=True, note="again") | {"request_id": 0} == first | {"request_id": 0}


def test_T_171_a_second_taker_is_refused(live: Api, other: Api) -> None:
    machine = simulated(live)
    lease = take(live, machine)
    answer = other.post(f"/machines/{machine}/takeover", {})
    assert code(answer) == (409, "MACHINE_IN_TAKEOVER")
    assert answer.json()["error"]["holder"] == lease["holder"]
    assert answer.json()["error"]["lease_expires_at"] == lease["expires_at"]


def test_a_heartbeat_moves_the_end_of_the_lease(live: Api) -> None:
    lease = take(live, simulated(live))
    pass_time(lease, silent=29)
    answer = live.post(f"/machines/{lease['machine_id']}/takeover/heartbeat", {"lease_id": lease["id"]})
    assert answer.status_code == 200
    left = TakeoverLease.objects.get().expires_at - timezone.now()
    assert 29 < left.total_seconds() <= 30


def test_heartbeat_and_release_need_the_current_lease_and_its_holder(live: Api, other: Api) -> None:
    lease = take(live, simulated(live))
    for call in ("heartbeat", "release"):
        path = f"/machines/{lease['machine_id']}/takeover/{call}"
        assert code(live.post(path, {"lease_id": "tko_none"})) == (409, "INVALID_STATE")
        assert code(live.post(path, {})) == (422, "VALIDATION_ERROR")
        assert code(other.post(path, {"lease_id": lease["id"]})) == (409, "MACHINE_IN_TAKEOVER")
    assert release(live, lease).items() >= {"released": True, "run_id": None, "status": None}.items()
    for call in ("heartbeat", "release"):
        path = f"/machines/{lease['machine_id']}/takeover/{call}"
        assert code(live.post(path, {"lease_id": lease["id"]})) == (409, "INVALID_STATE")
    assert live.get(f"/machines/{lease['machine_id']}").json()["takeover"] is None


def test_a_silent_lease_is_over_before_the_clock_comes_by(live: Api, other: Api) -> None:
    lease = take(live, simulated(live))
    pass_time(lease, silent=30)
    path = f"/machines/{lease['machine_id']}/takeover"
    assert code(live.get(path)) == (404, "NOT_FOUND")
    assert code(live.post(f"{path}/heartbeat", {"lease_id": lease["id"]})) == (409, "INVALID_STATE")
    second = take(other, lease["machine_id"])
    assert second["id"] != lease["id"]
    assert TakeoverLease.objects.get(id=lease["id"]).end == "lapsed"


@pytest.mark.parametrize("silence", [{"silent": 30}, {"idle": 600}])
def test_the_clock_ends_silent_and_idle_leases(live: Api, silence: dict[str, float]) -> None:
    lease = take(live, simulated(live))
    assert lapses() == 0
    pass_time(lease, **silence)
    assert (lapses(), lapses()) == (1, 0)
    row = TakeoverLease.objects.get()
    assert row.end == "lapsed"
    assert row.ended_at is not None


def test_input_keeps_a_lease_from_idling_and_looking_does_not(live: Api) -> None:
    lease = take(live, simulated(live))
    path = f"/machines/{lease['machine_id']}/actions"
    for command, parameters, left in (("screenshot", {}, 1), ("click", {"x": 1, "y": 2}, 600)):
        TakeoverLease.objects.update(idle_expires_at=timezone.now() + timedelta(seconds=1))
        action = {"command": command, "parameters": parameters, "lease_id": lease["id"]}
        assert live.post(path, action).status_code == 200
        idle = TakeoverLease.objects.get().idle_expires_at - timezone.now()
        assert left - 1 < idle.total_seconds() <= left


def test_others_may_not_act_on_or_stop_a_controlled_machine(live: Api, other: Api) -> None:
    lease = take(live, simulated(live))
    click = {"command": "click", "parameters": {"x": 1, "y": 2}}
    path = f"/machines/{lease['machine_id']}"
    assert code(other.post(f"{path}/actions", click)) == (409, "MACHINE_IN_TAKEOVER")
    assert code(other.post(f"{path}/actions", click | {"lease_id": lease["id"]})) == (409, "MACHINE_IN_TAKEOVER")
    assert code(other.post(f"{path}/actions/batch", {"steps": [click]})) == (409, "MACHINE_IN_TAKEOVER")
    assert code(other.post(f"{path}/stop", {})) == (409, "MACHINE_IN_TAKEOVER")
    assert live.post(f"{path}/actions", click).status_code == 200
    assert live.post(f"{path}/actions/batch", {"steps": [click | {"lease_id": lease["id"]}]}).status_code == 200


def test_a_stale_lease_id_does_nothing(live: Api) -> None:
    lease = take(live, simulated(live))
    release(live, lease)
    click = {"command": "click", "parameters": {"x": 1, "y": 2}, "lease_id": lease["id"]}
    assert code(live.post(f"/machines/{lease['machine_id']}/actions", click)) == (409, "INVALID_STATE")
    steps = {"steps": [click, click | {"lease_id": "tko_other"}]}
    assert code(live.post(f"/machines/{lease['machine_id']}/actions/batch", steps)) == (422, "VALIDATION_ERROR")


def test_only_a_running_machine_can_be_taken(live: Api) -> None:
    machine = simulated(live)
    live.post(f"/machines/{machine}/stop", {})
    assert code(live.post(f"/machines/{machine}/takeover", {})) == (409, "INVALID_STATE")


def test_a_lease_ends_with_its_machine(live: Api) -> None:
    lease = take(live, simulated(live))
    assert live.post(f"/machines/{lease['machine_id']}/terminate", {}).status_code == 200
    assert lapses() == 1


def test_a_machine_whose_time_is_up_waits_for_the_person(live: Api) -> None:
    from machines.services import end_if_expired

    lease = take(live, simulated(live))
    Machine.objects.update(auto_destroy_at=timezone.now())
    assert not end_if_expired(lease["machine_id"])
    release(live, lease)
    assert end_if_expired(lease["machine_id"])


def test_another_teams_machine_is_not_found(live: Api, strangers: Cast) -> None:
    machine = simulated(live)
    charlie = strangers.api()
    for method, path in (("GET", ""), ("POST", ""), ("POST", "/heartbeat"), ("POST", "/release")):
        assert code(charlie.request(method, f"/machines/{machine}/takeover{path}", {})) == (404, "MACHINE_NOT_FOUND")


def test_the_database_knows_one_open_lease_per_machine(live: Api) -> None:
    lease = take(live, simulated(live))
    row = TakeoverLease.objects.get()
    with pytest.raises(IntegrityError, match="one_open_takeover_per_machine"), transaction.atomic():
        TakeoverLease.objects.create(
            machine_id=lease["machine_id"], holder=row.holder, expires_at=row.expires_at, idle_expires_at=row.expires_at
        )


def test_every_change_is_in_the_audit(live: Api) -> None:
    machine = simulated(live)
    release(live, take(live, machine))
    lapse(take(live, machine))
    rows = AuditEntry.objects.filter(subject=machine, verb__contains="takeover").order_by("id")
    taken, released, lapsed = (f"machine.takeover_{word}" for word in ("taken", "released", "lapsed"))
    assert [row.verb for row in rows] == [taken, released, taken, lapsed]
