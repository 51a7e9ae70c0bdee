"""Queued work of approvals. A task may run twice, and does nothing when its turn has passed."""

from approvals import handling
from approvals.mail import sender


def carry_mail() -> None:
    """A doorbell: mails are due. The carrier of this process takes them out of the outbox."""
    sender.ring()


def member_changed(team_id: str, user_id: str) -> None:
    """A person left the team or has other roles: what they may no longer decide is free for others."""
    handling.hand_back(team_id, user_id)
