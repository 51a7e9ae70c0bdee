"""Which kind of machine a task for a model needs, as far as its words tell."""

import re

from runs.agents.base import Bound

_NAMED = re.compile(
    r"(?P<browser>https?://|\bwww\.|\b(?:web|web-?sites?|web-?pages?|home-?page|sites?|browsers?|urls?|online)\b)"
    r"|(?P<terminal>`[^`\n]+`|\b(?:terminal|shell|bash|command line|commands?|repository|git)\b)",
    re.IGNORECASE,
)


def kind_named(task: str, bound: tuple[Bound, ...] = ()) -> str | None:
    """The kind that the task speaks of first; `bound` are values in it, which say nothing of that."""
    for value in bound:
        task = task[: value.at] + " " * value.length + task[value.at + value.length :]
    match = _NAMED.search(task)
    return match.lastgroup if match else None
