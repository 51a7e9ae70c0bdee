"""The things that entries are about: what they are called and where they are shown. Each app registers its own when the
process starts (AppConfig.ready()).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from accounts.actor import Actor


@dataclass(frozen=True)
class Thing:
    """`name` None: it has none but its id. `href` is empty where this reader is shown nothing of it. `row`: for its own app."""

    name: str | None = None
    href: str = ""
    row: Any = None


LookUp = Callable[[Actor, Collection[str]], Mapping[str, Thing]]  # of those ids that the actor's team has
Below = Callable[[Actor, str], QuerySet[Any, str]]  # ids of a thing and of all that belong to it

_LOOK_UPS: dict[str, LookUp] = {}
_BELOW: dict[str, Below] = {}


def register(prefix: str, look_up: LookUp) -> None:
    """How things whose ids begin with the prefix are looked up, in a fixed number of queries."""
    _LOOK_UPS[prefix] = look_up


def register_tree(prefix: str, below: Below) -> None:
    _BELOW[prefix] = below


def below(actor: Actor, prefix: str, thing_id: str) -> QuerySet[Any, str]:
    return _BELOW[prefix](actor, thing_id)


class Things(dict[str, Thing]):
    """By id."""

    def name_of(self, value: Any) -> Any:
        """The name of what is an id, else the value itself."""
        thing = self.get(value) if isinstance(value, str) else None
        return value if thing is None or thing.name is None else thing.name

    def href_of(self, thing_id: str) -> str:
        return self[thing_id].href if thing_id in self else ""

    def row_of(self, thing_id: str) -> Any:
        """None when it is not there any more."""
        return self[thing_id].row if thing_id in self else None


def look_up(actor: Actor, ids: Iterable[str]) -> Things:
    by_prefix: dict[str, set[str]] = {}
    for each in ids:
        by_prefix.setdefault(each.partition("_")[0], set()).add(each)
    things = Things()
    for prefix, own in by_prefix.items():
        if prefix in _LOOK_UPS:
            things |= _LOOK_UPS[prefix](actor, own)
    return things
