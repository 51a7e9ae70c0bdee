"""The mail with an invitation's link: one attempt, and in plain words what became of it."""

import os
import smtplib
import socket
import ssl
from contextlib import closing

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.invitations.access import token_of
from accounts.links import address
from accounts.models import Invitation

NO_SERVER = "no mail server is set up (EMAIL_URL); the worker wrote the mail into its log"


def send(invitation_id: str, link: int, start: str) -> None:
    """Mail the invitation's newest link, unless a newer one was made, it is over, or it was mailed."""
    row = Invitation.objects.select_related("team").filter(id=invitation_id, links=link).first()
    if row is None or row.accepted_at or row.revoked_at or row.mailed_at or row.mail_problem:
        return
    problem = _attempt(_message(row, address(start, "join", token_of(row))))
    outcome = {"mail_problem": problem} if problem else {"mailed_at": timezone.now()}
    Invitation.objects.filter(id=row.id, links=link).update(**outcome)


def _message(row: Invitation, link: str) -> EmailMessage:
    facts = {"invitation": row, "team": row.team, "by": row.invited_by["name"], "link": link}
    subject = f"{facts['by']} invites you to {row.team.name} on Countersign"
    return EmailMessage(
        " ".join(subject.split()), render_to_string("accounts/invitation_mail.txt", facts), to=[row.email]
    )


def _attempt(message: EmailMessage) -> str | None:
    """Why it did not go out. A broken mail server never breaks anything else."""
    try:
        message.connection = get_connection()
        with closing(message.connection):  # which send() leaves open when the server refuses us
            message.send()
    except Exception as error:  # noqa: BLE001  a mail backend may raise whatever it likes
        return _in_words(error)
    return NO_SERVER if settings.EMAIL_BACKEND.endswith("console.EmailBackend") else None


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
