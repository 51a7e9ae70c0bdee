"""What can be waited for and checked: text on the screen, files, the address, ports. Always looked at afresh."""

import asyncio
import time
from typing import Any

from machines.drivers.base import Element, Session
from runs.agents.playbook import grounding
from runs.agents.playbook.grounding import Target, normal, short

Condition = dict[str, Any]

OF_BROWSERS = frozenset({"url_contains", "url_lacks"})


async def holds(condition: Condition, session: Session) -> bool:
    """Whether it is true of the machine now."""
    kind: str = condition["is"]
    if kind in ("text_visible", "text_hidden"):
        return await _shows(condition["seen"], session) == (kind == "text_visible")
    if kind.startswith("file"):
        return _file_fits(condition, await session.read_file(condition["name"]))
    state = await session.state()
    if kind.startswith("url"):
        return bool(condition["url_part"] in (state.url or "")) == (kind == "url_contains")
    return bool(condition["port"] in state.ports) == (kind == "port_open")


async def _shows(text: str, session: Session) -> bool:
    """In what is painted; case, spacing and marks that nobody sees do not count."""
    return normal(text) in normal(await session.text())


async def checked(session: Session, label: str) -> bool | None:
    """Whether the box of this name is checked; None when there is no such box, or several that a person can see."""
    boxes = grounding.find(await session.elements(), Target(label, only="box"))
    if len(boxes) > 1:
        boxes = [box for box in boxes if not await _hidden(box, session)]
    return bool(boxes[0].checked) if len(boxes) == 1 else None


async def _hidden(element: Element, session: Session) -> bool:
    reach = await session.reach(element.ref) if element.ref else None
    return reach is not None and reach.hidden


def _file_fits(condition: Condition, content: bytes | None) -> bool:
    if content is None or condition["is"] == "file_gone":
        return content is None and condition["is"] == "file_gone"
    found = str(condition.get("text", "")).encode() in content
    return found is not (condition["is"] == "file_lacks")


def describe(condition: Condition) -> str:
    """The condition as the middle of a sentence."""
    words = {key: short(str(value), 200) for key, value in condition.items()}
    patterns = {
        "text_visible": '"{seen}" is visible',
        "text_hidden": '"{seen}" is not visible',
        "file_there": 'the file {name} contains "{text}"' if "text" in words else "the file {name} exists",
        "file_gone": "the file {name} does not exist",
        "file_lacks": 'the file {name} does not contain "{text}"',
        "url_contains": 'the URL contains "{url_part}"',
        "url_lacks": 'the URL does not contain "{url_part}"',
        "port_open": "port {port} is listening",
        "port_closed": "port {port} is not listening",
    }
    return patterns[condition["is"]].format(**words)


async def wait_until(condition: Condition, session: Session, limit: float, poll: float) -> float | None:
    """The seconds it took until the condition held, None when it did not within `limit` seconds."""
    started = time.monotonic()
    while not await holds(condition, session):
        if time.monotonic() - started >= limit:
            return None
        await asyncio.sleep(poll)
    return time.monotonic() - started
