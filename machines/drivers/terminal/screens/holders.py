"""Which program holds the screens of this computer: tmux where it is, else a keeper of our own."""

import os

from machines.drivers.terminal.screens.base import Holder
from machines.drivers.terminal.screens.keeper_holder import KeeperHolder
from machines.drivers.terminal.screens.tmux import TmuxHolder

HOLDERS: dict[str, Holder] = {holder.name: holder for holder in (TmuxHolder(), KeeperHolder())}


def chosen() -> Holder:
    """What new screens are held by; its `missing` says why that may not be possible."""
    name = os.environ.get("MACHINE_SCREEN", "")
    if name in HOLDERS:
        return HOLDERS[name]
    tmux, keeper = HOLDERS["tmux"], HOLDERS["keeper"]
    return tmux if tmux.missing() is None or keeper.missing() else keeper


def holder_of(name: object) -> Holder:
    """The one that a machine's handle names; those of before there was a choice name none."""
    return HOLDERS.get(str(name), HOLDERS["tmux"])
