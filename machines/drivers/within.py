"""A limit of time on work that is awaited."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The outcome of `work`; it is cancelled after `seconds`. Raises TimeoutError then.

    Not asyncio.wait_for: on Python 3.11 that swallows a cancellation which comes together with the outcome, and who was
    cancelled lives on.
    """
    async with asyncio.timeout(seconds):
        return await work
