"""The stop from a shell: no web process, no worker and no clock takes part."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from machines.models import Stop
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, show, simulated
from tests.stops.stopping import lift, stop

pytestmark = pytest.mark.django_db
SHELL = {"type": "system", "id": "command_line", "name": "Command line"}


def said(command: str, cast: Cast, *words: str, mode: str = "test") -> list[str]:
    out = StringIO()
    call_command(command, "--team", cast.team.slug, "--mode", mode, *words, stdout=out, stderr=StringIO())
    return out.getvalue().strip().splitlines()


def test_everything_is_stopped_and_lifted_from_a_shell(cast: Cast, test_key: Api, acted: list[Any]) -> None:
    run = begin(test_key)
    printed = said("stop", cast, "--reason", "  It mails everybody. ")
    row = Stop.objects.get()
    assert printed == [
        f"{row.id}: no new action starts. Runs that stand still: 1.", "Confirmed: no action is under way."
    ]  # fmt: skip
    assert (row.scope, row.target_id, row.reason, row.test, row.requested_by) == (
        "team", None, "It mails everybody.", True, SHELL
    )  # fmt: skip
    drive_all()
    assert (show(test_key, run["id"])["waiting_on"]["code"], acted) == ("stopped", [])
    (line,) = said("lift", cast)
    assert line.startswith(f"{row.id}: team, since ")
    assert line.endswith(", confirmed, by Command line: It mails everybody.")
    assert said("lift", cast, row.id) == [f"{row.id}: lifted."]
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"
    audited = AuditEntry.objects.filter(verb__startswith="stop.").order_by("id").values_list("verb", "actor__id")
    assert list(audited) == [
        ("stop.requested", "command_line"), ("stop.confirmed", "system"), ("stop.lifted", "command_line")
    ]  # fmt: skip


def test_one_machine_is_stopped_in_its_world_only(cast: Cast, live: Api, test_key: Api) -> None:
    machine = simulated(live)
    run, other = begin(live, machine_id=machine, agent="scripted"), begin(test_key)
    said("stop", cast, "--reason", "x", "--machine", machine, mode="live")
    drive_all()
    assert [show(live, run["id"])["status"], show(test_key, other["id"])["status"]] == ["queued", "succeeded"]
    with pytest.raises(CommandError, match="no such machine"):
        said("stop", cast, "--reason", "x", "--machine", machine, mode="test")
    assert Stop.objects.count() == 1


def test_an_action_in_hand_is_not_called_confirmed(cast: Cast, test_key: Api) -> None:
    run = begin(test_key)
    Run.objects.filter(id=run["id"]).update(
        status="cancelled", finished_at=run["created_at"], cancel_requested_at=run["created_at"]
    )
    printed = said("stop", cast, "--reason", "x", "--wait", "0")
    assert printed[1] == "Not confirmed yet: a worker may have an action in hand. The clock goes on with it."
    assert Stop.objects.get().confirmed_at is None


@pytest.mark.parametrize("reason", ["", " ", "x" * 501])
def test_a_stop_without_a_proper_reason_is_refused(cast: Cast, reason: str) -> None:
    with pytest.raises(CommandError, match="reason"):
        said("stop", cast, "--reason", reason)
    assert not Stop.objects.exists()


def test_what_is_not_there_is_not_stopped_and_not_lifted(cast: Cast, strangers: Cast) -> None:
    theirs = stop(strangers.api(test=True))
    with pytest.raises(CommandError, match="no such stop"):
        said("lift", cast, theirs["id"])
    with pytest.raises(CommandError, match="no such workflow"):
        said("stop", cast, "--reason", "x", "--workflow", "wf_none")
    with pytest.raises(CommandError, match="There is no team nobody"):
        call_command("stop", "--team", "nobody", "--reason", "x")
    assert said("lift", cast) == []
    assert Stop.objects.get().lifted_at is None


def test_all_that_stand_are_lifted_at_once_and_none_twice(cast: Cast, test_key: Api) -> None:
    gone, *_ = first, second, third = [stop(test_key) for _ in range(3)]
    lift(test_key, gone)
    assert said("lift", cast, "--all") == [f"{each['id']}: lifted." for each in (second, third)]
    assert said("lift", cast, "--all") == []
    with pytest.raises(CommandError, match=first["id"]):
        said("lift", cast, first["id"])
