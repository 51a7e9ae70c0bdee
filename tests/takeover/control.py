"""Taking control inside a test: at a chosen moment of a step, and with time that passes by changing rows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import F

from machines.models import TakeoverLease
from machines.takeover.services import lapses
from runs.driving import leases
from tests.cast import Api
from tests.runs.driving import Inline, Once, go


class Meddling(Inline):
    """A host at which somebody does something right before the n-th piece of database work of that name."""

    def __init__(self, before: str, what: Callable[[], Any], nth: int = 1) -> None:
        self.before, self.what, self.left = before, what, nth

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ == self.before:
            self.left -= 1
            if self.left == 0:
                await super().db(self.what)
        return await super().db(work, *args)


def drive_with(before: str, what: Callable[[], Any], nth: int = 1) -> str:
    """Drive the next run as far as it goes, with `what` happening right before the n-th `before`. Returns its id."""
    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    host = Meddling(before, what, nth)
    go(Once(host, run_id, epoch))
    assert host.left <= 0, f"The worker never came to {before}."
    leases.let_go(run_id, Inline.name, epoch)
    return run_id


def take(api: Api, machine: str, **fields: Any) -> dict[str, Any]:
    """A lease of this caller."""
    answer = api.post(f"/machines/{machine}/takeover", fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def release(api: Api, lease: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = api.post(f"/machines/{lease['machine_id']}/takeover/release", {"lease_id": lease["id"], **fields})
    assert answer.status_code == 200, answer.content
    return answer.json()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def pass_time(lease: dict[str, Any], *, silent: float = 0, idle: float = 0) -> None:
    """So many seconds without a heartbeat, or without input."""
    TakeoverLease.objects.filter(id=lease["id"]).update(
        expires_at=F("expires_at") - timedelta(seconds=silent),
        idle_expires_at=F("idle_expires_at") - timedelta(seconds=idle),
    )


def lapse(lease: dict[str, Any]) -> None:
    """30 s without heartbeat; then the clock comes by."""
    pass_time(lease, silent=30)
    assert lapses() == 1
