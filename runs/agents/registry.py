"""The agent profiles that this installation knows, by name."""

from runs.agents.base import Agent
from runs.agents.playbook import PlaybookAgent
from runs.agents.scripted import ScriptedAgent

_AGENTS: dict[str, Agent] = {"playbook": PlaybookAgent(), "scripted": ScriptedAgent()}

PROFILES: tuple[str, ...] = tuple(_AGENTS)


def agent_for(profile: str) -> Agent:
    """The agent of a profile; KeyError when there is none. Agents are stateless, so one serves every run."""
    return _AGENTS[profile]
