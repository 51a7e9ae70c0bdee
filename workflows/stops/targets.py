"""What a stop may name."""

from accounts.actor import Actor
from machines.access import get_machine
from web.errors import Invalid
from workflows.access import get_workflow


def find_target(actor: Actor, scope: str, target_id: str | None) -> str | None:
    """The id of the machine or workflow; None for the team. Raises Invalid, MachineNotFound, WorkflowNotFound."""
    if scope == "team":
        if target_id is not None:
            raise Invalid((("body", "id"), "A stop of the team names nothing else.", "value_error"))
        return None
    if target_id is None:
        raise Invalid((("body", "id"), f"Name the {scope}.", "missing"))
    return get_machine(actor, target_id).id if scope == "machine" else get_workflow(actor, target_id).id
