"""Agents that think, and what simulated machines are told to do."""

from typing import Any, cast

import pytest

from machines.drivers.base import Action, ActResult
from machines.drivers.simulated import SimulatedSession
from runs.agents import registry
from runs.agents.base import Agent
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
