"""Filters of lists: what a query may hold, and what the OpenAPI document says of it. An empty one counts as not given."""

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from web.errors import Refusal

Text = Annotated[str | None, BeforeValidator(lambda text: text or None)]


def one_of(options: Iterable[str]) -> Any:
    """The metadata of a filter that takes one of these words."""
    return Field(json_schema_extra={"enum": list(options)})


def several_of(options: Iterable[str], *alone: str) -> Any:
    """The metadata of a filter that takes one of these words, or several with commas between them, or one that stands alone."""
    words = list(options)
    word = rf"\s*({'|'.join(map(re.escape, words))})\s*"
    more = f"; {', '.join(alone)}" if alone else ""
    return Field(
        description=f"One of {', '.join(words)}; or several, with commas between them{more}.",
        json_schema_extra={"pattern": f"^({'|'.join((f'{word}(,{word})*', *alone))})?$"},
    )


def words_of(text: str, options: Collection[str], refusal: Refusal) -> list[str]:
    """The words of a filter that takes several. Raises the refusal when one of them is unknown."""
    words = [word.strip() for word in text.split(",")]
    if not set(words) <= set(options):
        raise refusal
    return words
