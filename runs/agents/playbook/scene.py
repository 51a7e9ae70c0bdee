"""What one instruction sees when its turn comes, and what it answers."""

from dataclasses import dataclass, field
from typing import Any

from machines.drivers.base import Action, Session
from runs.agents.base import Act, Ask, Context, Finish, Memory
from runs.agents.playbook import person_questions
from runs.agents.playbook.language.plan import Instruction


@dataclass(frozen=True)
class Patience:
    """How long the agent waits inside one decision, in seconds."""

    poll: float = 0.25  # between two looks
    target: float = 5.0  # for something missing, or a check that does not hold yet
    command: float = 600.0  # for a command to end


@dataclass
class Looking:
    """What looking at the machine did to it."""

    scrolled: bool = False


@dataclass(frozen=True)
class Scene:
    """One instruction on a live machine. `here` is what was remembered for this instruction alone, `next_action` the
    action of the instruction that follows, `output` what the last command wrote, None where that is not known."""

    instruction: Instruction
    context: Context
    session: Session
    patience: Patience
    here: Memory
    next_action: str | None = None
    looking: Looking = field(default_factory=Looking)
    output: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        return self.instruction.params


@dataclass(frozen=True)
class Reply:
    """The move of one instruction. `done`: the instruction is complete with it, the next one follows.

    `here` is remembered until then, `lasting` for the rest of the run. An Ask with `why` waits for a choice among its
    options; without it the instruction itself asks, and any answer completes it. `facts` are kept with the open question.
    """

    move: Act | Ask | Finish
    text: str
    done: bool = True
    here: Memory = field(default_factory=dict)
    lasting: Memory = field(default_factory=dict)
    why: str = ""
    facts: Memory = field(default_factory=dict)


def act(name: str, params: dict[str, Any], text: str, ref: str | None = None) -> Reply:
    """`ref`: the element that it is about (base.Element.ref)."""
    return Reply(Act(Action(name, params, ref=ref)), text)


def look(text: str) -> Reply:
    """Nothing has to be done: the step is a fresh screenshot."""
    return act("screenshot", {}, text)


def fail(text: str) -> Reply:
    return Reply(Finish(False, text), text, done=False)


def stuck(scene: Scene, why: str, message: str, labels: list[str]) -> Reply:
    """Ask a person how to go on; a run that may not ask fails with the same message."""
    if not scene.context.may_ask:
        return fail(message)
    ask = person_questions.trouble(why, message, labels)
    return Reply(ask, ask.message, done=False, why=why)
