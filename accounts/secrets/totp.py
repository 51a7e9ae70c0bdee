"""Codes of the moment: TOTP of RFC 6238 with SHA-1, six digits and thirty seconds, as authenticator apps make them."""

import base64
import binascii
import hmac
import re

PERIOD = 30  # seconds
DIGITS = 6
SHORTEST = 10  # bytes


def read_seed(text: str) -> str | None:
    """The seed in the one spelling that is kept; None for what is no base32 or too short. Blanks and dashes, which sites
    print between its groups, lower case and missing padding are accepted."""
    seed = re.sub(r"[\s-]", "", text).upper().rstrip("=")
    try:
        key = base64.b32decode(_padded(seed))
    except (binascii.Error, ValueError):
        return None
    return seed if len(key) >= SHORTEST else None


def _padded(seed: str) -> str:
    return seed + "=" * (-len(seed) % 8)


def code(seed: str, at: float) -> str:
    """The code at this Unix time, for a seed that read_seed() gave."""
    counter = int(at // PERIOD).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(_padded(seed)), counter, "sha1")
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def seconds_left(at: float) -> float:
    """How long the code of this moment holds."""
    return PERIOD - at % PERIOD
