"""People before their pages: clients signed in, in one world or the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from approvals.models import Approval
from machines.models import Machine
from machines.schemas import MachineCreate
from machines.services import create_machine
from runs.models import Run
from runs.schemas import RunCreate
from runs.starting.services import create_run
from tests.cast import Cast
from tests.runs.driving import drive_all


@dataclass
class Visitor:
    """A browser without JavaScript: follows redirects, remembers cookies."""

    client: Client
    name: str
    seen: list[str] = field(default_factory=list)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, data: dict[str, Any] | None = None, *, follow: bool = True, **headers: str) -> Any:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.client.post(path, data or {}, follow=follow, headers=sent)


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(cast: Cast, strangers: Cast) -> Visit:
    """visit("ana") is Ana in the test world; visit("ana", "live") in the live one. Charlie belongs to another team."""

    def enter(name: str, world: str = "test") -> Visitor:
        client = strangers.browser("alice", mode=world) if name == "charlie" else cast.browser(name, mode=world)
        return Visitor(client, name)

    return enter


@pytest.fixture
def begin(cast: Cast) -> Callable[..., Run]:
    """begin("task [pause]") starts a run in the test world and drives it until it waits or ends."""

    def start(task: str, by: str = "alice", **more: Any) -> Run:
        run = create_run(cast.actor(by, test=True), RunCreate(task=task, **more), "req_test")
        drive_all()
        run.refresh_from_db()
        return run

    return start


@pytest.fixture
def begin_live(cast: Cast, machine: Machine) -> Callable[..., Run]:
    """As `begin`, in the live world: billed. The drive sees a machine of its own: another thread would not see ours."""

    def start(task: str, by: str = "alice", **more: Any) -> Run:
        body = RunCreate(task=task, agent="scripted", machine_id=machine.id, **more)
        run = create_run(cast.actor(by), body, "req_test")
        Run.objects.filter(id=run.id).update(owns_machine=True)
        drive_all()
        run.refresh_from_db()
        return run

    return start


@pytest.fixture
def machine(cast: Cast) -> Machine:
    return create_machine(cast.actor("alice"), MachineCreate(display_name="Desk 1", kind="simulated"))


def request_of(run: Run) -> Approval:
    return Approval.objects.get(run_id=run.id, status="pending")


def text(answer: HttpResponse) -> str:
    return answer.content.decode()
