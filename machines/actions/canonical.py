"""The action registry: every command an agent or a person may give a machine, in one canonical form.

`canonical()` accepts the spellings of docs/api/machines-and-inference.md section 2 and returns the canonical name and
parameters with defaults filled in, or raises ActionError naming each violation.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from machines.drivers.web_host import web_host

READ_ONLY = frozenset({"screenshot", "wait", "move", "scroll"})
BROWSER_ONLY = frozenset({"open_url", "go_back", "reload", "fill", "select_option", "upload"})
TERMINAL_ONLY = frozenset({"run_line"})
ENDS = frozenset({"done", "fail"})

ActionClass = Literal["read", "reversible", "irreversible"]
CLASSES: tuple[ActionClass, ...] = ("read", "reversible", "irreversible")  # of two the later one counts

Params = dict[str, Any]


@dataclass
class Violation:
    """One thing wrong with an action: `field` is the parameter's name ("" = the command itself)."""

    field: str
    message: str
    type: str = "value_error"


class ActionError(ValueError):
    """The command is unknown or its parameters are not valid for it."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.message}" if v.field else v.message for v in violations))
        self.violations = violations


@dataclass(frozen=True)
class Screen:
    width: int
    height: int


class _Reader:
    """Takes parameters one by one and collects what is wrong."""

    def __init__(self, params: Mapping[str, Any], screen: Screen) -> None:
        self.left = {k: v for k, v in params.items() if v is not None}
        self.screen = screen
        self.wrong: list[Violation] = []

    def take(self, name: str, *aliases: str) -> Any:
        names = [n for n in (name, *aliases) if n in self.left]
        if len(names) > 1:
            self.wrong.append(Violation(names[1], f"Give either {names[0]} or {names[1]}, not both."))
        values = [self.left.pop(n) for n in names]
        return values[0] if values else None

    def integer(self, name: str, low: int, high: int, default: int | None = None, *aliases: str) -> int:
        value = self.take(name, *aliases)
        if value is None:
            if default is None:
                self.wrong.append(Violation(name, "Field required.", "missing"))
            return default or 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong.append(Violation(name, "Must be an integer.", "type_error"))
            return 0
        if not low <= value <= high:
            self.wrong.append(Violation(name, f"Must be between {low} and {high}."))
        return value

    def text(self, name: str, limit: int, default: str | None = None) -> str:
        value = self.take(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.wrong.append(Violation(name, "Field required.", "missing"))
            return ""
        if not isinstance(value, str):
            self.wrong.append(Violation(name, "Must be a string.", "type_error"))
            return ""
        if len(value) > limit:
            self.wrong.append(Violation(name, f"Must have at most {limit} characters."))
        return value

    def word(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.take(name)
        if value is None:
            return default
        if value not in allowed:
            self.wrong.append(Violation(name, f"Must be one of {', '.join(allowed)}."))
            return default
        return str(value)

    def x(self, name: str = "x", *aliases: str) -> int:
        return self.integer(name, 0, self.screen.width - 1, None, *aliases)

    def y(self, name: str = "y", *aliases: str) -> int:
        return self.integer(name, 0, self.screen.height - 1, None, *aliases)

    def keys(self, value: Any, name: str, low: int, high: int) -> list[str]:
        good = isinstance(value, list) and all(isinstance(k, str) and 0 < len(k) <= 32 for k in value)
        if not good or not low <= len(value) <= high:
            self.wrong.append(Violation(name, f"Must be a list of {low} to {high} key names."))
            return []
        return [k.strip().lower() if len(k) > 1 else k for k in value]


def _click(r: _Reader) -> Params:
    return {
        "x": r.x(),
        "y": r.y(),
        "button": r.word("button", ("left", "right", "middle"), "left"),
        "count": r.integer("count", 1, 3, 1),
    }


def _key_press(r: _Reader) -> Params:
    if "keys" in r.left and "key" not in r.left:
        keys = r.keys(r.take("keys"), "keys", 1, 1)
        return {"key": keys[0] if keys else ""}
    if "keys" in r.left:
        r.take("key", "keys")
        return {"key": ""}
    key = r.text("key", 32)
    if not key:
        r.wrong.append(Violation("key", "Must not be empty."))
    return {"key": key.lower() if len(key) > 1 else key}


def _key_combo(r: _Reader) -> Params:
    if "key" in r.left and "keys" in r.left:
        r.take("keys", "key")
        return {"keys": []}
    if "key" in r.left:
        key = r.take("key")
        parts = re.split(r"(?<=.)\+(?=.)", key) if isinstance(key, str) else key
        return {"keys": r.keys(parts, "key", 2, 5)}
    return {"keys": r.keys(r.take("keys"), "keys", 2, 5)}


def _scroll(r: _Reader) -> Params:
    x, y = r.x(), r.y()
    if "clicks" not in r.left:
        direction = r.word("direction", ("up", "down", "left", "right"), "down")
        return {"x": x, "y": y, "direction": direction, "amount": r.integer("amount", 1, 100, 3)}
    for name in ("amount", "direction"):
        if name in r.left:
            r.left.pop(name)
            r.wrong.append(Violation("clicks", f"Give either {name} or clicks, not both."))
    clicks = r.integer("clicks", -100, 100)
    if clicks == 0 and not r.wrong:
        r.wrong.append(Violation("clicks", "Must not be 0."))
    return {"x": x, "y": y, "direction": "down" if clicks > 0 else "up", "amount": abs(clicks)}


def _drag(r: _Reader) -> Params:
    return {
        "from_x": r.x("from_x", "x1"),
        "from_y": r.y("from_y", "y1"),
        "to_x": r.x("to_x", "x2"),
        "to_y": r.y("to_y", "y2"),
    }


def _wait(r: _Reader) -> Params:
    if "ms" in r.left and "seconds" in r.left:
        r.take("ms", "seconds")
        return {"ms": 0}
    if "seconds" not in r.left:
        return {"ms": r.integer("ms", 0, 60_000)}
    seconds = r.take("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 60:
        r.wrong.append(Violation("seconds", "Must be a number between 0 and 60."))
        return {"ms": 0}
    return {"ms": round(seconds * 1000)}


def _run_line(r: _Reader) -> Params:
    command = r.text("command", 65_536)
    if "\0" in command:
        r.wrong.append(Violation("command", "Must not contain a NUL character."))
    elif not command.strip():
        r.wrong.append(Violation("command", "Must not be blank."))
    return {"command": command}


def _open_url(r: _Reader) -> Params:
    url = r.text("url", 2048)
    if not url.lower().startswith(("http://", "https://")):
        r.wrong.append(Violation("url", "Must start with http:// or https://."))
    elif web_host(url) is None:
        r.wrong.append(Violation("url", "Must name its host in plain letters, digits, dots and hyphens."))
    return {"url": url}


def _upload(r: _Reader) -> Params:
    params = {"x": r.x(), "y": r.y(), "file": r.text("file", 4096)}
    if not str(params["file"]).strip():
        r.wrong.append(Violation("file", "Must not be empty."))
    return params


_READERS: dict[str, Callable[[_Reader], Params]] = {
    "click": _click,
    "type_text": lambda r: {"text": r.text("text", 65_536)},
    "key_press": _key_press,
    "key_combo": _key_combo,
    "scroll": _scroll,
    "drag": _drag,
    "move": lambda r: {"x": r.x(), "y": r.y()},
    "wait": _wait,
    "screenshot": lambda r: {},
    "done": lambda r: {},
    "fail": lambda r: {"reason": r.text("reason", 2000, "")},
    # Browser machines only: docs/adr/0003-browser-actions.md.
    "open_url": _open_url,
    "go_back": lambda r: {},
    "reload": lambda r: {},
    "fill": lambda r: {"x": r.x(), "y": r.y(), "text": r.text("text", 65_536)},
    "select_option": lambda r: {"x": r.x(), "y": r.y(), "option": r.text("option", 1000)},
    "upload": _upload,
    # Terminal machines only: docs/adr/0009-lines-at-a-prompt.md.
    "run_line": _run_line,
}
# Where else than on its own kind of machine an action of one kind means something.
_KINDS = dict.fromkeys(BROWSER_ONLY, ("browser",)) | dict.fromkeys(TERMINAL_ONLY, ("terminal", "simulated"))
_ALIASES: dict[str, tuple[str, Params]] = {
    "double_click": ("click", {"count": 2}),
    "right_click": ("click", {"button": "right"}),
    "type": ("type_text", {}),
    "key": ("key_press", {}),
    "hotkey": ("key_combo", {}),
}
COMMANDS = tuple(_READERS)


def canonical(
    name: str, params: Mapping[str, Any] | None, screen: Screen, kind: str | None = None
) -> tuple[str, Params]:
    """The canonical (name, params) of an action, defaults filled in; `kind` is the machine's, None = any.

    Raises ActionError.
    """
    command, implied = _ALIASES.get(name, (name, {}))
    if command not in _READERS or kind not in (None, *_KINDS.get(command, (kind,))):
        raise ActionError([Violation("", f"Unknown command '{name[:64]}'. Known: {', '.join(COMMANDS)}.")])
    reader = _Reader({**(params or {})}, screen)
    for key, value in implied.items():
        if reader.left.setdefault(key, value) != value:
            reader.wrong.append(Violation(key, f"Does not fit the command '{name}'."))
    result = _READERS[command](reader)
    reader.wrong += [Violation(n, "Extra inputs are not permitted.", "extra_forbidden") for n in reader.left]
    if reader.wrong:
        raise ActionError(reader.wrong)
    return command, result


def class_of(name: str) -> ActionClass:
    """What an action of this name is at least (docs/api/approvals.md section 14); machines/actions/risks.py raises it by what is
    pressed or typed. Of an action that the registry does not know nobody can say that it can be undone.
    """
    if name in READ_ONLY or name in ENDS:
        return "read"
    return "reversible" if name in _READERS else "irreversible"


def strictest(classes: Iterable[ActionClass]) -> ActionClass:
    """The class of several actions that are answered for together; of none, read."""
    return max(classes, key=CLASSES.index, default="read")
