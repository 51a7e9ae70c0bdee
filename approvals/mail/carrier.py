"""Who carries letters to the mail server: a thread of each worker process, so that a slow server holds up no task.

A ring makes one round over everybody who has something due. Nothing here is durable and nothing raises: what is not
carried now the clock queues again (approvals/mail/outbox.py).
"""

import contextlib
import logging
import os
import smtplib
import socket
import ssl
import threading
from dataclasses import dataclass

from django.core import mail
from django.db import close_old_connections, connection

from approvals.mail import outbox
from approvals.mail.letters import compose
from approvals.mail.outbox import Letter

log = logging.getLogger(__name__)
LONGEST_REASON = 300  # characters of what the mail server said
WORDS: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPAuthenticationError, "the mail server did not accept the user and password of EMAIL_URL"),
    (TimeoutError, "the mail server did not answer in time"),
    (smtplib.SMTPException, "the mail server broke off"),
    (ssl.SSLError, "no secure connection to the mail server"),
    (socket.gaierror, "the host name of the mail server could not be resolved"),
)

_carrier: "Carrier | None" = None


@dataclass(frozen=True)
class Outcome:
    """What came of a letter. `reason`: why it failed; `final`: for ever; `down`: the server takes no letter at all."""

    reason: str | None
    final: bool = False
    down: bool = False


class Carrier:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.bell = threading.Event()
        threading.Thread(target=self._go, name="mail", daemon=True).start()

    def _go(self) -> None:
        while self.bell.wait():
            self.bell.clear()
            try:
                close_old_connections()
                carry_due()
            except Exception:
                log.exception("carrying mail broke off; the clock queues it again")
            finally:
                connection.close()


def ring() -> None:
    """Wake the carrier of this process; the first call starts it."""
    global _carrier  # noqa: PLW0603 - one for each process, as the thread is
    if _carrier is None or _carrier.pid != os.getpid():
        _carrier = Carrier()
    _carrier.bell.set()


def carry_due() -> int:
    """One round: a letter to everybody who has something due. Returns how many went out."""
    sent, down = 0, None
    for user_id in outbox.people_due():
        letter = outbox.claim(user_id)
        if letter is None:
            continue
        outcome = down or _send(letter)
        down = outcome if outcome.down else None
        outbox.settle(letter, outcome.reason, final=outcome.final)
        sent += outcome.reason is None
    return sent


def _send(letter: Letter) -> Outcome:
    """One letter over a connection of its own; never raises."""
    try:
        message = compose(letter.user, letter.notices)
    except Exception as error:
        log.exception("letter %s could not be written", letter.id)
        return Outcome(f"it could not be written ({type(error).__name__})")
    try:
        message.connection = mail.get_connection()
        message.connection.open()
    except Exception as error:  # noqa: BLE001 - whatever it is: the others need not try it in this round
        return Outcome(_in_words(error), down=True)
    try:
        message.send()
    except Exception as error:  # noqa: BLE001
        return Outcome(_in_words(error), final=_is_final(error))
    finally:
        with contextlib.suppress(Exception):  # what the server says to the goodbye changes nothing
            message.connection.close()
    return Outcome(None)


def _is_final(error: Exception) -> bool:
    """The server will never take a letter to this address."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return False
    return all(500 <= code < 600 for code, _ in error.recipients.values())


def _in_words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(
            f"the mail server refused the address: {_said(*answer)}" for answer in error.recipients.values()
        )
    if isinstance(error, smtplib.SMTPResponseException) and not isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the mail server answered {_said(error.smtp_code, error.smtp_error)}"
    for cause in (error.__context__, error):  # smtplib says of a silent server only that it closed the connection
        for kind, words in WORDS:
            if isinstance(cause, kind):
                return words
    if isinstance(error, OSError) and error.errno:
        return f"no connection to the mail server: {os.strerror(error.errno)}"
    return f"it could not be sent ({type(error).__name__})"


def _said(code: int, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"[:LONGEST_REASON]
