"""The live screen of a terminal: looked at, and typed into as a keyboard does it, without waiting for what comes of it."""

from collections.abc import Sequence
from itertools import groupby

from machines.drivers.live_screen import Input, LookedScreen, as_action
from machines.drivers.terminal.driver import TerminalSession


class TerminalScreen(LookedScreen):
    session: TerminalSession

    def __init__(self, session: TerminalSession) -> None:
        super().__init__(session)

    async def give(self, events: Sequence[Input]) -> None:
        for kind, same in groupby(events, lambda event: event.kind):
            if kind == "text":  # at once: each visit to the screen costs more than what it types
                text = "".join(event.text for event in same)
                await self.session.screen.type(text.replace("\r\n", "\n").replace("\n", "\r"))
                continue
            for event in same:
                await self._give(event)
        self.touched()

    async def _give(self, event: Input) -> None:
        if event.kind != "key":
            action = as_action(event)
            if action is not None:
                await self.session.act(action)
        elif "meta" not in event.modifiers:
            await self.session.screen.press(*_pressed(event))


def _pressed(event: Input) -> tuple[str, list[str]]:
    """Key and modifiers as a terminal has them: a shifted letter is a capital, and Ctrl knows no capitals."""
    key, modifiers = event.key, list(event.modifiers)
    if len(key) == 1 and "shift" in modifiers:
        modifiers.remove("shift")
        key = key.upper()
    return (key.lower() if "ctrl" in modifiers else key), modifiers
