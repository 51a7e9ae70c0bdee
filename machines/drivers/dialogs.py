"""JavaScript dialogs as something to see and to press: Chromium draws none when it runs without a screen."""

import io
import textwrap
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from machines.drivers.base import Element, Frame

_WIDTH, _LINE, _MARGIN = 520, 24, 24  # pixels
_BUTTON = (96, 36)
_BACKDROP = (62, 66, 74)


@dataclass(frozen=True)
class Dialog:
    """An alert, confirm or prompt that waits for an answer; `typed` is what a prompt's field holds."""

    kind: str
    message: str
    typed: str = ""

    @classmethod
    def read(cls, facts: object) -> "Dialog | None":
        if not isinstance(facts, dict):
            return None
        return cls(str(facts.get("type")), str(facts.get("message")), str(facts.get("typed") or ""))


def elements(dialog: Dialog, width: int, height: int) -> list[Element]:
    """The dialog's parts, where `picture` draws them."""
    lines = _lines(dialog)
    has_field = dialog.kind == "prompt"
    box_height = 2 * _MARGIN + len(lines) * _LINE + (56 if has_field else 0) + 20 + _BUTTON[1]
    left, top = (width - _WIDTH) // 2, max(0, (height - box_height) // 3)
    inner = _WIDTH - 2 * _MARGIN
    found = [
        Element("dialog", dialog.message, left, top, _WIDTH, box_height),
        Element("text", dialog.message, left + _MARGIN, top + _MARGIN, inner, len(lines) * _LINE),
    ]
    y = top + _MARGIN + len(lines) * _LINE
    if has_field:
        found.append(Element("textbox", dialog.message, left + _MARGIN, y + 12, inner, 36, value=dialog.typed))
        y += 56
    x = left + _WIDTH - _MARGIN - _BUTTON[0]
    found.append(Element("button", "OK", x, y + 20, *_BUTTON))
    if dialog.kind != "alert":
        found.append(Element("button", "Cancel", x - _BUTTON[0] - 12, y + 20, *_BUTTON))
    return found


def pressed(dialog: Dialog, x: int, y: int, width: int, height: int) -> str | None:
    """The name of the button at this point."""
    for element in elements(dialog, width, height):
        inside = element.x <= x < element.x + element.width and element.y <= y < element.y + element.height
        if inside and element.role == "button":
            return element.name
    return None


def picture(dialog: Dialog, behind: Frame | None, width: int, height: int) -> Frame:
    """The dialog over the last known picture of the page, dimmed, or over a plain one."""
    image = Image.new("RGB", (width, height), _BACKDROP)
    if behind is not None:
        page = Image.open(io.BytesIO(behind.png)).convert("RGB").resize((width, height))
        image = Image.blend(page, image, 0.6)
    pen = ImageDraw.Draw(image)
    for element in elements(dialog, width, height):
        _draw(pen, element, _lines(dialog))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return Frame(file.getvalue(), width, height)


def _lines(dialog: Dialog) -> list[str]:
    wrapped = [part for line in dialog.message.splitlines() for part in textwrap.wrap(line, 52) or [""]]
    return wrapped[:16] or [""]


def _draw(pen: ImageDraw.ImageDraw, element: Element, lines: list[str]) -> None:
    box = (element.x, element.y, element.x + element.width - 1, element.y + element.height - 1)
    font = _font()
    if element.role == "dialog":
        pen.rounded_rectangle(box, 10, fill=(255, 255, 255), outline=(120, 126, 138))
    elif element.role == "text":
        for number, line in enumerate(lines):
            pen.text((element.x, element.y + number * _LINE), line, font=font, fill=(28, 30, 36))
    elif element.role == "textbox":
        pen.rounded_rectangle(box, 6, fill=(255, 255, 255), outline=(120, 126, 138))
        pen.text((element.x + 10, element.y + 9), element.value or "", font=font, fill=(28, 30, 36))
    else:
        primary = element.name == "OK"
        pen.rounded_rectangle(box, 6, fill=(36, 84, 196) if primary else (226, 230, 238))
        ink = (255, 255, 255) if primary else (28, 30, 36)
        pen.text(element.center, element.name, font=font, fill=ink, anchor="mm")


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 16)
    except OSError:
        return ImageFont.load_default(16)
