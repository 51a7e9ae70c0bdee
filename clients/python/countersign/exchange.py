"""One call to the server with all its repetitions, without a socket: a plan yields what is to be done next.

A plan is a generator. It yields a Call, and is sent its Answer or thrown the OSError that came instead; or it yields a Pause.
transport.py carries plans out, with a thread or on an event loop, so that no rule of this package stands twice.
"""

import http.client
import json
import logging
import random
import ssl
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from countersign.errors import Refused, Unreachable

CUTS = (OSError, http.client.HTTPException)  # an empty or half an answer included
MOST_PAUSE = 15.0  # seconds
LOG = logging.getLogger("countersign")
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """`seconds`: how long its answer may take."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 30.0


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Plan = Generator[Call | Pause, Answer | None, T]


def exchange(call: Call, patience: float) -> Plan[dict[str, Any]]:
    """The body of the answer. A cut, 429 and 5xx are tried again for `patience` seconds: what is sent here may be sent twice.

    Raises Refused, Unreachable.
    """
    end = time.monotonic() + patience
    attempt = 0
    while True:
        attempt += 1
        try:
            answer = yield call
            assert answer is not None
            trouble, asked_pause = _trouble(answer)
            if not trouble:
                return _body(answer)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"The certificate of the server is not accepted: {error.verify_message}.") from error
        except CUTS as error:
            trouble, asked_pause = str(error) or type(error).__name__, None
        pause = backoff(attempt) if asked_pause is None else asked_pause + random.uniform(0, 1)
        if time.monotonic() + pause > end:
            raise Unreachable(f"No answer from the server: {trouble}.")
        if attempt == 2:  # one cut is nothing to speak of
            LOG.warning(
                "No answer from the server yet (%s). It is asked again for %.0f s.",
                ascii(trouble),
                end - time.monotonic(),
            )
        yield Pause(pause)


def backoff(attempt: int) -> float:
    """Seconds before the next attempt, with jitter: many programs that were cut at once do not come back at once."""
    return min(MOST_PAUSE, 0.5 * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1)


def _trouble(answer: Answer) -> tuple[str, float | None]:
    """Why to ask again, "" where there is no reason to, and how long the server wants us to wait before."""
    status = answer.status
    if status < 300:
        return "", None
    error = _error(answer)
    code = str(error.get("code") or "HTTP_ERROR")
    if status != 429 and status < 500 and code != "IDEMPOTENCY_IN_FLIGHT":
        raise Refused(status, code, str(error.get("message") or f"Answer {status}"), error)
    after = answer.headers.get("retry-after", "")
    return f"{status} {code}", min(float(after), 60.0) if after.isdecimal() else None


def _error(answer: Answer) -> dict[str, Any]:
    """The error of the envelope; {} for what a proxy answers in its own words."""
    try:
        error = json.loads(answer.body)["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _body(answer: Answer) -> dict[str, Any]:
    if not answer.body:
        if answer.status == 204:
            return {}
        raise http.client.IncompleteRead(b"")
    try:
        body = json.loads(answer.body)
    except ValueError:
        raise http.client.IncompleteRead(answer.body[:80]) from None
    if not isinstance(body, dict):
        raise Refused(answer.status, "UNEXPECTED_ANSWER", "This is no answer of Countersign", {})
    return body
