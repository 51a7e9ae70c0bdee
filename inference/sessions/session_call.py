"""A prediction in a session: it goes on with the conversation that the session keeps."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from billing.direct import Price, price
from database.ids import new_id
from inference.billed_calls import BilledCall, Reply, model_for
from inference.calls.picture_questions import Question, send_picture
from inference.errors import ModelMisconfigured, SessionNotFound
from inference.models import Session, SessionPicture
from inference.predict import fixed_answers
from inference.predict.code_lines import with_code
from inference.predict.predictions import Outcome, allowed, answers_to, as_seen, predict
from inference.predict.step_words import step_words
from inference.prompts import FINISH, PREDICT, system_of
from inference.records import CallRecord
from inference.schemas import SessionPredictBody
from inference.screenshots import Screenshot
from inference.sessions.services import IDLE, lock_idle
from inference.specs import Spec, spec_of
from inference.wires import wire_for
from inference.wires.base import Json
from web.json_values import size

BUSY = timedelta(minutes=6)  # longer than any call may take; then its process has died
MAX_ACTIONS = 5
LARGEST_LOG = 256 * 1024  # bytes as JSON
REMEMBERED = 20  # steps in words, for a log that begins anew


@dataclass
class SessionPredictCall(BilledCall):
    """POST /v1/sessions/{id}/predict."""

    actor: Actor
    session_id: str
    body: SessionPredictBody
    shot: Screenshot
    token: str = field(default_factory=lambda: new_id("call"))
    session: Session = field(init=False)
    spec: Spec | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    outcome: Outcome | None = None
    sent: str = ""  # SHA-256 of the picture as it was sent

    def begin(self) -> Price:
        """Take the session: nobody else predicts in it until keep() or undo()."""
        session = self.session = lock_idle(self.actor, self.session_id)
        if not session.test:
            self.spec = self._profile(session)
        if len(session.shown) > session.max_trajectory_length or size({"log": session.log}) > LARGEST_LOG:
            _begin_anew(session)
        now = timezone.now()
        session.busy, session.busy_until, session.expires_at = self.token, now + BUSY, now + IDLE
        session.save(update_fields=["busy", "busy_until", "expires_at"])
        rows = session.pictures.filter(sha256__in=[sha for sha, *_ in session.shown])
        self.pictures = {picture.sha256: bytes(picture.png) for picture in rows}
        images = [(width, height) for _, width, height in session.shown]
        return price(
            "session_predict",
            images=[*images, self.shot.size],
            trajectory=len(images),
            engine=session.cua_version,
            system_prompt=session.system_prompt,
        )

    def _profile(self, session: Session) -> Spec:
        """A log is in the form of one wire: when its profile is gone or has another form, a new log begins. Raises Refusal."""
        spec = self._latest_or_default(session)
        if (session.profile, session.form) != (spec.name, spec.form):
            session.profile, session.form = spec.name, spec.form
            _begin_anew(session)
        return spec

    def _latest_or_default(self, session: Session) -> Spec:
        try:
            if session.profile is not None:
                return spec_of(session.profile)
        except ModelMisconfigured:
            pass
        return model_for(self.actor)

    async def ask(self, calls: list[CallRecord]) -> Reply:
        session, screen = self.session, (self.session.screen_width, self.session.screen_height)
        if self.spec is None:
            prediction = fixed_answers.prediction(
                self.shot.sha256, self.body.instruction, screen, steps=session.step_count, tools=session.tools
            )
            self.outcome, self.sent = Outcome(prediction), self.shot.sha256
        else:
            question = await asyncio.to_thread(self._question, self.spec)
            self.outcome = await predict(question, screen, MAX_ACTIONS, calls)
            prediction = self.outcome.prediction
        body = {
            "session_id": session.id,
            "step": session.step_count + 1,
            "status": prediction.status,
            "reasoning": prediction.reasoning if self.body.include_reasoning else None,
            **(with_code(prediction.actions) if self.body.include_raw_code else {"actions": prediction.actions}),
        }
        return Reply(body, prediction.input_tokens, prediction.output_tokens)

    def _question(self, spec: Spec) -> Question:
        session, wire = self.session, wire_for(spec)
        self.sent, view = send_picture(wire, self.shot, self.pictures)
        log: list[Json] = list(session.log)
        if log and session.pending:
            log += wire.results(answers_to(session.pending), self.sent)
            log += wire.note(self.body.instruction)
        elif log:
            log += wire.note(self.body.instruction, self.sent)
        else:
            screen = session.screen_width, session.screen_height
            past = [
                step_words(
                    step["step"], [(n, as_seen(p, screen, view, wire)) for n, p in step["actions"]], step["reasoning"]
                )
                for step in session.history
            ]
            words = "\n\n".join([f"The task: {self.body.instruction}", *past, "The screen now:"])
            log = wire.opening(words, self.sent)
        system = system_of(PREDICT, session.system_prompt, session.instructions)
        return Question(
            spec,
            wire,
            "session",
            system,
            log,
            self.shot,
            view,
            allowed(session.tools),
            (FINISH,),
            self.pictures,
            key=session.id,
        )

    def keep(self, reply: Reply, price: Price) -> None:
        """Raises SessionNotFound when it was deleted meanwhile."""
        outcome = self.outcome
        assert outcome is not None
        session = Session.objects.select_for_update().filter(id=self.session_id, busy=self.token).first()
        if session is None:
            raise SessionNotFound
        now, before = timezone.now(), self.session
        session.step_count, session.total_credits_used = (
            session.step_count + 1,
            session.total_credits_used + price.cents,
        )
        session.busy, session.busy_until, session.expires_at = None, None, now + IDLE
        session.profile, session.form = before.profile, before.form
        prediction = outcome.prediction
        step = {
            "step": session.step_count,
            "reasoning": prediction.reasoning[:2000],
            "actions": [(action["action_type"], action["params"]) for action in prediction.actions],
        }
        session.history = [*session.history, step][-REMEMBERED:]
        _remember(session, before, outcome, (self.sent, *self.shot.size))
        if outcome.log:
            self._keep_pictures(session, outcome.log)
        session.save()

    def _keep_pictures(self, session: Session, log: list[Json]) -> None:
        """Those that the log names now, and no others."""
        named = set(_named(log))
        session.pictures.exclude(sha256__in=named).delete()
        SessionPicture.objects.bulk_create(
            [SessionPicture(session=session, sha256=sha, png=self.pictures[sha]) for sha in sorted(named)],
            ignore_conflicts=True,
        )

    def undo(self) -> None:
        Session.objects.filter(id=self.session_id, busy=self.token).update(busy=None, busy_until=None)


def _begin_anew(session: Session) -> None:
    session.log, session.pending, session.shown = [], [], []


def _remember(session: Session, before: Session, outcome: Outcome, picture: tuple[str, int, int]) -> None:
    """`before`: as the call began with it. Without a log (the model refused) the next one begins anew."""
    session.log, session.pending = outcome.log, outcome.pending
    session.shown = [*before.shown, picture] if outcome.log or session.test else []


def _named(value: Any) -> list[str]:
    """The pictures that a log names."""
    if isinstance(value, dict):
        if isinstance(value.get("$img"), str):
            return [value["$img"]]
        value = list(value.values())
    return [sha for item in value for sha in _named(item)] if isinstance(value, list) else []
