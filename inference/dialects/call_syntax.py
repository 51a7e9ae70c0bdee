"""Calls of functions with literal arguments, as they stand in programs. Read by `ast`; nothing is ever evaluated.

Untrusted text of any shape: only flat calls reach the parser of Python, and the time is linear.
"""

import ast
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DEEPEST = 3  # brackets in brackets: a call with lists of literals has no more

_TOKEN = re.compile(
    r"""(?P<string>'''(?:[^\\']|\\.|'(?!''))*(?:'''|\Z)|\"\"\"(?:[^\\"]|\\.|"(?!""))*(?:\"\"\"|\Z)"""
    r"""|'(?:[^'\\\n]|\\.)*'?|"(?:[^"\\\n]|\\.)*"?)"""
    r"""|(?P<comment>\#[^\n]*)|(?P<bracket>[(){}\[\]])|(?P<end>[\n;])|[^'"#(){}\[\]\n;]+""",
    re.DOTALL,
)
_CALL = re.compile(r"((?:\w{1,64}\.){0,3}\w{1,64})\s*\(")
# Without its strings, a flat call has numbers, signs, names of arguments and nothing that nests.
_FLAT = re.compile(
    r"(?:\w{1,64}\.){0,3}\w{1,64}\s*\((?:[\d.eE,\s()\[\]'_]|[-+](?![-+\s])|(?<![\w.])(?:True|False|None)\b|(?<![\w.])[A-Za-z_]\w{0,63}\s*=(?!=))*\)"
)
# The usual call on a line of its own: nothing of it has to be taken apart to know that it is flat.
_USUAL = re.compile(
    r"""[ \t]*(((?:\w{1,64}\.){0,3}\w{1,64})\((?:[\d., ]|-(?=\d)|'[^'\\\n]*'(?!')|"[^"\\\n]*"(?!")"""
    r"""|(?<![\w.])[A-Za-z_]\w{0,63}=(?!=))*\))[ \t]*(?:\n|\Z)"""
)
_PLAIN = re.compile(r"([ \t]*)([^'\"#(){}\[\]\n;]*)(?:\n|\Z)")  # nothing to take apart either
_INDENT = re.compile(r"[ \t]*")
# Early versions of Python 3.11 keep the depth of the tree in one place for all threads, and break off when it is not their own.
_parser = threading.Lock()
_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)


class Line(NamedTuple):
    """A statement. `name`: the function with its dots, if it looks like a call. `flat`: worth parsing. `comment`: of the
    same line, or of the line right before it."""

    text: str
    name: str = ""
    flat: bool = False
    indent: int = 0
    comment: str = ""


class Called(NamedTuple):
    name: str
    args: list[Any]
    named: dict[str, Any]


def lines(code: str) -> list[Line]:
    """The statements of a program. What has a bracket open goes on; blank lines and lines with only a comment are none."""
    statements: list[Line] = []
    at, indent, before = 0, 0, ""
    while at < len(code):
        usual = _USUAL.match(code, at)
        if usual:
            statements.append(Line(usual[1], usual[2], True, usual.start(1) - at, before))
            at, before = usual.end(), ""
            continue
        plain = _PLAIN.match(code, at)
        if plain:
            text = plain[2].strip()
            statements += [Line(text, "", False, len(plain[1]), before)] if text else []
            at, before = plain.end(), ""
            continue
        draft = _Draft(before=before)
        indent = _INDENT.match(code, at).end() - at  # type: ignore[union-attr]  # it matches nothing, too
        at = _take(code, at, indent, draft, statements)
        before = "" if draft.texts else draft.comment
    return statements


@dataclass
class _Draft:
    """A statement that is being read."""

    before: str = ""
    texts: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)  # with '' for each string
    comment: str = ""
    depth: int = 0
    deepest: int = 0

    def take(self, kind: str | None, text: str) -> None:
        if kind == "comment":
            self.comment = self.comment or text.lstrip("# ").strip()[:500]
            return
        if kind == "bracket":
            self.depth += 1 if text in "([{" else -1
            self.deepest = max(self.deepest, self.depth)
        self.texts.append(text)
        self.plain.append("''" if kind == "string" else text)

    def line(self, indent: int) -> Line | None:
        text, plain = "".join(self.texts).strip(), "".join(self.plain).strip()
        call = _CALL.match(plain)
        flat = bool(call) and self.depth == 0 and self.deepest <= DEEPEST and bool(_FLAT.fullmatch(plain))
        return Line(text, call[1] if call else "", flat, indent, self.comment or self.before) if text else None


def _take(code: str, at: int, indent: int, draft: _Draft, statements: list[Line]) -> int:
    """Read on to the end of the line, and over it while a bracket is open; the place behind it. Statements go to `found`."""
    for match in _TOKEN.finditer(code, at):
        kind, text = match.lastgroup, match[0]
        if kind != "end" or draft.depth > 0:
            draft.take(kind, text)
            continue
        line = draft.line(indent)
        statements += [line] if line else []
        if text == "\n":
            return match.end()
        draft.texts, draft.plain, draft.depth, draft.deepest = [], [], 0, 0
    line = draft.line(indent)
    statements += [line] if line else []
    return len(code)


def calls(statements: Sequence[Line], known: Collection[str]) -> list[Called | None]:
    """What each statement calls, if it is one flat call of a known function and all its arguments are literals."""
    indexes = [index for index, line in enumerate(statements) if line.flat and line.name in known]
    results: list[Called | None] = [None] * len(statements)
    pending = [indexes]
    while pending:
        part = pending.pop()
        nodes = _parsed([statements[index].text for index in part]) if part else []
        if nodes is None and len(part) > 1:  # one of them is broken: which?
            pending += [part[: len(part) // 2], part[len(part) // 2 :]]
        for index, node in zip(part, nodes or (), strict=False):
            results[index] = _called(node, statements[index].name)
    return results


def call(text: str, known: Collection[str]) -> Called | None:
    """The one call that the text is."""
    statements = lines(text)
    return calls(statements, known)[0] if len(statements) == 1 else None


def _parsed(texts: Sequence[str]) -> list[ast.stmt] | None:
    try:
        with _parser:
            body = ast.parse("\n".join(texts)).body
    except _ERRORS:
        return None
    return body if len(body) == len(texts) else None


def _called(node: ast.stmt, name: str) -> Called | None:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return None
    named = {keyword.arg: keyword.value for keyword in node.value.keywords if keyword.arg}
    if len(named) != len(node.value.keywords):
        return None
    try:
        return Called(
            name, [_literal(one) for one in node.value.args], {key: _literal(one) for key, one in named.items()}
        )
    except ValueError:
        return None


def _literal(node: ast.expr) -> Any:
    """Raises ValueError for anything that would have to be evaluated."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _literal(node.operand)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value if isinstance(node.op, ast.USub) else value
    raise ValueError("not a literal")
