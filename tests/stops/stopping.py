"""Stopping and lifting inside a test."""

from datetime import timedelta
from typing import Any

from django.db.models import F

from approvals.models import Approval
from machines.models import Stop, TakeoverLease
from runs.models import Run
from tests.cast import Api

Shown = dict[str, Any]


def stop(api: Api, scope: str = "team", target_id: str | None = None, reason: str = "It mails everybody.") -> Shown:
    answer = api.post("/stop", {"scope": scope, "reason": reason, **({"id": target_id} if target_id else {})})
    assert answer.status_code == 200, answer.content
    return answer.json()


def lift(api: Api, stopped: Shown) -> Shown:
    answer = api.post(f"/stop/{stopped['id']}/lift")
    assert answer.status_code == 200, answer.content
    return answer.json()


def stand_for(seconds: float) -> None:
    """Let the stops that stand have stood for so long: what they hold stands still since then, all other moments stay."""
    past = timedelta(seconds=seconds)
    Stop.objects.filter(lifted_at__isnull=True).update(requested_at=F("requested_at") - past)
    for model in (Run, Approval, TakeoverLease):
        model.objects.filter(stopped_at__isnull=False).update(stopped_at=F("stopped_at") - past)  # type: ignore[attr-defined]
