"""Idempotency keys: one effect and one answer for each (caller, method, path, key), kept for 24 hours.

The record is inserted before the effect and completed after it, all in one transaction: a refusal rolls the record
back, so errors never bind a key; a crash leaves neither effect nor record. A second call with the same key waits at the
unique index until the first commits (then it replays) or rolls back (then it goes first).
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.actor import Actor
from accounts.errors import IdempotencyInFlight, IdempotencyKeyMismatch, IdempotencyKeyReused
from accounts.later import may_wait
from accounts.models import IdempotencyRecord
from accounts.schemas import IdempotencyRecordObject
from database.sealing import keyed_hash, seal, unseal
from database.sql import give_back_connection
from web.bodies import read_json
from web.errors import Invalid, NotFound
from web.times import rfc3339

KEPT = timedelta(hours=24)
LONGEST_EFFECT = timedelta(minutes=10)  # outside the database
LOOK_SECONDS = 0.1  # between two looks at a call that is still being answered
GLANCE_SECONDS = 0.1  # that a call waits in a thread that others need; its server then lets it wait elsewhere
_SHAPE = re.compile(r"[A-Za-z0-9_:-]{1,128}\Z")
_REPLAYED_HEADERS = ("X-Credits-Charged", "X-Credits-Remaining", "Cache-Control")


def answer(body: Any, status: int = 200) -> HttpResponse:
    """A JSON answer in the compact form every answer has."""
    text = json.dumps(body, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    return HttpResponse(text, status=status, content_type="application/json")


def key_of(request: HttpRequest) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _SHAPE.match(key):
        message = "Must be 1 to 128 characters of A-Z a-z 0-9 _ - :"
        raise Invalid((("header", "Idempotency-Key"), message, "value_error"))
    return key


def once(
    request: HttpRequest,
    effect: Callable[[], Any],
    *,
    status: int = 200,
    body_key: str | None = None,
    content: dict[str, Any] | None = None,
) -> HttpResponse:
    """Answer with `effect()`'s JSON body; with an Idempotency-Key do it once and replay it afterwards.

    `effect` may return an HttpResponse to set status or headers. `body_key` is a key given inside the body (signal). `content`:
    what must be the same again, where the body need not be JSON.
    """
    key = key_of(request)
    if body_key is not None and key is not None and body_key != key:
        raise IdempotencyKeyMismatch
    key = key or body_key
    if key is None:
        return _response(effect(), status)
    if content is None:
        content = {k: v for k, v in read_json(request).items() if k != "idempotency_key" or body_key is None}
    return once_named(request, key, content, effect, status=status)


def once_named(
    request: HttpRequest, key: str, content: dict[str, Any], effect: Callable[[], Any], *, status: int = 200
) -> HttpResponse:
    """As once(), for a call that names its effect elsewhere than in that header; `content` is what must be the same again."""
    fingerprint = _fingerprint(content)
    with transaction.atomic():
        record, is_new = _claim(request, key, fingerprint, KEPT)
        if not is_new:
            return _replay(record, fingerprint)
        response = _response(effect(), status)
        _complete(record, response)
        return response


def once_outside(request: HttpRequest, effect: Callable[[], HttpResponse]) -> HttpResponse:
    """As once(), for an effect outside the database that may take minutes: meanwhile no transaction is open, so no row stays
    locked. If this process dies under it the key is taken for LONGEST_EFFECT: what became of the effect is not known.
    """
    turn = take_turn(request)
    if turn.replay is not None:
        return turn.replay
    try:
        response = effect()
    except BaseException:
        turn.give_up()
        raise
    turn.complete(response)
    return response


@dataclass(frozen=True)
class Turn:
    """A call's right to its effect. `replay`: the effect was had before, this is its answer."""

    record: IdempotencyRecord | None = None
    replay: HttpResponse | None = None

    def complete(self, response: HttpResponse) -> None:
        """There was an effect: from now on this is the answer. May stand in the transaction of the effect."""
        if self.record is not None:
            _complete(self.record, response)

    def give_up(self) -> None:
        """There was none: the key is free."""
        if self.record is not None:
            self.record.delete()


def take_turn(request: HttpRequest) -> Turn:
    """once_outside() in parts, for effects that wait in an event loop: who gets no replay must complete() or give_up()."""
    key = key_of(request)
    if key is None:
        return Turn()
    fingerprint = _fingerprint(read_json(request))
    record, is_new = _claim_in_turn(request, key, fingerprint)
    return Turn(record) if is_new else Turn(replay=_replay(record, fingerprint))


def _claim_in_turn(request: HttpRequest, key: str, fingerprint: str) -> tuple[IdempotencyRecord, bool]:
    """A committed record; waits for the end of another call that has it. Raises IdempotencyInFlight."""
    until = time.monotonic() + _patience(request)
    while True:
        with transaction.atomic():
            record, is_new = _claim(request, key, fingerprint, LONGEST_EFFECT)
        if is_new or record.status is not None:
            return record, is_new
        if time.monotonic() > until:
            raise IdempotencyInFlight
        give_back_connection()
        time.sleep(LOOK_SECONDS)


def _patience(request: HttpRequest) -> float:
    """Seconds that this call waits for another one with its key."""
    return float(settings.IDEMPOTENCY_WAIT_SECONDS) if may_wait(request) else GLANCE_SECONDS


def _fingerprint(body: dict[str, Any]) -> str:
    """Keyed: a body may hold a password, which a plain hash would let somebody with a dump of the database guess."""
    return keyed_hash(json.dumps(body, sort_keys=True))


def _complete(record: IdempotencyRecord, response: HttpResponse) -> None:
    record.status, record.expires_at = response.status_code, record.created_at + KEPT
    record.body = seal(response.content.decode())
    record.headers = {n: response[n] for n in _REPLAYED_HEADERS if n in response}
    record.save(update_fields=["status", "body", "headers", "expires_at"])


def _response(result: Any, status: int) -> HttpResponse:
    return result if isinstance(result, HttpResponse) else answer(result, status)


def _claim(request: HttpRequest, key: str, fingerprint: str, kept: timedelta) -> tuple[IdempotencyRecord, bool]:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    now = timezone.now()
    mine = {"caller": actor.caller, "method": request.method, "path": request.path_info, "key": key}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(_patience(request) * 1000)}ms"])
            IdempotencyRecord.objects.filter(**mine, expires_at__lte=now).delete()
            record, is_new = IdempotencyRecord.objects.get_or_create(
                **mine,
                defaults={
                    "team_id": actor.team_id,
                    "fingerprint": fingerprint,
                    "request_id": request.request_id,  # type: ignore[attr-defined]
                    "created_at": now,
                    "expires_at": now + kept,
                },
            )
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "55P03":  # lock_not_available
            raise IdempotencyInFlight from error
        raise
    return record, is_new


def _replay(record: IdempotencyRecord, fingerprint: str) -> HttpResponse:
    if record.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    if record.status is None or record.body is None:
        raise IdempotencyInFlight
    response = HttpResponse(unseal(record.body), status=record.status, content_type="application/json")
    for name, value in record.headers.items():
        response[name] = "0" if name == "X-Credits-Charged" else value
    response["Idempotency-Replayed"] = "true"
    return response


def newest_record(actor: Actor, key: str) -> IdempotencyRecordObject:
    """The caller's newest record of `key`, as GET /v1/idempotency/{key} shows it. Raises NotFound."""
    row = (
        IdempotencyRecord.objects.filter(caller=actor.caller, key=key, expires_at__gt=timezone.now())
        .order_by("-id")
        .first()
    )
    if row is None:
        raise NotFound
    return {
        "key": row.key,
        "method": row.method,
        "path": row.path,
        "status": "completed" if row.status else "processing",
        "original_status": row.status,
        "request_id": row.request_id,
        "result": json.loads(unseal(row.body)) if row.body else None,
        "expires_at": rfc3339(row.expires_at),
    }


def sweep() -> int:
    """Forget answers older than a day."""
    return IdempotencyRecord.objects.filter(expires_at__lte=timezone.now()).delete()[0]
