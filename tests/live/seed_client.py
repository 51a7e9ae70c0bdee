"""A Python port of the client program: its stream library's reading of bytes, and what the program does with a message.

As the library does, `id` is stored when its line is read, a cut connection is opened again with the stored id, and a
message is handed over at its blank line. Connections can be cut after so many bytes.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

GOAL = "Draft and send the weekly team update email."
ENDS = frozenset({"run.worker.succeeded", "run.worker.failed", "run.cancelled"})


@dataclass
class SeedClient:
    """`answer`: whether its user says yes. `cut`: the bytes after which each connection breaks; 0 = never."""

    base: str
    key: str
    answer: bool
    cut: int = 0
    last_id: str = ""
    types: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "idempotency-key": str(uuid.uuid4())}

    def start(self) -> str:
        body = {"input": {"goal": GOAL}}
        answer = httpx.post(f"{self.base}/v1/runs", json=body, headers=self.headers(), timeout=20)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def follow(self, run_id: str, seconds: float = 40) -> str:
        """Until an event that ends the program; its type."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self._connection(run_id):
                if message.get("event") == "run_event" and message.get("data"):
                    kind = self._take(run_id, json.loads(message["data"]))
                    if kind in ENDS:
                        return kind
        raise AssertionError(f"The program did not end: {self.types}")

    def _take(self, run_id: str, event: dict[str, Any]) -> str:
        kind = str(event["type"])
        self.types.append(kind)
        self.seqs.append(event["seq"])
        if kind == "run.awaiting_input":  # whatever its kind is; the answer's status is ignored
            action = "approve" if self.answer else "reject"
            path = f"{self.base}/v1/runs/{run_id}/signal"
            httpx.post(path, json={"action": action}, headers=self.headers(), timeout=20)
        return kind

    def _connection(self, run_id: str) -> Iterator[dict[str, str]]:
        headers = self.headers() | ({"last-event-id": self.last_id} if self.last_id else {})
        url = f"{self.base}/v1/runs/{run_id}/events/stream"
        read, line, message = 0, b"", {}
        with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
            assert answer.status_code in (200, 204), answer.status_code
            for byte in (bytes([b]) for chunk in answer.iter_raw() for b in chunk):
                read += 1
                if byte == b"\n":
                    name, _, value = line.decode().partition(":")
                    if line and name:
                        message[name] = value.removeprefix(" ")
                    if name == "id":
                        self.last_id = message["id"]
                    if not line:
                        yield message
                        message = {}
                    line = b""
                else:
                    line += byte
                if self.cut and read >= self.cut:
                    return
