"""The mouse of a page. The keys are in keyboard.py."""

from collections.abc import Sequence
from typing import Any

from machines.drivers.browser.input.keyboard import modifier_bits
from machines.drivers.browser.page.channel import Channel

WHEEL_CLICK = 100  # pixels
DRAG_STEPS = 12
_BUTTON_BITS = {"left": 1, "right": 2, "middle": 4}


async def _mouse(send: Channel, kind: str, x: float, y: float, **more: Any) -> None:
    await send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})


async def move(send: Channel, x: int, y: int) -> None:
    await _mouse(send, "mouseMoved", x, y)


async def move_held(send: Channel, x: int, y: int, held: str, modifiers: Sequence[str]) -> None:
    """Move with a button pressed; "" is none."""
    button = {"button": held, "buttons": _BUTTON_BITS[held]} if held else {}
    await _mouse(send, "mouseMoved", x, y, modifiers=modifier_bits(modifiers), **button)


async def button(send: Channel, kind: str, x: int, y: int, name: str, count: int, modifiers: Sequence[str]) -> None:
    """Press (`down`) or let go (`up`) one button."""
    event, held = ("mousePressed", _BUTTON_BITS[name]) if kind == "down" else ("mouseReleased", 0)
    bits = modifier_bits(modifiers)
    await _mouse(send, event, x, y, button=name, buttons=held, clickCount=count, modifiers=bits)


async def turn_wheel(send: Channel, x: int, y: int, across: int, down: int) -> None:
    await _mouse(send, "mouseWheel", x, y, deltaX=across, deltaY=down)


async def click(send: Channel, x: int, y: int, button: str = "left", count: int = 1) -> None:
    await move(send, x, y)
    for number in range(1, count + 1):
        pressed = {"button": button, "clickCount": number}
        await _mouse(send, "mousePressed", x, y, buttons=_BUTTON_BITS[button], **pressed)
        await _mouse(send, "mouseReleased", x, y, **pressed)


async def drag(send: Channel, x: int, y: int, to_x: int, to_y: int) -> None:
    await move(send, x, y)
    await _mouse(send, "mousePressed", x, y, button="left", buttons=1, clickCount=1)
    for step in range(1, DRAG_STEPS + 1):
        part = step / DRAG_STEPS
        await _mouse(send, "mouseMoved", x + (to_x - x) * part, y + (to_y - y) * part, button="left", buttons=1)
    await _mouse(send, "mouseReleased", to_x, to_y, button="left", clickCount=1)


async def scroll(send: Channel, x: int, y: int, direction: str, amount: int) -> None:
    distance = amount * WHEEL_CLICK * (-1 if direction in ("up", "left") else 1)
    delta = {"deltaX": 0, "deltaY": distance} if direction in ("up", "down") else {"deltaX": distance, "deltaY": 0}
    await _mouse(send, "mouseWheel", x, y, **delta)
