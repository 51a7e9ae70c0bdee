"""Which driver serves which kind of machine, and what shows its screen as it happens."""

from machines.drivers.base import Driver, Session
from machines.drivers.browser.driver import BrowserDriver, BrowserSession
from machines.drivers.browser.screencast import Screencast
from machines.drivers.live_screen import LiveScreen, LookedScreen
from machines.drivers.simulated import SimulatedDriver
from machines.drivers.terminal.driver import TerminalDriver, TerminalSession
from machines.drivers.terminal.live_screen import TerminalScreen

_DRIVERS: dict[str, Driver] = {driver.kind: driver for driver in (TerminalDriver(), BrowserDriver(), SimulatedDriver())}
KINDS = tuple(_DRIVERS)


def driver_for(kind: str) -> Driver:
    """The driver of this kind; raises LookupError that names the known kinds."""
    try:
        return _DRIVERS[kind]
    except KeyError:
        raise LookupError(f"There is no driver for machines of kind '{kind}'. Known: {', '.join(KINDS)}.") from None


def live_screen(session: Session) -> LiveScreen:
    """What shows the screen of this session's machine; the session is its own from now on."""
    if isinstance(session, BrowserSession):
        return Screencast(session)
    return TerminalScreen(session) if isinstance(session, TerminalSession) else LookedScreen(session)
