"""What the guest says of a line that its shell was given, as the outcome of an action. Its words are untrusted."""

import base64
import binascii
from typing import Any

from machines.drivers.base import ActResult, Content, Contents, Prompt
from machines.drivers.terminal import transcript

_WANTS = {
    "line": "a line of input",
    "secret": "a password or other secret (what is typed is not shown)",
    "keys": "keys (it is a pager, an editor or a menu)",
}
_PLACES = frozenset({"prompt", "continuation", "program", "unknown"})
_ENDS = frozenset({"ended", "incomplete", "refused", "unseen", "waits", "running"})
_MOST_ITEMS = 400
_LONGEST_NAME = 4096
_LONGEST_WORDS = 300  # characters of a name and of what is said of it
_OLDER = "anything: this machine was started by an older version"
_LONGEST_LINE = 70_000  # characters; an action types at most 65,536


def waits(answer: dict[str, Any]) -> str | None:
    """Who waits for input: "less waits for keys (…)"."""
    wait = answer.get("waits")
    if not isinstance(wait, dict) or wait.get("wants") not in _WANTS:
        return None
    program = "".join(c for c in str(wait.get("program", ""))[:32] if c.isprintable())
    return f"{program or 'A program'} waits for {_WANTS[wait['wants']]}"


def prompt(answer: dict[str, Any]) -> Prompt:
    at = str(answer.get("at"))
    return Prompt(at, _text(answer, "line")) if at in _PLACES else Prompt("unknown")


def contents(answer: dict[str, Any], question: dict[str, Any], unknown: tuple[str, ...] = ()) -> Contents:
    """What a look at the operands of a command has found; `unknown`: what nobody could look for."""
    items, uncovered = answer.get("items"), answer.get("uncovered")
    if not isinstance(items, list):
        return Contents((), (*unknown, _OLDER), question)
    contents = tuple(_content(item) for item in items[:_MOST_ITEMS] if isinstance(item, dict))
    more = [str(words)[:_LONGEST_WORDS] for words in uncovered[:20]] if isinstance(uncovered, list) else []
    return Contents(contents, (*unknown, *more), question)


def _content(item: dict[str, Any]) -> Content:
    kind, name, value, says = (str(item.get(key, ""))[:_LONGEST_NAME] for key in ("kind", "name", "value", "says"))
    return Content(kind, name, value, says)


def kept(before: Contents | None) -> dict[str, Any] | None:
    """What the guest compares with right before it presses Enter."""
    if before is None:
        return None
    items = [{"kind": item.kind, "name": item.name, "value": item.value} for item in before.items]
    return {"question": before.question, "items": items}


def others(names: list[str]) -> ActResult:
    """Nothing was run: these are others than when the action was approved."""
    listed = ", ".join(f"“{name[:_LONGEST_WORDS]}”" for name in names[:5])
    message = f"Not the same as when this was approved: {listed}. Nothing was run."
    return ActResult(False, message, {"changed": True})


def output(answer: dict[str, Any]) -> str:
    try:
        data = base64.b64decode(str(answer.get("output") or ""), validate=True)
    except binascii.Error:
        return ""
    return transcript.shortened(transcript.plain(data), cut=bool(answer.get("cut")))


def _text(answer: dict[str, Any], name: str) -> str:
    return str(answer.get(name) or "")[:_LONGEST_LINE]


def _code(answer: dict[str, Any]) -> int | None:
    code = answer.get("exit_code")
    return code if isinstance(code, int) and 0 <= code <= 255 else None


def facts(answer: dict[str, Any]) -> dict[str, Any]:
    """The data of a result: how far the command came, and what it wrote."""
    how = answer.get("how")
    finished = how in ("ended", "unseen", "refused")
    data: dict[str, Any] = {"exit_code": _code(answer) if how == "ended" else None, "finished": finished}
    if answer.get("ran") or how == "refused":
        data["output"] = output(answer)
    if cleared := _text(answer, "cleared"):
        data["cleared"] = cleared
    if answer.get("left"):
        data["note"] = "Half a command stood at the prompt and was left with Ctrl+C."
    if how == "waits" and (words := waits(answer)):
        data["waits"] = words
    return data


def of_typed(answer: dict[str, Any], before: str) -> dict[str, Any]:
    """The data of typed text that ended with Enter; `before` is what stood on the line already."""
    data = facts(answer)
    if before and answer.get("ran"):
        data["line"] = _line_that_ran(answer)
    return data


def _line_that_ran(answer: dict[str, Any]) -> str:
    """The shell's history has it behind its number."""
    number, _, line = _text(answer, "line").strip().partition("  ")
    return (line if number.rstrip("*").isdigit() else _text(answer, "line")).rstrip("\n")


def of_line(answer: dict[str, Any]) -> ActResult:
    """The outcome of a command that took the place of what stood on the line."""
    if "problem" in answer:
        return _not_run(answer)
    if answer.get("how") not in _ENDS:
        return ActResult(False, "This machine was started by an older version: stop and start it. Nothing was run.")
    data = facts(answer)
    error = _error(str(answer.get("how")), data, ran=bool(answer.get("ran")))
    return ActResult(error is None, error, data)


def _error(how: str, data: dict[str, Any], *, ran: bool) -> str | None:
    """Why the command is not done; None also while it runs."""
    if how == "incomplete":
        before = "Lines before its unfinished end were run." if ran else "Nothing was run."
        return f"This command has no end: the shell waited for the rest of it, and was left. {before}"
    sentence = {"refused": "The shell did not run this", "unseen": "It ended, but its exit code is unknown"}.get(how)
    if how == "ended" and data["exit_code"]:
        sentence = f"Ended with exit code {data['exit_code']}"
    lines = transcript.last_lines(str(data.get("output") or ""))
    return sentence and (f"{sentence}: {lines}" if lines else f"{sentence}.")


def _not_run(answer: dict[str, Any]) -> ActResult:
    problem = answer["problem"]
    if problem == "contents":
        names = answer.get("names")
        return others([str(name) for name in names] if isinstance(names, list) else [])
    if problem == "changed":
        line = _text(answer, "cleared")
        message = "Something else stands at the prompt than when this was approved, so nothing was run."
        return ActResult(False, message, {"changed": True, "cleared": line})
    if problem == "busy":
        who = waits(answer)
        message = "Something else has the terminal, so nothing was typed." + (f" {who}." if who else "")
        return ActResult(False, message, {"busy": True} | ({"waits": who} if who else {}))
    why = "its key may have been given away, or another shell took its place: Ctrl+D ends that one"
    return ActResult(False, f"The shell's line cannot be replaced ({why}). Nothing was run.")
