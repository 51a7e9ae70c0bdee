"""Trying a fetched Chromium out as machines use it: in the sandbox, through DevTools, with a picture taken."""

import asyncio
from pathlib import Path

from machines.drivers.base import DriverUnavailable, Handle, MachineGone, MachineSpec
from machines.drivers.browser.chromium import in_folder
from machines.drivers.browser.driver import BrowserDriver
from machines.drivers.within import within

_SECONDS = 90


def browser_works(folder: Path) -> str | None:
    """What is wrong with the Chromium in this folder; None when it showed a page. The trial's own files lie beside it."""
    try:
        asyncio.run(within(_SECONDS, _show_a_page(BrowserDriver(in_folder(folder)), _spec(folder.parent))))
    except TimeoutError:
        return f"it showed nothing within {_SECONDS} seconds."
    except (MachineGone, DriverUnavailable, OSError) as error:
        return str(error)
    return None


def end_left(beside: Path) -> None:
    """End the browser of a trial whose process was killed in the middle of it."""
    spec = _spec(beside)
    if spec.folder.exists():
        asyncio.run(BrowserDriver().stop(spec, {}))


def _spec(beside: Path) -> MachineSpec:
    return MachineSpec(id="trial", kind="browser", folder=beside / "trial", width=640, height=480)


async def _show_a_page(driver: BrowserDriver, spec: MachineSpec) -> None:
    handle: Handle = {}
    try:
        handle = await driver.start(spec, None)
        session = await driver.attach(spec, handle)
        await session.screenshot()
        await session.close()
    finally:
        await driver.stop(spec, handle)
