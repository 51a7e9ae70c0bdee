"""A server in this process that answers as docs/api/approvals.md section 13 says, and misbehaves when it is told to.

The helpers' rules about cuts, repetitions and bindings are tested here; that the real server answers so, in test_real_server.py.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from config.own_processes import wait_until

KEY = "cs_test_stub"
Person = Callable[["Stub", dict[str, Any]], None]


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stub:
    """`misdeeds`: what the next calls get instead of an answer: a status, "cut", "half" or (status, code).

    `person`: what a person does with each new request, at once. `regret`: what they do about a decision that can still be taken
    back, just before somebody looks at it without waiting.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, Any, Mapping[str, str]]] = []
        self.misdeeds: list[Any] = []
        self.replays: dict[str, str] = {}
        self.person: Person = lambda stub, row: None
        self.regret: Person = lambda stub, row: None
        self.impatient = False
        self.changed = threading.Condition()
        self.url = ""

    def open(self, body: dict[str, Any], once: str | None) -> tuple[int, dict[str, Any]]:
        with self.changed:
            if once in self.replays:
                return 201, self.rows[self.replays[once]]
            key = body.get("external_id")
            for row in self.rows.values():
                if key is not None and row["external_id"] == key and row["status"] != "void":
                    return 200, row
            row = self._row(body)
            self.rows[row["id"]] = row
            if once:
                self.replays[once] = row["id"]
            created = dict(row)
        self.person(self, row)
        return 201, created

    def _row(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "external_id": None, "action": None, "questions": [], **body, "id": f"apr_{len(self.rows) + 1}",
            "status": "pending", "action_hash": f"hash of {json.dumps(body.get('action'), sort_keys=True)}",
            "edited_action": None, "decision": None, "resolved_at": None, "undo_until": None, "results": [],
            "created_at": stamp(datetime.now(UTC)), "subject": {"type": "external"},
        }  # fmt: skip

    def decide(
        self, approval_id: str, status: str, note: str = "", *, undo: float = 0, answers: Any = None, **more: Any
    ) -> None:
        """What a person decides; `more` changes the request itself."""
        now = datetime.now(UTC)
        decision = {
            "id": f"dec_{time.monotonic_ns()}", "note": note, "actor": {"name": "Ana"}, "answers": answers,
        }  # fmt: skip
        with self.changed:
            action = self.rows[approval_id]["action"]
            decision |= {"action_before": action, "action_after": more.get("edited_action") or action}
            self.rows[approval_id] |= {
                "status": status, "decision": decision, "resolved_at": stamp(now),
                "undo_until": stamp(now + timedelta(seconds=undo)) if undo else None, **more,
            }  # fmt: skip
            self.changed.notify_all()

    def reopen(self, approval_id: str) -> None:
        with self.changed:
            self.rows[approval_id] |= {"status": "pending", "decision": None, "resolved_at": None, "undo_until": None}

    def reject_instead(self, approval_id: str) -> None:
        self.reopen(approval_id)
        self.decide(approval_id, "rejected", "On second thoughts, no.")

    def read(self, approval_id: str, wait: int) -> dict[str, Any]:
        if not wait and self.rows[approval_id]["undo_until"]:
            self.regret(self, self.rows[approval_id])
        with self.changed:
            if not self.impatient:
                self.changed.wait_for(lambda: self.rows[approval_id]["status"] != "pending", wait)
            return dict(self.rows[approval_id])

    def count(self, method: str, part: str = "") -> int:
        return sum(call[0] == method and part in call[1] for call in self.calls)

    def waits(self, number: int = 1) -> None:
        """Until so many waits were begun."""
        assert wait_until(lambda: self.count("GET", "wait=") >= number, 90)  # frameworks take their time to start


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, stub: Stub, *args: Any) -> None:
        self.stub = stub
        super().__init__(*args)

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any, length: int = 0, **headers: str) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(length or len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def do_GET(self) -> None:
        self.take("GET")

    def do_POST(self) -> None:
        self.take("POST")

    def do_PUT(self) -> None:
        self.take("PUT")

    def take(self, method: str) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(sent) if sent else None
        self.stub.calls.append((method, self.path, body, dict(self.headers)))
        if self.headers["X-API-Key"] != KEY:
            return self.refuse(401, "INVALID_API_KEY")
        misdeed = self.stub.misdeeds.pop(0) if self.stub.misdeeds else None
        if misdeed == "cut after":  # the effect is there, its answer is not
            self.stub.open(body, self.headers["Idempotency-Key"])
        if misdeed in {"cut", "cut after"}:
            self.close_connection = True
            return None
        if misdeed == "half":
            self.close_connection = True
            return self.answer(200, {"id": "apr_"}, length=4000)
        if misdeed == "redirect":
            return self.answer(307, {}, Location=f"http://127.0.0.1:9{self.path}")
        if misdeed is not None:
            return self.refuse(*(misdeed if isinstance(misdeed, tuple) else (misdeed, "TROUBLE")))
        return self.serve(method, body)

    def refuse(self, status: int, code: str) -> None:
        error = {"code": code, "message": f"{code} happened.", "details": []}
        self.answer(status, {"error": error}, **({"Retry_After": "0"} if status == 429 else {}))

    def serve(self, method: str, body: Any) -> None:
        parts = urlsplit(self.path)
        _, _, noun, *rest = parts.path.split("/")
        if noun != "approvals":
            return self.answer(
                200, {"id": "run_1", "task": "x", "status": "queued", "data": [{"id": "run_1"}], **(body or {})}
            )
        if not rest:
            if method == "POST":
                return self.answer(*self.stub.open(body, self.headers["Idempotency-Key"]))
            return self.answer(200, {"data": [r for r in self.stub.rows.values() if r["status"] == "pending"]})
        if rest[0] not in self.stub.rows:
            return self.refuse(404, "APPROVAL_NOT_FOUND")
        if rest[1:] == ["cancel"]:
            self.stub.decide(rest[0], "cancelled", body.get("reason") or "")
        if rest[1:] == ["result"]:
            self.stub.rows[rest[0]]["results"].append(body)
        return self.answer(200, self.stub.read(rest[0], int(parse_qs(parts.query).get("wait", ["0"])[0])))


@contextmanager
def serving() -> Iterator[Stub]:
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, stub))  # type: ignore[arg-type]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()
