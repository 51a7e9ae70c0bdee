"""Where an element stands in a picture: by its text first, then by a model. Never a guess."""

import asyncio
from dataclasses import dataclass, field

from accounts.actor import Actor
from billing.direct import Price, price
from inference.billed_calls import NO_MODEL, RETRY_SECONDS, BilledCall, Reply, model_for
from inference.calls.picture_questions import Question, ask, send_picture
from inference.errors import GroundingFailed, ModelAway, ModelRefused, PredictionFailed
from inference.ground import ocr
from inference.ground.ocr import OcrFailed
from inference.ground.text_search import TextMatch, locate, phrases
from inference.points import Size, moved
from inference.predict import fixed_answers
from inference.predict.predictions import tokens
from inference.prompts import GROUND, NOT_THERE
from inference.records import CallRecord
from inference.schemas import GroundBody
from inference.screenshots import Screenshot
from inference.specs import Spec, live_names
from inference.wires import wire_for
from inference.wires.base import Thought

NO_READER = "Text cannot be read in pictures here: the optional extra “ocr” is not installed (make ocr)."


@dataclass
class GroundCall(BilledCall):
    """POST /v1/ground."""

    actor: Actor
    body: GroundBody
    shot: Screenshot
    spec: Spec | None = None
    reads: bool = field(default_factory=ocr.installed)

    def begin(self) -> Price:
        if not self.actor.test:
            self.spec = model_for(self.actor) if live_names() else None
            if self.spec is None and not self.reads:
                raise ModelAway(f"{NO_READER} {NO_MODEL}", reason_code="no_ocr", retry_after=RETRY_SECONDS)
        return price("ground", images=[self.shot.size])

    async def ask(self, calls: list[CallRecord]) -> Reply:
        x, y = await self._point(calls)
        width, height = self.body.screen
        body = {"x": x, "y": y, "screen_width": width, "screen_height": height}
        return Reply(body, *tokens(calls))

    async def _point(self, calls: list[CallRecord]) -> Size:
        if self.actor.test:
            return fixed_answers.point(self.shot.sha256, self.body.element, self.body.screen)
        match = await self._read()
        if match.state == "found":
            return _on_screen(match.point, self.shot.size, self.body.screen)
        if self.spec is not None:
            return await _ask_model(self.spec, self.body, self.shot, calls)
        if match.state == "ambiguous":
            raise GroundingFailed(
                "This text stands in the picture more than once, or cannot be read for certain. Nothing was charged.",
                reason_code="element_ambiguous",
            )
        raise GroundingFailed

    async def _read(self) -> TextMatch:
        """Where reading fails the model may still see it; without a model that is the answer."""
        if not self.reads or not any(phrases(self.body.element)):
            return TextMatch("absent")
        try:
            return locate(await ocr.read_text(self.shot.png), self.body.element)
        except (OcrFailed, TimeoutError) as error:
            if self.spec is None:
                raise ModelAway(
                    "The text of the picture could not be read now. Nothing was charged.",
                    reason_code="ocr_busy",
                    retry_after=RETRY_SECONDS,
                ) from error
            return TextMatch("absent")


def _on_screen(point: tuple[float, float], picture: Size, screen: Size) -> Size:
    spot = moved({"x": point[0], "y": point[1]}, picture, screen)
    return spot["x"], spot["y"]


@dataclass(frozen=True)
class _ModelPoint:
    """What the model says: a pixel of the picture, or why there is none."""

    point: Size | None
    why: str = ""


async def _ask_model(spec: Spec, body: GroundBody, shot: Screenshot, calls: list[CallRecord]) -> Size:
    """Where the model clicks. Raises GroundingFailed when it says that it sees no such thing, and ModelProblem."""
    question = await asyncio.to_thread(_question, spec, body, shot)
    try:
        answer, _, _ = await ask(question, lambda thought, again: _understood(thought, shot), calls)
    except PredictionFailed as unusable:
        raise GroundingFailed("The model gave no answer that can be used. Nothing was charged.") from unusable
    except ModelRefused as refused:
        raise GroundingFailed(
            f"The model refused: {refused.why} Nothing was charged.", reason_code="model_refused"
        ) from refused
    if answer.point is None:
        raise GroundingFailed(f"The element was not found: {answer.why} Nothing was charged.")
    return _on_screen(answer.point, shot.size, body.screen)


def _understood(thought: Thought, shot: Screenshot) -> _ModelPoint | None:
    """One click inside the picture, or the word that there is nothing to click; anything else is no answer."""
    if len(thought.wanted) != 1 or thought.wanted[0].checks:
        return None
    (wanted,) = thought.wanted
    if wanted.kind == "tool" and wanted.name == NOT_THERE.name:
        return _ModelPoint(None, str(wanted.params.get("reason") or "The model does not see it."))
    x, y = wanted.params.get("x"), wanted.params.get("y")
    if wanted.kind != "act" or wanted.name != "click" or not (isinstance(x, int) and isinstance(y, int)):
        return None
    return _ModelPoint((x, y)) if 0 <= x < shot.width and 0 <= y < shot.height else None


def _question(spec: Spec, body: GroundBody, shot: Screenshot) -> Question:
    wire, pictures = wire_for(spec), dict[str, bytes]()
    sha, view = send_picture(wire, shot, pictures)
    log = wire.opening(f"The element: {body.element}", sha)
    return Question(spec, wire, "ground", GROUND, log, shot, view, frozenset({"click"}), (NOT_THERE,), pictures)
