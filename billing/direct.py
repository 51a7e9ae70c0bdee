"""What direct calls cost: the price is held before, captured when the call succeeded, and given back when it did not.

Test keys bill nothing: callers look at the actor first.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from accounts.actor import Actor
from billing import access
from billing.errors import BudgetExceeded, BudgetReached, HoldEnded, InsufficientCredits, WalletEmpty
from billing.models import CallInHand, Transaction
from billing.services import capture, release_hold, take_hold
from database.ids import new_id
from database.timers import each_due
from web.errors import RateLimited

MOST_IN_HAND = 100
RETRY_SECONDS = 5
LAPSE = timedelta(minutes=6)  # longer than any call may take (inference/billed_calls.py)
HIGH_DEFINITION = (1280, 720)  # pixels that are not yet high definition
LONG_PROMPT = 500  # characters of a system prompt that are free
WORDS = {
    "predict": "Prediction",
    "sessions": "New session",
    "session_predict": "Prediction in a session",
    "ground": "Grounding",
}


@dataclass(frozen=True)
class Price:
    """Of one direct call; `parts` are cents by their name: base and surcharges."""

    endpoint: str
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def cents(self) -> int:
        return sum(self.parts.values())


def price(
    endpoint: str,
    *,
    images: list[tuple[int, int]],
    trajectory: int = 0,
    engine: str = "",
    system_prompt: str | None = None,
) -> Price:
    """docs/api/billing.md section 1. `images`: width and height of every picture of the call, those of the trajectory too;
    `trajectory`: how many of them those are."""
    extra = settings.PRICE_EXTRA_CENTS
    width, height = HIGH_DEFINITION
    parts = {
        "base": settings.PRICE_CALL_CENTS[endpoint],
        "trajectory_images": trajectory * extra["trajectory_images"],
        "high_definition": sum(w > width or h > height for w, h in images) * extra["high_definition"],
        "engine_v1": extra["engine_v1"] if engine == "v1" else 0,
        "system_prompt": extra["system_prompt"] if len(system_prompt or "") > LONG_PROMPT else 0,
    }
    return Price(endpoint, {name: cents for name, cents in parts.items() if cents or name == "base"})


def hold_call(actor: Actor, price: Price) -> str:
    """Hold the price of a direct call; the id of the hold. Raises RateLimited, InsufficientCredits or BudgetExceeded.

    Each call in hand keeps its pictures in memory, so of one caller there are about MOST_IN_HAND.
    """
    if CallInHand.objects.filter(caller=actor.caller).count() >= MOST_IN_HAND:
        raise RateLimited("Too many calls are being answered. Wait for one of them.", retry_after=RETRY_SECONDS)
    words = WORDS[price.endpoint]
    if surcharges := [name.replace("_", " ") for name in price.parts if name != "base"]:
        words += f" ({', '.join(surcharges)})"
    values = {
        "id": new_id("led"),
        "team": actor.team_id,
        "cents": price.cents,
        "run": None,
        "step": None,
        "key": actor.id if actor.kind == "api_key" else None,
        "workflow": None,
        "endpoint": price.endpoint,
        "description": words,
        "by": Jsonb(actor.ref()),
        "checked": False,
    }
    try:
        with transaction.atomic():
            hold = take_hold(values)
            CallInHand.objects.create(hold_id=hold, caller=actor.caller, lapses_at=timezone.now() + LAPSE)
    except BudgetReached as reached:
        raise BudgetExceeded(scope=reached.scope, limit_cents=reached.limit, spent_cents=reached.used) from reached
    except WalletEmpty as empty:
        raise InsufficientCredits(required=price.cents, balance=access.available(actor.team_id)) from empty
    return hold


def capture_call(hold_id: str) -> None:
    """The call succeeded. In the transaction of what it left. Raises HoldEnded when its time was over."""
    if not CallInHand.objects.filter(hold_id=hold_id).delete()[0]:
        raise HoldEnded
    capture(hold_id)


def release_call(hold_id: str) -> int:
    """The call failed, was cancelled, or lapsed: cents given back, 0 when that was done before."""
    with transaction.atomic():
        if not CallInHand.objects.filter(hold_id=hold_id).delete()[0]:
            return 0
        return release_hold(Transaction.objects.get(id=hold_id))


def release_lapsed() -> int:
    """Give back what is held for calls whose process died; the cents."""
    due = CallInHand.objects.filter(lapses_at__lte=timezone.now()).values_list("hold_id", flat=True)
    return each_due(release_call, list(due))
