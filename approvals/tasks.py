"""Queued work of approvals. A task may run twice, and does nothing when its turn has passed."""

from approvals.mail import sender


def carry_mail() -> None:
    """A doorbell: mails are due. The carrier of this process takes them out of the outbox."""
    sender.ring()
