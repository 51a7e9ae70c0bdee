"""What a figure says: its values, the limit beside it, and how far it is from where it should be."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

HEAD = ("figure", "what", "measured", "limit beside it", "ratio", "first", "goal", "verdict")


class Mark(NamedTuple):
    """A number with the two marks it is held against; the larger is better when the goal is the larger mark."""

    value: float
    first: float
    goal: float

    @property
    def verdict(self) -> str:
        sign = 1 if self.goal > self.first else -1
        if self.value * sign >= self.goal * sign:
            return "goal"
        return "first" if self.value * sign >= self.first * sign else "short"


@dataclass(frozen=True)
class Row:
    """One line of the table. `marks` decide the verdict, the worst of them; without marks the line only informs."""

    figure: str
    what: str
    measured: str
    limit: str = ""
    ratio: float | None = None
    first: str = ""
    goal: str = ""
    marks: tuple[Mark, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        found = {mark.verdict for mark in self.marks}
        return next((word for word in ("short", "first", "goal") if word in found), "")

    @property
    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.figure, self.what, self.measured, self.limit, ratio, self.first, self.goal, self.verdict

    def facts(self) -> dict[str, Any]:
        return asdict(self) | {"marks": [mark._asdict() for mark in self.marks], "verdict": self.verdict}


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that reads well in a terminal, too."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([printed[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *printed[1:]])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(len(ordered) * percent / 100) - 1))]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """(p50, p99)"""
    return statistics.median(values), percentile(values, 99)


def ms(seconds: float) -> str:
    """Milliseconds, with as many digits as say something."""
    value = seconds * 1000
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
