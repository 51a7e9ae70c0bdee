"""Callers with keys of each role and world, queued work, and real terminal machines that are gone after the test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from accounts.actor import SCOPES, Actor, scopes_of_roles, system
from accounts.keys.services import issue_key
from accounts.models import Team
from machines import pictures
from machines.models import Machine
from machines.processes import lifecycle


class Caller:
    """Calls /v1 with one key; answers are Django test responses."""

    def __init__(self, actor: Actor, scopes: frozenset[str]) -> None:
        self.actor = actor
        self._headers = {"X-API-Key": issue_key(actor, "test", scopes).key}
        self._client = Client(raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = "" if body is None else json.dumps(body)
        return self._client.generic(method, f"/v1{path}", data, "application/json", headers=self._headers | headers)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.call("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def machine(self, **body: Any) -> dict[str, Any]:
        answer = self.post("/machines", {"display_name": "Desk", **body})
        assert answer.status_code == 200, answer.json()
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(autouse=True)
def alone(settings: Any) -> None:
    """Machines by themselves: nobody listens to them and nobody asks for money."""
    settings.EVENT_SUBSCRIBERS = {}
    settings.MACHINE_GATE = ""


@pytest.fixture
def team(db: None) -> Team:
    return Team.objects.create(slug="machines", name="Machines")


@pytest.fixture
def caller(team: Team) -> Callable[..., Caller]:
    def make(role: str = "admin", *, test: bool = False, team: Team = team) -> Caller:
        scopes = frozenset(SCOPES) if role == "admin" else scopes_of_roles([role])
        return Caller(system(team.id, test), scopes)

    return make


@pytest.fixture
def live(caller: Callable[..., Caller]) -> Caller:
    return caller()


@pytest.fixture
def test_world(caller: Callable[..., Caller]) -> Caller:
    return caller(test=True)


@pytest.fixture
def work(db: None) -> Callable[[], list[str]]:
    """Do all queued work on machines, as a worker would, until there is none; the names of the tasks done."""

    def run() -> list[str]:
        done: list[str] = []
        while row := next((row for row in OrmQ.objects.order_by("id") if row.func().startswith("machines.")), None):
            row.delete()
            import_string(row.func())(*row.args())
            done.append(row.func())
        return done

    return run


def queued() -> list[tuple[str, tuple[Any, ...]]]:
    return [(row.task["func"], tuple(row.task["args"])) for row in OrmQ.objects.order_by("id")]


@pytest.fixture
def heard(alone: None, settings: Any) -> Callable[[], list[tuple[str, tuple[Any, ...]]]]:
    """What machines published: (event type, arguments), in order."""
    settings.EVENT_SUBSCRIBERS = {name: [f"heard.{name}"] for name in ("machine.ready", "machine.gone")}

    def messages() -> list[tuple[str, tuple[Any, ...]]]:
        return [(name.removeprefix("heard."), args) for name, args in queued() if name.startswith("heard.")]

    return messages


@pytest.fixture
def real(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[None]:
    """Machines of this test are real and live below its own folder."""
    settings.MACHINES_DIR = tmp_path / "machines"
    yield
    lifecycle.stop_all_processes()


@pytest.fixture
def terminal(real: None, live: Caller, work: Callable[[], list[str]]) -> Machine:
    """A real terminal machine that runs."""
    made = live.machine(kind="terminal", screen_width=800, screen_height=480)
    work()
    return Machine.objects.get(id=made["id"])


@pytest.fixture
def artifacts(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """An empty place for pictures."""
    folder = tmp_path / "artifacts"
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": folder}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    pictures.forget()
    yield folder
    pictures.forget()
