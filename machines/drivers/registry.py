"""Which driver serves which kind of machine."""

from machines.drivers.base import Driver
from machines.drivers.browser.driver import BrowserDriver
from machines.drivers.simulated import SimulatedDriver
from machines.drivers.terminal.driver import TerminalDriver

_DRIVERS: dict[str, Driver] = {driver.kind: driver for driver in (TerminalDriver(), BrowserDriver(), SimulatedDriver())}
KINDS = tuple(_DRIVERS)


def driver_for(kind: str) -> Driver:
    """The driver of this kind; raises LookupError that names the known kinds."""
    try:
        return _DRIVERS[kind]
    except KeyError:
        raise LookupError(f"There is no driver for machines of kind '{kind}'. Known: {', '.join(KINDS)}.") from None
