"""Queued work of accounts. A task takes ids, may run twice, and does nothing when its turn has passed."""

from accounts.invitations import mail
from accounts.webhooks import sender


def deliver(delivery_id: str, attempts: int) -> None:
    """Hand the attempt that follows `attempts` others to the sender of this process."""
    sender.submit(delivery_id, attempts)


def mail_invitation(invitation_id: str, link: int, start: str) -> None:
    """Mail the link that was the newest when this was queued; `start` is where people reach the pages."""
    mail.send(invitation_id, link, start)
