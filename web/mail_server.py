"""One attempt to hand a mail to the mail server, and in plain words what became of it."""

import contextlib
import os
import smtplib
import socket
import ssl
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

NO_SERVER = "no mail server is set up (EMAIL_URL); the worker wrote the mail into its log"


@dataclass(frozen=True)
class Outcome:
    """`problem` is None when the server took the mail. `final`: it never will; `down`: it takes no mail at all now."""

    problem: str | None
    final: bool = False
    down: bool = False


def has_server() -> bool:
    return not settings.EMAIL_BACKEND.endswith(".console.EmailBackend")


def attempt(message: EmailMessage) -> Outcome:
    """Never raises: a broken mail server never breaks anything else."""
    with contextlib.ExitStack() as done:
        try:
            message.connection = get_connection()
            done.callback(_close, message.connection)
            message.connection.open()
        except Exception as error:  # noqa: BLE001  a mail backend may raise whatever it likes
            return Outcome(_in_words(error), down=True)
        try:
            message.send()
        except Exception as error:  # noqa: BLE001
            return Outcome(_in_words(error), final=_is_final(error))
    return Outcome(None) if has_server() else Outcome(NO_SERVER, final=True)


def _close(server: BaseEmailBackend) -> None:
    """What the server says to the goodbye changes nothing: it has taken the mail, or not."""
    with contextlib.suppress(Exception):
        server.close()


def _is_final(error: Exception) -> bool:
    """The server does not know the address."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return False
    return all(500 <= code < 600 for code, _ in error.recipients.values())


def _in_words(error: Exception) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, text = next(iter(refused.values()))
            words = f"the mail server refuses the address: {code} {_said(text)}"
        case smtplib.SMTPAuthenticationError(smtp_code=code, smtp_error=text):
            words = f"the mail server refuses our user and password: {code} {_said(text)}"
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=text):
            words = f"the mail server answered {code} {_said(text)}"
        case socket.gaierror():
            words = "the name of the mail server could not be resolved"
        case TimeoutError():
            words = f"the mail server did not answer within {settings.EMAIL_TIMEOUT} s"
        case smtplib.SMTPServerDisconnected():
            words = f"the mail server broke off: {str(error).removeprefix('Connection unexpectedly closed: ').lower()}"
        case ssl.SSLError(reason=why):
            words = f"no secure connection to the mail server: {(why or 'TLS failed').replace('_', ' ').lower()}"
        case OSError(errno=int(number)):
            words = f"the mail server cannot be reached: {os.strerror(number).lower()}"
        case _:
            words = f"{type(error).__name__}: {error}"
    return words[:500]


def _said(text: bytes | str) -> str:
    return " ".join((text.decode(errors="replace") if isinstance(text, bytes) else text).split())[:300]
