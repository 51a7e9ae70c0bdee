"""What the model of a story does, turn by turn, in our words: each wire says it in its vendor's.

A story is chosen by `story:<name>` in the task, `story:<name>@<n>` begins with its turn n (from 0), so that the summary of an episode can
say how the next one goes on; the last such word counts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_CHOICE = re.compile(r"story:([A-Za-z0-9_-]+)(?:@(\d+))?")
# What a model is told of actions of its newest answer that nobody knows the outcome of, and of those that came after.
UNKNOWN, NOT_DONE = "The outcome is unknown", "Not executed: an action before it"


@dataclass(frozen=True)
class Fault:
    """What goes wrong before a turn is answered, the first `times` times that it is due (0 = always).

    `status` with `headers` (and `message`, in the error's body), or `hang` (no answer until the client leaves), `cut` (the
    connection is dropped in the middle), `half` (the answer ends in the middle as if it were whole), or `stop`: the turn ends
    so instead (Turn.stop).
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    hang: bool = False
    cut: bool = False
    half: bool = False
    stop: str = ""
    times: int = 1


@dataclass(frozen=True)
class Turn:
    """One answer. `wants`: (name, params): an action of machines.actions.canonical with points in pixels of the picture that was sent,
    "screenshot", "zoom" (region), or a function tool; `checks` (id, code, message) belong to the first of them.
    `stop`: "" (as it comes of wants), cut (max_tokens: the last call is cut), refusal, paused, full. `raw` goes to the wire as it is, for
    what no other turn says."""

    wants: Sequence[tuple[str, Json]] = ()
    text: str = ""
    thinking: str = ""
    checks: Sequence[Mapping[str, str]] = ()
    stop: str = ""
    fault: Fault | None = None
    delay: float = 0.0
    raw: Any = None


@dataclass(frozen=True)
class Story:
    """`turns` answer requests with tools; `schema` those that ask for JSON, `words` those with neither (a summary, a plan). Of these two
    the last is said again when there are no more. `unknown`: what the model does about an action of which it is told that the
    outcome is unknown: "" goes on, "again" wants it again with what came after it, "seen" only what came after it."""

    turns: Sequence[Turn]
    schema: Sequence[Turn] = (
        Turn(text='{"verdict": "pass", "reasons": ["The screen shows it."], "evidence": ["It is there."]}'),
    )
    words: Sequence[Turn] = (Turn(text="This is what happened so far."),)
    unknown: str = ""


Stories = dict[str, Story]


class OverError(LookupError):
    """The story has no such turn."""


@dataclass(frozen=True)
class Due:
    """The turn that answers a request, and by which name its faults are counted."""

    turn: Turn
    key: tuple[str, str, int]


def due(
    stories: Mapping[str, Story], default: str, opening: str, answers: int, kind: str = "turns", told: Sequence[str] = ()
) -> Due:  # fmt: skip
    """`opening`: the text of the first item; `answers`: how many answers of the model stand in the log; `kind`: turns, schema,
    words; `told`: what followed each of those answers."""
    choices = _CHOICE.findall(opening)
    name, offset = choices[-1] if choices else (default, "")
    if name not in stories:
        raise OverError(f"There is no story {name!r}.")
    index = answers + int(offset or 0)
    turns: Sequence[Turn] = getattr(stories[name], kind)
    if kind == "turns" and stories[name].unknown:
        return Due(_interrupted(stories[name], int(offset or 0), told), (name, kind, index))
    if kind != "turns":
        index = min(index, len(turns) - 1)
    if not 0 <= index < len(turns):
        raise OverError(f"The story {name!r} has no turn {index}.")
    return Due(turns[index], (name, kind, index))


def _interrupted(story: Story, index: int, told: Sequence[str]) -> Turn:
    """What is due where some outcomes were unknown: perhaps the rest of an earlier turn."""
    wants: Sequence[tuple[str, Json]] | None = None
    for text in told:
        unknown, undone = text.count(UNKNOWN), text.count(NOT_DONE)
        left = undone + (unknown if story.unknown == "again" else 0)
        if unknown and left:
            wants = (story.turns[index].wants if wants is None else wants)[-left:]
        else:
            index, wants = index + 1, None
    if index >= len(story.turns):
        raise OverError(f"The story has no turn {index}.")
    turn = story.turns[index]
    return turn if wants is None else replace(turn, wants=wants)


def as_story(story: Story | Sequence[Turn]) -> Story:
    return story if isinstance(story, Story) else Story(story)


def from_json(value: Any) -> Story:
    """A list of turns, or {turns, schema, words}."""
    if isinstance(value, list):
        return Story([_turn(one) for one in value])
    lists = {kind: [_turn(one) for one in turns] for kind, turns in value.items() if kind != "unknown"}
    return Story(**lists, unknown=value.get("unknown", ""))


def load(path: Path | str) -> Stories:
    return {name: from_json(value) for name, value in json.loads(Path(path).read_text()).items()}


def _turn(value: Json) -> Turn:
    fault = Fault(**value["fault"]) if value.get("fault") else None
    wants = tuple((name, params) for name, params in value.get("wants", ()))
    return Turn(**{**value, "wants": wants, "fault": fault})
