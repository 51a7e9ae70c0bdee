"""Which machine a run would get, said before it is started."""

from accounts.actor import Actor
from machines.models import Machine
from machines.services import lacks_of
from runs.agents.playbook.machine_kind import also_needed
from runs.agents.registry import OWN
from runs.starting.machine_choice import choose, kind_of, no_machine
from runs.starting.services import agent_of, named_machine
from web.errors import Refusal


def hint(actor: Actor, task: str, agent: str, machine_id: str) -> str:
    """One or two sentences for the form of a new run; `agent` and `machine_id` are empty where nothing is chosen."""
    if machine_id:
        return _named(actor, machine_id, task, agent)
    if actor.test:
        return "It gets a simulated machine of its own."
    profile = agent_of(actor, agent or None)
    machine, kind = choose(actor.team_id, profile, task), kind_of(profile, task)
    if machine is None:
        return no_machine(actor).message
    if kind is None:
        elsewhere = " For work on websites choose a browser." if _is_shell_of_model(profile, machine) else ""
        return f"It runs on {machine.display_name}, the team’s default.{elsewhere}{_busy(machine)}"
    if machine.kind in (kind, "simulated"):
        needs = f"the task needs a machine of kind {kind}.{_beyond(profile, task, machine)}{_busy(machine)}"
        return f"It runs on {machine.display_name}: {needs}"
    lacks = " ".join(lacks_of(kind)) or "Make one on the page Machines."
    return (
        f"The task needs a machine of kind {kind}, and the team has none. {lacks} "
        f"Started now, it goes to {machine.display_name}, the team’s default, and "
        + ("fails there." if profile == "playbook" else "has only that.")
    )


def _is_shell_of_model(profile: str, machine: Machine) -> bool:
    return machine.kind == "terminal" and profile not in OWN


def _named(actor: Actor, machine_id: str, task: str, agent: str) -> str:
    try:
        machine = named_machine(actor, machine_id)
    except Refusal as refusal:
        return refusal.message
    if machine is None:
        return "It gets a simulated machine of its own."
    beyond = _beyond(agent_of(actor, agent or None), task, machine)
    return f"It runs on {machine.display_name}.{beyond}{_busy(machine)}"


def _beyond(profile: str, task: str, machine: Machine) -> str:
    """What of the task this machine cannot do, where the agent can tell."""
    kind = also_needed(task, machine.kind) if profile == "playbook" else None
    return f" An instruction of it needs a {kind} machine: the run fails there." if kind else ""


def _busy(machine: Machine) -> str:
    if machine.current_run_id:
        return " Another run has it now: this one waits for its turn."
    if machine.status in ("creating", "starting"):
        return " It is starting."
    return "" if machine.status == "running" else f" It is {machine.status}: start it first, or the run waits."
