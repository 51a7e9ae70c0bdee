"""Whether an action can be undone: its class in the registry, raised by what is pressed or typed (docs/risks.md).

What raises a risk is hard to undo, but for filling in a field: nothing leaves the page by that. A line at a prompt is hard to
undo unless every program that it starts is known to be harmless: whatever else would run is not in the line.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from machines.actions.canonical import ActionClass, class_of
from machines.actions.risks import COMMAND, LONGEST_LINE, of_label, pressed_or_run
from machines.drivers.base import Action, Target
from machines.drivers.keys import presses_enter
from machines.drivers.terminal.command_lines import (
    ASSIGNMENT,
    SUBSTITUTION,
    commands_in,
    is_sign,
    may_be_read_otherwise,
    words_of,
)

_QUOTED_LINE = re.compile(r"`([^`]+)`")
_DEEPEST = 4  # substitutions within substitutions
_BEFORE = frozenset({"time", "command", "builtin", "nohup", "then", "do", "else", "elif", "if", "while", "until", "!"})
_NO_PROGRAM = frozenset({"for", "case", "esac", "done", "fi", "in", "select"})  # what follows is no program
_REACHING = re.compile(
    r"(\w*PATH|LD_\w+|BASH_\w+|ENV|IFS|PS\d|PROMPT_COMMAND|SHELLOPTS|\w*PAGER|\w*EDITOR|GIT_\w+|LESS\w*|MAN\w*|HOME|XDG_\w+"
    r"|HIST\w+|INPUTRC|TERM\w*|GREP_\w+)\+?=.*",
    re.DOTALL,
)
_END = r"(?=[\s;|&)]|$)"
_JOINED = re.compile(rf"\d?>&(?:\d|-){_END}|&>\s*/dev/null{_END}")  # no file is written
_ADDED_TO = re.compile(r"(?:~/)?(?!/dev/)[^$`*?\[~%]+")
_HIDDEN = re.compile(r"(?:^|/)\.[^./]")  # settings, which programs read by themselves
_BRACED = re.compile(r"\$\{\w+\}")
_SINKS = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"})
_ODD = frozenset("$`*?[~%")


@dataclass(frozen=True)
class _Harmless:
    names: tuple[str, ...]
    only: re.Pattern[str] | None
    unless: re.Pattern[str] | None

    def fits(self, name: str, arguments: str) -> bool:
        if not any(fnmatchcase(name, pattern) for pattern in self.names):
            return False
        return (self.only is None or self.only.search(arguments) is not None) and (
            self.unless is None or self.unless.search(arguments) is None
        )


@lru_cache(maxsize=1)
def _harmless() -> list[_Harmless]:
    data = tomllib.loads(Path(__file__).with_name("risks.toml").read_text())
    return [
        _Harmless(tuple(entry["program"]), _compiled(entry.get("only")), _compiled(entry.get("unless")))
        for entry in data["undoable"]
    ]


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern, re.DOTALL) if pattern else None


def class_now(action: Action, target: Target | None, kind: str = "", missing: Collection[str] = ()) -> ActionClass:
    """The class of an action that would reach `target` (Session.target) on a machine of this kind.

    `missing`: files that a command names and that do not exist; writing them anew overwrites nothing. Never from what an
    agent says of its action.
    """
    least = class_of(action.name)
    return "irreversible" if least != "read" and _is_hard(action, target, kind, missing) else least


def _is_hard(action: Action, target: Target | None, kind: str, missing: Collection[str]) -> bool:
    if pressed_or_run(action, target):
        return True
    if action.name == "run_line":
        return not is_undoable(str(action.params.get("command", "")), missing)
    if target is not None and target.role == COMMAND and presses_enter(action):
        return not is_undoable(target.name + str(action.params.get("text", "")), missing)
    if target is not None and target.role == "dialog":
        return target.kind in ("confirm", "beforeunload")
    return kind == "terminal" and presses_enter(action, or_space=False)  # to a program, and who knows what it was asked


def is_undoable(line: str, missing: Collection[str] = ()) -> bool:
    """Whether all that this line starts is known to destroy nothing and to send nothing out."""
    if len(line) > LONGEST_LINE or may_be_read_otherwise(line):
        return False
    return all(_is_harmless(one, missing) for one in _lines(line, 0))


def class_of_plan(text: str, *, is_literal: bool) -> ActionClass:
    """The strictest class of what a plan says in plain words. `is_literal`: what it says is what will be done; of another
    plan, which an agent put into its own words, nobody can say what it leaves out.
    """
    hard = not is_literal or bool(of_label(text)) or not all(is_undoable(one) for one in _QUOTED_LINE.findall(text))
    return "irreversible" if hard else "reversible"


def _lines(line: str, depth: int) -> Iterator[str]:
    """The line with what it substitutes taken out, and each of those as a line of its own."""
    if depth < _DEEPEST:
        for inner in SUBSTITUTION.finditer(line):
            yield from _lines(inner[1] or inner[2] or "", depth + 1)
        line = SUBSTITUTION.sub("$v", line)
    yield line


def _is_harmless(line: str, missing: Collection[str]) -> bool:
    words = words_of(_BRACED.sub("$v", _JOINED.sub(" ", line)))
    if any(not _may_be_written(words, at, missing) for at, word in enumerate(words) if is_sign(word) and ">" in word):
        return False
    return all(_starts_harmless(words[start:end]) for start, end in commands_in(words))


def _may_be_written(words: list[str], at: int, missing: Collection[str]) -> bool:
    """A file that is written anew loses what was in it; what is added to settings or sent to a host is more than text."""
    name = words[at + 1] if at + 1 < len(words) else ""
    if name in _SINKS and words[at] in (">", ">>"):
        return True
    if _HIDDEN.search(name):
        return False
    if words[at] == ">>":
        return _ADDED_TO.fullmatch(name) is not None
    return words[at] == ">" and name in missing and _ODD.isdisjoint(name)


def _starts_harmless(command: list[str]) -> bool:
    words = list(command)
    while words and (ASSIGNMENT.fullmatch(words[0]) or words[0] in _BEFORE):
        if _REACHING.fullmatch(words.pop(0)):
            return False
    if not words or words[0] in _NO_PROGRAM or words[0].startswith("#"):
        return True
    arguments = " " + " ".join(word for word in words[1:] if not is_sign(word))
    return any(one.fits(words[0], arguments) for one in _harmless())
