"""A machine's processes stand still: while a person drives (what the agent left behind), or while everything is stopped."""

from typing import Literal

Why = Literal["takeover", "stop"]


def freeze_machine(machine_id: str, why: Why) -> None:
    """See that the machine stands still as far as its reasons demand; idempotent, asks no worker and no guest.

    Must be called outside of transactions, from any process of the machine's host.
    """
    raise NotImplementedError


def thaw_machine(machine_id: str, why: Why) -> None:
    """This reason is over; what no other reason holds runs on. Idempotent; must be called outside of transactions."""
    raise NotImplementedError
