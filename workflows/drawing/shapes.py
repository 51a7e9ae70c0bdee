"""What a drawing is made of: the text that fits into a step, the outlines of the shapes, lines with round corners. Pure."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
TEXT_X = 42  # beside the icon
MARK_ROOM = 42
_SMALL, _STRONG = 12.0, 13.0
_SLANT = 14
_HEIGHTS = {1: (37.0,), 2: (29.0, 47.0), 3: (21.0, 38.0, 53.0)}  # of one, two, three lines
LOW = 50  # below this height there is room for one line


@dataclass(frozen=True)
class Line:
    """`says` stands after the name, or alone."""

    y: float
    name: str = ""
    says: str = ""


def width_of(text: str, size: float) -> float:
    """An estimate that rather says too much: the reader's font is not known."""
    return sum(map(_width, text)) * size


def _width(c: str) -> float:
    if unicodedata.east_asian_width(c) in "WF":
        return 1.05
    if c in "iljtfI.,:;'|!()[] ":
        return 0.33
    return 0.86 if c in "mwMW@%…→" or not c.isascii() else 0.7 if c.isupper() else 0.56


def cut(text: str, room: float, size: float) -> str:
    """The text, shortened to the room with an ellipsis."""
    if width_of(text, size) <= room:
        return text
    left = room - width_of("…", size)
    for end, c in enumerate(text):
        left -= _width(c) * size
        if left < 0:
            return text[:end].rstrip() + "…"
    return text


def lines_of(name: str, text: str, width: float, height: float) -> list[Line]:
    """The id of a step and, on at most two lines, what it does; on one line where the step is low."""
    if not name:
        return []
    room = width - TEXT_X - MARK_ROOM
    text = " ".join(text[:300].split())
    if height < LOW:
        shown = cut(name, room * 0.6, _STRONG)
        return [Line(height / 2 + 4.5, shown, cut(text, room - width_of(shown, _STRONG) - 10, _SMALL))]
    words = _wrapped(text, room)
    heights = _HEIGHTS[len(words) + 1]
    return [Line(heights[0], cut(name, room, _STRONG))] + [
        Line(y, says=w) for y, w in zip(heights[1:], words, strict=True)
    ]


def _wrapped(text: str, room: float) -> list[str]:
    if width_of(text, _SMALL) <= room:
        return [text] if text else []
    words = text.split(" ")
    first = words.pop(0)
    while words and width_of(f"{first} {words[0]}", _SMALL) <= room:
        first += f" {words.pop(0)}"
    if width_of(first, _SMALL) > room:  # one long word
        return [cut(text, room, _SMALL)]
    return [first, cut(" ".join(words), room, _SMALL)]


# --- shapes


def outline(kind: str, width: float, height: float) -> str:
    """The path of a step's shape: people a trapezoid, choices a hexagon, a bad end a stop sign, a good end a capsule."""
    w, h, s = width, height, _SLANT
    if kind == "if":
        return f"M{s} 0H{w - s}L{w} {h / 2}L{w - s} {h}H{s}L0 {h / 2}Z"
    if kind == "human_approval":
        return f"M0 0H{w}L{w - s} {h}H{s}Z"
    if kind == "fail":
        return f"M{s} 0H{w - s}L{w} {s}V{h - s}L{w - s} {h}H{s}L0 {h - s}V{s}Z"
    if kind == "parallel":
        return _box(w, h, 2)
    if kind in ("succeed", "start", "end"):
        return _box(w, h, h / 2)
    return _box(w, h, 8)


def _box(w: float, h: float, r: float) -> str:
    turn = f"a{r} {r} 0 0 1"
    return f"M{r} 0H{w - r}{turn} {r} {r}V{h - r}{turn} {-r} {r}H{r}{turn} {-r} {-r}V{r}{turn} {r} {-r}Z"


def rounded(points: Sequence[Point], radius: float) -> str:
    """A line of right angles through the points."""
    path = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        r = min(radius, _length(before, corner) / 2, _length(corner, after) / 2)
        enter, leave = _towards(corner, before, r), _towards(corner, after, r)
        path.append(f"L{enter[0]:g} {enter[1]:g}Q{corner[0]:g} {corner[1]:g} {leave[0]:g} {leave[1]:g}")
    return "".join([*path, f"L{points[-1][0]:g} {points[-1][1]:g}"])


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, by: float) -> Point:
    length = _length(start, end) or 1
    return start[0] + (end[0] - start[0]) / length * by, start[1] + (end[1] - start[1]) / length * by


def tip(before: Point, end: Point) -> str:
    """The arrow of a line that comes from above or below."""
    x, y = end
    back = -6 if before[1] < y else 6
    return f"M{x - 4:g} {y + back:g}L{x:g} {y:g}L{x + 4:g} {y + back:g}"
