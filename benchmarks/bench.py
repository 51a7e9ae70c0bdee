"""What each figure is given: a fresh database, a team in it, and how much is to be done."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.installation import Installation
from benchmarks.scene import Scene, make_scene

T = TypeVar("T")


@dataclass
class Bench:
    """`known` carries what one figure measured and a later one is held against."""

    here: Installation
    scene: Scene
    tiny: bool = False
    known: dict[str, Any] = field(default_factory=dict)

    def of(self, full: T, tiny: T) -> T:
        return tiny if self.tiny else full


@contextmanager
def fresh(here: Installation, tiny: bool, known: dict[str, Any]) -> Iterator[Bench]:
    """A database as after `migrate` with one team; whatever the figure started is ended behind it."""
    here.fresh_database()
    try:
        yield Bench(here, make_scene(), tiny, known)
    finally:
        here.end_all()
