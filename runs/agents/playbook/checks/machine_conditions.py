"""What can be waited for and checked: text on the screen, files, the address, ports. Always looked at afresh."""

import asyncio
import time
from typing import Any

from machines.drivers.base import Element, Session
from machines.drivers.browser.fields.field_values import means
from runs.agents.playbook.screen import grounding
from runs.agents.playbook.screen.grounding import Target, normal, short

Condition = dict[str, Any]

_MOST_OF_FILE = 1 << 24  # bytes that are looked through: what a longer file lacks is not known
_OF_BOXES = frozenset({"box_checked", "box_unchecked"})
_OF_FIELDS = frozenset({"field_contains", "field_lacks", "field_is", "field_empty"})
OF_BROWSERS = frozenset({"url_contains", "url_lacks"}) | _OF_BOXES | _OF_FIELDS


async def holds(condition: Condition, session: Session) -> bool:
    """Whether it is true of the machine now."""
    kind: str = condition["is"]
    if kind in ("text_visible", "text_hidden"):
        return await _shows(condition["seen"], session) == (kind == "text_visible")
    if kind.startswith("file"):
        return _file_fits(condition, await session.read_file(condition["name"], _MOST_OF_FILE + 1))
    if kind in _OF_BOXES | _OF_FIELDS:
        element = await field_of(condition, session)
        return element is not None and _element_fits(condition, element)
    state = await session.state()
    if kind.startswith("url"):
        return bool(condition["url_part"] in (state.url or "")) == (kind == "url_contains")
    return bool(condition["port"] in state.ports) == (kind == "port_open")


async def _shows(text: str, session: Session) -> bool:
    """In what is painted; case, spacing and marks that nobody sees do not count."""
    return normal(text) in normal(await session.text())


async def field_of(condition: Condition, session: Session) -> Element | None:
    """The one box, list or field that the condition is about, of those that a person can see; None when it is not there
    or there are several."""
    elements = await session.elements()
    kinds = ("box",) if condition["is"] in _OF_BOXES else ("field", "list")
    place = {key: condition.get(key) for key in ("role", "row")}
    for only in kinds:
        fitting = grounding.best(elements, Target(condition["label"], only=only, **place))
        visible = [element for element in fitting if not await _hidden(element, session)]
        if len(chosen := grounding.at_place(visible, condition.get("ordinal"))) == 1:
            return chosen[0]
    return None


async def _hidden(element: Element, session: Session) -> bool:
    reach = await session.reach(element.ref) if element.ref else None
    return reach is not None and reach.hidden


def _element_fits(condition: Condition, element: Element) -> bool:
    kind, value = condition["is"], element.value or ""
    if kind in _OF_BOXES:
        return element.checked is (kind == "box_checked")
    if kind == "field_empty":
        return not value.strip()
    if kind == "field_is":
        return means(condition["text"], value)
    return bool((normal(condition["text"]) in normal(value)) == (kind == "field_contains"))


def _file_fits(condition: Condition, content: bytes | None) -> bool:
    if content is None or condition["is"] == "file_gone":
        return content is None and condition["is"] == "file_gone"
    if condition["is"] == "file_is":
        return content == str(condition["text"]).encode()
    contains = str(condition.get("text", "")).encode() in content
    if condition["is"] == "file_lacks":
        return not contains and len(content) <= _MOST_OF_FILE
    return contains


def describe(condition: Condition) -> str:
    """The condition as the middle of a sentence."""
    words = {key: short(_listed(value), 200) for key, value in condition.items()}
    patterns = {
        "text_visible": '"{seen}" is visible',
        "text_hidden": '"{seen}" is not visible',
        "file_there": 'the file {name} contains "{text}"' if "text" in words else "the file {name} exists",
        "file_is": 'the file {name} holds "{text}"',
        "file_gone": "the file {name} does not exist",
        "file_lacks": 'the file {name} does not contain "{text}"',
        "url_contains": 'the URL contains "{url_part}"',
        "url_lacks": 'the URL does not contain "{url_part}"',
        "port_open": "port {port} is listening",
        "port_closed": "port {port} is not listening",
        "ports_closed": "nothing listens on port {ports} any more",
        "ended_well": "{command} ended with exit code 0",
        "reached": "{url} was reached",
        "box_checked": '"{label}" is checked',
        "box_unchecked": '"{label}" is not checked',
        "field_contains": 'the field "{label}" contains "{text}"',
        "field_lacks": 'the field "{label}" does not contain "{text}"',
        "field_is": 'the field "{label}" holds "{text}"',
        "field_empty": 'the field "{label}" is empty',
    }
    return patterns[condition["is"]].format_map(words)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


async def wait_until(condition: Condition, session: Session, limit: float, poll: float) -> float | None:
    """The seconds it took until the condition held, None when it did not within `limit` seconds."""
    started = time.monotonic()
    while not await holds(condition, session):
        if time.monotonic() - started >= limit:
            return None
        await asyncio.sleep(poll)
    return time.monotonic() - started
