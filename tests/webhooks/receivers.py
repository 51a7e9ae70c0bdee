"""Receivers of webhooks: a real HTTP server on loopback, the sender's round, and how a receiver verifies."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db.models import F
from django.utils import timezone

from accounts.models import WebhookDelivery
from accounts.webhooks import outbox
from accounts.webhooks.sending import send


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]  # names in lower case
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    @property
    def event(self) -> str:
        return str(self.body["event"])


@dataclass
class Receiver:
    """What came in. `answers` are the status codes to come, the last one for ever; `headers` go with each."""

    got: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def events(self) -> list[str]:
        return [each.event for each in self.got]

    def about(self, run_id: str) -> list[str]:
        return sorted(each.event for each in self.got if each.body["run_id"] == run_id)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
            status = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name is the base class's

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent(answer: bytes | None = None) -> Iterator[str]:
    """The address of somebody who takes connections and says nothing, or `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    caller = server.accept()[0]
                    kept.append(caller)
                    if answer is not None:
                        caller.recv(65_536)
                        caller.sendall(answer)
                        caller.shutdown(socket.SHUT_WR)
                        while caller.recv(65_536):  # closing over what was not read would reset the connection
                            pass
                        caller.close()
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        server.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/hook"


# --- the sender's round


def attempt(delivery_id: str, attempts: int) -> None:
    """One attempt as a worker makes it, in the test's own thread and transaction."""
    attempt = outbox.claim(delivery_id, attempts)
    if attempt is not None:
        outbox.settle(attempt, asyncio.run(send(attempt)))


def deliver_due() -> int:
    """Every attempt whose time has come, oldest first; returns how many there were."""
    due = WebhookDelivery.objects.filter(status="pending", next_attempt_at__lte=timezone.now())
    rows = list(due.order_by("created_at", "id").values_list("id", "attempts"))
    for delivery_id, attempts in rows:
        attempt(delivery_id, attempts)
    return len(rows)


def deliver_all() -> None:
    """Until nothing is pending, as if the pauses between attempts had passed."""
    while WebhookDelivery.objects.filter(status="pending").exists():
        deliver_due()
        later()


def later() -> None:
    """The next attempts are due."""
    WebhookDelivery.objects.filter(status="pending").update(
        next_attempt_at=F("next_attempt_at") - outbox.QUEUED * 120, queued_until=None
    )


# --- what a receiver does


def verify(got: Received, secret: str, header: str = "countersign-signature") -> None:
    """As docs/webhooks.md tells receivers to."""
    t, v1 = got.headers[header].removeprefix("t=").split(",v1=")
    assert got.headers["webhook-timestamp"] == t
    assert abs(timezone.now().timestamp() - int(t)) < 300
    expected = hmac.new(secret.encode(), f"{t}.".encode() + got.raw, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, v1)


def verify_standard(got: Received, *secrets: str) -> None:
    """As the Standard Webhooks libraries do; one signature for each secret, the newest first."""
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.raw
    keys = [base64.b64decode(s.removeprefix("whsec_")) for s in secrets]
    expected = [f"v1,{base64.b64encode(hmac.new(k, signed, hashlib.sha256).digest()).decode()}" for k in keys]
    assert got.headers["webhook-signature"].split(" ") == expected
