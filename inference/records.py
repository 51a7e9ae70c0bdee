"""One call of a model as it is written down: what it took, never what was said."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Status = Literal["ok", "busy", "refused", "failed", "abandoned"]
Purpose = Literal["act", "plan", "summary", "verify", "predict", "session", "ground", "test"]


@dataclass(frozen=True)
class Usage:
    """Tokens; None where the vendor does not say. `input` is all input: `cached` and `cache_written` are parts of it;
    `reasoning` is a part of `output`."""

    input: int | None = None
    cached: int | None = None
    cache_written: int | None = None
    output: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True)
class CallRecord:
    """`profile` is the profile's name; `request_hash` the SHA-256 (hex) of the request's JSON; `cost_microcents` by the
    profile's prices, None where it cannot be known."""

    profile: str
    wire: str
    model: str
    purpose: Purpose
    status: Status
    started_at: datetime
    ended_at: datetime
    first_byte_at: datetime | None = None
    request_id: str | None = None
    request_hash: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_microcents: int | None = None
    why: str | None = None  # in words, when it is not ok
