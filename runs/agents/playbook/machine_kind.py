"""Which kind of machine a task needs, as far as its sentences tell."""

from runs.agents.base import Bound
from runs.agents.playbook.agent import lacks
from runs.agents.playbook.language.plan import parse

KINDS = ("terminal", "browser")


def kind_needed(task: str, bound: tuple[Bound, ...] = ()) -> str | None:
    """The one kind that can carry out every instruction of the task; None when each of them can, or none.

    The first kind that an instruction asks for decides where a task mixes them: it begins there. `bound`: where values stand.
    """
    instructions = parse(task, bound).instructions
    able = [kind for kind in KINDS if not any(lacks(instruction, kind) for instruction in instructions)]
    if len(able) == 1:
        return able[0]
    named = (lacks(instruction, "") for instruction in instructions) if not able else iter(())
    return next(filter(None, named), None)


def also_needed(task: str, kind: str) -> str | None:
    """The kind of machine that an instruction of the task needs and one of `kind` is not: the run ends there."""
    return next(filter(None, (lacks(instruction, kind) for instruction in parse(task).instructions)), None)
