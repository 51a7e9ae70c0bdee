"""Turns what a terminal shows (text with SGR escapes, as `tmux capture-pane -e` prints it) into cells and a picture."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from machines.drivers.terminal.columns import is_wide, takes_no_column

CELL_WIDTH, CELL_HEIGHT = 10, 20  # pixels
FONT_SIZE = 16
Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FOREGROUND: Color = (220, 223, 228)
BACKGROUND: Color = (24, 26, 31)
CURSOR: Color = (201, 206, 214)
_ANSI: tuple[Color, ...] = (
    (49, 53, 63), (240, 113, 120), (152, 195, 121), (229, 192, 123),
    (97, 175, 239), (198, 120, 221), (86, 182, 194), (208, 212, 220),
    (107, 114, 128), (255, 139, 146), (181, 228, 148), (255, 216, 148),
    (130, 200, 255), (224, 155, 245), (116, 214, 226), (255, 255, 255),
)  # fmt: skip
_TOKEN = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x1f\x7f]|(.)", re.DOTALL)
# What letters mean between SO and SI: the line drawing set of the VT100.
_LINES = dict(zip("`afgijklmnopqrstuvwxyz{|}~", "◆▒°±␤┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))
_COVER = "\u2588"  # a full block
# It comes along: pictures are the same on every computer, with fonts of its own or without.
FONTS = Path(__file__).with_name("fonts")


class Cell(NamedTuple):
    """One character place; the right half of a wide character is a cell with an empty `char`."""

    char: str
    fg: Color
    bg: Color
    bold: bool
    underline: bool
    width: int


class Cursor(NamedTuple):
    column: int
    row: int


@dataclass(frozen=True)
class Style:
    fg: Color | None = None
    bg: Color | None = None
    bold: bool = False
    dim: bool = False
    underline: bool = False
    reverse: bool = False

    def cell(self, char: str, width: int) -> Cell:
        fg, bg = self.fg or FOREGROUND, self.bg or BACKGROUND
        if self.reverse:
            fg, bg = bg, fg
        if self.dim:
            fg = ((fg[0] + bg[0]) // 2, (fg[1] + bg[1]) // 2, (fg[2] + bg[2]) // 2)
        return Cell(char, fg, bg, self.bold, self.underline, width)


_FLAGS: dict[int, dict[str, bool]] = {
    1: {"bold": True}, 2: {"dim": True}, 4: {"underline": True}, 7: {"reverse": True},
    22: {"bold": False, "dim": False}, 24: {"underline": False}, 27: {"reverse": False},
}  # fmt: skip


def palette(number: int) -> Color:
    """One of the 256 colours of xterm."""
    if number < 16:
        return _ANSI[number]
    if number < 232:
        red, green, blue = (0 if level == 0 else 55 + 40 * level for level in _cube(number - 16))
        return red, green, blue
    grey = 8 + 10 * (min(number, 255) - 232)
    return grey, grey, grey


def _cube(number: int) -> tuple[int, int, int]:
    return number // 36, number // 6 % 6, number % 6


def restyle(style: Style, codes: list[int]) -> Style:
    """The style after one SGR sequence; codes that are not known are passed over."""
    rest = list(codes)
    while rest:
        code = rest.pop(0)
        if code == 0:
            style = Style()
        elif code in _FLAGS:
            style = replace(style, **_FLAGS[code])  # type: ignore[arg-type]
        elif code in (38, 48):
            color = _extended(rest)
            style = replace(style, fg=color) if code == 38 else replace(style, bg=color)
        elif code == 39 or 30 <= code <= 37 or 90 <= code <= 97:
            style = replace(style, fg=None if code == 39 else palette(code - 30 if code < 90 else code - 82))
        elif code == 49 or 40 <= code <= 47 or 100 <= code <= 107:
            style = replace(style, bg=None if code == 49 else palette(code - 40 if code < 100 else code - 92))
    return style


def _extended(rest: list[int]) -> Color | None:
    """Takes `5;n` or `2;r;g;b` from the codes."""
    form = rest.pop(0) if rest else 0
    if form == 5 and rest:
        return palette(max(0, rest.pop(0)))
    if form == 2 and len(rest) >= 3:
        red, green, blue = (min(255, max(0, rest.pop(0))) for _ in range(3))
        return red, green, blue
    return None


def parse(text: str, columns: int, rows: int) -> list[list[Cell]]:
    """The cells of each row; rows end where their text does. tmux carries the style over line ends."""
    style = Style()
    lines = False
    grid: list[list[Cell]] = []
    for line in text.split("\n")[:rows]:
        row: list[Cell] = []
        for token in _TOKEN.finditer(line):
            if token.group(2) is not None:
                _append(row, _LINES.get(token.group(2), token.group(2)) if lines else token.group(2), style)
            elif token.group() in "\x0e\x0f":
                lines = token.group() == "\x0e"
            elif token.group(1) is not None:
                style = restyle(style, [int(code or 0) for code in re.split("[;:]", token.group(1))])
        grid.append(row[:columns])
    return grid


def _append(row: list[Cell], char: str, style: Style) -> None:
    if char.isascii():
        row.append(style.cell(char, 1))
    elif takes_no_column(char):
        if row:
            row[-1] = row[-1]._replace(char=row[-1].char + char)
    elif is_wide(char):
        row += [style.cell(char, 2), style.cell("", 0)]
    else:
        row.append(style.cell(char, 1))


def plain(row: list[Cell]) -> str:
    return "".join(cell.char for cell in row).rstrip()


def masked(grid: list[list[Cell]], columns: int, hidden: Sequence[str]) -> list[list[Cell]]:
    """The cells with these texts painted over, also where the end of a row wraps them."""
    places: list[tuple[int, int] | None] = []  # of each character
    text = ""
    for y, row in enumerate(grid):
        for x, cell in enumerate(row):
            text += cell.char
            places += [(y, x)] * len(cell.char)
        if len(row) < columns:
            text += "\n"
            places.append(None)
    covered: set[tuple[int, int]] = set()
    for one in filter(None, hidden):
        at = text.find(one)
        while at >= 0:
            covered |= {place for place in places[at : at + len(one)] if place}
            at = text.find(one, at + 1)
    return [
        [cell._replace(char=_COVER * max(cell.width, 1)) if (y, x) in covered else cell for x, cell in enumerate(row)]
        for y, row in enumerate(grid)
    ]


class Run(NamedTuple):
    """A stretch of words in one row; `column` and `width` count cells."""

    text: str
    column: int
    width: int


def text_runs(row: list[Cell]) -> list[Run]:
    """The words of a row, joined where only one blank lies between them."""
    runs: list[Run] = []
    for column, cell in enumerate(row):
        if not cell.char.strip():
            continue
        last = runs[-1] if runs else None
        if last and column - (last.column + last.width) <= 1:
            gap = " " * (column - last.column - last.width)
            runs[-1] = Run(last.text + gap + cell.char, last.column, column + cell.width - last.column)
        else:
            runs.append(Run(cell.char, column, cell.width))
    return runs


@lru_cache(maxsize=2)
def _font(bold: bool) -> Font:
    name = "DejaVuSansMono-Bold.ttf" if bold else "DejaVuSansMono.ttf"
    return ImageFont.truetype(str(FONTS / name), FONT_SIZE)


@lru_cache(maxsize=8192)
def _tile(cell: Cell) -> Image.Image:
    """The picture of one cell."""
    width = CELL_WIDTH * max(cell.width, 1)
    tile = Image.new("RGB", (width, CELL_HEIGHT), cell.bg)
    tile.paste(cell.fg, (0, 0), _glyph(cell.char, cell.bold, width))
    if cell.underline:
        ImageDraw.Draw(tile).line((0, CELL_HEIGHT - 2, width, CELL_HEIGHT - 2), fill=cell.fg)
    return tile


def _glyph(char: str, bold: bool, width: int) -> Image.Image:
    font = _font(bold)
    if "\u2500" <= char <= "\u259f":  # lines and blocks must touch their neighbours: stretch them over the whole cell
        mask = Image.new("L", (max(1, round(font.getlength(char))), 19))
        ImageDraw.Draw(mask).text((0, 0), char, font=font, fill=255)
        return mask.resize((width, CELL_HEIGHT))
    mask = Image.new("L", (width, CELL_HEIGHT))
    ImageDraw.Draw(mask).text(((width - font.getlength(char)) / 2, 1), char, font=font, fill=255)
    return mask


def draw(grid: list[list[Cell]], size: tuple[int, int], cursor: Cursor | None) -> bytes:
    """A PNG of exactly this size in pixels."""
    image = Image.new("RGB", size, BACKGROUND)
    for y, row in enumerate(grid):
        for x, cell in enumerate(row):
            if cell.width and (cell.bg != BACKGROUND or cell.underline or cell.char != " "):
                image.paste(_tile(cell), (x * CELL_WIDTH, y * CELL_HEIGHT))
    if cursor:
        image.paste(_tile(_under_cursor(grid, cursor)), (cursor.column * CELL_WIDTH, cursor.row * CELL_HEIGHT))
    file = io.BytesIO()
    # A palette halves the time and leaves a third of the bytes; text does not show the difference.
    image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG", compress_level=3)
    return file.getvalue()


def _under_cursor(grid: list[list[Cell]], cursor: Cursor) -> Cell:
    row = grid[cursor.row] if cursor.row < len(grid) else []
    cell = row[cursor.column] if cursor.column < len(row) else Style().cell(" ", 1)
    return cell._replace(fg=BACKGROUND, bg=CURSOR)
