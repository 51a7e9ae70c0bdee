"""What the server says of an action: its object on a request, its title, its risk.

Composed from the action registry and from what the machine says lies under the action; never from the agent's words.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from machines.actions.canonical import READ_ONLY, ActionClass
from machines.actions.classes import class_now
from machines.actions.risks import COMMAND, ORDER, Raised, raised_by
from machines.drivers.base import Target
from runs.agents.base import Act
from runs.log import Event
from runs.models import Run
from runs.secrets.handles import HANDLE, handles_in, pieces_of

MAX_ACTION_BYTES = 64 * 1024
_LONGEST_ADDRESS = 200  # characters of an address in a title; the parameters have it whole
_LONGEST_NAME = 120  # characters of a name in a title; a longer one ends in …
_LONGEST_COMMAND = 200  # characters of a command in a title

_VERBS = {
    "click": "Click at {x}, {y}", "type_text": "Type {typed}", "key_press": "Press {key}",
    "key_combo": "Press {keys}", "scroll": "Scroll {direction}", "drag": "Drag to {to_x}, {to_y}", "move": "Move to {x}, {y}",
    "wait": "Wait", "screenshot": "Take a picture", "open_url": "Open {url}", "fill": "Fill a field with {typed}",
    "select_option": "Select an option", "run_line": "Run {command}",
    "upload": "Upload {file}", "go_back": "Go back", "reload": "Load the page again",
}  # fmt: skip
_VERBS_AT = {
    "click": "Click {it}", "type_text": "Type {typed} into {it}", "key_press": "Press {key} in {it}",
    "key_combo": "Press {keys} in {it}", "fill": "Fill {it} with {typed}", "select_option": "Select an option in {it}",
}  # fmt: skip
_CLICKS = {
    ("left", 2): "Double-click", ("left", 3): "Triple-click", ("right", 1): "Right-click", ("middle", 1): "Middle-click",
}  # fmt: skip
_DECLARED = {"spend": "spends money", "access": "changes access", "destroy": "destroys data"}


def action_title(
    name: str, params: dict[str, Any], host: str | None, risk: Raised | None, target: Target | None = None
) -> str:
    """One plain sentence of an action, for example `Click button "Pay now" on shop.test (spends money)`."""
    keys = "+".join(params.get("keys", ()))
    url = params.get("url", "")
    shown = url if len(url) <= _LONGEST_ADDRESS else f"{url[:_LONGEST_ADDRESS]}…"
    facts = params | {"typed": _what_is_typed(params.get("text", "")), "keys": keys, "url": shown}
    facts["command"] = _one_line(params.get("command", ""), _LONGEST_COMMAND)
    named = target is not None and target.role != COMMAND and name in _VERBS_AT
    verb = _VERBS_AT[name] if named else _VERBS.get(name, name)
    sentence = verb.format_map(facts | {"it": it(target) if target else ""})
    if name == "click":
        clicks = _CLICKS.get((params.get("button", "left"), params.get("count", 1)), "Click")
        sentence = sentence.replace("Click", clicks, 1)
    return sentence + (f" on {host}" if host else "") + (f" ({risk.says})" if risk else "")


def it(target: Target) -> str:
    """The element in words: `button "Pay now"`."""
    short = _one_line(target.name, _LONGEST_NAME)
    return f'{target.role} "{short}"' if short else f"a {target.role} without a name"


def _one_line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def action_object(run: Run, act: Act, call_id: str) -> dict[str, Any]:
    """The action of a tool request: complete, never shortened."""
    read_only = act.action.name in READ_ONLY
    return {
        "name": act.action.name,
        "params": act.action.params,
        "host": act.host,
        "risk": risk_of(act),
        "class": class_of_act(run.machine_kind, act),
        "read_only": read_only,
        "call_id": call_id,
        "machine_id": run.machine_id,
        **target_object(act.target),
    }


def checks_object(act: Act) -> list[dict[str, str]]:
    """The vendor's safety checks of an action, as requests keep them. Untrusted words."""
    return [asdict(check) for check in act.checks]


def target_object(target: Target | None) -> dict[str, dict[str, str]]:
    """What the action would reach, as requests, steps and events tell it where the machine can say: {"target": {…}}."""
    return {"target": asdict(target)} if target else {}


def target_of(kept: dict[str, str] | None) -> Target | None:
    return Target(**kept) if kept else None


def risk_of(act: Act) -> str:
    """read, write, access, spend or destroy: what the server sees, raised by what the agent declares, never lowered."""
    if act.action.name in READ_ONLY:
        return "read"
    raised = raised_beyond_write(act)
    return raised.risk if raised else "write"


def class_of_act(machine_kind: str, act: Act) -> ActionClass:
    """read, reversible or irreversible: what the server sees, never what the agent declares (docs/risks.md)."""
    return class_now(act.action, act.target, machine_kind, act.missing)


def raised_beyond_write(act: Act) -> Raised | None:
    declared = Raised(act.risk, _DECLARED[act.risk]) if act.risk in _DECLARED else None
    both = [raised for raised in (raised_by(act.action, act.target), declared) if raised]
    return max(both, key=lambda raised: ORDER.index(raised.risk), default=None)


def too_large(act: Act) -> bool:
    return len(json.dumps(act.action.params, ensure_ascii=False).encode()) > MAX_ACTION_BYTES


def edited_act(act: Act, edited: dict[str, Any]) -> Act:
    """The action as a person changed it: it is done where that person said, not to the element that the agent meant. A
    text that was changed holds the secrets that it still names, or names now."""
    params = edited["params"]
    same = {key: pieces for key, pieces in act.secrets.items() if params.get(key) == act.action.params[key]}
    changed = {
        key: value for key, value in params.items() if isinstance(value, str) and value != act.action.params.get(key)
    }
    same |= {key: pieces for key, value in changed.items() if (pieces := pieces_of(value))}
    action = replace(act.action, name=edited["name"], params=edited["params"], ref=None, checked=None)
    return replace(act, action=action, secrets=same)


def _what_is_typed(text: str) -> str:
    """In words for a title: how long it is, and the secrets that it names."""
    names = list(dict.fromkeys(name for _, name in handles_in(text)))
    if not names:
        return f"{len(text)} characters"
    listed = " and ".join(f'"{name}"' for name in names)
    words = f"the secret{'s' if len(names) > 1 else ''} {listed}"
    return words if HANDLE.fullmatch(text) else f"text with {words}"


def kept_action(act: Act) -> dict[str, Any]:
    """The action as its step keeps it."""
    return {"name": act.action.name, "params": act.action.params, **target_object(act.target)}


def point_of(act: Act) -> tuple[int, int] | None:
    """Where the action leaves the pointer, in pixels; None when it does not move it."""
    params = act.action.params
    if "to_x" in params:
        return params["to_x"], params["to_y"]
    return (params["x"], params["y"]) if "x" in params and "y" in params else None


@dataclass(frozen=True)
class Call:
    """An action on its way to the machine, with what allowed it."""

    act: Act
    id: str
    approval_id: str | None
    edited: bool
    policy_id: str | None
    skipped: bool  # denied: it will not be done
    machine_kind: str

    def event(self, step: int) -> Event:
        action = self.act.action
        return "tool_call", {
            "step": step,
            "call_id": self.id,
            "action_type": action.name,
            "tool": action.name,
            "params": action.params,
            "host": self.act.host,
            "edited": self.edited,
            "policy_id": self.policy_id,
            "risk": risk_of(self.act),
            "class": class_of_act(self.machine_kind, self.act),
            **target_object(self.act.target),
        }
