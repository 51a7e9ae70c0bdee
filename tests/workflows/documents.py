"""Documents for tests, and what the reading of one says."""

from typing import Any

from web.errors import Invalid
from workflows.definition.documents import Form, check_document

TRUE = {"op": "truthy", "value": True}
FALSE = {"op": "truthy", "value": False}
TOP = ("body", "definition", "steps")
Step = dict[str, Any]


def task(key: str = "go", text: str = "File it", **more: Any) -> Step:
    return {"id": key, "type": "task", "task": text} | more


def check(key: str = "check", condition: Any = TRUE, **more: Any) -> Step:
    return {"id": key, "type": "assert", "condition": condition} | more


def branch(key: str, condition: Any, then: list[Any], *other: list[Any]) -> Step:
    step = {"id": key, "type": "if", "condition": condition, "then": then}
    return step | {"else": other[0]} if other else step


def loop(key: str, body: list[Any], **more: Any) -> Step:
    return {"id": key, "type": "loop", "body": body} | more


def retry(key: str, body: list[Any], attempts: int = 2) -> Step:
    return {"id": key, "type": "retry", "max_attempts": attempts, "body": body}


def parallel(key: str, *branches: list[Any]) -> Step:
    return {"id": key, "type": "parallel", "branches": list(branches)}


def approval(key: str = "gate", **more: Any) -> Step:
    return {"id": key, "type": "human_approval"} | more


def succeed(key: str = "yes", **more: Any) -> Step:
    return {"id": key, "type": "succeed"} | more


def fail(key: str = "no", **more: Any) -> Step:
    return {"id": key, "type": "fail"} | more


def eq(left: Any, right: Any) -> dict[str, Any]:
    return {"op": "eq", "left": left, "right": right}


def nested(levels: int) -> list[Any]:
    """Lists of steps within lists, `levels` deep."""
    steps: list[Any] = [task("t")]
    for level in range(levels - 1):
        steps = [branch(f"i{level}", TRUE, steps)]
    return steps


def whole(steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": "Invoices", "slug": "invoices", "definition": {"steps": steps} | more}


def wrong(body: Any, form: Form = "create") -> list[tuple[tuple[Any, ...], str]]:
    """(loc, type) of every violation."""
    return [(loc, kind) for loc, _msg, kind in check_document(body, form).violations]


def wrong_steps(steps: Any) -> list[tuple[tuple[Any, ...], str]]:
    """(loc below the steps, type) of every violation of these steps."""
    found = wrong(whole(steps))
    assert all(loc[:3] == TOP for loc, _kind in found), found
    return [(loc[3:], kind) for loc, kind in found]


def numbered(steps: list[Any]) -> list[Any]:
    """Copies of the steps with ids of their own; people and ends below parallel become asserts."""
    made = iter(range(1000))

    def copy(step: dict[str, Any], below: bool) -> dict[str, Any]:
        if below and step["type"] in ("human_approval", "succeed", "fail"):
            step = {"type": "assert", "condition": TRUE}
        new = step | {"id": f"t{next(made)}"}
        for key in ("then", "else", "body"):
            if key in new:
                new[key] = [copy(each, below) for each in new[key]]
        if "branches" in new:
            new["branches"] = [[copy(each, True) for each in branch] for branch in new["branches"]]
        return new

    return [copy(step, False) for step in steps]


def is_valid(steps: list[Any]) -> bool:
    return not check_document(whole(steps), "create").violations


def read_document(body: Any, form: Form) -> dict[str, Any]:
    """The values of a document. Raises Invalid with every violation."""
    reading = check_document(body, form)
    if reading.violations:
        raise Invalid(*reading.violations)
    return reading.values
