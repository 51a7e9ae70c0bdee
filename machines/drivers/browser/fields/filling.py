"""How each kind of thing that takes a value is filled, chosen from and read back; roles.py lists them.

Fields are reached by node, not by place: through frames of any site and closed shadow roots alike. Whatever was put in
is read back; a field that shows something else than was meant is a failure that tells both.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.fields import field_values, scripts
from machines.drivers.browser.fields.secret_fields import Lists, Receiver, Withheld
from machines.drivers.browser.input import keyboard
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.input.keyboard import Typing
from machines.drivers.browser.input.reach import Node
from machines.drivers.browser.page.channel import Channel, PageProblem

OPTION_WAIT = 2.0  # seconds within which a list that was opened shows its options
SUGGESTION_WAIT = 1.5  # seconds for options that typing brings up
SUGGESTION_QUIET = 0.5  # seconds after which options that do not fit are not waited for any longer
MOST_STEPS = 200  # presses of an arrow key at a slider
MOST_LOOKS = 6  # for an option that is drawn anew again and again
LONGEST_QUOTE = 300  # characters of a field in a message
POLL = 0.05  # seconds
_CONFIDENTIAL = frozenset({"text", "editable", "custom", "keys"})  # what takes a secret

Data = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A thing that takes a value. `kind` is one of _FILLERS, or "box", "file"; `type` that of an <input>."""

    node: Node
    kind: str
    type: str
    tag: str
    locked: bool
    lines: bool
    suggests: bool
    searches: bool


class Fields:
    """What is done to the fields of the page in view; `send` reaches its keyboard."""

    def __init__(self, nodes: Nodes, send: Channel) -> None:
        self.nodes = nodes
        self.send = send
        self._receiver: Receiver | None = None
        self._fillers: dict[str, Callable[[Field, str, Typing], Awaitable[Data]]] = {
            "text": self._type_over,
            "editable": self._type_over,
            "custom": self._type_over,
            "moment": self._set_moment,
            "range": self._set_range,
            "color": self._set_color,
            "steps": self._step,
            "select": self._fill_list,
            "combobox": self._fill_list,
            "listbox": self._fill_list,
        }

    async def of(self, node: Node | None) -> Field | None:
        """The field that a node is, belongs to or labels."""
        owner = await self.nodes.pick(node, scripts.FIND) if node else None
        return await self._described(owner) if owner else None

    async def _described(self, node: Node) -> Field:
        return Field(node, **await self.nodes.call(node, scripts.DESCRIBE))

    def guard(self, *, secret: bool, only: Lists) -> None:
        """What is typed next holds secrets, which go to pages of these hosts only."""
        self._receiver = Receiver(self.nodes, self.send, only) if secret else None

    async def _type(self, node: Node, kind: str, typing: Typing) -> None:
        """At the cursor, which is in this field. Raises Withheld where a secret may not go."""
        if self._receiver is None:
            await keyboard.type_text(self.send, typing)
            return
        if kind not in _CONFIDENTIAL:
            raise Withheld("it goes into a field of text only.")
        await self._receiver.put(node, typing)

    # Filling

    async def fill(self, node: Node | None, typing: Typing) -> Data:
        """Replace what the field holds. Raises PageProblem when there is none, or it shows something else afterwards.

        The answer has `shows` where the page made something else of the text that means the same.
        """
        field = await self.of(node)
        if field is None or field.kind not in self._fillers:
            file = " It takes a file, which is uploaded." if field and field.kind == "file" else ""
            raise PageProblem(f"There is no field to type into at this point.{file}")
        self._unlocked(field)
        if self._receiver:
            if field.kind not in _CONFIDENTIAL:
                raise Withheld("it goes into a field of text only.")
            await self._receiver.origin(field.node)
        return await self._fillers[field.kind](field, typing.text, typing)

    def _unlocked(self, field: Field) -> None:
        if field.locked:
            raise PageProblem("This field is locked: it cannot be changed.")

    async def _type_over(self, field: Field, text: str, typing: Typing) -> Data:
        typing.keeps_lines = True
        if "\n" in text and not field.lines:
            raise PageProblem("This field takes one line of text only.")
        await self._focus(field)
        if text:
            await self._type(field.node, field.kind, typing)
        else:
            await keyboard.press(self.send, "delete")
        if text and field.suggests and not field.searches and not self._receiver and await self._suggested(field, text):
            return {"selected": text}
        return _with_note(await self._read_back(field, text), typing.hasty)

    async def _focus(self, field: Field) -> None:
        """The keyboard's focus, with everything in the field selected. Nothing is typed before that is sure."""
        await self.nodes.command(field.node, "DOM.scrollIntoViewIfNeeded")
        await self.nodes.command(field.node, "DOM.focus")
        if not await self.nodes.call(field.node, scripts.SELECT_ALL):
            raise PageProblem("The field does not take the focus, so nothing was typed.")

    async def _read_back(self, field: Field, text: str) -> Data:
        shown = str(await self.nodes.call(field.node, scripts.READ) or "")
        plain = shown.replace("\r\n", "\n")
        if plain == text or (
            field.kind != "text" and field_values.same_lines(text, plain) and not _recased(text, plain)
        ):
            return {}
        if field.type == "password":
            raise PageProblem("The password field holds something else than what was typed.")
        if (field_values.same_lines if field.lines else field_values.same)(text, plain):
            return {"shows": shown[:LONGEST_QUOTE]}
        if field.kind == "text" and await self.nodes.call(field.node, scripts.READ_ROW, text):
            return {}
        raise PageProblem(f"The field shows {_quoted(shown)} and not {_quoted(text)}.")

    async def _suggested(self, field: Field, text: str) -> bool:
        """Choose the option of this name among those that typing brought up; False when none can be: the text stays."""
        option = await self._option(field, text, SUGGESTION_WAIT, SUGGESTION_QUIET)
        try:
            return option is not None and await self._choose(field, option, text)
        except (PageProblem, CdpError):
            return False

    async def _choose(self, field: Field, option: Node, name: str) -> bool:
        """Click the option; a list that is drawn anew meanwhile is looked through again. Is it chosen then?

        Raises PageProblem when it cannot be clicked.
        """
        for left in range(MOST_LOOKS - 1, -1, -1):
            try:
                await self.nodes.click(option)
                break
            except (PageProblem, CdpError):
                await asyncio.sleep(4 * POLL)
                again = await self._option(field, name, SUGGESTION_QUIET)
                if again is None:
                    break
                if not left:
                    raise
                option = again
        return await self._chosen(field, name)

    async def _set_moment(self, field: Field, text: str, typing: Typing) -> Data:
        value = field_values.as_held(field.type, text) if text.strip() else ""
        if value is None:
            raise PageProblem(
                f'{_quoted(text)} is not read as a {field.type} for sure. Write it like "{field_values.EXAMPLES[field.type]}".'
            )
        typing.typed = len(text)
        held = await self.nodes.call(field.node, scripts.SET, value)
        if _moment(held["value"]) != _moment(value):
            raise PageProblem(f"The field shows {_quoted(held['value'])} and not {_quoted(value)}.")
        shows = {} if held["value"] == text else {"shows": held["value"]}
        return _with_note(
            shows, f"The page says of this value: {held['wrong'][:LONGEST_QUOTE]}" if held["wrong"] else None
        )

    async def _set_range(self, field: Field, text: str, typing: Typing) -> Data:
        value = _number(text)
        typing.typed = len(text)
        await self.nodes.call(field.node, scripts.SET, f"{value:g}")
        held = await self.nodes.call(field.node, scripts.RANGE)
        return self._moved(value, float(held["now"]), float(held["step"]))

    def _moved(self, value: float, now: float, step: float) -> Data:
        """A slider stops at the nearest of its steps, which is said."""
        if abs(now - value) > step / 2 + 1e-9:
            raise PageProblem(f'The slider shows "{now:g}" and not "{value:g}".')
        return {} if now == value else _with_note({"shows": f"{now:g}"})

    async def _set_color(self, field: Field, text: str, typing: Typing) -> Data:
        color = await self.nodes.call(field.node, scripts.COLOR, text.strip())
        if color is None:
            raise PageProblem(f"{_quoted(text)} is no colour.")
        typing.typed = len(text)
        held = await self.nodes.call(field.node, scripts.SET, color)
        if held["value"] != color:
            raise PageProblem(f"The field shows {_quoted(held['value'])} and not {_quoted(color)}.")
        return _with_note({} if color == text.strip().lower() else {"shows": color})

    async def _step(self, field: Field, text: str, typing: Typing) -> Data:
        """A slider that a page has built itself takes arrow keys."""
        value = _number(text)
        typing.typed = len(text)
        await self._focus(field)
        now, step = float(await self.nodes.call(field.node, scripts.STEPS)), 0.0
        for _ in range(MOST_STEPS):
            if now == value:
                break
            towards, back = ("up", "down") if value > now else ("down", "up")
            after = await self._pressed(field, towards)
            step = max(step, abs(after - now))
            if abs(after - value) > abs(now - value):
                now = await self._pressed(field, back)
                break
            now, stands = after, after == now or abs(after - value) == abs(now - value)
            if stands:
                break
        return self._moved(value, now, step)

    async def _pressed(self, field: Field, key: str) -> float:
        await keyboard.press(self.send, key)
        return float(await self.nodes.call(field.node, scripts.STEPS))

    async def _fill_list(self, field: Field, text: str, typing: Typing) -> Data:
        typing.typed = len(text)
        return await self._select(field, text)

    # Choosing

    async def select(self, node: Node | None, option: str) -> Data:
        """Choose an option by its visible text; the answer's `selected` is what it was found under."""
        field = await self.of(node)
        if field is None or not (field.suggests or field.kind in ("select", "combobox", "listbox")):
            raise PageProblem("There is no list of options at this point.")
        self._unlocked(field)
        return await self._select(field, option)

    async def _select(self, field: Field, option: str) -> Data:
        if field.kind == "select":
            answer = await self.nodes.call(field.node, scripts.CHOOSE, option)
            if "error" in answer:
                raise PageProblem(str(answer["error"]))
            return {"selected": str(answer["selected"])}
        node = await self._shown_option(field, option)
        if node is None:
            names = await self.nodes.call(field.node, scripts.OPTION_NAMES)
            listed = f" It has: {', '.join(names)}." if names else " It shows none."
            raise PageProblem(f'The list has no option "{option}".{listed}')
        name = str(await self.nodes.call(node, scripts.NAME))
        if not await self._choose(field, node, name):
            raise PageProblem(f'The option "{name}" was clicked, but the list does not show it as chosen.')
        return {"selected": name}

    async def _shown_option(self, field: Field, option: str) -> Node | None:
        """The option of this name: the list is opened for it, and typed into where that brings it up."""
        node = await self._option(field, option, 0)
        if node is None and field.kind != "listbox":
            await self.nodes.click(field.node)
            node = await self._option(field, option, OPTION_WAIT, SUGGESTION_QUIET)
        if node is None and field.suggests:
            await self._focus(field)
            await keyboard.type_text(self.send, Typing(option))
            node = await self._option(field, option, OPTION_WAIT)
        return node

    async def _option(self, field: Field, name: str, wait: float, quiet: float | None = None) -> Node | None:
        """The visible option of this name. Others that stay as they are for `quiet` seconds end the waiting."""
        end, same_since, before = time.monotonic() + wait, time.monotonic(), None
        while True:
            if node := await self.nodes.pick(field.node, scripts.OPTION, name):
                return node
            names, now = await self.nodes.call(field.node, scripts.OPTION_NAMES), time.monotonic()
            if names != before:
                before, same_since = names, now
            if now >= end or (quiet is not None and names and now - same_since >= quiet):
                return None
            await asyncio.sleep(POLL)

    async def _chosen(self, field: Field, name: str) -> bool:
        end = time.monotonic() + OPTION_WAIT
        while not await self.nodes.call(field.node, scripts.CHOSEN, name):
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(POLL)
        return True

    # Files

    async def upload(self, node: Node, path: str, name: str) -> Data:
        """Give a file to a file input; `path` is the browser's own, `name` what the input has to show afterwards."""
        await self.nodes.command(node, "DOM.setFileInputFiles", {"files": [path]})
        held = await self.nodes.call(node, scripts.FILES)
        if held != [name]:
            raise PageProblem(f"The field holds {', '.join(held) or 'no file'} and not {name}.")
        return {"files": held}

    # Typing into what has the focus

    async def type_into_focus(self, typing: Typing) -> Data:
        """Raises PageProblem when nothing that takes text has the focus."""
        node = await self.nodes.focused()
        kind = str(await self.nodes.call(node, scripts.FOCUS)) if node else ""
        if not node or not kind:
            raise PageProblem("Nothing that takes text has the focus, so nothing was typed.")
        if kind == "keys":
            await self._type(node, kind, typing)
            return _with_note({}, typing.hasty)
        field = await self._described(node)
        self._unlocked(field)
        if kind in ("moment", "color", "range") and not self._receiver:
            return await self._type_or_set(field, typing)
        await self._type(node, kind, typing)
        return _with_note({}, typing.hasty)

    async def _type_or_set(self, field: Field, typing: Typing) -> Data:
        """A whole value is set: what its parts are typed as depends on the browser's language. Else keys are keys."""
        line = typing.text.strip()
        whole = field.kind != "moment" or field_values.as_held(field.type, line) is not None
        if whole and len(line) > 2:
            return await self._fillers[field.kind](field, line, typing)
        before = await self.nodes.call(field.node, scripts.READ)
        await keyboard.type_text(self.send, typing)
        after = await self.nodes.call(field.node, scripts.READ)
        if after == before and not line.isdigit():
            raise PageProblem(f"The field shows {_quoted(str(after))}: it does not take this text.")
        return _with_note({"shows": str(after)[:LONGEST_QUOTE]})


def _with_note(data: Data, *notes: str | None) -> Data:
    """The data with the notes that people are to read."""
    shown = [f"The field shows {_quoted(data['shows'])}."] if "shows" in data else []
    note = " ".join([*shown, *filter(None, notes)])
    return {**data, "note": note} if note else data


def _quoted(text: str) -> str:
    return f'"{text[:LONGEST_QUOTE]}{"…" if len(text) > LONGEST_QUOTE else ""}"'


def _recased(text: str, shown: str) -> bool:
    return "".join(text.split()) != "".join(shown.split())


def _moment(value: str) -> str:
    """A time without the seconds that are none."""
    return value.removesuffix(":00") if value.count(":") == 2 else value


def _number(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise PageProblem(f"{_quoted(text)} is no number.") from None
