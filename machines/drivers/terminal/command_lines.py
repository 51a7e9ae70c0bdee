"""A line of shell read for its words: which programs it starts, and what it names. Quotes and signs as the shell reads them,
variables and patterns as they are written: what they become nobody knows before the shell does.
"""

import re
import shlex
from collections.abc import Iterator

PUNCTUATION = ";|&(){}<>`\n"
SUBSTITUTION = re.compile(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)|`([^`]*)`")
ASSIGNMENT = re.compile(r"\w+\+?=.*", re.DOTALL)

# Where a shell sees other quotes than words_of(): in $'…' a backslash hides one.
_ANSI_QUOTE = re.compile(r"\$'[^']*\\'")
_PLAIN_SUBSTITUTION = re.compile(r"\$\([^()'\"\\`]*\)|`[^'\"\\`]*`")
_DEEPEST = 4  # substitutions within substitutions


def words_of(line: str) -> list[str]:
    """The line's words without their quotes, as the shell reads them, and the signs between commands."""
    reader = shlex.shlex(line.replace("\\\n", ""), posix=True, punctuation_chars=PUNCTUATION)
    reader.whitespace, reader.commenters, reader.whitespace_split = " \t\r", "", True
    try:
        return list(reader)
    except ValueError:  # an open quote: the shell would ask for more, and what stands here is read without quotes
        return words_without_quotes(line)


def words_without_quotes(line: str) -> list[str]:
    """The words and signs as if nothing in the line were quoted: nothing hides in it."""
    return re.findall(rf"[{re.escape(PUNCTUATION)}]+|[^\s{re.escape(PUNCTUATION)}]+", re.sub(r"[\"'\\]", "", line))


def may_be_read_otherwise(line: str) -> bool:
    """Whether a shell may see other quotes in it than words_of(), so that a command hides in what looks like text."""
    if "'" not in line and '"' not in line and "\\" not in line:
        return False
    is_in_lines = "\n" in line or "\r" in line
    if _ANSI_QUOTE.search(line) or (is_in_lines and ("#" in line or "<<" in line)):
        return True  # in comments and here-documents quotes are none, and no line goes on
    for _ in range(_DEEPEST):
        line = _PLAIN_SUBSTITUTION.sub("", line)
    return "$(" in line or "`" in line


def is_sign(word: str) -> bool:
    """Is it a sign between words, such as `;`, `&&` or `>`?"""
    return bool(word) and set(word) <= set(PUNCTUATION)


def commands_in(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where each simple command begins and ends among the words."""
    start = 0
    for at, word in enumerate([*words, ";"]):
        if is_sign(word):
            if at > start and set(word) != {">"} and set(word) != {"<"}:
                yield start, at
            if set(word) != {">"} and set(word) != {"<"}:
                start = at + 1
