"""Cutting a task into sentences, before any grammar looks at it.

Quoted text, commands in backticks and web addresses are never cut. Every pattern here is linear in the text: a task is
up to 16,000 characters that anybody may have written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runs.agents.playbook.language.bound import MARK

# One pattern per kind of quote; an apostrophe inside a word does not end a single quote. A mark stands for a quoted text.
QUOTED = (
    rf"{MARK}(?=[\s,;!?)]|[.:](?:\s|\Z)|\Z)"
    r'|"[^"]*"'
    r"|“[^“”]*”"
    r"|„[^„“”]*[“”]"
    r"|«[^«»]*»"
    r"|»[^«»]*«"
    r"|‚[^‚‘’]*[‘’]"
    r"|‘(?:[^‘’\n]|(?<=\w)’(?=\w))*’"
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)"
)

_VERB = (
    r"(?:(?:please|now|next|finally|also|then)\s+)*(?:open|go\s+(?:to|back)|visit|navigate|browse"
    r"|(?:double|right)[\s-]*click|click|tap|type|enter|put|write|fill|press|hit|select|choose|pick|check|tick|uncheck"
    r"|untick|verify|confirm|ensure|make|scroll|run|execute|create|start|launch|stop|shut|kill|wait|ask|request|get|hand"
    r"|hover|remember|memorize|refresh|reload|upload|attach|clear|drag|succeed|finish|end|done|quit|fail|assert)\b"
)
_TOKEN = re.compile(
    rf"(?P<atom>`[^`]*`|{QUOTED}|https?://[^\s\"'`“”]*[^\s\"'`“”.,;!?)])"
    r"|(?P<bullet>^[^\S\n]*(?:(?:step\s+)?\d{1,3}[.):]|[-*•–])(?=\s))"
    r"|(?P<number>(?<=\s)\d{1,3}[.)](?=\s))"
    r"|(?P<hard>\n|;|[.!?](?=\s|\Z)|\b(?:and\s+)?then\b)"
    rf"|(?P<soft>(?:,\s*and\b|,|\band\b)(?=\s*{_VERB}))",
    re.IGNORECASE | re.MULTILINE,
)
_PAUSE = re.compile(rf"(?P<atom>`[^`]*`|{QUOTED})|(?P<pause>,\s*and\b|,|\band\b)", re.IGNORECASE)
_LEAD = re.compile(
    r"(?:[\s,:]+|(?:and|then|please|now|next|finally|lastly|first|also|after\s+that|afterwards)\b(?!\s*=))*",
    re.IGNORECASE,
)


# What follows such words depends on them: until the sentence ends nothing of it is an instruction of its own.
_BINDS = re.compile(
    r"(?:if|unless|when|whenever|while|once|until|after|before|without|in\s+case|as\s+soon\s+as|as\s+long\s+as"
    r"|repeat|for\s+(?:each|every|all))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """One sentence as it stands in the task; `column` counts from 1."""

    text: str
    column: int


def split(task: str) -> list[Sentence]:
    """The sentences of a task, in order, without numbers, bullets, joining words and closing punctuation."""
    found, start = [], 0
    for cut_from, cut_to, joins in _cuts(task):
        sentence = _trimmed(task, start, cut_from)
        if joins and _BINDS.match(sentence.text):
            continue
        found.append(sentence)
        start = cut_to
    found.append(_trimmed(task, start, len(task)))
    return [s for s in found if s.text]


def _cuts(task: str) -> Iterator[tuple[int, int, bool]]:
    """Where sentences end and the next begin, and whether only a joining word, such as "and", stands between."""
    last_number = None
    for token in _TOKEN.finditer(task):
        kind = token.lastgroup
        if kind in ("hard", "soft"):
            yield *token.span(), kind == "soft" or token.group()[-1:].isalpha()
        elif kind == "bullet":
            digits = re.sub(r"\D", "", token.group())
            last_number = int(digits) if digits else None
            yield *token.span(), False
        elif kind == "number" and last_number is not None and int(token.group()[:-1]) == last_number + 1:
            last_number += 1  # "1. open ... 2. click ...": numbering goes on inside a line
            yield *token.span(), False
        elif kind == "number" and token.group().endswith("."):
            yield token.end() - 1, token.end(), False  # "... on port 80. Stop": a full stop after a number


def pauses(sentence: Sentence) -> Iterator[tuple[Sentence, Sentence]]:
    """The ways of cutting one sentence in two at a comma or an "and", from left to right."""
    for token in _PAUSE.finditer(sentence.text):
        if token.lastgroup == "pause":
            left = _trimmed(sentence.text, 0, token.start())
            right = _trimmed(sentence.text, token.end(), len(sentence.text))
            if left.text and right.text:
                shift = sentence.column - 1
                yield Sentence(left.text, left.column + shift), Sentence(right.text, right.column + shift)


def _trimmed(task: str, start: int, end: int) -> Sentence:
    lead = _LEAD.match(task, start, end)
    first = lead.end() if lead else start
    return Sentence(task[first:end].rstrip(" \t\r\n\f\v.,;:!"), first + 1)
