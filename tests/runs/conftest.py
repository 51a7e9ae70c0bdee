"""Agents that think, what simulated machines are told to do, and run loops as worker processes have them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.db import connections
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from machines.drivers.base import Action, ActResult
from machines.drivers.simulated import SimulatedSession
from machines.processes import lifecycle
from runs.agents import registry
from runs.agents.base import Agent
from runs.driving import loop
from runs.driving.loop import RunLoop
from tests.cast import Api
from tests.runs.at_terminal import Terminal
from tests.runs.thinker import Play, Thinker, Want


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Puts an agent that thinks along a story in the place of the scripted one."""

    def put(*story: list[Want], **more: Any) -> Thinker:
        thinker = Thinker(*story, **more)
        monkeypatch.setitem(registry._AGENTS, "scripted", cast("Agent", thinker))
        return thinker

    return put


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What simulated machines were told to do: their own record."""
    done: list[tuple[str, dict[str, Any]]] = []
    act = SimulatedSession.act

    async def noted(session: SimulatedSession, action: Action) -> ActResult:
        done.append((action.name, action.params))
        return await act(session, action)

    monkeypatch.setattr(SimulatedSession, "act", noted)
    return done


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], RunLoop]]:
    """Starts run loops as worker processes have them; their threads keep no connection to the database of the test."""
    patiently, started = loop._patiently, []

    def once(work: Callable[..., Any], *args: Any) -> Any:
        try:
            return patiently(work, *args)
        finally:
            connections.close_all()

    def start() -> RunLoop:
        started.append(RunLoop())
        return started[-1]

    monkeypatch.setattr(loop, "_patiently", once)
    yield start
    for each in started:
        each.stop(10)


@pytest.fixture
def terminal(live: Api, settings: Any, tmp_path: Path) -> Iterator[Terminal]:
    settings.MACHINES_DIR = tmp_path / "machines"
    made = live.post("/machines", {"display_name": "T", "kind": "terminal", "screen_width": 1280, "screen_height": 720})
    while row := next((row for row in OrmQ.objects.order_by("id") if row.func().startswith("machines.")), None):
        row.delete()
        import_string(row.func())(*row.args())
    yield Terminal(live, made.json()["id"], tmp_path / "machines")
    lifecycle.stop_all_processes()


@pytest.fixture
def quick_playbook(monkeypatch: pytest.MonkeyPatch) -> None:
    from runs.agents.playbook import PlaybookAgent
    from runs.agents.playbook.scene import Patience

    monkeypatch.setitem(registry._AGENTS, "playbook", PlaybookAgent(Patience(poll=0.05, target=1.0, command=60)))
