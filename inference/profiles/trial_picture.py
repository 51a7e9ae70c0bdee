"""The picture that models are tested on: a made-up page with five targets whose places are known."""

import functools
import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1280, 800
INK, FAINT, LINE, PAPER = "#1d2430", "#5b6472", "#b9c0cb", "#ffffff"
Box = tuple[int, int, int, int]  # left, top, right, bottom; its edges belong to it


@dataclass(frozen=True)
class Target:
    name: str
    words: str  # what the model is asked to click
    box: Box

    def hit(self, x: int, y: int) -> bool:
        left, top, right, bottom = self.box
        return left <= x <= right and top <= y <= bottom


# In all corners and in the middle, large and small, each beside something that is like it.
TARGETS = (
    Target("Reports", "the entry “Reports” in the list on the left", (16, 216, 184, 256)),
    Target("Close", "the small button with the × in the upper right corner", (1236, 16, 1264, 44)),
    Target("E-mail", "the text field under the label “E-mail”", (260, 268, 700, 308)),
    Target("Circle", "the blue circle", (884, 404, 964, 484)),
    Target("Save", "the button “Save”", (1128, 736, 1240, 776)),
)


@functools.cache
def picture() -> bytes:
    """PNG, 1280x800."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    _frame(draw)
    _form(draw)
    for colour, left in (("#c8372d", 764), ("#1f5fbf", 884), ("#2d8a4e", 1004)):
        draw.ellipse((left, 404, left + 80, 484), fill=colour)
    for word, left, fill in (("Delete", 868, PAPER), ("Cancel", 998, PAPER), ("Save", 1128, "#e4ecf8")):
        _button(draw, word, (left, 736, left + 112, 776), fill)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


@functools.cache
def picture_hash() -> str:
    return hashlib.sha256(picture()).hexdigest()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _frame(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((0, 0, WIDTH, 60), fill="#eef1f5")
    draw.text((24, 18), "Customers", INK, _font(22))
    for left in (1156, 1196, 1236):
        _button(draw, "", (left, 16, left + 28, 44), PAPER)
    draw.line((1164, 34, 1176, 34), INK, 2)  # minimise, maximise, close: the font has no such signs
    draw.rectangle((1204, 24, 1216, 36), outline=INK, width=2)
    draw.line((1244, 24, 1256, 36), INK, 2)
    draw.line((1256, 24, 1244, 36), INK, 2)
    draw.rectangle((0, 61, 200, HEIGHT), fill="#f6f7f9")
    for index, word in enumerate(("Home", "Orders", "Invoices", "Reports", "Settings")):
        draw.text((32, 84 + index * 48 + 2), word, INK, _font(17))


def _form(draw: ImageDraw.ImageDraw) -> None:
    for label, top in (("Name", 172), ("E-mail", 268), ("Telephone", 364)):
        draw.text((260, top - 28), label, FAINT, _font(16))
        draw.rectangle((260, top, 700, top + 40), outline=LINE, width=2)
    draw.text((764, 364), "Which colour?", FAINT, _font(16))


def _button(draw: ImageDraw.ImageDraw, word: str, box: Box, fill: str) -> None:
    draw.rounded_rectangle(box, 6, fill=fill, outline=FAINT, width=2)
    left, top, right, bottom = box
    draw.text(((left + right) / 2, (top + bottom) / 2), word, INK, _font(17), anchor="mm")
