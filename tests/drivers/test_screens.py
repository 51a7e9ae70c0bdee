"""The screen behind a terminal machine: what it shows as lines, and how it takes keys."""

from machines.drivers.screens.base import Screen
from machines.drivers.terminal import TerminalSession
from tests.drivers.conftest import Machine


def screen_of(machine: Machine) -> Screen:
    assert isinstance(machine.session, TerminalSession)
    return machine.session.screen


async def test_a_row_that_the_terminal_wrapped_is_one_line_of_text(terminal: Machine) -> None:
    long = "".join(f"{number:04d}" for number in range(80))  # 320 characters in rows of 128
    await terminal.do("type_text", text=f"clear; echo {long}; echo 'blanks   '; echo end\n")
    lines = (await screen_of(terminal).text()).splitlines()
    assert lines[:3] == [long, "blanks", "end"]
    assert lines[3].startswith("agent@machine:")
    rows = (await terminal.session.text()).splitlines()
    assert rows[0] == long[:128]


async def test_keys_go_to_the_screen_with_their_modifiers(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=200, text="stty raw -echo; head -c 11 > keys.bin\n")
    screen = screen_of(terminal)
    for key, modifiers in (("a", ()), ("enter", ()), ("x", ("ctrl",)), ("x", ("alt",)), ("tab", ("shift",))):
        await screen.press(key, modifiers)
    await screen.type("é;")
    arrived = "until [ -s keys.bin ]; do sleep 0.02; done"
    assert (await terminal.session.terminal(arrived, 5000)).exit_code == 0
    assert await terminal.session.read_file("keys.bin") == "a\r\x18\x1bx\x1b[Zé;".encode()
