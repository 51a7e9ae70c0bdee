"""The drawing of a definition: where each step and line stands, from top to bottom. Pure; lengths in SVG units.

Blocks are laid out from the inside outwards. Each has an axis, on which the flow enters above and leaves below.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workflows.definition.documents import Definition
from workflows.definition.step_types import Step
from workflows.drawing import shapes
from workflows.drawing.sentences import TYPES, says

Mark = Literal["done", "failed", "running", "waiting", "skipped"]
Marks = Mapping[str, Mark]  # step id -> mark
Point = tuple[float, float]

WIDE, HIGH, BAR = 240, 66, 40  # a step; a step that only holds others
DOT = 14  # beginning and end
GAP = 30  # between two steps
LANES = 28  # between two branches
FAN, JOIN = 40, 22  # above and below branches
EMPTY = 60  # width of a branch without steps
PAD, BACK = 20, 44  # inside a box; on its side with the way back
MARGIN = 12
MARKS: dict[Mark, tuple[str, str]] = {  # in words, and the icon
    "done": ("done", "circle-check"), "failed": ("failed", "circle-x"), "running": ("runs now", "loader-circle"),
    "waiting": ("waits for a person", "hourglass"), "skipped": ("skipped", "ban"),
}  # fmt: skip
_ICONS = {
    "task": "bot", "assert": "list-checks", "if": "split", "loop": "repeat", "parallel": "columns-3", "retry": "rotate-cw",
    "human_approval": "user", "succeed": "flag", "fail": "circle-stop",
}  # fmt: skip
_REACHED = ("done", "failed", "running", "waiting")
_CORNER = 7.0
_ENDS = ("succeed", "fail")


@dataclass(frozen=True)
class Node:
    """One step; `start` and `end` have no id. `text` is whole, `lines` are what fits."""

    id: str
    type: str
    text: str
    mark: Mark | None
    x: float
    y: float
    width: float
    height: float

    @property
    def kind(self) -> str:
        return TYPES.get(self.type, self.type)

    @property
    def lines(self) -> list[shapes.Line]:
        return shapes.lines_of(self.id, self.text, self.width, self.height)

    @property
    def outline(self) -> str:
        return shapes.outline(self.type, self.width, self.height)

    @property
    def icon(self) -> str:
        return _ICONS[self.type]

    @property
    def mark_icon(self) -> str:
        return MARKS[self.mark][1] if self.mark else ""

    @property
    def state(self) -> str:
        return MARKS[self.mark][0] if self.mark else ""

    @property
    def icon_y(self) -> float:
        return self.height / 2 - 8

    @property
    def mark_x(self) -> float:
        return self.width - 33


@dataclass(frozen=True)
class Edge:
    """A line of right angles. `taken`: the run went this way."""

    points: tuple[Point, ...]
    taken: bool = False
    label: str = ""
    arrow: bool = True
    back: bool = False  # another round

    @property
    def path(self) -> str:
        return shapes.rounded(self.points, _CORNER)

    @property
    def tip(self) -> str:
        return shapes.tip(self.points[-2], self.points[-1]) if self.arrow else ""

    @property
    def label_at(self) -> Point:
        x, y = self.points[-1]
        return x + 9, y - 7


@dataclass(frozen=True)
class Box:
    """The frame of a loop or retry around its title and its body."""

    type: str
    mark: Mark | None
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class _Block:
    """A part of the drawing, measured from its own corner. `continues`: the flow goes on below it."""

    width: float
    height: float
    axis: float
    reached: bool = False
    finished: bool = False
    continues: bool = True
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    boxes: tuple[Box, ...] = ()

    def moved(self, dx: float, dy: float) -> "_Block":
        def shifted(edge: Edge) -> Edge:
            return replace(edge, points=tuple((x + dx, y + dy) for x, y in edge.points))

        return replace(
            self,
            nodes=tuple(replace(n, x=n.x + dx, y=n.y + dy) for n in self.nodes),
            edges=tuple(shifted(e) for e in self.edges),
            boxes=tuple(replace(b, x=b.x + dx, y=b.y + dy) for b in self.boxes),
        )


def draw(definition: Definition, marks: Marks | None = None) -> Drawing:
    """The drawing of a valid definition. `marks` say where a run stands; steps without one were not reached."""
    steps = [_block_of(step, marks or {}) for step in definition["steps"]]
    parts = [_dot("start", steps[0].reached), *steps]
    if all(part.continues for part in steps):
        parts.append(_dot("end", steps[-1].finished))
    whole = _one_below_the_other(parts).moved(MARGIN, MARGIN)
    edges = tuple(sorted(whole.edges, key=lambda edge: edge.taken))  # the way taken lies above the others
    return Drawing(whole.width + 2 * MARGIN, whole.height + 2 * MARGIN, whole.nodes, edges, whole.boxes)


def _dot(kind: str, passed: bool) -> _Block:
    node = Node("", kind, "", None, 0, 0, DOT, DOT)
    return _Block(DOT, DOT, DOT / 2, passed, passed, nodes=(node,))


def _block_of(step: Step, marks: Marks) -> _Block:
    return _DRAWN.get(step["type"], _single_step)(step, marks)


def _head(step: Step, marks: Marks, width: float, height: float) -> _Block:
    """The step itself."""
    mark = marks.get(step["id"])
    node = Node(step["id"], step["type"], says(step), mark, 0, 0, width, height)
    return _Block(width, height, width / 2, mark in _REACHED, mark == "done", step["type"] not in _ENDS, (node,))


def _single_step(step: Step, marks: Marks) -> _Block:
    return _head(step, marks, WIDE, HIGH)


# --- lists


def _list(steps: list[Step], marks: Marks) -> _Block | None:
    return _one_below_the_other([_block_of(step, marks) for step in steps]) if steps else None


def _one_below_the_other(parts: Sequence[_Block]) -> _Block:
    """A step after an end is drawn, though no line leads to it."""
    axis = max(part.axis for part in parts)
    right = max(part.width - part.axis for part in parts)
    placed, edges, y = [], [], 0.0
    for before, part in zip((None, *parts), parts, strict=False):
        if before is not None:
            if before.continues:
                edges.append(Edge(((axis, y), (axis, y + GAP)), before.finished and part.reached))
            y += GAP
        placed.append(part.moved(axis - part.axis, y))
        y += part.height
    ends = all(part.continues for part in parts)
    return _gathered(placed, axis + right, y, axis, edges, parts[0].reached, parts[-1].finished, continues=ends)


def _gathered(
    parts: Iterable[_Block],
    width: float,
    height: float,
    axis: float,
    edges: Iterable[Edge],
    reached: bool,
    finished: bool,
    *,
    continues: bool,
    boxes: tuple[Box, ...] = (),
) -> _Block:
    """One block of placed ones."""
    parts = list(parts)
    nodes = tuple(node for part in parts for node in part.nodes)
    lines = (*edges, *(edge for part in parts for edge in part.edges))
    inner = tuple(box for part in parts for box in part.boxes)
    return _Block(width, height, axis, reached, finished, continues, nodes, lines, boxes + inner)


# --- branches


def _if(step: Step, marks: Marks) -> _Block:
    lanes = [_list(step["then"], marks), _list(step.get("else") or [], marks)]
    head = _single_step(step, marks)
    return _side_by_side(head, lanes, ("yes", "no"), _ways_taken(head, lanes))


def _ways_taken(head: _Block, lanes: Sequence[_Block | None]) -> list[bool]:
    """A way without steps was taken when the choice is done and the other way was not."""
    entered = [lane is not None and lane.reached for lane in lanes]
    other = head.finished and not any(entered) and any(lanes)
    return [was or (lane is None and other) for was, lane in zip(entered, lanes, strict=True)]


def _parallel(step: Step, marks: Marks) -> _Block:
    lanes = [_list(branch, marks) for branch in step["branches"]]
    head = _head(step, marks, WIDE, BAR)
    return _side_by_side(head, lanes, [""] * len(lanes), [lane.reached if lane else head.finished for lane in lanes])


def _side_by_side(
    head: _Block, branches: Sequence[_Block | None], labels: Sequence[str], taken: Sequence[bool]
) -> _Block:
    """A head, its branches beside each other, and the line where they meet again."""
    lanes = [lane or _Block(EMPTY, 0, EMPTY / 2) for lane in branches]
    starts, across = [], 0.0
    for lane in lanes:
        starts.append(across)
        across += lane.width + LANES
    across -= LANES
    first, last = starts[0] + lanes[0].axis, starts[-1] + lanes[-1].axis
    middle = (first + last) / 2
    axis = max(middle, head.axis)
    top, deepest = head.height + FAN, max(lane.height for lane in lanes)
    meet = top + deepest + JOIN
    placed, edges = [head.moved(axis - head.axis, 0)], []
    for lane, start, label, went in zip(lanes, starts, labels, taken, strict=True):
        left = start + axis - middle
        x = left + lane.axis
        placed.append(lane.moved(left, top))
        edges.append(Edge(_elbow(axis, head.height, x, top, head.height + JOIN), went, label, arrow=bool(lane.nodes)))
        if lane.continues:
            left_it = went and head.finished and (lane.finished or not lane.nodes)
            edges.append(Edge(_elbow(x, top + lane.height, axis, meet, meet - JOIN / 2), left_it, arrow=False))
    opened = any(lane.continues for lane in lanes)
    width = axis + max(across - middle, head.width - head.axis)
    height = meet if opened else top + deepest
    return _gathered(placed, width, height, axis, edges, head.reached, head.finished, continues=opened)


def _elbow(x: float, y: float, to_x: float, to_y: float, turn: float) -> tuple[Point, ...]:
    """Down, across at the height `turn`, down."""
    return ((x, y), (to_x, to_y)) if x == to_x else ((x, y), (x, turn), (to_x, turn), (to_x, to_y))


# --- boxes


def _repeated(step: Step, marks: Marks) -> _Block:
    """A loop or retry: a box with a title, the body, and the way back."""
    body = _list(step["body"], marks) or _Block(EMPTY, 0, EMPTY / 2)
    width = max(WIDE + PAD, PAD + body.width + BACK)
    axis = PAD + body.axis + max(0.0, width - PAD - body.width - BACK) / 2
    head = _head(step, marks, width, BAR)
    top = BAR + GAP
    bottom = top + body.height
    height = bottom + (GAP if body.continues else PAD)
    edges = [Edge(((axis, BAR), (axis, top)), body.reached, arrow=bool(body.nodes))]
    if body.continues:
        edges.append(Edge(((axis, bottom), (axis, height)), body.finished and head.finished, arrow=False))
        side = width - BACK / 2
        again = ((axis, bottom + GAP / 2), (side, bottom + GAP / 2), (side, BAR))
        edges.append(Edge(again, back=True))
    box = Box(step["type"], marks.get(step["id"]), 0, 0, width, height)
    parts = (replace(head, axis=axis), body.moved(axis - body.axis, top))
    return _gathered(
        parts, width, height, axis, edges, head.reached, head.finished, continues=body.continues, boxes=(box,)
    )


_DRAWN: dict[str, Callable[[Step, Marks], _Block]] = {
    "if": _if, "parallel": _parallel, "loop": _repeated, "retry": _repeated,
}  # fmt: skip


def listed(definition: Definition, marks: Marks | None = None) -> list[dict[str, Any]]:
    """The same as nested lists of words: {id, kind, type, text, mark, lists: [(title, steps)]}."""
    return [_outlined(step, marks or {}) for step in definition["steps"]]


def _outlined(step: Step, marks: Marks) -> dict[str, Any]:
    def inner(steps: list[Step]) -> list[dict[str, Any]]:
        return [_outlined(each, marks) for each in steps]

    lists: list[tuple[str, list[dict[str, Any]]]] = []
    if step["type"] == "if":
        lists = [("If so", inner(step["then"])), ("If not", inner(step.get("else") or []))]
    elif step["type"] == "parallel":
        lists = [(f"Branch {n}", inner(branch)) for n, branch in enumerate(step["branches"], 1)]
    elif "body" in step and step["type"] in ("loop", "retry"):
        lists = [("", inner(step["body"]))]
    return {
        "id": step["id"],
        "type": step["type"],
        "kind": TYPES[step["type"]],
        "text": says(step),
        "mark": MARKS[mark][0] if (mark := marks.get(step["id"])) else "",
        "lists": lists,
    }
