"""Hands on a page: mouse, keyboard, and the two things that need the DOM, filling a field and choosing from a list."""

import asyncio
import json
from typing import Any, Protocol

from machines.drivers import keys

WHEEL_CLICK = 100  # pixels
DRAG_STEPS = 12


class Channel(Protocol):
    """Sends one command to the page in view."""

    async def __call__(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]: ...


_MODIFIER_BITS = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}
_MODIFIER_KEYS = {"alt": ("Alt", 18), "ctrl": ("Control", 17), "meta": ("Meta", 91), "shift": ("Shift", 16)}
_BUTTON_BITS = {"left": 1, "right": 2, "middle": 4}
# name: (key, virtual key code, text)
_NAMED = {
    "enter": ("Enter", 13, "\r"), "tab": ("Tab", 9, ""), "escape": ("Escape", 27, ""),
    "backspace": ("Backspace", 8, ""), "delete": ("Delete", 46, ""), "insert": ("Insert", 45, ""),
    "up": ("ArrowUp", 38, ""), "down": ("ArrowDown", 40, ""),
    "left": ("ArrowLeft", 37, ""), "right": ("ArrowRight", 39, ""), "home": ("Home", 36, ""), "end": ("End", 35, ""),
    "pageup": ("PageUp", 33, ""), "pagedown": ("PageDown", 34, ""),
    **{f"f{number}": (f"F{number}", 111 + number, "") for number in range(1, 13)},
}  # fmt: skip
# Shortcuts are the browser's own work, which DevTools keys skip unless told.
_COMMANDS = {"a": "selectAll", "c": "copy", "v": "paste", "x": "cut", "z": "undo", "y": "redo"}

# The element at a point, through shadow roots and frames of the same site; undefined inside a frame of another one.
_AT = """(x, y) => {
  let root = document, element = null;
  for (;;) {
    element = root.elementFromPoint(x, y);
    if (!element) return null;
    if (element.shadowRoot && element.shadowRoot.elementFromPoint(x, y) !== element
        && element.shadowRoot.elementFromPoint(x, y)) { root = element.shadowRoot; continue; }
    if (element.tagName === 'IFRAME') {
      if (!element.contentDocument) return null;
      const box = element.getBoundingClientRect();
      x -= box.left + element.clientLeft; y -= box.top + element.clientTop; root = element.contentDocument; continue;
    }
    return element;
  }
}"""
# Selects everything in the field and returns what it is; "" = no field.
_OPEN_FIELD = """(x, y) => {
  let field = (AT)(x, y);
  if (field && field.closest('label')) field = field.closest('label').control || field;
  field = field && field.closest('input, textarea, [contenteditable=""], [contenteditable="true"]');
  const none = ['button', 'submit', 'reset', 'image', 'checkbox', 'radio', 'file', 'hidden', 'range', 'color'];
  if (!field || none.includes(field.type)) return '';
  if (field.disabled || field.readOnly) return 'locked';
  window.__field = field;
  field.focus();
  const set = ['date', 'time', 'month', 'week', 'datetime-local'];
  if (set.includes(field.type)) return 'set';
  if (field.select) field.select(); else field.ownerDocument.getSelection().selectAllChildren(field);
  return 'type';
}"""
_SET_FIELD = """(text) => {
  const field = window.__field;
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), 'value').set.call(field, text);
  field.dispatchEvent(new Event('input', { bubbles: true }));
  field.dispatchEvent(new Event('change', { bubbles: true }));
}"""
_CHECK_FIELD = """(text) => {
  const field = window.__field, plain = (value) => value.replace(/\\r\\n?/g, '\\n').replace(/\\n$/, '');
  delete window.__field;
  return plain('value' in field ? field.value : field.innerText) === plain(text);
}"""
_SELECT = """(x, y, wanted) => {
  let list = (AT)(x, y);
  if (list && list.closest('label')) list = list.closest('label').control || list;
  list = list && list.closest('select');
  if (!list) return { error: 'There is no list of options at this point.' };
  if (list.disabled) return { error: 'The list is disabled.' };
  const text = (option) => option.label.replace(/\\s+/g, ' ').trim();
  const want = wanted.replace(/\\s+/g, ' ').trim(), low = want.toLowerCase();
  const options = [...list.options].filter((option) => !option.disabled);
  const option = options.find((one) => text(one) === want)
    || options.find((one) => text(one).toLowerCase() === low) || options.find((one) => one.value === wanted);
  const known = options.slice(0, 20).map(text).join(', ');
  if (!option) return { error: `The list has no option "${want}". It has: ${known}.` };
  list.focus();
  if (list.multiple) option.selected = true; else list.value = option.value, list.selectedIndex = option.index;
  list.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
  list.dispatchEvent(new Event('change', { bubbles: true }));
  return { selected: text(option) };
}"""
_PAINTED = "new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); setTimeout(done, 250); })"


class PageProblem(Exception):
    """The action cannot be done on this page; the message is for whoever asked for it."""


async def evaluate(send: Channel, expression: str) -> Any:
    """The value of a JavaScript expression, promises awaited."""
    answer = await send(
        "Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True}
    )
    if "exceptionDetails" in answer:
        raise PageProblem("The page's script failed.")
    return answer["result"].get("value")


async def call(send: Channel, function: str, *arguments: Any) -> Any:
    given = ", ".join(json.dumps(argument) for argument in arguments)
    return await evaluate(send, f"({function.replace('(AT)', f'({_AT})')})({given})")


async def painted(send: Channel) -> None:
    """Wait until the page has drawn what the last action changed, at most a quarter of a second."""
    await evaluate(send, _PAINTED)


async def _mouse(send: Channel, kind: str, x: float, y: float, **more: Any) -> None:
    await send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})


async def move(send: Channel, x: int, y: int) -> None:
    await _mouse(send, "mouseMoved", x, y)


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


async def press(send: Channel, key: str, modifiers: list[str] | None = None) -> None:
    """Press one key, with modifiers held around it."""
    held = modifiers or []
    bits = sum(_MODIFIER_BITS[name] for name in set(held))
    for name in held:
        modifier, code = _MODIFIER_KEYS[name]
        event = {"type": "rawKeyDown", "key": modifier, "windowsVirtualKeyCode": code, "modifiers": bits}
        await send("Input.dispatchKeyEvent", event)
    await _stroke(send, key, bits)
    for name in reversed(held):
        modifier, code = _MODIFIER_KEYS[name]
        await send("Input.dispatchKeyEvent", {"type": "keyUp", "key": modifier, "windowsVirtualKeyCode": code})


async def _stroke(send: Channel, key: str, bits: int) -> None:
    if key in _NAMED:
        name, code, typed = _NAMED[key]
        facts: dict[str, Any] = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": bits}
    else:
        typed = key.upper() if bits & 8 else key
        upper = key.upper()
        code_name = f"Key{upper}" if upper.isascii() and upper.isalpha() else f"Digit{key}" if key.isdecimal() else ""
        code_name = "Space" if key == " " else code_name
        virtual = ord(upper) if upper.isascii() and (upper.isalnum() or upper == " ") else 0
        facts = {"key": typed, "code": code_name, "windowsVirtualKeyCode": virtual, "modifiers": bits}
    types = bool(typed) and not bits & ~8
    commands = [_COMMANDS[key.lower()]] if bits & 6 and key.lower() in _COMMANDS else []
    down = {**facts, "type": "keyDown" if types else "rawKeyDown", "commands": commands}
    await send("Input.dispatchKeyEvent", {**down, "text": typed} if types else down)
    await send("Input.dispatchKeyEvent", {**facts, "type": "keyUp"})


async def type_text(send: Channel, content: str) -> None:
    """Type into what has the focus; line ends press Enter, tabs press Tab."""
    part = ""
    for char in content.replace("\r\n", "\n"):
        if char not in "\n\t":
            part += char
            continue
        if part:
            await send("Input.insertText", {"text": part})
        part = ""
        await press(send, "enter" if char == "\n" else "tab")
    if part:
        await send("Input.insertText", {"text": part})


async def fill(send: Channel, x: int, y: int, content: str) -> None:
    """Replace what the field at this point holds. Raises PageProblem when there is none or it refuses the text."""
    await click(send, x, y)
    how = await call(send, _OPEN_FIELD, x, y)
    if how == "locked":
        raise PageProblem("The field at this point cannot be changed.")
    if not how:
        raise PageProblem("There is no field to type into at this point.")
    if how == "set":
        await call(send, _SET_FIELD, content)
    elif content:
        await send("Input.insertText", {"text": content})
    else:
        await press(send, "delete")
    if not await call(send, _CHECK_FIELD, content):
        raise PageProblem("The field did not take the text as it was given.")


async def select_option(send: Channel, x: int, y: int, option: str) -> str:
    """Choose from the <select> at this point by an option's visible text; the text it was found under."""
    answer = await call(send, _SELECT, x, y, option)
    if not isinstance(answer, dict) or "error" in answer:
        raise PageProblem(answer["error"] if isinstance(answer, dict) else "The list does not answer.")
    return str(answer["selected"])


async def press_named(send: Channel, names: list[str]) -> None:
    """Press a key or a combination as people spell them. Raises PageProblem for one that does not exist."""
    combination = keys.combination(names)
    if combination is None:
        raise PageProblem(f"There is no key named {'+'.join(names)}.")
    await press(send, combination[1], combination[0])


async def wait(milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1000)
