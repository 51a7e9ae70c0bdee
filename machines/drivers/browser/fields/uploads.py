"""Files for pages: into a file input, or through whatever on the page asks for one."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from machines.drivers import guest_link
from machines.drivers.browser.fields.filling import Fields
from machines.drivers.browser.input.reach import Node
from machines.drivers.browser.page.channel import PageProblem

CHOOSER_WAIT = 2.0  # seconds within which a page that was clicked asks for its file
POLL = 0.05  # seconds

Ask = Callable[..., Awaitable[dict[str, Any]]]


class File(NamedTuple):
    """A file of the machine: its path as the browser in it sees it."""

    path: str
    name: str


async def find(guest: Path, path: str) -> File:
    """A file below the machine's home, by a path that begins there. Raises PageProblem when there is none.

    A browser that is given a path without a file makes an empty file of that name of it, and says nothing.
    """
    answer = await guest_link.ask(guest, "find_file", path=path)
    whole = answer.get("path")
    if not isinstance(whole, str):
        raise PageProblem(f"There is no file {path[:500]} in the home of this machine.")
    return File(whole, PurePosixPath(whole).name)


async def upload(fields: Fields, ask: Ask, node: Node | None, file: File) -> dict[str, Any]:
    """Give the file to the input at this node, or to the one for which the page asks when the node is clicked."""
    if node is None:
        raise PageProblem("There is nothing at this point.")
    field = await fields.of(node)
    if field and field.kind == "file":
        if field.locked:
            raise PageProblem("This field is locked: it cannot be changed.")
        return await fields.upload(field.node, file.path, file.name)
    before = (await ask("choosers", cancel=False)).get("chooser")
    try:
        await fields.nodes.click(node)
        chooser = await _file_input(ask, before)
    finally:
        with contextlib.suppress(Exception):
            await ask("choosers", cancel=True)
    if not chooser:
        raise PageProblem(
            "This takes no file: it is no field for one, and when it was clicked the page asked for none."
        )
    return await fields.upload(await fields.nodes.of(chooser), file.path, file.name)


async def _file_input(ask: Ask, before: object) -> str | None:
    """The file input for which the page wants a file now."""
    end = time.monotonic() + CHOOSER_WAIT
    while time.monotonic() < end:
        chooser = (await ask("page")).get("chooser")
        if isinstance(chooser, dict) and chooser != before:
            ref = chooser.get("ref")
            if not isinstance(ref, str):
                raise PageProblem("The page asked for a file in a way that cannot be answered (showOpenFilePicker).")
            return ref
        await asyncio.sleep(POLL)
    return None
