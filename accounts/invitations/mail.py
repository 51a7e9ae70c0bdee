"""The mail with an invitation's link: one attempt, and in plain words what became of it."""

from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.invitations.access import token_of
from accounts.models import Invitation
from web.links import address
from web.mail_server import attempt


def send(invitation_id: str, link: int, start: str) -> None:
    """Mail the invitation's newest link, unless a newer one was made, it is over, or it was mailed."""
    row = Invitation.objects.select_related("team").filter(id=invitation_id, links=link).first()
    if row is None or row.accepted_at or row.revoked_at or row.mailed_at or row.mail_problem:
        return
    problem = attempt(_message(row, address(start, "join", token_of(row)))).problem
    outcome = {"mail_problem": problem} if problem else {"mailed_at": timezone.now()}
    Invitation.objects.filter(id=row.id, links=link).update(**outcome)


def _message(row: Invitation, link: str) -> EmailMessage:
    facts = {"invitation": row, "team": row.team, "by": row.invited_by["name"], "link": link}
    subject = f"{facts['by']} invites you to {row.team.name} on Countersign"
    return EmailMessage(
        " ".join(subject.split()), render_to_string("accounts/invitation_mail.txt", facts), to=[row.email]
    )
