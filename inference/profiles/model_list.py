"""What works here: the answer of GET /v1/models."""

from typing import Any

from django.conf import settings

from inference.schemas import ACTION_TYPES, ENGINES
from inference.specs import live_profiles

# Agents that need no model; they stand above this app (runs/agents).
BUILT_IN = ({"name": "playbook", "wire": None, "vision": False, "needs_key": False, "model": None},)
SCRIPTED = {"name": "scripted", "wire": None, "vision": False, "needs_key": False, "model": None}


def models_object(*, test: bool) -> dict[str, Any]:
    """`agents`: what a run's `agent` may name; `models`: the models behind them, each once."""
    profiles = list(live_profiles())
    agents = [
        {
            "name": profile.name,
            "wire": profile.wire,
            "vision": True,
            "needs_key": profile.key is not None or profile.wire != "compatible",
            "model": profile.model,
        }
        for profile in profiles
    ]
    built_in = [*BUILT_IN, SCRIPTED] if test or settings.ALLOW_SCRIPTED_LIVE else list(BUILT_IN)
    models = {(profile.wire, profile.model): None for profile in profiles}
    return {
        "models": [{"id": model, "wire": wire} for wire, model in models],
        "cua_versions": [{"id": engine} for engine in ENGINES],
        "action_types": list(ACTION_TYPES),
        "agents": [*agents, *built_in],
    }
