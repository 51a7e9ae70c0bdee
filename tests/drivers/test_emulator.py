"""The emulator behind screens without tmux: what avt leaves out, and bytes of every kind."""

from hypothesis import given
from hypothesis import strategies as st

from machines.drivers.terminal.screens.emulator import Emulator
from machines.drivers.terminal.screens.keeper_holder import paint
from machines.drivers.terminal.screens.keycodes import key_bytes


def fed(*parts: str | bytes, columns: int = 20, rows: int = 4) -> tuple[Emulator, list[str]]:
    replies: list[str] = []
    emulator = Emulator(columns, rows, replies.append)
    for part in parts:
        emulator.feed(part.encode() if isinstance(part, str) else part)
    return emulator, replies


def test_questions_are_answered_in_their_place() -> None:
    _, replies = fed("ab\x1b[6ncd\x1b[6n\r\n\x1b[6n\x1b[18t\x1b[14t\x1b[c\x1b[0c\x1b[>c\x1b[5n\x1b[>q")
    assert replies == [
        "\x1b[1;3R", "\x1b[1;5R", "\x1b[2;1R", "\x1b[8;4;20t", "\x1b[4;80;200t", "\x1b[?1;2c", "\x1b[?1;2c", "\x1b[>84;0;0c",
        "\x1b[0n", "\x1bP>|countersign\x1b\\",
    ]  # fmt: skip


def test_what_comes_in_pieces_is_read_whole() -> None:
    whole = "é漢\x1b[31mred\x1b[?1000;1006h\x1b[6n\x1bktitle\x1b\\e\u0301 x\u0338y\x1b[1;1HX".encode()
    once, answers = fed(whole)
    pieces, later = fed(*(bytes([byte]) for byte in whole))
    assert (once.rows_of_runs(), once.lines(), answers) == (pieces.rows_of_runs(), pieces.lines(), later)
    assert once.mouse
    assert pieces.mouse


def test_marks_stand_on_the_character_before_them() -> None:
    emulator, _ = fed("e\u0301|x\u0338|ก็|漢\ufe0f|\u0301|\x1b[31m\u0301|")
    assert emulator.lines()[0] == "é|x\u0338|ก็|漢|\u0301||"
    assert emulator.cursor == (11, 0)
    at_the_edge, _ = fed("1234567890123456789x", "\u0338", "y")
    assert at_the_edge.lines()[:1] == ["1234567890123456789x\u0338y"]


def test_endless_marks_are_cut() -> None:
    emulator, _ = fed("x" + "\u0338" * 10_000)
    assert len(emulator.lines()[0]) <= 8
    for first in range(0x300, 0x340):
        for second in range(0x300, 0x36F):
            emulator.feed(f"x{chr(first)}{chr(second)}".encode())
    assert len(emulator._clusters) <= 4096


def test_lines_scrolled_away_are_forgotten() -> None:
    emulator, _ = fed(*(f"{number}\r\n" for number in range(10_000)))
    assert len(emulator._vt.lines()) <= 2000 + 2 * emulator.rows
    assert emulator.lines()[0] == "9997"


PIECES = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(str.encode),
    st.sampled_from([
        b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x07", b"\x1bc", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2J", b"\x1b[99999;99999H",
        b"\x1b[1;2r", b"\x1b[99999L", b"\x1b[99999P", b"\x1b[99999@", b"\x1b[65535b", b"\x1b[99999X", b"\x1b[8;1;1t", b"\x1b[38;5m",
        b"\x1b[48;2;1m", b"\x1b#8", b"\x1b(0", b"\x0e", b"\x1bM", b"\x1b[6n", b"\x1b[?1000;1003;1006h", b"\r", b"\n", b"\t", b"\b",
        "漢".encode(), "é".encode(), "\u0301".encode(), b"\xe6\xbc", b"\x9b31m", b"\x1b[S", b"\x1b[9999T", b"\x1b[g", b"\x1b[!p",
    ]),
)  # fmt: skip


@given(st.lists(PIECES, max_size=60), st.integers(1, 40), st.integers(1, 12))
def test_no_bytes_break_it(pieces: list[bytes], columns: int, rows: int) -> None:
    emulator, _ = fed(*pieces, columns=columns, rows=rows)
    drawn = emulator.rows_of_runs()
    assert len(drawn) == rows
    assert all(sum(len(run[3]) for run in row) <= columns for row in drawn)
    cursor = emulator.cursor
    assert cursor is None or (0 <= cursor[0] < columns and 0 <= cursor[1] < rows)
    assert all(isinstance(line, str) for line in emulator.lines())
    emulator.resize(columns + 1, rows + 1)
    emulator.feed(b"\x1bcstill here"[: columns + 2])
    assert emulator.lines()[0].startswith("s")


def test_cells_are_painted_with_their_width_and_colours() -> None:
    import json

    emulator, _ = fed("\x1b[1;31;48;5;17ma漢\x1b[0m b")
    ((first, wide, right, blank, last),) = [row for row in paint(json.dumps(emulator.rows_of_runs())) if row]
    assert (first.char, first.bold, first.width, first.fg, first.bg) == ("a", True, 1, (240, 113, 120), (0, 0, 95))
    assert [(cell.char, cell.width) for cell in (wide, right, blank, last)] == [("漢", 2), ("", 0), (" ", 1), ("b", 1)]


def test_keys_without_a_code_of_their_own_are_the_key_alone() -> None:
    assert key_bytes("enter", ["ctrl"], application=False) == "\r"
    assert key_bytes("9", ["ctrl"], application=False) == "9"
    assert key_bytes("c", ["ctrl", "alt"], application=False) == "\x1b\x03"
    assert key_bytes("up", [], application=True) == "\x1bOA"
