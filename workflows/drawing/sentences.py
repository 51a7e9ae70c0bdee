"""Steps and conditions of a valid document in words, for drawings, lists and comparisons. Pure."""

from collections.abc import Callable
from typing import Any

from workflows.definition.step_types import WHILE_ITERATIONS, Step
from workflows.definition.templates import path_of

_SIGNS = {"eq": "=", "ne": "≠", "lt": "<", "gt": ">", "lte": "≤", "gte": "≥", "contains": "contains"}
TYPES = {
    "task": "Task", "assert": "Check", "if": "Choice", "loop": "Loop", "parallel": "At once", "human_approval": "Approval",
    "retry": "Retry", "succeed": "End, succeeded", "fail": "End, failed",
}  # fmt: skip


def condition(node: dict[str, Any]) -> str:
    """`go.passed = true and inputs.file exists`."""
    op = node.get("op")
    if op is None:
        return f"{node['field']} = {_value(node.get('value'))}"
    if op in _SIGNS:
        return f"{_value(node['left'])} {_SIGNS[op]} {_value(node['right'])}"
    if op in ("and", "or"):
        return f" {op} ".join(_within(each) for each in node["conditions"])
    if op == "not":
        return f"not {_within(node['condition'])}"
    return {"truthy": "{}", "falsy": "not {}", "exists": "{} exists"}[op].format(_value(node["value"]))


def _within(node: dict[str, Any]) -> str:
    words = condition(node)
    return f"({words})" if node.get("op") in ("and", "or") else words


def _value(value: Any) -> str:
    """A template by its path; text that is none in quotes."""
    if isinstance(value, str):
        return path_of(value) or f"“{value}”"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else str(value)


def count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _loop(step: Step) -> str:
    most = step.get("max_iterations")
    if step.get("count") is None:
        return f"while {condition(step['while'])}, at most {count(most or WHILE_ITERATIONS, 'time', 'times')}"
    return f"×{min(step['count'], most or step['count'])}"


_SAYS: dict[str, Callable[[Step], str]] = {
    "task": lambda step: str(step["task"]),
    "assert": lambda step: condition(step["condition"]),
    "if": lambda step: f"{condition(step['condition'])}?",
    "loop": _loop,
    "parallel": lambda step: count(len(step["branches"]), "branch", "branches"),
    "retry": lambda step: f"up to {count(step['max_attempts'], 'attempt', 'attempts')}",
    "human_approval": lambda step: step.get("message") or step.get("instruction") or "Human approval required",
    "succeed": lambda step: step.get("message") or "Ends the run, succeeded",
    "fail": lambda step: step.get("message") or "Ends the run, failed",
}


def says(step: Step) -> str:
    """What a step does, without its id and type."""
    return _SAYS[step["type"]](step)
