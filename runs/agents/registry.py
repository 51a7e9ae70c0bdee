"""The agents that this installation knows, by name: two that need no model, and one for each model profile."""

import functools

from accounts.actor import Actor
from inference.models import Call, Profile
from inference.specs import is_live, live_names
from runs.agents.base import Agent
from runs.agents.playbook import PlaybookAgent
from runs.agents.scripted import ScriptedAgent
from runs.models import Run
from web.errors import Invalid

_AGENTS: dict[str, Agent] = {"playbook": PlaybookAgent(), "scripted": ScriptedAgent()}
OWN = frozenset(_AGENTS)  # they need no model, so both worlds have them


def agent_for(profile: str) -> Agent:
    """The agent of a profile. Agents are stateless, so one serves every run.

    Any name that is not ours is a model profile's: whether it still works is asked when it thinks, so that a run whose
    profile was removed can ask people.
    """
    return _AGENTS[profile] if profile in _AGENTS else _model_agent()


@functools.cache
def _model_agent() -> Agent:
    from runs.agents.model import ModelAgent  # only where a model is used

    return ModelAgent()


def names() -> list[str]:
    """What `agent` takes now: asks the database, as profiles come and go while we run."""
    return [*_AGENTS, *live_names()]


def require_default(actor: Actor, profile: str) -> None:
    """The team's live runs can have this agent without naming it. Raises Invalid."""
    if not is_known(profile):
        words = f"Unknown agent profile. Known: {', '.join(names())}."
        raise Invalid((("body", "default_agent"), words, "value_error"))


def is_known(profile: str) -> bool:
    return profile in _AGENTS or is_live(profile)


def has_model(run: Run) -> bool:
    return run.kind == "agent" and run.agent not in OWN


def model_of(run: Run) -> str | None:
    """The model that decides for the run, as its newest call named it; None for a run without one."""
    if not has_model(run):
        return None
    calls = Call.objects.filter(run_id=run.id, profile=run.agent)  # its verifier may be another model
    last = calls.order_by("-started_at").values_list("model", flat=True).first()
    return last or Profile.objects.filter(name=run.agent).values_list("model", flat=True).first()
