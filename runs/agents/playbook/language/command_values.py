"""Values in a shell command: each is one word, or part of one, and stays that whatever it holds.

A value is put between single quotes; where the command has quotes of its own around it, these are closed before it and
opened again after it. Where the shell, or the program, would read the word as a program of its own, quotes do not help and
the command is refused.
"""

import re
import shlex
from collections.abc import Sequence

from runs.agents.playbook.language.bound import MARKS, Reference, Value
from runs.agents.playbook.language.word_values import RefusedError

_NESTED = re.compile(r"\$\(|\$\{|\$'|\$\"|<<|<\(|>\(|`")
_WORDS = re.compile(r"[\w./+-]+")
# Programs that read an argument as a program, whatever option it follows; and those that do after an option.
_READ_PROGRAMS = frozenset(
    {"eval", "trap", "source", "ssh", "su", "runuser", "xargs", "parallel", "watch", "expect", "tmux"}
    | {"awk", "gawk", "mawk", "nawk", "sed", "jq", "bc", "dc", "psql", "mysql", "sqlite3", "at", "batch", "screen"}
    | {"nsenter", "chroot", "flock", "make", "gdb", "vim", "vi", "ex", "ed", "alias", "let", "exec"}
    | {"declare", "typeset", "local"}  # with -i a value is a sum
)
# Builtins that read a word as the name of a variable, and run what stands in its subscript: a[$(...)]. `NAME=value` is none.
_READ_NAMES = frozenset({"export", "readonly", "unset", "read", "mapfile", "readarray", "getopts"})
_BEFORE_COMMAND = frozenset({"if", "while", "until", "then", "do", "else", "elif", "time", "builtin", "command"})
_ARITHMETIC = re.compile(r"\[\[.*(?:\s-(?:eq|ne|l[te]|g[te]|v)\s)|(?:^|[\s;&|(])\(\(|[\w\]]\[[^\]\s]*\]\+?=", re.DOTALL)
# Of variables whose value is a program, or decides which one is run.
_PROGRAM_VARIABLE = re.compile(
    r"\b(?:PROMPT_COMMAND|PS\d|BASH_ENV|ENV|PATH|LD_\w+|\w*(?:PAGER|EDITOR|VISUAL|SSH|ASKPASS|SHELL|BROWSER|_COMMAND))\+?=\Z"
)
_PROGRAM_OPTION = re.compile(r"--[\w-]*(?:program|command|exec|action|rsh|filter)[= ]\Z")
_READ_AFTER_OPTION = re.compile(
    r"(?:sh|bash|dash|zsh|ksh|fish|ash|busybox|python[\d.]*|perl|ruby|node|php|lua|Rscript|tclsh|osascript|find)\Z"
)
_OPTION = re.compile(r"(?:^|\s)(?:-\w*[ceErx]\w*|--(?:eval|command|exec|print|run)\b|-(?:exec|ok)(?:dir)?\b)")
_STARTS_COMMAND = re.compile(
    r"(?:^|[;&|(\n{!]|\b(?:then|do|else|elif|if|while|until|time))\s*\Z"
    # programs that run the one that follows their options, numbers and assignments
    r"|\b(?:sudo|doas|env|nohup|command|builtin|timeout|nice|ionice|chrt|taskset|stdbuf|setsid|setpriv|unshare|strace|ltrace)"
    r"(?:\s+(?:-[a-zA-Z]\s+[^\s-]\S*|-\S*|\d\S*|\w+=\S*))*\s+\Z"
)


def with_values(command: str, values: Sequence[Value]) -> str:
    """The command with its values in place. Raises RefusedError with the reason, in words for people."""
    if not MARKS.search(command):
        return command
    _check_program(command)
    pieces: list[str] = []
    state, end = "", 0
    for mark in MARKS.finditer(command):
        state, in_comment, escaped = _state_after(command[end : mark.start()], state)
        if in_comment or escaped:
            raise RefusedError(f"A value cannot stand in a command {'comment' if in_comment else 'after a backslash'}.")
        value = values[int(mark[1])]
        if isinstance(value, Reference):
            raise RefusedError("What a person gave cannot stand in a command: it would be shown and kept by the shell.")
        _check_word(command[: mark.start()], value)
        pieces += [command[end : mark.start()], state, shlex.quote(value), state]
        end = mark.end()
    return "".join([*pieces, command[end:]])


def _check_program(command: str) -> None:
    plain = MARKS.sub("", command)
    if nested := _NESTED.search(plain):
        raise RefusedError(f"A value cannot stand in a command with {nested[0]}: it could be read as a command there.")
    names = {word.rpartition("/")[2] for word in _WORDS.findall(plain)}
    if re.search(r"(?:^|[;&|(\n])\s*\.\s", plain):
        names.add("source")
    if arithmetic := _ARITHMETIC.search(plain):
        raise RefusedError(f"A value cannot stand in a command with {arithmetic[0][:2]}, which could read it as a sum.")
    reads = sorted(names & _READ_PROGRAMS)
    if not reads and _OPTION.search(plain):
        reads = sorted(name for name in names if _READ_AFTER_OPTION.match(name))
    if reads:
        raise RefusedError(f"A value cannot stand in a command with {reads[0]}, which could read it as a program.")


def _check_word(before: str, value: str) -> None:
    if "\0" in value:
        raise RefusedError("A value with a NUL character cannot stand in a command.")
    plain = MARKS.sub("x", before)
    at_word = plain.rstrip("\"'")
    if _STARTS_COMMAND.search(at_word):
        raise RefusedError("A value cannot be the command itself, only one of its words.")
    if _PROGRAM_VARIABLE.search(at_word) or _PROGRAM_OPTION.search(at_word):
        raise RefusedError("A value cannot be the name of a program that the command runs.")
    if re.search(r"\s\Z", at_word) and _takes_name(plain):
        raise RefusedError("A value cannot be the name of a variable: its subscript could be read as a command.")
    if value.startswith("-") and re.search(r"\s\Z", at_word) and not re.search(r"\s--\s", plain):
        raise RefusedError(
            f'A value that begins with "-" would be read as an option: {value[:80]!r}. Write -- before it.'
        )


def _takes_name(before: str) -> bool:
    """Whether the command that stands before a word reads the word as the name of a variable."""
    last = re.split(r"[;&|\n]", before)[-1]
    words = _WORDS.findall(last)
    command = next((word for word in words if word not in _BEFORE_COMMAND), "")
    if command in _READ_NAMES:
        return True
    return bool({"printf", "test", "wait"} & set(words) or "[" in last) and bool(
        re.search(r"\s-[vp]\s*\Z", last.rstrip("\"'"))
    )


def _state_after(text: str, state: str) -> tuple[str, bool, bool]:
    """The quote that is open after the text; whether it ends in a comment; whether a backslash escapes what follows."""
    comment = escaped = False
    before = " "
    for letter in text:
        if comment:
            comment = letter != "\n"
        elif escaped:
            escaped = False
        elif letter == "\\" and state != "'":
            escaped = True
        elif state:
            state = "" if letter == state else state
        elif letter in "\"'":
            state = letter
        elif letter == "#" and before in " \t\n;&|(":
            comment = True
        before = letter
    return state, comment, escaped
