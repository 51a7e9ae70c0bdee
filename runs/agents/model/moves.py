"""A move as memory keeps it (`State.now`), so that it is the same move however often it is returned.

{"step": the step index that it was made for, "kind": act, ask or finish, "wanted": what the model wanted (None: the agent's own
question), "text", "picture": the screen that it was decided on, and "act", "ask" or "finish": the move's own fields}; for an action
also what people said of it: "approved", "refused" (the reason), "edited" (the parameters), "note".
"""

from dataclasses import asdict
from typing import Any

from inference.wires.base import Check, Json, Wanted
from machines.actions.canonical import ActionError, Screen, Violation, canonical
from machines.drivers.base import Action
from runs.agents.base import Act, Ask, Context, Finish
from runs.secrets.handles import pieces_of
from web.json_values import unstorable_at

GRACE_MS = 30_000  # beyond the time that a wait takes
_POINTS = {"click": ("x", "y"), "scroll": ("x", "y"), "move": ("x", "y"), "drag": ("from_x", "from_y")}
_NO_ACTS = frozenset({"done", "fail"})
_LONGEST_MESSAGE = 2000


def move_of(now: Json) -> Act | Ask | Finish:
    if now["kind"] == "ask":
        return Ask(**now["ask"])
    if now["kind"] == "finish":
        return Finish(**now["finish"])
    kept = now["act"]
    checks = tuple(Check(**check) for check in (now["wanted"] or {}).get("checks", ()))
    secrets = {key: tuple((kind, text) for kind, text in pieces) for key, pieces in kept["secrets"].items()}
    action = Action(kept["name"], kept["params"], timeout_ms=kept["timeout_ms"])
    return Act(action, secrets=secrets, checks=checks)


def act(wanted: Wanted, context: Context) -> Json:
    """The `now` of an action. Raises ActionError: the words are for the model."""
    params = _with_point(wanted, context)
    if wanted.name in _NO_ACTS:
        raise ActionError([Violation("", f"There is no action '{wanted.name}'.")])
    if wanted.name == "open_url" and isinstance(params.get("url"), str) and "://" not in params["url"]:
        params = {**params, "url": f"https://{params['url']}"}
    if (at := unstorable_at(params)) is not None:
        raise ActionError([Violation(".".join(map(str, at)), "Holds a character that cannot be typed or stored.")])
    name, params = canonical(wanted.name, params, Screen(context.width, context.height), context.machine_kind)
    secrets = {key: pieces for key, value in params.items() if isinstance(value, str) and (pieces := pieces_of(value))}
    timeout = params["ms"] + GRACE_MS if name == "wait" else Action.timeout_ms
    return {
        "kind": "act",
        "step": context.step_index,
        "wanted": wanted.as_json(),
        "text": wanted.text[:_LONGEST_MESSAGE],
        "picture": context.picture,
        "act": {"name": name, "params": params, "timeout_ms": timeout, "secrets": secrets},
    }


def _with_point(wanted: Wanted, context: Context) -> Json:
    """Some vendors leave the point out when it is where the last action was."""
    names, params = _POINTS.get(wanted.name), wanted.params
    if names is None or any(params.get(name) is not None for name in names):
        return params
    at = context.cursor
    if at is None and wanted.name == "scroll":
        at = context.width // 2, context.height // 2
    return params if at is None else {**params, **dict(zip(names, at, strict=True))}


def ask(wanted: Wanted | None, question: Ask, context: Context, why: str = "") -> Json:
    """The `now` of a question; `why` names one of the agent's own (people.py)."""
    return {
        "kind": "ask",
        "step": context.step_index,
        "wanted": wanted.as_json() if wanted else None,
        "text": "",
        "why": why,
        "picture": context.picture,
        "ask": asdict(question),
    }


def finish(wanted: Wanted | None, end: Finish, context: Context) -> Json:
    return {
        "kind": "finish",
        "step": context.step_index,
        "wanted": wanted.as_json() if wanted else None,
        "text": "",
        "picture": context.picture,
        "finish": asdict(end),
    }


def done_params(now: Json) -> Json:
    """The parameters with which the action was done: those that a person gave it, else its own."""
    edited: dict[str, Any] | None = now.get("edited")
    return dict(edited if edited is not None else now["act"]["params"])
