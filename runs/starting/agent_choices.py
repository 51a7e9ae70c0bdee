"""The agents that a new run can be given, as its form offers them."""

from collections.abc import Mapping
from typing import Any

from django import forms

from accounts.actor import Actor
from inference.models import Profile
from inference.profiles.services import passed
from inference.specs import live_profiles
from runs.starting.services import agent_of

OWN = {"playbook": "playbook, which follows written instructions", "scripted": "scripted, which clicks three times"}
PLAYBOOK, MODEL, OTHER = "playbook", "model", "other"  # how an agent reads a task


class AgentSelect(forms.Select):
    """Each option says how its agent reads a task, so that the page shows only what that agent uses."""

    reads: Mapping[str, str] = {}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        option["attrs"]["data-reads"] = self.reads.get(str(value), OTHER)
        return option


class Agents:
    """Asked of the database once, for one form."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.models = list(live_profiles())
        self.usual = agent_of(actor, None)

    @property
    def choices(self) -> list[tuple[str, str]]:
        models = [(each.name, _words(each)) for each in self.models]
        return [("", self._usual_words()), *models, *OWN.items()]

    @property
    def reads(self) -> dict[str, str]:
        """By the value of each option."""
        kinds = {"playbook": PLAYBOOK, "scripted": OTHER} | {each.name: MODEL for each in self.models}
        return kinds | {"": kinds.get(self.usual, OTHER)}

    def _usual_words(self) -> str:
        if self.actor.test:
            return "Usual: scripted, which clicks three times whatever the task says"
        return f"Usual: {self.usual}"


def _words(profile: Profile) -> str:
    states = [*(["default"] if profile.is_default else []), *([] if passed(profile) else ["not tested"])]
    return f"{profile.name} ({', '.join(states)})" if states else profile.name
