"""Points of a picture on the screen that it is of: callers may send pictures that are smaller or larger than their screen."""

from collections.abc import Mapping
from typing import Any

Size = tuple[int, int]
ACROSS, DOWN = ("x", "from_x", "to_x"), ("y", "from_y", "to_y")


def moved(params: Mapping[str, Any], start: Size, end: Size) -> dict[str, Any]:
    """The parameters of a canonical action with its points on a plane of size `end` instead of `start`, in whole pixels
    inside it."""
    return {name: _moved(name, value, start, end) for name, value in params.items()}


def _moved(name: str, value: Any, start: Size, end: Size) -> Any:
    if name not in ACROSS + DOWN or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    axis = 0 if name in ACROSS else 1
    return min(max(round(value * end[axis] / start[axis]), 0), end[axis] - 1)
