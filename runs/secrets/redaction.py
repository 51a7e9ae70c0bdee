"""Taking secrets out of text: as they are, and as pages, addresses and programs write them."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
SHORT = 4  # characters: what is shorter is taken out where it stands alone, or every text would be full of holes
SHORTEST_CUT = 100  # characters: nothing of a machine is cut to less
_LINE = 8  # characters of one line of a secret that are worth taking out alone
T = TypeVar("T")


def spellings(secret: str) -> Iterator[str]:
    """Every way in which this secret may turn up."""
    for text in dict.fromkeys((secret, secret.strip(), " ".join(secret.split()), *_lines(secret))):
        yield text
        yield from (quote(text, safe=safe) for safe in ("", "/", "!*'()~", "!$&'()*+,;=:@/?"))
        yield quote_plus(text)
        yield from (html.escape(text), html.escape(text, quote=False))
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        if len(text) >= SHORT:
            yield from (text.upper(), text.lower())  # as style sheets show it
            yield from (base64.b64encode(text.encode()).decode().rstrip("="), text.encode().hex())


def _lines(secret: str) -> list[str]:
    lines = secret.splitlines()
    return [line.strip() for line in lines if len(line.strip()) >= _LINE] if len(lines) > 1 else []


class Redaction:
    """Texts that are not to be read anywhere."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(dict.fromkeys(filter(None, secrets)))

    def __bool__(self) -> bool:
        return bool(self.secrets)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """What they may look like, the longest first: one may be a part of another."""
        texts = {text for secret in self.secrets for text in spellings(secret) if text.strip()}
        return tuple(sorted(texts, key=lambda text: (-len(text), text)))

    @cached_property
    def painted(self) -> Sequence[str]:
        """What is looked for in pictures."""
        return [text for text in self.texts if len(text) >= SHORT]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Hexadecimal digits of an encoded text may be written small."""
        return re.compile("|".join(map(_as_pattern, self.texts)))

    def cleared(self, value: T) -> T:
        """Text, bytes or JSON with text in it, without them."""
        if not self:
            return value
        if isinstance(value, dict):
            return {self.cleared(key): self.cleared(item) for key, item in value.items()}  # type: ignore[return-value]
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.cleared, value))
        if isinstance(value, bytes):
            return self._pattern.sub(REDACTED, value.decode(errors="surrogateescape")).encode(errors="surrogateescape")  # type: ignore[return-value]
        return self._cleared(value) if isinstance(value, str) else value  # type: ignore[return-value]

    def _cleared(self, text: str) -> str:
        """Also without the beginning of one at the end of a long text, which has been cut there."""
        text = self._pattern.sub(REDACTED, text)
        if len(text) < SHORTEST_CUT:
            return text
        body = text.rstrip("\u2026.[]\n ")
        cuts = [at for one in self.texts if (at := _cut(body, one)) is not None]
        return text[: min(cuts)] + REDACTED + text[len(body) :] if cuts else text


NO_SECRETS = Redaction(())


def _cut(text: str, secret: str) -> int | None:
    """Where the text's end begins that is the beginning of this secret; None when it has no such end."""
    at = text.find(secret[:SHORT], max(0, len(text) - len(secret) + 1)) if len(secret) > SHORT else -1
    while at >= 0:
        if secret.startswith(text[at:]):
            return at
        at = text.find(secret[:SHORT], at + 1)
    return None


def _as_pattern(text: str) -> str:
    pattern = re.sub(r"%[0-9A-F]{2}", lambda match: f"(?i:{match[0]})", re.escape(text).replace("\\%", "%"))
    return pattern if len(text) >= SHORT else rf"(?<!\w){pattern}(?!\w)"
