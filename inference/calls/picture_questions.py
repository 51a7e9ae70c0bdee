"""One question to a model about a picture, until there is an answer that can be used.

A model may look again or answer what nobody can use: it is told, a few times at most, all within one call of ours.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from inference.calls.calling import record_on, think
from inference.errors import ModelProblem, PredictionFailed
from inference.prompts import NOT_DONE, USE_A_TOOL
from inference.records import CallRecord, Purpose
from inference.screenshots import Screenshot
from inference.specs import Spec
from inference.wires.base import Answer, Json, Request, Thought, Tool, View, Wanted, Wire
from inference.wires.scaling import picture_bytes, zoomed

R = TypeVar("R")
MOST_CALLS = 4  # of the model for one question


@dataclass(frozen=True)
class Question:
    """`log` is complete; `newest` is the picture that it ends with, `view` how that was sent. `pictures`: those that the log
    names, by their SHA-256; looks add to them."""

    spec: Spec
    wire: Wire
    purpose: Purpose
    system: str
    log: list[Json]
    newest: Screenshot
    view: View
    actions: frozenset[str]
    tools: tuple[Tool, ...]
    pictures: dict[str, bytes] = field(default_factory=dict)
    key: str = ""


def send_picture(wire: Wire, shot: Screenshot, pictures: dict[str, bytes]) -> tuple[str, View]:
    """Scale a picture as this wire sends it, put it among `pictures`, and say by which SHA-256 and in which view."""
    view = wire.view(shot.width, shot.height)
    return _put(picture_bytes(shot.png, view), pictures), view


def _put(png: bytes, pictures: dict[str, bytes]) -> str:
    sha = hashlib.sha256(png).hexdigest()
    pictures[sha] = png
    return sha


async def ask(
    question: Question, understand: Callable[[Thought, bool], R | None], calls: list[CallRecord]
) -> tuple[R, list[Json], Thought]:
    """What `understand` makes of the model's answer (None: nothing, so it is reminded; True: it was reminded before), the log with
    everything that was said, and the answer itself. Each call of the model is added to `calls`, also when it fails.

    Raises ModelProblem, and PredictionFailed after MOST_CALLS.
    """
    log, longer, reminded = list(question.log), False, False
    for _ in range(MOST_CALLS):
        thought = await _think(question, log, calls, longer=longer)
        if thought.end == "full":
            raise PredictionFailed("This is too much for the model at once: send fewer pictures. Nothing was charged.")
        if thought.end == "cut":
            longer = True
            continue
        log = [*log, *thought.items]
        if thought.end == "paused":
            continue
        result = understand(thought, reminded)
        if result is not None:
            return result, log, thought
        reminded = True
        log = [*log, *await asyncio.to_thread(_replies, question, thought)]
    raise PredictionFailed


async def _think(question: Question, log: list[Json], calls: list[CallRecord], *, longer: bool) -> Thought:
    q = question
    request = Request(
        q.system,
        log,
        q.view,
        tools=q.tools,
        actions=q.actions,
        machine_kind="desktop",
        key=q.key,
        picture=q.pictures.__getitem__,
        longer=longer,
    )
    try:
        thought, whole = await think(q.spec, request, q.purpose)
    except (ModelProblem, asyncio.CancelledError) as error:
        if record := record_on(error):
            calls.append(record)
        raise
    calls.append(whole)
    return thought


def _replies(question: Question, thought: Thought) -> list[Json]:
    """What the model is told about an answer that nobody can use."""
    if not thought.wanted:
        return question.wire.note(USE_A_TOOL)
    answers = [_reply(question, wanted) for wanted in thought.wanted]
    sha, _ = send_picture(question.wire, question.newest, question.pictures)
    return question.wire.results(answers, sha)


def _reply(question: Question, wanted: Wanted) -> Answer:
    if wanted.kind == "look" and wanted.name == "zoom":
        return _zoomed(question, wanted)
    if wanted.kind == "look":
        return Answer(wanted, ok=True)
    if wanted.kind == "bad":
        return Answer(wanted, ok=False, text=wanted.problem)
    if wanted.kind == "tool" and wanted.name not in {tool.name for tool in question.tools}:
        return Answer(wanted, ok=False, text="There is no such tool.")
    if wanted.kind == "act" and wanted.name not in question.actions:
        return Answer(wanted, ok=False, text="This action is not allowed here.")
    return Answer(wanted, ok=False, text=f"{NOT_DONE} Give parameters that fit the screen.")


def _zoomed(question: Question, wanted: Wanted) -> Answer:
    zoom = zoomed(question.newest.png, wanted.params.get("region"), question.view)
    if zoom is None:
        return Answer(wanted, ok=False, text="There is no such part of the screen.")
    return Answer(wanted, ok=True, picture=_put(zoom.png, question.pictures))
