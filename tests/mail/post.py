"""The post of a test: carrying what is due in the test's own thread, letting time pass, mail servers on loopback."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from django.core import mail
from django.db.models import F

from approvals.mail import sender
from approvals.models import Approval, Notice


def carry() -> list[Any]:
    """One round of the sender; the letters that went out, in order."""
    before = len(mail.outbox)
    sender.send_due()
    return mail.outbox[before:]


def later(seconds: float = 61) -> None:
    """Time passes for the outbox."""
    past = timedelta(seconds=seconds)
    names = ("next_attempt_at", "begun_at", "queued_until")
    Notice.objects.update(**{name: F(name) - past for name in names})


def told(approval: Approval, occasion: str = "") -> list[str]:
    """The first names of who is told on occasions that begin so."""
    rows = Notice.objects.filter(approval=approval, occasion__startswith=occasion)
    return sorted(row.user.email.split("@")[0] for row in rows.select_related("user"))


def to(letters: list[Any]) -> list[str]:
    return sorted(letter.to[0].split("@")[0] for letter in letters)


def link_in(letter: Any) -> str:
    """The path of the one link that leads to the request."""
    (address,) = {word for word in letter.body.split() if "/d/" in word}
    return str(address).partition("//")[2].partition("/")[1] + str(address).partition("//")[2].partition("/")[2]


# --- mail servers


@dataclass
class Server:
    """What came in. `refuse` is what RCPT is answered with, if not 250."""

    port: int = 0
    refuse: bytes = b""
    got: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Server]:
    """As much SMTP as a client needs."""
    state = Server()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say(b"220 ready")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"QUIT":
                    return self.say(b"221 bye")
                if word == b"RCPT" and state.refuse:
                    self.say(state.refuse)
                elif word == b"DATA":
                    self.say(b"354 go on")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    state.got.append(message_from_bytes(text, policy=default))  # type: ignore[arg-type]
                    self.say(b"250 taken")
                else:
                    self.say(b"250 ok")
            return None

        def say(self, line: bytes) -> None:
            self.wfile.write(line + b"\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def use_server(settings: Any, port: int, timeout: float = 5) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, timeout
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = None
