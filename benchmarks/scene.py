"""The team, keys and runs that the figures work with."""

from dataclasses import dataclass
from typing import Any

from accounts.actor import SCOPES, Actor
from accounts.keys.services import issue_key
from accounts.members.services import create_user
from accounts.models import Team
from billing.services import topup
from config.first_run import owner_actor
from machines.models import Machine


@dataclass(frozen=True)
class Scene:
    team: Team
    live: Actor
    test: Actor
    live_key: str
    test_key: str


def make_scene(slug: str = "bench") -> Scene:
    team = Team.objects.create(slug=slug, name=slug, max_active_runs=10_000)
    create_user(team, f"owner@{slug}.test", None, ["owner"])
    live, test = owner_actor(team, False), owner_actor(team, True)
    topup(live, 100_000_000, "bench", kind="grant")
    keys = [issue_key(actor, "bench", frozenset(SCOPES)).key for actor in (live, test)]
    return Scene(team, live, test, *keys)


def simulated_machine(actor: Actor, name: str = "m") -> Machine:
    return Machine.objects.create(
        team_id=actor.team_id,
        test=actor.test,
        display_name=name,
        kind="simulated",
        status="running",
        created_by=actor.ref(),
    )


def start_run(actor: Actor, task: str, **more: Any) -> str:
    """A run, if no machine is named with a simulated machine of its own, made as the API makes it; returns its id."""
    from runs.schemas import RunCreate
    from runs.starting.services import create_run

    given: dict[str, Any] = {"agent": "scripted", "max_steps": 1000} | more
    if not actor.test and "machine_id" not in given:
        given["machine_id"] = simulated_machine(actor).id
    return create_run(actor, RunCreate(task=task, **given), "req_bench").id
