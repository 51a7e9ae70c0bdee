"""How many columns of a terminal a character takes."""

import unicodedata
from functools import lru_cache

_NONE = frozenset("\u200b\u200c\u200d\u2060\ufeff")


@lru_cache(maxsize=4096)
def takes_no_column(char: str) -> bool:
    """Whether it stands on the character before it: an accent, a vowel sign, a joiner."""
    return char in _NONE or unicodedata.category(char) in ("Mn", "Me")


def is_wide(char: str) -> bool:
    """Whether it takes two."""
    return unicodedata.east_asian_width(char) in "WF"
