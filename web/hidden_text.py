"""What a text hides from its reader: invisible and blank-looking characters, piles of marks, blank stretches, false hosts.

`pieces()` cuts a text into what may be shown as it is and what has to be named. Nothing is dropped: every piece either is a
part of the text or says in words which part it stands for.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, repeat
from urllib.parse import urlsplit

HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_KEPT = {ord("\n"): None, ord("\t"): None}
# Characters of other categories that show nothing (Unicode: Default_Ignorable_Code_Point, and glyphs that are blank by design).
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
) | {chr(c) for c in (*range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0))}  # fmt: skip
_STRIKES = frozenset(chr(c) for c in (*range(0x0334, 0x0339), 0x0489, *range(0x20D2, 0x20E1), *range(0x20E5, 0x20ED)))
_MARKS = frozenset({"Mn", "Me"})
MOST_MARKS = 3  # combining marks on one letter; more hide the lines above and below it
MOST_BLANK_LINES = 2  # in a row
MOST_SPACES = 40  # in a row: more push what follows out of sight
_STRETCH = re.compile(rf"\n(?:[ \t]*\n){{{MOST_BLANK_LINES + 1},}}")
_SPACES = re.compile(rf"[ \t]{{{MOST_SPACES + 1},}}")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}:[/\\]{2}[^\s/\\?#<>\"'`]+", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_CONFUSED = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")


@dataclass(frozen=True)
class Piece:
    """`text` as it is, or, with `names`, words that stand for something hidden; `title` says more."""

    text: str
    names: bool = False
    title: str = ""


def is_plain(text: str) -> bool:
    """Has the text nothing that could hide something? Nearly always."""
    return text.isascii() and text.translate(_KEPT).isprintable() and not _marked(text)


def _marked(text: str) -> bool:
    return bool(_STRETCH.search(text) or _SPACES.search(text) or ("@" in text and _ADDRESS.search(text)))


def pieces(text: str) -> Iterator[Piece]:
    """The text cut where something is hidden, or where a host is not what it looks like."""
    for piece, same in groupby(_pieces(text)):
        times = len(list(same))
        if piece.names and times > MOST_MARKS:
            yield replace(piece, text=f"{piece.text} × {times:,}")
        else:
            yield from repeat(piece, times)


def _pieces(text: str) -> Iterator[Piece]:
    at = 0
    for start, end, mark in sorted(_stretches(text), key=lambda stretch: stretch[:2]):
        if start < at:
            continue
        yield from _characters(text[at:start])
        yield mark
        at = end
    yield from _characters(text[at:])


def _stretches(text: str) -> Iterator[tuple[int, int, Piece]]:
    """Where words of ours stand, as (start, end, piece): in place of blank stretches, behind hosts and mixed words."""
    for match in _STRETCH.finditer(text):
        lines = match[0].count("\n") - 1
        yield match.start() + 1, match.end() - 1, Piece(f"{lines} blank lines", names=True)
    for match in _SPACES.finditer(text):
        yield match.start(), match.end(), Piece(f"{len(match[0])} spaces", names=True)
    hosts = [(match.start(), match.end(), host_note(match[0])) for match in _ADDRESS.finditer(text)]
    for _, end, note in hosts:
        if note:
            yield end, end, Piece(note, names=True, title="where this address really leads")
    for match in _WORD.finditer(text):
        inside = any(start <= match.start() < end for start, end, note in hosts if note)
        if not inside and (note := mixed_scripts(match[0])):
            yield match.end(), match.end(), Piece(note, names=True, title="letters of different alphabets look alike")


def host_note(address: str) -> str:
    """Where an address leads, if it does not look so: its host in ASCII; "" when it is what it looks like."""
    try:
        parts = urlsplit(address.replace("\\", "/"))
        host = parts.hostname or ""
    except ValueError:
        return "not a valid address"
    if host.isascii() and parts.username is None:
        return ""
    return f"leads to {ascii_host(host)}"


def ascii_host(host: str) -> str:
    """The host as it is looked up: `xn--…` for letters beyond ASCII (RFC 3490). What has no such form is spelled out."""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return "".join(c if c.isascii() else f"[U+{ord(c):04X}]" for c in host)


def mixed_scripts(word: str) -> str:
    """`mixed letters U+0440` for a word of two alphabets that look alike, naming those that are not Latin; else ""."""
    if word.isascii():
        return ""
    scripts = {c: next((s for s in _CONFUSED if unicodedata.name(c, "").startswith(s)), "") for c in word}
    if len(set(scripts.values()) - {""}) < 2:
        return ""
    strange = dict.fromkeys(c for c in word if scripts[c] not in ("", "LATIN"))
    return "mixed letters " + " ".join(f"U+{ord(c):04X}" for c in strange)


def _characters(text: str) -> Iterator[Piece]:
    shown, marks, before = "", 0, ""
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category in _MARKS else 0
        if _hides(c, category, before) or marks > MOST_MARKS or (marks and not before.strip()):
            if shown:
                yield Piece(shown)
            shown = ""
            yield Piece(f"U+{ord(c):04X}", names=True, title=unicodedata.name(c, "control character").lower())
        else:
            shown += c
        before = c
    if shown:
        yield Piece(shown)


def _hides(c: str, category: str, before: str) -> bool:
    if ord(c) in _KEPT or c == " ":
        return False
    if c in "\ufe0e\ufe0f":  # says how an emoji is drawn; behind anything else it shows nothing
        return not before or unicodedata.category(before) not in ("So", "Sk", "Sm", "Po", "Nd")
    return category in HIDDEN or category == "Zs" or c in _BLANK or c in _STRIKES
