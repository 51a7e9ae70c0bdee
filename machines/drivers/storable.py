"""Text from machines as it can be written down: PostgreSQL takes neither NUL nor half of a surrogate pair."""

import json
import re
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def clean(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def load(message: str | bytes) -> Any:
    """What the JSON of a machine says; characters that nothing can store read U+FFFD."""
    text = message.decode() if isinstance(message, bytes) else message
    value = json.loads(text)
    return _cleaned(value) if _ESCAPED.search(text) else value


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(child) for key, child in value.items()}
    return [_cleaned(child) for child in value] if isinstance(value, list) else value
