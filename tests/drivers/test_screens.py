"""The screen behind a terminal machine, with each program that may hold it: both show and answer the same."""

import asyncio
import io
import os
import shutil
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from machines.drivers import process
from machines.drivers.terminal import screen_cells
from machines.drivers.terminal.driver import TerminalSession
from machines.drivers.terminal.screens import holders
from machines.drivers.terminal.screens.base import Look, Screen
from tests.drivers.conftest import Machine, spec_of


def screen_of(machine: Machine) -> Screen:
    assert isinstance(machine.session, TerminalSession)
    return machine.session.screen


def home(machine: Machine) -> Path:
    return machine.spec.folder / "home"


async def shows(machine: Machine, words: str) -> str:
    """Wait until the screen shows these words; its text."""
    async with asyncio.timeout(15):
        while words not in (text := await machine.session.text()):
            pass
    return text


async def file_of(machine: Machine, path: str, size: int = 1) -> bytes:
    """Wait until a file of the machine holds this many bytes."""
    async with asyncio.timeout(15):
        while len(content := await machine.session.read_file(path) or b"") < size:
            pass
    return content


async def test_a_row_that_the_terminal_wrapped_is_one_line_of_text(terminal: Machine) -> None:
    long = "".join(f"{number:04d}" for number in range(80))  # 320 characters in rows of 128
    await terminal.do("type_text", text=f"clear; echo {long}; echo 'blanks   '; echo end\n")
    lines = (await screen_of(terminal).text()).splitlines()
    assert lines[:3] == [long, "blanks", "end"]
    assert lines[3].startswith("agent@machine:")
    assert (await terminal.session.text()).splitlines() == (await screen_of(terminal).text()).splitlines()


KEYS: list[tuple[str, tuple[str, ...], str]] = [
    ("a", (), "a"), ("enter", (), "\r"), ("x", ("ctrl",), "\x18"), ("x", ("alt",), "\x1bx"), ("tab", ("shift",), "\x1b[Z"),
    ("up", (), "\x1b[A"), ("up", ("ctrl",), "\x1b[1;5A"), ("home", (), "\x1b[1~"), ("delete", (), "\x1b[3~"),
    ("f1", (), "\x1bOP"), ("f12", (), "\x1b[24~"), ("f5", ("shift",), "\x1b[15;2~"), (" ", ("ctrl",), "\0"), (";", (), ";"),
    ("backspace", (), "\x7f"), ("escape", (), "\x1b"), ("left", ("alt", "shift"), "\x1b[1;4D"), ("é", (), "é"),
    ("enter", ("shift",), "\r"), ("/", ("ctrl",), "\x1f"), ("pageup", (), "\x1b[5~"),
]  # fmt: skip


async def test_keys_go_to_the_screen_with_their_modifiers(terminal: Machine) -> None:
    expected = "".join(sent for _, _, sent in KEYS).encode() + "é;".encode()
    await terminal.do("type_text", timeout_ms=200, text=f"stty raw -echo; head -c {len(expected)} > keys.bin\n")
    for key, modifiers, _ in KEYS:
        await screen_of(terminal).press(key, modifiers)
    await screen_of(terminal).type("é;")
    assert await file_of(terminal, "keys.bin") == expected


async def test_cursor_keys_follow_the_programs_mode(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=200, text="stty raw -echo; printf '\\e[?1hready'; head -c 6 > keys.bin\n")
    await shows(terminal, "ready")
    for key in ("up", "left"):
        await screen_of(terminal).press(key)
    assert await file_of(terminal, "keys.bin") == b"\x1bOA\x1bOD"


ASK = """
import os, sys, termios, tty
before = termios.tcgetattr(0); tty.setraw(0)
def ask(question, ends):
    os.write(1, question); answer = b""
    while not answer.endswith(ends): answer += os.read(0, 1)
    return answer
answers = [ask(b"\\x1b[7;11H\\x1b[6n", b"R"), ask(b"\\x1b[c", b"c"), ask(b"\\x1b[>c", b"c"), ask(b"\\x1b[5n", b"n"),
           ask(b"\\x1b[999;999H\\x1b[6n", b"R"), ask(b"\\x1b[1;1Habc\\x1b[s\\x1b[6n\\x1b[u", b"R")]
termios.tcsetattr(0, termios.TCSADRAIN, before)
open("answers", "w").write(repr(answers))
"""


async def test_programs_that_ask_the_terminal_are_answered(terminal: Machine) -> None:
    (home(terminal) / "ask.py").write_text(ASK)
    assert (await terminal.do("type_text", text="python3 ask.py\n")).data["exit_code"] == 0
    answers = [
        b"\x1b[7;11R", b"\x1b[?1;2c", b"\x1b[>84;0;0c", b"\x1b[0n", b"\x1b[36;128R", b"\x1b[1;4R",
    ]  # fmt: skip
    assert await terminal.session.read_file("answers") == repr(answers).encode()


async def test_vim_edits_a_file(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=500, text="vim -u NONE -N file.txt\n")
    await shows(terminal, "~")
    await terminal.do("type_text", text="iFirst line ✓\nsecond")
    for _ in range(3):
        await terminal.do("key_press", key="left")
    await terminal.do("type_text", text="-")
    text = await shows(terminal, "sec-ond")
    assert "INSERT" in text
    await terminal.do("key_press", key="escape")
    await terminal.do("type_text", text=":wq\n")
    assert await file_of(terminal, "file.txt", 20) == "First line ✓\nsec-ond\n".encode()
    assert "~" not in (await shows(terminal, "vim -u NONE")).replace(":~$", "")  # the other screen is gone


async def test_less_pages_through_a_file(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=500, text="clear; seq 5000 | less\n")
    await shows(terminal, "\n35\n")
    await terminal.do("key_press", key="pagedown")
    await shows(terminal, "\n70\n")
    await terminal.do("type_text", text="/4321\n")
    assert (await shows(terminal, "4321")).startswith("4321\n")
    await terminal.do("key_press", key="q")
    await shows(terminal, "agent@machine")


async def test_top_runs_until_it_is_ended(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=500, text="top\n")
    await shows(terminal, "load average")
    await shows(terminal, "COMMAND")
    await terminal.do("key_press", key="q")
    async with asyncio.timeout(10):
        while not (await terminal.session.state()).idle:
            pass


async def test_python_remembers_lines(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=500, text="python3\n")
    await shows(terminal, ">>>")
    await terminal.do("type_text", text="6 * 7\n")
    await shows(terminal, "\n42\n")
    await terminal.do("key_press", key="up")
    await terminal.do("type_text", text=" + 1\n")
    await shows(terminal, "\n43\n")
    await terminal.do("key_combo", keys=["ctrl", "d"])


async def test_two_hundred_thousand_lines_pass(terminal: Machine) -> None:
    result = await terminal.do("type_text", timeout_ms=60_000, text="clear; seq 200000\n")
    assert (result.data["exit_code"], result.data["finished"]) == (0, True)
    assert "199999\n200000\nagent@machine" in await shows(terminal, "200000\nagent")


def resident(machine: Machine) -> float:
    """Megabytes that the holder of the screen has in memory."""
    root = process.recorded(machine.handle)
    assert root is not None
    status = Path(f"/proc/{root.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def test_much_output_and_unread_answers_take_no_memory(terminal: Machine) -> None:
    program = "import sys\nfor n in range(1000): sys.stdout.write(f'\\x1b[3{n % 8}m' + f'{n:0999d}漢e\\u0301' * 20 + '\\x1b[6n\\x1b[c')"
    (home(terminal) / "much.py").write_text(program)
    await terminal.do(
        "type_text", timeout_ms=500, text="stty -echo; python3 much.py; echo; echo over >over; sleep 600\n"
    )
    await file_of(terminal, "over")
    await screen_of(terminal).look()
    assert resident(terminal) < 150


async def test_it_answers_while_output_never_ends(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=300, text="yes $(seq 40)\n")
    await shows(terminal, "38 39 40")
    assert (await terminal.do("key_combo", keys=["ctrl", "c"])).success
    async with asyncio.timeout(15):
        while not (await terminal.session.state()).idle:
            pass


async def test_the_mouse_is_sent_where_it_is_asked_for(terminal: Machine) -> None:
    look = await screen_of(terminal).look()
    assert not look.takes_mouse
    for modes, mouse, moves in (
        ("1000", False, False),
        ("1006", True, False),
        ("1002", True, False),
        ("1003", True, True),
    ):
        await terminal.do("type_text", text=f"printf '\\e[?{modes}h'\n")
        look = await screen_of(terminal).look()
        assert (look.takes_mouse, look.takes_moves) == (mouse, moves), modes
    await terminal.do("type_text", text="printf '\\e[?1000;1002l\\e[?1003l'\n")
    assert not (await screen_of(terminal).look()).takes_mouse
    await terminal.do("type_text", text="printf '\\e[?1000;1006h'; printf '\\ec'\n")
    assert not (await screen_of(terminal).look()).takes_mouse


async def test_its_size_can_be_changed(terminal: Machine) -> None:
    await screen_of(terminal).resize(100, 30)
    await terminal.do("type_text", text="stty size > size\n")
    assert await terminal.session.read_file("size") == b"30 100\n"


async def test_pasted_text_is_typed_as_it_is(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=200, text="stty raw -echo; printf '\\e[?2004hready'; head -c 8 > got\n")
    await shows(terminal, "ready")
    await screen_of(terminal).type("a\tb\x1b[C\rc")
    assert await file_of(terminal, "got") == b"a\tb\x1b[C\rc"


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Machine]]:
    machines = []
    for name in ("tmux", "keeper"):
        monkeypatch.setenv("MACHINE_SCREEN", name)
        machines.append(Machine(spec_of("terminal", tmp_path / name)))
        await machines[-1].start()
        assert machines[-1].handle["screen"] == name
    yield machines
    for machine in machines:
        await machine.stop()


SAMPLES = {
    "styles": "\x1b[1mbold\x1b[22m \x1b[2mdim\x1b[0m \x1b[4munder\x1b[24m \x1b[7mreverse\x1b[27m \x1b[31mred\x1b[39m "
    "\x1b[44mblue\x1b[49m "
    "\x1b[91;102mbright\x1b[0m \x1b[38;5;208m256\x1b[48;5;17mboth\x1b[0m \x1b[38;2;1;200;3mtrue\x1b[48;2;9;8;7mcolour\x1b[0m "
    "\x1b[1;7;33mx\x1b[m",
    "wide": "漢字|ｆｕｌｌ|😀|é|e\u0301|ก็กำ|שָׁלוֹם|a\u200bb|❤\ufe0f|end",
    "wrapped": "x" * 126 + "漢字" + "y" * 130 + "\r\nshort",
    "lines": "\x1b(0lqqk\r\nx  x\r\nmqqj\x1b(B │─┼ ░▒▓",
    "moves": "one\x1b[10Ctwo\r\n\x1b[5;5Hfive\x1b[A\x1b[2Dup\x1b[10;1Hten\tTab\tTab"
    "\x1b[1;1HTOP\x1b[20;20H\x1b[1Kleft\x1b[s\x1b[H\x1b[urest",
    "edits": "abcdef\x1b[3D\x1b[2P\r\n123456\x1b[4D\x1b[2@--\r\nerase\x1b[2D\x1b[K\r\nxxxxx\x1b[3D\x1b[2X\r\na\x1b[5bz",
    "region": "\x1b[3;6r\x1b[3;1Hr1\r\nr2\r\nr3\r\nr4\r\nr5\r\nr6\x1b[3;1H\x1bMtop\x1b[4;1H\x1b[Lnew\x1b[5;1H\x1b[M\x1b[r\x1b[9;1Hafter",
    "titles": "\x1b]0;a title\x07one\x1b]2;another\x1b\\two\x1bkname\x1b\\three\x1bPqsixel\x1b\\four\x1b_apc\x1b\\five",
    "other screen": "first\x1b[?1049h\x1b[Hsecond\x1b[?25l",
    "back again": "first\x1b[?1049h\x1b[Hsecond\x1b[?1049lthird\x1b[?25l\x1b[?25h",
    "broken": "a\x1b[b\x1b[999999999Cc\x1b[?;;;md\x1b[0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0me",
    "full row": "z" * 128 + "\r\nnext",
}


def drawn(look: Look) -> list[list[Any]]:
    """What one sees: composed, without blanks at the ends of rows."""
    rows: list[list[Any]] = []
    for row in look.grid:
        cells: list[Any] = [(unicodedata.normalize("NFC", cell.char), *cell[1:]) for cell in row]
        blank = screen_cells.Style().cell(" ", 1)
        while cells and cells[-1] == blank:
            cells.pop()
        rows.append(cells)
    while rows and not rows[-1]:
        rows.pop()
    return rows


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.tmux
async def test_both_show_the_same(both: list[Machine], sample: str) -> None:
    for machine in both:
        (home(machine) / "sample").write_text(SAMPLES[sample])
        await machine.do("type_text", timeout_ms=300, text="clear; stty -echo; cat sample; echo > shown; sleep 600\n")
        await file_of(machine, "shown")
        await machine.do("wait", ms=10)
    first, second = [await screen_of(machine).look() for machine in both]
    assert drawn(first) == drawn(second)
    assert (first.cursor, first.takes_mouse, first.takes_moves) == (
        second.cursor,
        second.takes_mouse,
        second.takes_moves,
    )
    one, two = [unicodedata.normalize("NFC", await screen_of(machine).text()) for machine in both]
    assert one == two
    pictures = [Image.open(io.BytesIO((await machine.session.screenshot()).png)).convert("RGB") for machine in both]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_without_tmux_a_keeper_of_our_own_holds_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MACHINE_SCREEN", raising=False)
    assert holders.chosen().name == ("tmux" if shutil.which("tmux") else "keeper")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert holders.chosen().name == "keeper"
    assert holders.chosen().missing() is None
    monkeypatch.setitem(sys.modules, "avt", None)  # as where no wheel is
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "apt-get install tmux" in str(holders.chosen().missing())


async def test_a_machine_needs_neither_bwrap_nor_tmux_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MACHINE_SCREEN", raising=False)
    for isolation in ("bubblewrap", "fence"):
        monkeypatch.setenv("MACHINE_ISOLATION", isolation)
        machine = Machine(spec_of("terminal", tmp_path / isolation))
        assert machine.driver.missing() == []
        await machine.start()
        try:
            assert (machine.handle["isolation"], machine.handle["screen"]) == (isolation, "keeper")
            assert (await machine.do("type_text", text="echo ✓ > here\n")).data["exit_code"] == 0
            assert await machine.session.read_file("here") == "✓\n".encode()
            everything = machine.processes()
        finally:
            await machine.stop()
        assert [one for one in everything if process.is_alive(one)] == []


async def test_the_socket_of_the_holder_is_for_its_user_alone(terminal: Machine) -> None:
    assert not os.stat(terminal.handle["run"]).st_mode & 0o077  # noqa: PTH116
