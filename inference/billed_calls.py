"""A call that bills directly, from its hold to its answer: whatever happens to it, the hold ends once.

Neither a thread nor a database connection nor a transaction is held while a model is asked.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

from django.db import transaction
from django.http import HttpResponse

from accounts.actor import Actor
from accounts.idempotency import Turn, answer, take_turn
from accounts.later import Db, later, to_the_end
from accounts.middleware import ApiRequest, refusal_response
from accounts.models import Team
from billing.access import TEST_BALANCE, available
from billing.direct import Price, capture_call, hold_call, release_call
from billing.errors import HoldEnded
from inference.calls.services import record_calls
from inference.errors import ModelAway, ModelBusy, ModelFault, ModelMisconfigured, ModelProblem, ModelSlow
from inference.records import CallRecord
from inference.specs import Spec, default_name, live_names, spec_of
from web.errors import InternalError, Refusal

log = logging.getLogger(__name__)
CALL_SECONDS = 300  # of one call, everything in it
RETRY_SECONDS = 30  # where nothing better is known
NO_MODEL = (
    "No model is set up here. An owner adds one on the page Models, or starts the product with ANTHROPIC_API_KEY, OPENAI_API_KEY,"
    " GEMINI_API_KEY or MODEL_BASE_URL. Test keys are answered without one."
)


@dataclass(frozen=True)
class Reply:
    """What a call answers, apart from `usage` and `request_id`."""

    body: dict[str, Any]
    input_tokens: int = 0
    output_tokens: int = 0


class BilledCall(Protocol):
    """One kind of call. `begin` and `keep` stand in the transactions that hold and capture its price."""

    actor: Actor

    def begin(self) -> Price:
        """Look whether it can be done now, and what it costs. Raises Refusal."""
        ...

    async def ask(self, calls: list[CallRecord]) -> Reply:
        """Do it; calls of models are added to `calls`. Raises Refusal and ModelProblem."""
        ...

    def keep(self, reply: Reply, price: Price) -> None:
        """It succeeded. Raises Refusal when what it was for is gone; then it failed. Most kinds keep nothing."""
        return

    def undo(self) -> None:
        """It did not."""
        return


def model_for(actor: Actor) -> Spec:
    """The profile that answers this team: the one it chose as its agent, else the installation's. Raises Refusal."""
    names = live_names()
    preferred = Team.objects.values_list("default_agent", flat=True).get(id=actor.team_id)
    name = preferred if preferred in names else default_name() or (names[0] if names else None)
    if name is None:
        raise ModelAway(NO_MODEL, reason_code="no_model", retry_after=RETRY_SECONDS)
    try:
        return spec_of(name)
    except ModelMisconfigured as problem:
        raise refusal_of(problem) from problem


def refusal_of(problem: ModelProblem) -> Refusal:
    words = f"{problem.why.rstrip('.')}. Nothing was charged."
    if isinstance(problem, ModelBusy):
        return ModelAway(words, reason_code="model_busy", retry_after=max(1, ceil(problem.retry_after)))
    return ModelFault(words, reason_code="model_error")


def answer_billed(request: ApiRequest, call: BilledCall) -> HttpResponse:
    """Hold, ask, capture or release, answer; once for each Idempotency-Key."""
    turn = take_turn(request)
    if turn.replay is not None:
        return turn.replay
    try:
        with transaction.atomic():
            price = call.begin()
            hold = None if call.actor.test else hold_call(call.actor, price)
    except BaseException:
        turn.give_up()
        raise
    return later(request, _Running(request, call, turn, price, hold).run)


@dataclass
class _Running:
    """A call that has begun. Its end is one transaction: settle() or fail()."""

    request: ApiRequest
    call: BilledCall
    turn: Turn
    price: Price
    hold: str | None
    calls: list[CallRecord] = field(default_factory=list)

    async def run(self, db: Db) -> HttpResponse:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                reply = await self.call.ask(self.calls)
        except asyncio.CancelledError:
            gone = ModelAway("The call was cancelled. Nothing was charged.", reason_code="cancelled", retry_after=1)
            return await to_the_end(db(self.fail, gone))
        except Exception as error:  # noqa: BLE001  whatever it is, the hold has to end
            return await to_the_end(db(self.fail, self._refusal(error)))
        return await to_the_end(db(self.settle, reply))

    def fail(self, refusal: Refusal) -> HttpResponse:
        with transaction.atomic():
            if self.hold is not None:
                release_call(self.hold)
            self.call.undo()
            self._record_calls()
            self.turn.give_up()
        return refusal_response(refusal, self.request)

    def settle(self, reply: Reply) -> HttpResponse:
        try:
            with transaction.atomic():
                self.call.keep(reply, self.price)
                self._record_calls()
                if self.hold is not None:
                    capture_call(self.hold)
                response = charged(self.request, self.call.actor, self.price, reply)
                self.turn.complete(response)
                return response
        except HoldEnded:
            return self.fail(ModelSlow(seconds=CALL_SECONDS, retry_after=RETRY_SECONDS))
        except Exception as error:  # noqa: BLE001  as above
            return self.fail(self._refusal(error))

    def _record_calls(self) -> None:
        record_calls(self.calls, team_id=self.call.actor.team_id, test=self.call.actor.test)

    def _refusal(self, error: Exception) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, ModelProblem):
            return refusal_of(error)
        if isinstance(error, TimeoutError):
            return ModelSlow(seconds=CALL_SECONDS, retry_after=RETRY_SECONDS)
        log.error("%s %s failed", self.request.method, self.request.path_info, exc_info=error)
        return InternalError(
            "Something went wrong on our side. Nothing was charged; quote the request id when you report it."
        )


def charged(request: ApiRequest, actor: Actor, price: Price, reply: Reply) -> HttpResponse:
    """The answer of a call that succeeded: nominal prices in the test world, where nothing is taken."""
    usage = {
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "credits_charged": price.cents,
        "cost_cents": price.cents,
        "breakdown": price.parts,
        "billed": not actor.test,
    }
    response = answer({**reply.body, "usage": usage, "request_id": request.request_id})
    response["X-Credits-Charged"] = "0" if actor.test else str(price.cents)
    response["X-Credits-Remaining"] = str(TEST_BALANCE if actor.test else available(actor.team_id))
    return response
