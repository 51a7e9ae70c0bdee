"""The state of a workflow run while one trigger is applied to it, and its form as plain JSON.

A state is an object; {} is a run that has not begun. Its branches are threads of control: 0 is the run itself, others are branches of a
parallel step (`up` is the one it stands in). Each has a stack of frames:

- list: the steps at `at`, of which `next` comes next;
- loop: `iteration`, 1-based; 0 and while the condition is tested, the iterations that are finished;
- retry: `attempt`, 1-based; `unpassed`, the last task of this attempt that did not pass;
- parallel: `left`, the branches that have not ended.

`at` is the path of a step or list in the definition's steps. What a branch waits for is its `wait`: a child run or a request, known
by its ticket. Whether that child run waits for a person itself is not known here (runs/services.py: follow()).

`visits` counts how often each step was come to, `verdicts` holds the last word of each assert: for those who look on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.definition.templates import Scope
from workflows.interpreter.effects import CancelTasks, Effect, Finish, Write
from workflows.interpreter.triggers import Started

State = dict[str, Any]
Frame = dict[str, Any]
Definition = dict[str, Any]
Path = list[str | int]
COUNTED = {"loop": "iteration", "retry": "attempt"}  # what a frame of this kind counts


@dataclass
class Branch:
    id: int
    up: int | None
    frames: list[Frame]
    wait: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        return self.wait is None and not (self.frames and self.frames[-1]["kind"] == "parallel")


def list_frame(at: Path) -> Frame:
    return {"kind": "list", "at": at, "next": 0}


def begun(started: Started) -> State:
    """The state of a run that begins."""
    return {
        "ended": False,
        "options": {
            "task": started.task,
            "max_iterations": started.max_iterations,
            "on_awaiting_human": started.on_awaiting_human,
            "on_timeout": started.on_timeout,
            "awaiting_human_timeout_seconds": started.awaiting_human_timeout_seconds,
            "task_defaults": started.task_defaults,
        },
        "inputs": started.inputs,
        "bindings": {},
        "iteration": 0,
        "attempt": 1,
        "iterations_used": 0,
        "last_ticket": 0,
        "last_branch": 0,
        "slice": 0,
        "cut": False,
        "visits": {},
        "verdicts": {},
        "branches": [{"id": 0, "up": None, "frames": [list_frame([])], "wait": None}],
    }


class Progress:
    """The state, made changeable, and the effects so far. The JSON it was made from stays as it was."""

    def __init__(self, definition: Definition, state: State) -> None:
        self.definition = definition
        self.effects: list[Effect] = []
        self.options: dict[str, Any] = state["options"]
        self.state = dict(state)
        self.bindings = dict(state["bindings"])
        self._scope = self.bindings | {"inputs": self._inputs()}
        self.state |= {name: dict(state[name]) for name in ("visits", "verdicts")}
        self.branches = {
            each["id"]: Branch(
                each["id"], each["up"], [dict(f) for f in each["frames"]], each["wait"] and dict(each["wait"])
            )
            for each in state["branches"]
        }

    def as_json(self) -> State:
        branches = [{"id": b.id, "up": b.up, "frames": b.frames, "wait": b.wait} for b in self.branches.values()]
        return self.state | {"bindings": self.bindings, "branches": branches}

    @property
    def ended(self) -> bool:
        return bool(self.state["ended"])

    def count(self, name: str) -> int:
        """The next number of `last_ticket`, `last_branch`, `slice` or `iterations_used`."""
        self.state[name] += 1
        return int(self.state[name])

    def come_to(self, step: dict[str, Any]) -> None:
        visits: dict[str, int] = self.state["visits"]
        visits[step["id"]] = visits.get(step["id"], 0) + 1

    def find(self, at: Path) -> Any:
        value: Any = self.definition["steps"]
        for part in at:
            value = value[part]
        return value

    # --- what templates see

    def scope(self, branch: Branch) -> Scope:
        """Holds until the next call, which changes it: copying it for each step would cost more than the step."""
        self._scope["vars"] = self._vars(branch)
        return self._scope

    def _inputs(self) -> dict[str, Any]:
        inputs: dict[str, Any] = self.state["inputs"]
        task = self.options["task"]
        return inputs if task is None or "task" in inputs else inputs | {"task": task}

    def _vars(self, branch: Branch) -> dict[str, int]:
        """Of the innermost loop and retry around; outside of them the last ones."""
        counts: dict[str, int] = {}
        for frame in self.frames_around(branch):
            name = COUNTED.get(frame["kind"])
            if name is not None and name not in counts:
                counts[name] = frame[name]
        return {"iteration": self.state["iteration"], "attempt": self.state["attempt"]} | counts

    def frames_around(self, branch: Branch) -> Iterator[Frame]:
        """The frames a step stands in, innermost first, beyond its own branch too."""
        here: Branch | None = branch
        while here is not None:
            yield from reversed(here.frames)
            here = None if here.up is None else self.branches[here.up]

    def bind(self, step: dict[str, Any], value: dict[str, Any]) -> None:
        for name in (step["id"], step.get("save_as")):
            if name is not None:
                self.bindings[name] = self._scope[name] = value

    def keep_secrets(self, step: dict[str, Any], ref: str | None, paths: Sequence[str]) -> None:
        """Which values of the step that was just bound are secret, and under which name the run keeps them."""
        secrets: dict[str, Any] = dict(self.state.get("secrets", {}))
        for name in filter(None, (step["id"], step.get("save_as"))):
            secrets.pop(name, None)
            if paths:
                secrets[name] = {"ref": ref, "paths": list(paths)}
        if secrets or "secrets" in self.state:
            self.state["secrets"] = secrets

    # --- branches

    def leave(self, branch: Branch) -> Frame:
        """Take the top frame away; the last iteration and attempt stay readable."""
        frame = branch.frames.pop()
        for name in ("iteration", "attempt"):
            if name in frame:
                self.state[name] = frame[name]
        return frame

    def waiting(self, ticket: int, kind: str) -> Branch | None:
        """The branch that waits for this child run ("task") or request ("request")."""
        branches = (
            b for b in self.branches.values() if b.wait and (b.wait["ticket"], b.wait["kind"]) == (ticket, kind)
        )
        return next(branches, None)

    def drop_branches(self, up: int) -> None:
        """Stop what stands in this branch's parallel step, at any depth, and cancel its child runs."""
        dropped = [b for b in self.branches.values() if self._is_within(b, up)]
        tickets = tuple(b.wait["ticket"] for b in dropped if b.wait)  # nobody is asked below parallel
        if tickets:
            self.effects.append(CancelTasks(tickets))
        for each in dropped:
            del self.branches[each.id]

    def _is_within(self, branch: Branch, up: int) -> bool:
        above = branch.up
        while above is not None and above != up:
            above = self.branches[above].up
        return above == up

    # --- effects

    def write(self, name: Any, **data: Any) -> None:
        self.effects.append(Write(name, data))

    def finish(self, finish: Finish) -> None:
        """The end: nothing comes after."""
        self.branches.clear()
        self.state |= {"ended": True, "cut": False}
        self.effects.append(finish)
