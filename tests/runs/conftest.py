"""Agents that think, what simulated machines are told to do, and run loops as worker processes have them."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.db import connections

from machines.drivers.base import Action, ActResult
from machines.drivers.simulated import SimulatedSession
from runs import loop
from runs.agents import registry
from runs.agents.base import Agent
from runs.loop import RunLoop
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
