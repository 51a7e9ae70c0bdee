"""Single words of a sentence turned into values: quotes, addresses, keys, numbers. All raise UnreadableError."""

import re
from typing import Any
from urllib.parse import quote

from machines.drivers import keys

LONGEST_WAIT_MS = 3_600_000

_QUOTES = "\"'“„«»‘‚"
_CLOSING = "\"'”“»«’‘"
_REQUEST = re.compile(r"\b(?:approval|permission)s?\b", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:https?://(?:[^\s/?#@\\]+@)?)?(?:[\w-]+(?:\.[\w-]+)*\.?|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_UNITS_MS = (("milli", 1), ("ms", 1), ("min", 60_000), ("s", 1000))


class UnreadableError(ValueError):
    """The words stand in the right place but mean nothing here."""


class RefusedError(UnreadableError):
    """The sentence is understood and must not be carried out; the message says why, for people."""


def is_quoted(word: str) -> bool:
    return len(word) > 1 and word[0] in _QUOTES


def unquoted(word: str) -> str:
    """The text inside quotes; text without quotes loses a leading article."""
    if is_quoted(word):
        return word[1:-1]
    return re.sub(r"^(?:the|an?|your)\s+", "", word.strip(), flags=re.IGNORECASE)


def prose(word: str) -> str:
    """Quoted or not, as it was written."""
    return word[1:-1] if len(word) > 1 and word[0] in _QUOTES and word[-1] in _CLOSING else word.strip()


def value_name(word: str) -> str:
    """What a person is asked to give. An approval is no such value: asked for in other words it is not understood."""
    if word[0] not in _QUOTES and _REQUEST.search(word):
        raise UnreadableError
    return unquoted(word)


def key_of_output(word: str) -> str:
    """The name under which something is remembered."""
    text = unquoted(word).strip()
    if not text:
        raise UnreadableError
    return text


def nonempty(word: str) -> str:
    """The text of a command or a file name, which cannot be empty."""
    text = word[1:-1] if word[0] in _QUOTES + "`" else word
    if not text.strip() or "\0" in text:
        raise UnreadableError
    return text


def address(url: str) -> str:
    """A complete http or https address; without a scheme it is http."""
    url = url.strip()
    if not _ADDRESS.fullmatch(url) or len(url) > 2000:
        raise UnreadableError
    return url if re.match(r"https?://", url, re.IGNORECASE) else f"http://{url}"


def role_name(word: str) -> str:
    """One of the roles that grounding.py knows: "push button" is a button, "drop-down list" a dropdown."""
    role = re.sub(r"[\s-]+", " ", word.lower())
    for ending in ("button", "box", "field"):
        if role.endswith(ending) and not role.startswith(("radio", "check")):
            return ending
    return {"check box": "checkbox", "radio button": "radio"}.get(role) or (
        "dropdown" if role.startswith("drop") else role
    )


def place_in_order(word: str) -> int:
    """1 for "first" or "1st", -1 for "last"."""
    word = word.lower()
    if word == "last":
        return -1
    number = _ORDINALS.index(word) + 1 if word in _ORDINALS else int(word[:-2])
    if number < 1:
        raise UnreadableError
    return number


def key_names(word: str) -> list[str]:
    """Key names as the drivers spell them: "Ctrl+A" is ["ctrl", "a"]."""
    parts = [_joined(part) for part in re.split(r"(?<=.)\+(?=.)", word.strip(), flags=re.DOTALL)]
    pressed = keys.combination(parts)
    if pressed is None or len(parts) > 5:
        raise UnreadableError
    modifiers, key = pressed
    return [*modifiers, key.lower() if modifiers and key.isascii() else key]


def _joined(name: str) -> str:
    """ "Page down" is the key "pagedown", "arrow up" and "up arrow" are "arrowup"."""
    joined = re.sub(r"[\s_-]+", "", name) if len(name.strip()) > 1 else name.strip()
    return f"arrow{joined[:-5]}" if joined.lower().endswith("arrow") else joined


def click_kind(word: str) -> dict[str, Any]:
    """Button and count of "click", "double-click", "right-click", "tap"."""
    word = word.lower()
    button = next((b for b in ("right", "middle") if word.startswith(b)), "left")
    return {"button": button, "count": 2 if word.startswith("double") else 1}


def whole(word: str, most: int = 100) -> int:
    """A whole number from 1 to `most`."""
    if not _DIGITS.fullmatch(word) or not 1 <= int(word) <= most:
        raise UnreadableError
    return int(word)


def port(word: str) -> int:
    return whole(word, 65_535)


def milliseconds(number: str, unit: str) -> int:
    """At most an hour."""
    if not _NUMBER.fullmatch(number):
        raise UnreadableError
    factor = next(ms for start, ms in _UNITS_MS if unit.lower().startswith(start))
    result = round(float(number) * factor)
    if result > LONGEST_WAIT_MS:
        raise UnreadableError
    return result


def in_address(value: str, before: str) -> str:
    """A value as part of an address that began with `before`: it adds no query, fragment or further parameter to it.

    At the very start it is the beginning of the address, and in the name of a host only letters, digits, dots and hyphens
    can stand.
    """
    if not before:
        return value
    rest = re.sub(r"^https?://", "", before, flags=re.IGNORECASE)
    if not re.search(r"[/?#]", rest):
        if not re.fullmatch(r"[\w.-]+", value):
            raise UnreadableError
        return value
    safe = "/:@!$'()*,;~" if "?" not in rest and "#" not in rest else "/:@!$'()*,~"
    return quote(value, safe=safe)


def purpose(*parts: str) -> str:
    """What an approval is for, as it continues a sentence: "to finish", "before sending"."""
    preposition, text = parts if len(parts) == 2 else ("", parts[0])
    return f"{preposition.lower()} {prose(text)}".strip()
