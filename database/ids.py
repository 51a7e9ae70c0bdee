"""Ids: a prefix that names the resource and 22 characters that sort by time of making. Opaque to clients."""

import secrets
import time

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def new_id(prefix: str) -> str:
    """For example `run_0Vd3kQZp4mT1x9cYb2LrWg`: 8 characters of milliseconds, 14 of chance (83 bits)."""
    return f"{prefix}_{_base62(time.time_ns() // 1_000_000, 8)}{_base62(secrets.randbits(83), 14)}"
