"""The log as readers see it: rows, blocks of the plain stream, envelopes (docs/api/events-and-webhooks.md 2, 4, 5)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from web.event_streams import block, one_line
from web.times import rfc3339

TAKEN_OUT = frozenset({"input", "task", "metadata", "attachment_refs", "sensitivity_tags"})
SECRET_MARK = "[redacted]"  # noqa: S105  what the writer leaves where a secret stood
LIMIT_CODES = frozenset({"MAX_STEPS_REACHED", "GUARD_EXCEEDED", "WALLET_EXHAUSTED", "PLAN_REVISION_LIMIT"})
REQUEST_KEYS = ("request_id", "approval_id", "reason_code", "input_kind", "kind", "reason", "expires_at", "step_id")
ENDS = {
    "succeeded": "run.worker.succeeded",
    "failed": "run.worker.failed",
    "cancelled": "run.cancelled",
    "timed_out": "run.timed_out",
}


def plain_block(seq: int, event: str, value: Any) -> bytes:
    return f"id: {seq}\nevent: {event}\ndata: {one_line(value)}\n\n".encode()


@dataclass(frozen=True)
class Row:
    """One event of a run's log. Shared by all streams that follow the run, so its block is made once."""

    seq: int
    type: str
    created_at: datetime
    data: dict[str, Any]

    @cached_property
    def block(self) -> bytes:
        return plain_block(self.seq, self.type, self.data)

    @property
    def item(self) -> dict[str, Any]:
        return {"seq": self.seq, "type": self.type, "created_at": rfc3339(self.created_at), "data": self.data}


class Form(Protocol):
    """How rows are shown. Fed with every row in order; None: this row is not shown."""

    def item(self, row: Row) -> dict[str, Any] | None: ...

    def block(self, row: Row) -> bytes | None: ...


class Plain:
    def item(self, row: Row) -> dict[str, Any]:
        return row.item

    def block(self, row: Row) -> bytes:
        return row.block


class Enveloper:
    """Makes envelopes of a run's rows; what they say of the past (from_status, content) is folded over the log."""

    def __init__(self, run_id: str, kind: str, past: Iterable[Row] = ()) -> None:
        """`past`: rows before the first one shown; those of type status and texts since the last step are enough."""
        self.run_id = run_id
        self.kind = kind
        self.status: str | None = None
        self.before: str | None = None  # the status before this one
        self.started = False
        self.texts: list[str] = []
        for row in past:
            self._fold(row)

    def item(self, row: Row) -> dict[str, Any] | None:
        envelope = self._envelope(row)
        self._fold(row)
        if envelope is None:
            return None
        name, raw = envelope
        value = without_taken_out(raw)
        redacted = name == "run.created" or value != raw or SECRET_MARK in one_line(value)
        return {
            "seq": row.seq,
            "type": name,
            "timestamp": rfc3339(row.created_at),
            "payload": {"redacted": redacted, "value": value},
        }

    def block(self, row: Row) -> bytes | None:
        item = self.item(row)
        return None if item is None else block(item["seq"], "run_event", item)

    def _fold(self, row: Row) -> None:
        if row.type == "status":
            self.before, self.status = self.status, row.data["status"]
            self.started = self.started or self.status == "running"
        elif row.type == "text":
            self.texts.append(row.data["text"])
        elif row.type == "step":
            self.texts = []

    def _envelope(self, row: Row) -> tuple[str, dict[str, Any]] | None:
        data = row.data
        envelope: tuple[str, dict[str, Any]] | None = None
        match row.type:
            case "status":
                envelope = self._of_status(data["status"])
            case "awaiting_human":
                envelope = "run.awaiting_input", {key: data.get(key) for key in REQUEST_KEYS}
            case "resumed":
                envelope = "run.resumed", data
            case "step":
                envelope = "run.step.completed", data | {"content": "\n".join(self.texts) or None}
            case "error" if data["code"] in LIMIT_CODES:
                envelope = "run.limit_exceeded", data
            case "done":
                envelope = ENDS[data["status"]], self._of_end(data)
            case "resync":
                envelope = "run.resync", data
        return envelope

    def _of_status(self, status: str) -> tuple[str, dict[str, Any]] | None:
        if self.status is None and status == "queued":
            return "run.created", {"run_id": self.run_id, "kind": self.kind, "status": status}
        if status == "running" and not self.started:
            return "run.worker.started", {"from_status": self.status, "to_status": status}
        return None

    def _of_end(self, data: dict[str, Any]) -> dict[str, Any]:
        """`status {terminal}` comes right before `done`: the run left the status before that one."""
        status, error = data["status"], data.get("error")
        value: dict[str, Any] = {"from_status": self.before, "to_status": status}
        if status in {"succeeded", "failed"}:
            value |= {"result": data.get("result"), "output": data.get("output")}
        if status != "succeeded":
            reason = error["reason_code"] if error else "cancelled_by_request" if status == "cancelled" else None
            value |= {"reason_code": reason, "error": error}
        return value


def without_taken_out(value: Any) -> Any:
    """A copy without the keys that no envelope carries, at any depth: the run of a resync and outputs have depth."""
    if isinstance(value, dict):
        return {key: without_taken_out(inner) for key, inner in value.items() if key not in TAKEN_OUT}
    if isinstance(value, list):
        return [without_taken_out(inner) for inner in value]
    return value
