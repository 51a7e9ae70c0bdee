"""What a stop may name, and what that is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from accounts.actor import Actor
from machines.access import get_machine, machines_of
from machines.models import Stop
from web.errors import Invalid
from workflows.access import get_workflow, workflows_of


def find_target(actor: Actor, scope: str, target_id: str | None) -> str | None:
    """The id of the machine or workflow; None for the team. Raises Invalid, MachineNotFound, WorkflowNotFound."""
    if scope == "team":
        if target_id is not None:
            raise Invalid((("body", "id"), "A stop of the team names nothing else.", "value_error"))
        return None
    if target_id is None:
        raise Invalid((("body", "id"), f"Name the {scope}.", "missing"))
    return get_machine(actor, target_id).id if scope == "machine" else get_workflow(actor, target_id).id


@dataclass(frozen=True)
class NamedStop:
    """A stop with the words for what it holds."""

    stop: Stop
    what: str

    @property
    def until(self) -> datetime:
        return self.stop.lifted_at or timezone.now()

    @property
    def seconds(self) -> float:
        """How long it has stood."""
        return (self.until - self.stop.requested_at).total_seconds()


def with_names(actor: Actor, stops: Sequence[Stop]) -> list[NamedStop]:
    ids = {stop.target_id for stop in stops if stop.target_id}
    names = dict(machines_of(actor).filter(id__in=ids).values_list("id", "display_name")) if ids else {}
    names |= dict(workflows_of(actor).filter(id__in=ids).values_list("id", "name")) if ids else {}
    return [NamedStop(stop, _words(stop, names)) for stop in stops]


def _words(stop: Stop, names: dict[str, str]) -> str:
    return "Everything" if stop.target_id is None else f"The {stop.scope} {names.get(stop.target_id, stop.target_id)}"
