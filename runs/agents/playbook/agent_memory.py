"""What the playbook agent remembers of a run: JSON, so that any worker can go on with it."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from runs.agents.base import Bound, Memory
from runs.agents.playbook.checks.machine_conditions import Condition
from runs.agents.playbook.language.plan import Instruction, name_given, parse

BEFORE = "before"  # not in the place of an instruction, but before it
SKIPPED = "skipped"  # the action of an instruction that a person left out before its turn


@dataclass
class Progress:
    """`at` is the index of the next instruction; it moves when the move of an instruction is complete.

    `here`: notes about that instruction alone. `edits`: [index, text] where a person's words replaced an instruction, or
    [index, text, action] where only what is done with it was changed. `asked`: the open question {kind, why, labels, at}.
    `acted`: what `at` and `done` were before the last action, and the draft of what it leaves behind. `command`: the
    terminal command whose end has not been seen yet, with its draft. `checks`: those that the task asks for. `left`: what
    instructions left behind. `given`: [kind, text] by name, what people gave (the text of a secret is its name) and what
    was remembered. `remembered`: what the output of the run is made of. `output`: what the last command wrote.
    """

    at: int = 0
    done: int = 0
    skipped: int = 0
    begun: bool = False
    here: Memory = field(default_factory=dict)
    edits: list[list[Any]] = field(default_factory=list)
    checks: list[Condition] = field(default_factory=list)
    left: list[Condition] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)
    remembered: dict[str, str] = field(default_factory=dict)
    output: str | None = None
    asked: dict[str, Any] | None = None
    acted: dict[str, Any] | None = None
    command: dict[str, Any] | None = None

    @classmethod
    def of(cls, memory: Memory) -> "Progress":
        names = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in memory.items() if key in names})

    def memory(self) -> Memory:
        return asdict(self)

    def instructions(self, task: str, bound: tuple[Bound, ...] = ()) -> list[Instruction]:
        """The task's instructions with the changes made by people."""
        result = list(parse(task, bound).instructions)
        for at, text, *action in self.edits:
            if action == [BEFORE]:
                result[at:at] = parse(text, names=tuple(_names(result[:at]))).instructions
            elif action:
                reason = {"reason": text} if action[0] == "hand_over" else {}
                result[at] = replace(result[at], action=action[0], params=reason)
            else:
                result[at : at + 1] = parse(text, names=tuple(_names(result[:at]))).instructions
        return result

    def next(self) -> None:
        """The current instruction is complete."""
        self.at, self.done, self.here = self.at + 1, self.done + 1, {}

    def skip(self) -> None:
        """The current instruction is left out."""
        self.at, self.skipped, self.here = self.at + 1, self.skipped + 1, {}

    def undo(self) -> None:
        """The last action did not do what it should: its instruction is the current one again."""
        if self.acted:
            self.at, self.done, self.here = self.acted["at"], self.acted["done"], {}
        self.acted = self.command = None


def _names(instructions: list[Instruction]) -> list[str]:
    """Of what these ask people for, and remember."""
    return [name for i in instructions if (name := name_given(i.action, i.shown_params)) is not None]
