"""Answers that are about the API itself."""

from typing import Any

from typing_extensions import TypedDict

from web.times import Timestamp


class HealthObject(TypedDict):
    status: str


class IdempotencyRecordObject(TypedDict):
    key: str
    method: str
    path: str
    status: str
    original_status: int | None
    request_id: str
    result: dict[str, Any] | None
    expires_at: Timestamp
