"""Gives letters to the mail server: a thread of each worker process, so that a slow server holds up no task.

A ring makes one round over everybody who has something due. Nothing here is durable and nothing raises: what is not
sent now the clock queues again (approvals/mail/outbox.py).
"""

import logging
import os
import threading

from django.db import close_old_connections, connection

from approvals.mail import outbox
from approvals.mail.letters import compose
from approvals.mail.outbox import Letter
from web.mail_server import Outcome, attempt

log = logging.getLogger(__name__)

_sender: "Sender | None" = None


class Sender:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.bell = threading.Event()
        threading.Thread(target=self._go, name="mail", daemon=True).start()

    def _go(self) -> None:
        while self.bell.wait():
            self.bell.clear()
            try:
                close_old_connections()
                send_due()
            except Exception:
                log.exception("sending mail broke off; the clock queues it again")
            finally:
                connection.close()


def ring() -> None:
    """Wake the sender of this process; the first call starts it."""
    global _sender  # noqa: PLW0603 - one for each process, as the thread is
    if _sender is None or _sender.pid != os.getpid():
        _sender = Sender()
    _sender.bell.set()


def send_due() -> int:
    """One round: a letter to everybody who has something due. Returns how many went out."""
    sent, down = 0, None
    for user_id in outbox.people_due():
        letter = outbox.claim(user_id)
        if letter is None:
            continue
        outcome = down or _send(letter)
        down = outcome if outcome.down else None  # then the others need not try it in this round
        outbox.settle(letter, outcome)
        sent += outcome.problem is None
    return sent


def _send(letter: Letter) -> Outcome:
    try:
        message = compose(letter.user, letter.notices)
    except Exception as error:
        log.exception("letter %s could not be written", letter.id)
        return Outcome(f"it could not be written ({type(error).__name__})")
    return attempt(message)
