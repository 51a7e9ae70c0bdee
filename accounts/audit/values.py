"""Values as the audit shows them: what changed, in words, and without secrets, should one have got into a note or a name."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from database.sealing import REDACTED
from web.templatetags.show import money

_SECRET_NAME = re.compile(r"secret|passw|passphrase|token|api_?key|credential|authorization|cookie", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"\b(cs_(?:live|test|agent)_|whsec_)[\w+/=.:-]+"), rf"\1{REDACTED}"),
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(r"([?&][^=&\s]*(?:secret|passw|token|key|auth|sig)[^=&\s]*=)[^&#\s]+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")  # as web.times.rfc3339 writes it
NOTHING = "nothing"


@dataclass(frozen=True)
class Change:
    """One value before and after. Made by difference(), which takes secrets out."""

    name: str
    before: Any
    after: Any

    @property
    def label(self) -> str:
        return label(self.name)

    @property
    def was(self) -> str:
        return text_of(self.before, self.name)

    @property
    def now(self) -> str:
        return text_of(self.after, self.name)


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Change]:
    """What differs, name by name."""
    old, new = before or {}, after or {}
    names = [n for n in dict.fromkeys((*old, *new)) if old.get(n) != new.get(n)]
    return [Change(n, redacted(old.get(n), n), redacted(new.get(n), n)) for n in names]


def redacted(value: Any, name: str = "") -> Any:
    """The value without what looks like a secret, by its name or by itself."""
    if isinstance(value, str):
        return REDACTED if _SECRET_NAME.search(name) else without_secrets(value)
    if isinstance(value, Mapping):
        return {key: redacted(each, str(key)) for key, each in value.items()}
    return [redacted(each, name) for each in value] if isinstance(value, list) else value


def without_secrets(text: str) -> str:
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def label(name: str) -> str:
    return name.replace("_cents", "").replace("_", " ")


def text_of(value: Any, name: str = "") -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and "cents" in name:
        return money(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, str):
        return f"{value[:10]} {value[11:19]} UTC" if _TIME.fullmatch(value) else value
    return json.dumps(value, ensure_ascii=False)
