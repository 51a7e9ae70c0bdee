"""JavaScript dialogs as something to see and to press: Chromium draws none when it runs without a screen."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from machines.drivers import keys
from machines.drivers.base import Action, Element, Frame, Target

_WIDTH, _LINE, _MARGIN = 520, 24, 24  # pixels
_BUTTON = (96, 36)
_BACKDROP = (62, 66, 74)
_SELECTION = (178, 206, 250)
_REF = "dialog/"
_SELECT_ALL = ((["ctrl"], "a"), (["meta"], "a"))


@dataclass(frozen=True)
class Dialog:
    """An alert, confirm or prompt that waits for an answer; `typed` is what a prompt's field holds.

    `selected`: all of that is selected, so that the next text replaces it. `number` tells one dialog from the next.
    """

    kind: str
    message: str
    typed: str = ""
    selected: bool = False
    number: int = 0

    @classmethod
    def read(cls, facts: object) -> "Dialog | None":
        if not isinstance(facts, dict):
            return None
        number = facts.get("number")
        return cls(
            str(facts.get("type")),
            str(facts.get("message")),
            str(facts.get("typed") or ""),
            bool(facts.get("selected")),
            number if isinstance(number, int) else 0,
        )

    @property
    def ref(self) -> str:
        """What the refs of its parts begin with: an answer to this dialog is none to the next."""
        return f"{_REF}{self.number}/"

    def owns(self, ref: str | None) -> bool:
        """Whether the ref, where there is one, names a part of this dialog."""
        return ref is None or ref.startswith(self.ref)


def is_ref(ref: str | None) -> bool:
    """Does it name a part of a dialog?"""
    return ref is not None and ref.startswith(_REF)


def elements(dialog: Dialog, width: int, height: int) -> list[Element]:
    """The dialog's parts, where `picture` draws them."""
    lines = _lines(dialog)
    has_field = dialog.kind == "prompt"
    box_height = 2 * _MARGIN + len(lines) * _LINE + (56 if has_field else 0) + 20 + _BUTTON[1]
    left, top = (width - _WIDTH) // 2, max(0, (height - box_height) // 3)
    inner = _WIDTH - 2 * _MARGIN
    parts = [
        Element("dialog", dialog.message, left, top, _WIDTH, box_height),
        Element("text", dialog.message, left + _MARGIN, top + _MARGIN, inner, len(lines) * _LINE),
    ]
    y = top + _MARGIN + len(lines) * _LINE
    if has_field:
        parts.append(Element("textbox", dialog.message, left + _MARGIN, y + 12, inner, 36, value=dialog.typed))
        y += 56
    x = left + _WIDTH - _MARGIN - _BUTTON[0]
    parts.append(Element("button", "OK", x, y + 20, *_BUTTON))
    if dialog.kind != "alert":
        parts.append(Element("button", "Cancel", x - _BUTTON[0] - 12, y + 20, *_BUTTON))
    return [replace(element, ref=f"{dialog.ref}{number}") for number, element in enumerate(parts)]


def reply(dialog: Dialog, action: Action, width: int, height: int) -> dict[str, Any] | None:
    """What an action is to the dialog, as a question for the keeper; None when it is not for the dialog.

    {"accept": bool} closes it. In a prompt {"text", "replaces"} types, {"erases"} is Backspace or Delete, {"selects"}
    whether all is selected afterwards.
    """
    if not dialog.owns(action.ref):
        return None
    if action.name == "click":
        return _clicked(dialog, action, width, height)
    if action.name == "key_press":
        return _key(dialog, keys.key_name(str(action.params["key"])) or "")
    return _typed(action) if dialog.kind == "prompt" else None


def target(dialog: Dialog, action: Action, width: int, height: int) -> Target | None:
    """What the action answers the dialog with; None when it does not close it."""
    answer = reply(dialog, action, width, height)
    if answer is None or "accept" not in answer:
        return None
    return (
        Target("dialog", dialog.message[:200], dialog.kind)
        if answer["accept"]
        else Target("button", "Cancel", "dialog")
    )


def _typed(action: Action) -> dict[str, Any] | None:
    """What types into a prompt: a text of one line, whose end accepts it, or the key that selects all."""
    if action.name == "key_combo":
        return {"selects": True} if keys.combination(action.params["keys"]) in _SELECT_ALL else None
    if action.name not in ("type_text", "fill"):
        return None
    text = str(action.params["text"])
    line = text.rstrip("\r\n")
    if "\n" in line:
        return None
    return {"text": line, "replaces": action.name == "fill", **({"accept": True} if line != text else {})}


def _clicked(dialog: Dialog, action: Action, width: int, height: int) -> dict[str, Any] | None:
    """A click into the field leaves selected what is selected; a double click selects."""
    hit = pressed(dialog, action.params["x"], action.params["y"], width, height)
    if hit is None:
        return None
    if hit.role == "textbox":
        return {"selects": dialog.selected or action.params.get("count", 1) > 1}
    return {"accept": hit.name == "OK"}


def _key(dialog: Dialog, key: str) -> dict[str, Any] | None:
    if key in ("enter", "escape"):
        return {"accept": key == "enter"}
    if dialog.kind != "prompt":
        return None
    if key == "backspace" or (key == "delete" and dialog.selected):
        return {"erases": True}
    if key in ("delete", "end", "right"):  # the cursor goes, or stands, behind the text
        return {"selects": False}
    return {"text": key} if len(key) == 1 else None


def pressed(dialog: Dialog, x: int, y: int, width: int, height: int) -> Element | None:
    """The button or field at this point."""
    for element in elements(dialog, width, height):
        inside = element.x <= x < element.x + element.width and element.y <= y < element.y + element.height
        if inside and element.role in ("button", "textbox"):
            return element
    return None


def hiding(dialog: Dialog, hidden: Sequence[str]) -> Dialog:
    """The dialog without these texts in its words."""
    message, typed = dialog.message, dialog.typed
    for text in filter(None, hidden):
        message, typed = message.replace(text, "\u2022" * 5), typed.replace(text, "\u2022" * 5)
    return replace(dialog, message=message, typed=typed)


def picture(dialog: Dialog, behind: Frame | None, width: int, height: int) -> Frame:
    """The dialog over the last known picture of the page, dimmed, or over a plain one."""
    image = Image.new("RGB", (width, height), _BACKDROP)
    if behind is not None:
        page = Image.open(io.BytesIO(behind.png)).convert("RGB").resize((width, height))
        image = Image.blend(page, image, 0.6)
    pen = ImageDraw.Draw(image)
    for element in elements(dialog, width, height):
        _draw(pen, element, dialog)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return Frame(file.getvalue(), width, height)


def _lines(dialog: Dialog) -> list[str]:
    wrapped = [part for line in dialog.message.splitlines() for part in textwrap.wrap(line, 52) or [""]]
    return wrapped[:16] or [""]


def _draw(pen: ImageDraw.ImageDraw, element: Element, dialog: Dialog) -> None:
    box = (element.x, element.y, element.x + element.width - 1, element.y + element.height - 1)
    font = _font()
    if element.role == "dialog":
        pen.rounded_rectangle(box, 10, fill=(255, 255, 255), outline=(120, 126, 138))
    elif element.role == "text":
        for number, line in enumerate(_lines(dialog)):
            pen.text((element.x, element.y + number * _LINE), line, font=font, fill=(28, 30, 36))
    elif element.role == "textbox":
        pen.rounded_rectangle(box, 6, fill=(255, 255, 255), outline=(120, 126, 138))
        at, text = (element.x + 10, element.y + 9), _field_text(element.value or "", font, element.width - 20)
        if dialog.selected and text:
            left, top, right, bottom = pen.textbbox(at, text, font=font)
            pen.rectangle((left - 1, top - 3, right + 1, bottom + 3), fill=_SELECTION)
        pen.text(at, text, font=font, fill=(28, 30, 36))
    else:
        primary = element.name == "OK"
        pen.rounded_rectangle(box, 6, fill=(36, 84, 196) if primary else (226, 230, 238))
        ink = (255, 255, 255) if primary else (28, 30, 36)
        pen.text(element.center, element.name, font=font, fill=ink, anchor="mm")


def _field_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The end of a text that is longer than its field, where one types."""
    text = text.replace("\n", " ")[-width:]
    while font.getlength(text) > width:
        text = text[1:]
    return text


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 16)
    except OSError:
        return ImageFont.load_default(16)
