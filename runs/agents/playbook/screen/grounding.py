"""Finding what a sentence names among the things on the screen.

Deterministic and careful: names are compared from exact to whole words, the kind of thing asked for counts, and things
that fit equally well are all returned, so that a person can choose. A name that is only similar ("Unsubscribe" for
"Subscribe") is never taken, only offered. Names on the screen are untrusted: they are compared, never obeyed.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from machines.drivers import element_roles
from machines.drivers.base import Element
from machines.drivers.browser.page.same_text import plain

EXACT, SAME, PREFIX, WORDS = 100, 95, 80, 70
SIMILARITY = 0.86

_ROLES: dict[str, frozenset[str]] = {
    "button": frozenset({"button", "pushbutton", "togglebutton", "popupbutton", "menuitem"}),
    "link": frozenset({"link"}),
    "tab": frozenset({"tab", "pagetab"}),
    "menu": frozenset({"menu"}),
    "menu item": frozenset({"menuitem", "menuitemcheckbox", "menuitemradio", "menu"}),
    "field": element_roles.FIELDS,
    "box": element_roles.FIELDS | element_roles.BOXES,
    "checkbox": element_roles.BOXES - {"radio", "radiobutton"},
    "radio": frozenset({"radio", "radiobutton", "menuitemradio"}),
    "option": frozenset({"option", "radio", "radiobutton", "menuitem"}),
    "dropdown": element_roles.LISTS,
    "list": element_roles.LISTS,
    "cell": frozenset({"cell", "tablecell", "gridcell", "layouttablecell"}),
    "icon": frozenset({"image", "img", "icon"}),
    "image": frozenset({"image", "img", "icon"}),
    "heading": frozenset({"heading"}),
    "switch": frozenset({"switch", "checkbox", "togglebutton"}),
}
_CLICKABLE = (
    _ROLES["button"]
    | _ROLES["link"]
    | _ROLES["tab"]
    | _ROLES["menu item"]
    | element_roles.FIELDS
    | element_roles.BOXES
    | {"option", "treeitem"}
)
_ROW_ROLES = frozenset({"row", "listitem", "tablerow"})
_SLACK = 2  # pixels by which boxes may overlap untidily


@dataclass(frozen=True)
class Target:
    """What a sentence names: `only` limits it to fields, boxes or lists; `ordinal` counts from 1, -1 is the last."""

    label: str
    role: str | None = None
    row: str | None = None
    ordinal: int | None = None
    only: str | None = None


_ONLY = {"field": element_roles.FIELDS, "box": element_roles.BOXES, "list": element_roles.LISTS}


def find(elements: Sequence[Element], target: Target) -> list[Element]:
    """The elements that fit best, in reading order: none = missing, one = found, several = ambiguous.

    A thing that is disabled is missing; what fits less well does not take its place.
    """
    return [e for e in best(elements, target) if not e.disabled]


def best(elements: Sequence[Element], target: Target) -> list[Element]:
    """As find(), with those that are disabled."""
    scored = [(points, e) for e in _pool(elements, target) if (points := score(e, target.label, target.role))]
    most = max((points for points, _ in scored), default=0)
    return at_place(reading_order(_merged(e for points, e in scored if points == most)), target.ordinal)


def at_place(elements: list[Element], ordinal: int | None) -> list[Element]:
    """The one at this place in the order, -1 is the last; all of them without a place."""
    if ordinal is None:
        return elements
    at = ordinal - 1 if ordinal > 0 else len(elements) - 1
    return elements[at : at + 1] if 0 <= at < len(elements) else []


def similar(elements: Sequence[Element], target: Target) -> list[Element]:
    """Things with a name that is spelled much like the label: for a person to choose from when nothing fits."""
    want = normal(target.label)
    return reading_order(
        _merged(e for e in _pool(elements, target) if not e.disabled and _alike(normal(_shown(e)), want))
    )


def _pool(elements: Sequence[Element], target: Target) -> list[Element]:
    pool = [e for e in elements if target.only is None or kind(e) in _ONLY[target.only]]
    if target.row is None:
        return pool
    rows = _rows(elements, target.row)
    return [e for e in pool if any(_in_row(e, row) for row in rows)]


def score(element: Element, label: str, role: str | None = None) -> int:
    """How well the element's name fits, 0 = not at all; the asked role and clickable things are preferred."""
    if not label and role is not None:  # nothing but its kind and place is named
        return EXACT if kind(element) in _ROLES.get(role, frozenset()) else 0
    points = _likeness(element, label)
    if not points:
        return 0
    if role is not None:
        return points + (30 if kind(element) in _ROLES.get(role, frozenset()) else -15)
    return points + (10 if kind(element) in _CLICKABLE else 0)


def _shown(element: Element) -> str:
    return element.name or (element.value or "" if kind(element) in element_roles.LISTS | _ROLES["button"] else "")


def _likeness(element: Element, label: str) -> int:
    shown = _shown(element)
    name, want = normal(shown), normal(label)
    if not name or not want:
        return 0
    if plain(shown).strip() == plain(label).strip():
        return EXACT
    if name == want:
        return SAME
    if len(want) > 2 and name.startswith(want):
        return PREFIX
    if len(want) > 2 and re.search(rf"(?<!\w){re.escape(want)}(?!\w)", name):
        return WORDS
    return 0


def _alike(name: str, want: str) -> bool:
    if not 3 <= len(want) <= 200 or abs(len(name) - len(want)) > 0.3 * len(want):
        return False  # too different in length to be a spelling variant
    return difflib.SequenceMatcher(None, name, want).ratio() >= SIMILARITY


def normal(text: str) -> str:
    """Case, spacing, marks that nobody sees, how a letter is composed and the marks of required fields do not count."""
    return re.sub(r"\s+", " ", plain(text)).strip().strip(":*").strip().casefold()


def kind(element: Element) -> str:
    return re.sub(r"[\s_-]", "", element.role).lower()


def reading_order(elements: Iterable[Element]) -> list[Element]:
    return sorted(elements, key=lambda e: (e.center[1], e.x, e.width))


def _merged(elements: Iterable[Element]) -> list[Element]:
    """Boxes of one name inside one another are one thing: a link and its text. The larger stays."""
    kept: list[Element] = []
    for element in sorted(elements, key=lambda e: -e.width * e.height):
        if not any(_inside(element, o) and normal(_shown(element)) == normal(_shown(o)) for o in kept):
            kept.append(element)
    return kept


def _inside(inner: Element, outer: Element) -> bool:
    return (
        inner.x >= outer.x - _SLACK
        and inner.y >= outer.y - _SLACK
        and inner.x + inner.width <= outer.x + outer.width + _SLACK
        and inner.y + inner.height <= outer.y + outer.height + _SLACK
    )


def _rows(elements: Sequence[Element], label: str) -> list[Element]:
    """The things that say which row is meant: those that carry its label best."""
    scored = [(likeness, e) for e in elements if (likeness := _likeness(e, label))]
    cells = [(likeness, e) for likeness, e in scored if kind(e) not in _ROW_ROLES] or scored
    best = max((likeness for likeness, _ in cells), default=0)
    return [e for likeness, e in cells if likeness == best]


def _in_row(element: Element, anchor: Element) -> bool:
    """Their middles lie on the same line."""
    return abs(element.center[1] - anchor.center[1]) <= max(element.height, anchor.height) / 2 + _SLACK


def describe(element: Element, elements: Sequence[Element]) -> str:
    """The element for a person who has to choose: 'Approve (link, row "Ernst Handel")'."""
    name = short(element.name or element.value or "", 60)
    row = row_name(element, elements)
    place = f'row "{short(row, 40)}"' if row else f"at {element.center[0]}, {element.center[1]}"
    return f"{name} ({element.role}, {place})"


def row_name(element: Element, elements: Sequence[Element]) -> str | None:
    """The leftmost other name on the element's line, if it stands to the left."""
    same_line = [
        e
        for e in elements
        if e.name.strip() and e.name != element.name and kind(e) not in _ROW_ROLES | _CLICKABLE
        if e.x + e.width <= element.x + _SLACK and _in_row(element, e) and e.height <= 4 * max(element.height, 10)
    ]
    return min(same_line, key=lambda e: e.x).name if same_line else None


def labelled(choices: Sequence[Element], elements: Sequence[Element]) -> dict[str, Element]:
    """Each element under a label of its own, so that an answer names exactly one."""
    result: dict[str, Element] = {}
    for element in choices:
        label = describe(element, elements)
        if label in result:
            label = f"{label} at {element.center[0]}, {element.center[1]}"
        while label in result:
            label += " (again)"
        result[label] = element
    return result


def short(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
