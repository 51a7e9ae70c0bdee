"""Queued work of accounts. A task takes ids, may run twice, and does nothing when its turn has passed."""

from accounts.webhooks import postman


def deliver(delivery_id: str, attempts: int) -> None:
    """Hand the attempt that follows `attempts` others to the postman of this process."""
    postman.hand_over(delivery_id, attempts)
