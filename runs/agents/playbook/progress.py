"""What the playbook agent remembers of a run: JSON, so that any worker can go on with it."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from runs.agents.base import Memory
from runs.agents.playbook.conditions import Condition
from runs.agents.playbook.plan import Instruction, parse


@dataclass
class Progress:
    """`at` is the index of the next instruction; it moves when the move of an instruction is complete.

    `here`: notes about that instruction alone. `edits`: (index, text) where a person's words replaced an instruction.
    `asked`: the open question {kind, why, labels}. `acted`: what `at` and `done` were before the last action.
    `command`: the terminal command whose end has not been seen yet.
    """

    at: int = 0
    done: int = 0
    skipped: int = 0
    begun: bool = False
    here: Memory = field(default_factory=dict)
    edits: list[tuple[int, str]] = field(default_factory=list)
    checks: list[Condition] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, Any] | None = None
    acted: dict[str, int] | None = None
    command: dict[str, Any] | None = None

    @classmethod
    def of(cls, memory: Memory) -> "Progress":
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in memory.items() if key in known})

    def memory(self) -> Memory:
        return asdict(self)

    def instructions(self, task: str) -> list[Instruction]:
        """The task's instructions with the replacements made by people."""
        result = list(parse(task).instructions)
        for at, text in self.edits:
            result[at : at + 1] = parse(text).instructions
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
