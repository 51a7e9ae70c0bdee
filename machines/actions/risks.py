"""How an action's risk rises by what it would do: what is pressed, which field is filled, which command is run.

The lists are data, risks.toml; docs/risks.md tells how they are matched. Names come from pages and commands from agents:
both may hide what they do, so this raises a risk and never lowers one.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from machines.drivers.base import Action, Target
from machines.drivers.keys import presses_enter
from machines.drivers.terminal.command_lines import (
    ASSIGNMENT,
    SUBSTITUTION,
    commands_in,
    may_be_read_otherwise,
    words_of,
    words_without_quotes,
)

ORDER = ("write", "access", "spend", "destroy")  # of two findings the later one counts
COMMAND = "command"  # the role of a line at a shell's prompt
_FIELDS = frozenset({"textbox", "searchbox", "spinbutton", "combobox", "slider"})
_PRESSED_BY_ENTER = frozenset({"button", "link", "menuitem", "tab", "summary", "switch", "option", "dialog"})
_FILLS = frozenset({"fill", "type_text", "select_option"})
_ANYWHERE = ("ja", "zh")
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "eval", "ssh", "su", "watch", "env", "xargs", "parallel"})
# Programs that start the program named after them, whatever stands between.
_STARTERS = frozenset({
    "sudo", "doas", "env", "xargs", "nohup", "time", "exec", "command", "builtin", "nice", "ionice", "timeout", "stdbuf",
    "setsid", "watch", "parallel", "busybox", "ssh", "su", "find", "then", "do", "else", "elif", "if", "while", "until", "!",
})  # fmt: skip
_ENDS_PIPELINE = re.compile(r"[;\n]|&&|\|\||(?<![|>&])&(?![&>])")
LONGEST_LINE = 16_384  # characters of a line that are read; a longer one is looked at from both ends
_DEEPEST = 4  # command lines within command lines


@dataclass(frozen=True)
class Raised:
    """`risk`: spend, access or destroy. `says`: why, as words for a title, for example "spends money"."""

    risk: str
    says: str


@dataclass(frozen=True)
class _Words:
    raised: Raised
    whole: re.Pattern[str]


@dataclass(frozen=True)
class _Field:
    raised: Raised
    kinds: frozenset[str]
    names: re.Pattern[str]


@dataclass(frozen=True)
class _Program:
    raised: Raised
    names: tuple[str, ...]
    arguments: re.Pattern[str] | None
    pipeline: re.Pattern[str] | None


@dataclass(frozen=True)
class _Lists:
    pressed: list[_Words] = field(default_factory=list)
    fields: list[_Field] = field(default_factory=list)
    programs: list[_Program] = field(default_factory=list)
    harmless: re.Pattern[str] = re.compile(r"(?!)")


@lru_cache(maxsize=1)
def _lists() -> _Lists:
    data = tomllib.loads(Path(__file__).with_name("risks.toml").read_text())
    return _Lists(
        [_Words(_raised(entry), _pattern(entry)) for entry in data["pressed"]],
        [_Field(_raised(entry), frozenset(entry["kinds"]), _any_of(entry["names"])) for entry in data["field"]],
        [_program(entry) for entry in data["command"]],
        _pattern(data["harmless"]),
    )


def _raised(entry: dict[str, Any]) -> Raised:
    return Raised(entry["risk"], entry["says"])


def _pattern(entry: dict[str, Any]) -> re.Pattern[str]:
    lists = {language: words for language, words in entry.items() if isinstance(words, list)}
    anywhere = [re.escape(_plain(word)) for language in _ANYWHERE for word in lists.pop(language, [])]
    whole = _any_of([word for words in lists.values() for word in words]).pattern
    return re.compile("|".join([whole, *anywhere]))


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted({_plain(word) for word in words}, key=len, reverse=True)
    each = "|".join(re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{each})(?!\w)")


def _program(entry: dict[str, Any]) -> _Program:
    arguments, pipeline = entry.get("arguments"), entry.get("pipeline")
    return _Program(
        _raised(entry),
        tuple(entry["program"]),
        re.compile(arguments) if arguments else None,
        re.compile(pipeline, re.DOTALL) if pipeline else None,
    )


def _plain(text: str) -> str:
    """Text as it is compared: one form of each letter, no case, no invisible marks."""
    shown = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", shown.casefold())


def raised_by(action: Action, target: Target | None) -> Raised | None:
    """What raises the action's risk; None when nothing known does. `target`: what it would reach (Session.target)."""
    filled = of_field(target) if target is not None and target.role != COMMAND and action.name in _FILLS else []
    findings = [*pressed_or_run(action, target), *filled]
    return max(findings, key=lambda one: ORDER.index(one.risk), default=None)


def pressed_or_run(action: Action, target: Target | None) -> list[Raised]:
    """What raises it by what it presses or runs; filling in a field is neither."""
    findings = of_command(str(action.params.get("command", ""))) if action.name == "run_line" else []
    if target is None:
        return findings
    if target.role == COMMAND:
        typed = str(action.params.get("text", "")) if action.name == "type_text" else ""
        return [*findings, *(of_command(target.name + typed) if presses_enter(action) else [])]
    if action.name == "click" or (presses_enter(action) and target.role in _PRESSED_BY_ENTER):
        return [*findings, *_of_pressed(target)]
    return [*findings, *(of_label(target.form) if presses_enter(action) else [])]


def _of_pressed(target: Target) -> Iterator[Raised]:
    if target.role in _FIELDS:
        return
    yield from of_label(target.name)
    if target.kind in ("submit", "image") or target.role == "dialog":
        yield from of_label(target.form)


def of_label(label: str) -> list[Raised]:
    """What pressing something of this name does, by the words in it."""
    lists = _lists()
    text = lists.harmless.sub(" ", _plain(label))
    return [words.raised for words in lists.pressed if words.whole.search(text)]


def of_field(target: Target) -> list[Raised]:
    """What filling in this field gives away, by its kind and its label."""
    name = _plain(target.name)
    return [
        one.raised for one in _lists().fields if not one.kinds.isdisjoint(target.kind.split()) or one.names.search(name)
    ]


# --- command lines


def of_command(line: str, depth: int = 0) -> list[Raised]:
    """What a shell would do with this line, by the programs that it starts, also inside of quotes and substitutions."""
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2]}\n{line[-LONGEST_LINE // 2 :]}"
    words = words_of(line)
    findings: list[Raised] = []
    readings = [words, words_without_quotes(line)] if may_be_read_otherwise(line) else [words]
    for reading in readings:
        for start, end in commands_in(reading):
            findings += _of_words(reading, start, end, depth)
    if depth < _DEEPEST:
        for word in words:
            for inner in SUBSTITUTION.finditer(word):
                findings += of_command(inner[1] or inner[2] or "", depth + 1)
    return findings


def _of_words(words: list[str], start: int, end: int, depth: int) -> Iterator[Raised]:
    command = words[start:end]
    while command and ASSIGNMENT.fullmatch(command[0]):
        command, start = command[1:], start + 1
    if not command:
        return
    first = command[0].rsplit("/", 1)[-1]
    places = range(len(command)) if first in _STARTERS else range(1)
    for at in places:
        yield from _of_program(command[at].rsplit("/", 1)[-1], command[at + 1 :], words[start + at + 1 :])
    if depth < _DEEPEST and (first in _SHELLS or not _SHELLS.isdisjoint(word.rsplit("/", 1)[-1] for word in command)):
        for word in command[1:]:
            if " " in word or "\n" in word:
                yield from of_command(word, depth + 1)


def _of_program(name: str, arguments: list[str], following: list[str]) -> Iterator[Raised]:
    rest = " " + " ".join(arguments)
    for program in _lists().programs:
        if not any(fnmatchcase(name, pattern) for pattern in program.names):
            continue
        if program.pipeline is not None:
            text = _ENDS_PIPELINE.split(" " + " ".join(following), maxsplit=1)[0]
            if program.pipeline.search(text):
                yield program.raised
        elif program.arguments is None or program.arguments.search(rest):
            yield program.raised
