"""How the task of a new run is read, sentence by sentence, for its form."""

from dataclasses import dataclass
from typing import Any

from accounts.actor import Actor
from runs.agents.playbook import parse
from runs.agents.playbook.language.nearest import nearest
from runs.agents.playbook.language.plan import REFUSED, UNKNOWN
from runs.starting.services import agent_of

SHOWN = 30  # sentences
LONGEST = 16_000  # characters, as of a task


@dataclass(frozen=True)
class Read:
    """One sentence: whether it is understood, and if not, what would be."""

    text: str
    understood: bool
    nearest: list[str]
    refused: str = ""


def read_task(actor: Actor, task: str, agent: str) -> dict[str, Any]:
    """What the page says of a task: {sentences, unread, more}; {} for an agent that reads in its own way, and no task."""
    task = task.replace("\0", "")[:LONGEST]
    if not task.strip() or agent_of(actor, agent or None) != "playbook":
        return {}
    instructions = parse(task).instructions
    shown = [
        Read(
            i.text,
            i.action not in (UNKNOWN, REFUSED),
            nearest(i.text) if i.action == UNKNOWN else [],
            i.params.get("reason", "") if i.action == REFUSED else "",
        )
        for i in instructions[:SHOWN]
    ]
    unread = sum(i.action in (UNKNOWN, REFUSED) for i in instructions)
    return {
        "sentences": shown,
        "unread": unread,
        "total": len(instructions),
        "more": len(instructions) - len(shown),
        "nothing": unread == len(instructions),
    }
