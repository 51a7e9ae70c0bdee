"""Queued work of approvals. A task may run twice, and does nothing when its turn has passed."""

from approvals import handling
from approvals.mail import sender


def send_mail() -> None:
    """A doorbell: mails are due. The sender of this process takes them out of the outbox."""
    sender.ring()


carry_mail = send_mail  # what the release before queued


def member_changed(team_id: str, user_id: str) -> None:
    """A person left the team or has other roles: what they may no longer decide is free for others."""
    handling.hand_back(team_id, user_id)
