"""The steps of a definition: which there are, what each may hold, and how they nest (docs/api/workflows.md 3 and 8)."""

from collections.abc import Callable, Iterator
from typing import Any

from runs.outputs import schema_problem
from web.json_schema import validation
from web.json_values import Detail, Loc
from workflows.definition import conditions
from workflows.definition.field_checks import Field, Violations, flag, mapping, name, one_of, text, whole

MAX_STEPS = 200
MAX_DEPTH = 8
MAX_BRANCHES = 16
MAX_APPROVERS = 20
WHILE_ITERATIONS = 100  # of a while without max_iterations
MAX_SCHEMA_PARTS = 2000  # objects in all schemas of a document's steps; each takes about 0.2 ms to check
ENGINES = ("v1", "v3", "v4")
ON_AWAITING_HUMAN = ("pause", "fail", "cancel")
ON_TIMEOUT = ("cancel", "fail", "reject", "default_answer")
NOT_BELOW_PARALLEL = frozenset({"human_approval", "succeed", "fail"})

Step = dict[str, Any]


FIELDS: dict[str, dict[str, Field]] = {
    "task": {
        "task": Field(text(1, 16_000), required=True), "machine_id": Field(text(1, 128)), "cua_version": Field(one_of(*ENGINES)),
        "instructions": Field(text(0, 16_000)), "system_prompt": Field(text(0, 32_000)), "max_steps": Field(whole(1, 1000)),
        "on_awaiting_human": Field(one_of(*ON_AWAITING_HUMAN)), "agent": Field(text(1, 64)), "output_schema": Field(mapping),
        "save_as": Field(name),
    },
    "assert": {"message": Field(text())},
    "if": {},
    "loop": {"count": Field(whole(0, 100_000)), "max_iterations": Field(whole(1, 100_000))},
    "parallel": {},
    "human_approval": {
        "message": Field(text()), "instruction": Field(text()), "timeout_seconds": Field(whole(1, 86_400)),
        "on_timeout": Field(one_of(*ON_TIMEOUT)), "four_eyes": Field(flag), "assignee": Field(text(1, 64)),
        "input_schema": Field(mapping), "save_as": Field(name),
    },
    "retry": {"max_attempts": Field(whole(1, 20), required=True)},
    "succeed": {"output": Field(mapping), "message": Field(text())},
    "fail": {"message": Field(text())},
}  # fmt: skip
_CONDITIONS = {"assert": "condition", "if": "condition", "loop": "while"}
LISTS = {"if": ("then", "else"), "loop": ("body",), "retry": ("body",)}
_OTHERS = {"parallel": ("branches",), "human_approval": ("approvers",)}
_NEED = {"group": Field(text(1, 64), required=True), "count": Field(whole(1, 20), required=True)}


def lists_of(step: Any) -> Iterator[tuple[Loc, list[Any]]]:
    """The lists of steps that stand directly in a step, each with its place in it. Accepts invalid documents."""
    kind = step.get("type") if isinstance(step, dict) else None
    if kind == "parallel":
        branches = step.get("branches")
        for b, branch in enumerate(branches if isinstance(branches, list) else ()):
            if isinstance(branch, list):
                yield ("branches", b), branch
    elif isinstance(kind, str):
        for key in LISTS.get(kind, ()):
            if isinstance(step.get(key), list):
                yield (key,), step[key]


def walk(steps: list[Any], at: Loc = ()) -> Iterator[tuple[Loc, Step]]:
    """Every step with its place, in the order of the document."""
    for i, step in enumerate(steps):
        yield (*at, i), step
        for place, inner in lists_of(step):
            yield from walk(inner, (*at, i, *place))


def count(steps: list[Any]) -> int:
    """Steps with all nested ones, also of lists that are nested too deep."""
    number, waiting = 0, [steps]
    while waiting:
        part = waiting.pop()
        number += len(part)
        waiting += [inner for step in part for _place, inner in lists_of(step)]
    return number


def depth(steps: list[Any]) -> int:
    """Lists within lists: the top list is 1."""
    return 1 + max((depth(inner) for step in steps for _place, inner in lists_of(step)), default=0)


class StepReader:
    """Reads the steps of one definition into what is wrong with them, in the order of the document."""

    def __init__(self, violations: Violations) -> None:
        self.violations = violations
        self.warnings: list[Detail] = []
        self._ids: dict[str, Loc] = {}
        self._saved: list[tuple[Loc, str]] = []
        self._schema_parts = 0

    def read(self, steps: list[Any], at: Loc) -> None:
        if count(steps) > MAX_STEPS:
            self.violations.add(at, f"Must have at most {MAX_STEPS} steps with all nested ones, not {count(steps)}.")
        self._read_list(steps, at, 1, False)
        for place, saved in self._saved:
            if self._ids.get(saved, place[:-1]) != place[:-1]:
                self.violations.add(place, f"'{saved}' is the id of another step.")

    def _read_list(self, steps: list[Any], at: Loc, level: int, below_parallel: bool) -> None:
        if level > MAX_DEPTH:
            self.violations.add(at, f"Lists of steps may be nested {MAX_DEPTH} deep.")
            return
        for i, step in enumerate(steps):
            if self.violations.full:
                return
            if isinstance(step, dict):
                self._read_step(step, (*at, i), level, below_parallel)
            else:
                self.violations.add((*at, i), "Must be an object.", "type_error")

    def _read_step(self, step: Step, at: Loc, level: int, below_parallel: bool) -> None:
        self._read_id(step.get("id"), (*at, "id"))
        kind = step.get("type")
        if kind is None:
            self.violations.missing((*at, "type"))
        elif not isinstance(kind, str):
            self.violations.add((*at, "type"), "Must be text.", "type_error")
        elif kind not in FIELDS:
            self.violations.add((*at, "type"), f"Unknown type '{kind[:64]}'. Known are {', '.join(FIELDS)}.")
        else:
            if below_parallel and kind in NOT_BELOW_PARALLEL:
                self.violations.add((*at, "type"), f"{kind} is not allowed below parallel.")
            self._read_fields(step, kind, at)
            for place, inner in lists_of(step):
                if len(place) == 1 or int(place[1]) < MAX_BRANCHES:
                    self._read_list(inner, (*at, *place), level + 1, below_parallel or kind == "parallel")

    def _read_id(self, step_id: Any, at: Loc) -> None:
        if step_id is None:
            self.violations.missing(at)
        elif problem := name(step_id):
            self.violations.add(at, problem[1], problem[0])
        elif step_id in self._ids:
            self.violations.add(at, f"The id '{step_id}' is used twice.")
        else:
            self._ids[step_id] = at[:-1]

    def _read_fields(self, step: Step, kind: str, at: Loc) -> None:
        self.violations.check_fields(step, FIELDS[kind], at)
        if kind == "loop":
            self._check_loop(step, at)
        elif kind in _CONDITIONS:
            conditions.check_at(step, "condition", at, self.violations)
        for key in LISTS.get(kind, ()):
            self._check_list(step, key, at)
        if kind == "parallel":
            self._check_branches(step.get("branches"), (*at, "branches"))
        if kind == "human_approval":
            self._check_approvers(step.get("approvers"), (*at, "approvers"))
            self._check_schema(step.get("input_schema"), (*at, "input_schema"), validation.problem)
        if kind == "task":
            self._check_schema(step.get("output_schema"), (*at, "output_schema"), schema_problem)
        if isinstance(step.get("save_as"), str) and "save_as" in FIELDS[kind]:
            self._saved.append(((*at, "save_as"), step["save_as"]))
        allowed = {
            "id",
            "type",
            _CONDITIONS.get(kind, "type"),
            *FIELDS[kind],
            *LISTS.get(kind, ()),
            *_OTHERS.get(kind, ()),
        }
        self.warn(step, allowed, at)

    def warn(self, holder: dict[str, Any], allowed: set[str], at: Loc) -> None:
        """Unknown keys are kept and ignored, but said."""
        room = 200 - len(self.warnings)
        unknown = [key for key in holder if key not in allowed][: max(0, room)]
        self.warnings += [((*at, key), "Unknown key, ignored.", "unknown_key") for key in unknown]

    def _check_loop(self, step: Step, at: Loc) -> None:
        keys = [key for key in ("count", "while") if step.get(key) is not None]
        if len(keys) != 1:
            self.violations.add(at, "Give exactly one of count and while.", "value_error" if keys else "missing")
        if "while" in keys:
            conditions.check(step["while"], (*at, "while"), self.violations)

    def _check_list(self, step: Step, key: str, at: Loc) -> None:
        """`else` may be left out, but null is no list."""
        if key == "else" and key not in step:
            return
        if step.get(key) is None and key != "else":
            self.violations.missing((*at, key))
        elif not isinstance(step[key], list):
            self.violations.add((*at, key), "Must be a list of steps.", "type_error")

    def _check_branches(self, branches: Any, at: Loc) -> None:
        if branches is None:
            self.violations.missing(at)
        elif not isinstance(branches, list):
            self.violations.add(at, "Must be a list of lists of steps.", "type_error")
        elif not 1 <= len(branches) <= MAX_BRANCHES:
            self.violations.add(at, f"Must hold 1 to {MAX_BRANCHES} branches, not {len(branches)}.")
        else:
            for b, branch in enumerate(branches):
                if not isinstance(branch, list):
                    self.violations.add((*at, b), "Must be a list of steps.", "type_error")

    def _check_approvers(self, approvers: Any, at: Loc) -> None:
        """A quorum; which groups there are is not known here."""
        if approvers is None:
            return
        if not isinstance(approvers, list):
            self.violations.add(at, "Must be a list of {group, count}.", "type_error")
        elif len(approvers) > MAX_APPROVERS:
            self.violations.add(at, f"Must name at most {MAX_APPROVERS} groups.")
        else:
            for k, need in enumerate(approvers):
                self._check_need(need, (*at, k))

    def _check_need(self, need: Any, at: Loc) -> None:
        if not isinstance(need, dict):
            self.violations.add(at, "Must be {group, count}.", "type_error")
            return
        self.violations.check_fields(need, _NEED, at)
        for key in need:
            if key not in _NEED:
                self.violations.add((*at, key), "Unknown field.", "extra_forbidden")

    def _check_schema(self, schema: Any, at: Loc, problem_of: Callable[[Any], str | None]) -> None:
        if not isinstance(schema, dict):
            return
        self._schema_parts += validation.count_parts(schema)
        if self._schema_parts > MAX_SCHEMA_PARTS:
            self.violations.add(at, f"All schemas together have more than {MAX_SCHEMA_PARTS} parts.")
        elif problem := problem_of(schema):
            self.violations.add(at, f"The schema {problem}.")
