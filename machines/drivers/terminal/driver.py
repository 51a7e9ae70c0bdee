"""Terminal machines: a process of its own holds the screen, a sandboxed bash runs behind it; there is no network at all.

The holder (screens/) runs outside the sandbox and outlives whoever started it.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from machines.drivers import guest_link, keys, launch, process, storable
from machines.drivers.base import (
    Action,
    ActResult,
    Contents,
    DriverUnavailable,
    Element,
    Frame,
    Handle,
    MachineGone,
    MachineSpec,
    MachineState,
    Prompt,
    Reach,
    Target,
    TerminalResult,
    waited,
)
from machines.drivers.isolation import fence, resource_limits, sandbox
from machines.drivers.isolation.bubblewrap import interpreter
from machines.drivers.places import Places, left_places, prepare, recorded_places
from machines.drivers.terminal import outcomes, screen_cells
from machines.drivers.terminal.operands import operands_of
from machines.drivers.terminal.screens import holders
from machines.drivers.terminal.screens.base import Look, Screen

START_TIMEOUT = 15.0  # seconds
SETTLE_TIMEOUT = 1.0
_LOOK_SECONDS = 30.0  # to read the files of one command
FENCE_TIMEOUT = 5.0
_LINE_BYTES = 1 << 19  # of an answer that has a whole line in it, escaped
_BUTTONS = {"left": 0, "middle": 1, "right": 2}
_WHEEL = {"up": 64, "down": 65, "left": 66, "right": 67}
_presses_enter = partial(keys.presses_enter, or_space=False)


class TerminalSession:
    def __init__(self, spec: MachineSpec, places: Places, screen: Screen, own_ports: bool = True) -> None:
        self.spec = spec
        self.places = places
        self.screen = screen
        self.own_ports = own_ports  # what listens in its network is in the machine
        self._last: tuple[Look, tuple[str, ...], Frame] | None = None

    async def begin(self) -> None:
        return None

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        """The texts `hidden` are painted over; Frame.text has them still."""
        look, texts = await self.screen.look(), tuple(hidden)
        if self._last is None or self._last[:2] != (look, texts):
            grid = (
                screen_cells.masked(look.grid, self.spec.width // screen_cells.CELL_WIDTH, texts)
                if texts
                else look.grid
            )
            png = screen_cells.draw(grid, (self.spec.width, self.spec.height), look.cursor)
            self._last = look, texts, Frame(png, self.spec.width, self.spec.height, storable.clean(await self.text()))
        return self._last[2]

    async def reach(self, ref: str) -> Reach | None:
        return None

    async def target(self, action: Action) -> Target | None:
        """The line that stands at the prompt, for an action that sends it; machines/actions/risks.py reads it."""
        if not _presses_enter(action) or not (await guest_link.ask(self.places.guest, "state")).get("idle"):
            return None
        prompt = await self.prompt()
        return Target("command", prompt.line) if prompt.at in ("prompt", "continuation") else None

    async def prompt(self) -> Prompt:
        return outcomes.prompt(await guest_link.ask(self.places.guest, "prompt", size=_LINE_BYTES))

    async def contents(self, action: Action) -> Contents | None:
        """What the command names that the action sends; None when it sends none to the shell."""
        command, half = str(action.params.get("command", "")), False
        if action.name != "run_line":
            prompt = await self.prompt() if _presses_enter(action) else None
            if prompt is None or prompt.at not in ("prompt", "continuation"):
                return None
            half = prompt.at == "continuation"
            command = prompt.line + str(action.params.get("text", ""))
        operands = operands_of(command)
        unknown = [*operands.unknown, *(["the beginning of the command, which stands above"] if half else [])]
        return await self._contents(operands.question(), tuple(unknown))

    async def _contents(self, question: dict[str, Any], unknown: tuple[str, ...] = ()) -> Contents:
        answer = await guest_link.ask(self.places.guest, "contents", _LOOK_SECONDS, _LINE_BYTES, **question)
        return outcomes.contents(answer, question, unknown)

    async def text(self) -> str:
        return await self.screen.text()

    async def elements(self) -> list[Element]:
        width, height = screen_cells.CELL_WIDTH, screen_cells.CELL_HEIGHT
        return [
            Element("text", run.text, run.column * width, y * height, run.width * width, height)
            for y, row in enumerate((await self.screen.look()).grid)
            for run in screen_cells.text_runs(row)
        ]

    async def state(self) -> MachineState:
        answer = await guest_link.ask(self.places.guest, "state")
        code = answer.get("exit_code")
        return MachineState(
            idle=bool(answer.get("idle")),
            waits=outcomes.waits(answer),
            exit_code=code if isinstance(code, int) else None,
            ports=guest_link.ports(answer) if self.own_ports else (),
        )

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return await guest_link.read_file(self.places.guest, path, limit)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        return await guest_link.run(self.places.guest, command, timeout_ms, cwd)

    async def close(self) -> None:
        return None

    async def act(self, action: Action) -> ActResult:
        doers: dict[str, Callable[[Action], Awaitable[ActResult]]] = {
            "type_text": self._type_text,
            "run_line": self._run_line,
            "key_press": self._key_press,
            "key_combo": self._key_combo,
            "click": self._click,
            "drag": self._drag,
            "scroll": self._scroll,
            "move": self._move,
            "wait": self._wait,
            "screenshot": self._nothing,
        }
        if action.name not in doers:
            return ActResult(False, f"A terminal machine does not know the command {action.name}.")
        if action.name != "run_line" and (changed := await self._changed(action) or await self._others(action)):
            return changed
        return await doers[action.name](action)

    async def _nothing(self, action: Action) -> ActResult:
        await self.screen.look()
        return ActResult(True)

    async def _wait(self, action: Action) -> ActResult:
        await self.screen.look()
        return await waited(action)

    async def _run_line(self, action: Action) -> ActResult:
        """Put the command at the prompt instead of what stands there, and wait for its end."""
        seconds, shown = action.timeout_ms / 1000, action.prompt
        # What else than a line stood there is left before the command is placed, so only a line can have changed.
        expected = shown.line if shown and shown.at == "prompt" else None
        answer = await guest_link.ask(
            self.places.guest,
            "run_line",
            seconds + 10,
            _LINE_BYTES,
            command=str(action.params["command"]),
            expected=expected,
            seconds=seconds,
            kept=outcomes.kept(action.contents),
        )
        result = outcomes.of_line(answer)
        await self._settled()
        return result

    async def _type_text(self, action: Action) -> ActResult:
        """Type at the cursor; when that sends a command to the idle shell, wait until the command has ended."""
        text = str(action.params["text"]).replace("\r\n", "\n")
        state = await guest_link.ask(self.places.guest, "state")
        if not (text.endswith("\n") and state.get("idle")):
            await self.screen.type(text.replace("\n", "\r"))
            return await self._settled()
        before = await self.prompt()
        start = (await guest_link.ask(self.places.guest, "begin")).get("start", 0)
        await self.screen.type(text.replace("\n", "\r"))
        seconds = action.timeout_ms / 1000
        answer = await guest_link.ask(
            self.places.guest, "ended", seconds + 10, _LINE_BYTES, start=start, seconds=seconds
        )
        return await self._settled(outcomes.of_typed(answer, before.line))

    async def _changed(self, action: Action) -> ActResult | None:
        """Something else stands at the prompt than what people approved this action on."""
        if action.prompt is None or action.prompt == await self.prompt():
            return None
        return outcomes.of_line({"problem": "changed"})

    async def _others(self, action: Action) -> ActResult | None:
        """What the command names is not what it was when people approved it."""
        before = action.contents
        if before is None:
            return None
        differing = before.differing(await self._contents(before.question))
        return outcomes.others(differing) if differing else None

    async def _settled(self, data: dict[str, Any] | None = None) -> ActResult:
        """Wait until all input has been read and two looks at the screen are equal, at most SETTLE_TIMEOUT seconds."""
        end = time.monotonic() + SETTLE_TIMEOUT
        last = await self.screen.look()
        while time.monotonic() < end:
            await asyncio.sleep(0.03)
            pending = (await guest_link.ask(self.places.guest, "state")).get("pending")
            look = await self.screen.look()
            if look == last and not pending:
                break
            last = look
        return ActResult(True, data=data or {})

    async def _press(self, key: str, modifiers: Sequence[str] = ()) -> ActResult:
        await self.screen.press(key, modifiers)
        return await self._settled()

    async def _key_press(self, action: Action) -> ActResult:
        key = keys.key_name(str(action.params["key"]))
        if key is None:
            return ActResult(False, f"There is no key named {action.params['key']!r}.")
        return await self._press(key)

    async def _key_combo(self, action: Action) -> ActResult:
        combination = keys.combination([str(key) for key in action.params["keys"]])
        if combination is None or "meta" in combination[0]:
            return ActResult(False, f"A terminal cannot press {'+'.join(map(str, action.params['keys']))}.")
        modifiers, key = combination
        if len(key) == 1 and "shift" in modifiers:
            modifiers, key = [modifier for modifier in modifiers if modifier != "shift"], key.upper()
        if "ctrl" in modifiers:
            key = key.lower()
        return await self._press(key, modifiers)

    async def _mouse(self, events: list[tuple[int, int, int, str]]) -> ActResult:
        """SGR mouse reports: button code, x, y in pixels, M for down and m for up."""
        cells = [
            (code, x // screen_cells.CELL_WIDTH + 1, y // screen_cells.CELL_HEIGHT + 1, end)
            for code, x, y, end in events
        ]
        await self.screen.type("".join(f"\x1b[<{code};{column};{row}{end}" for code, column, row, end in cells))
        return await self._settled()

    async def _click(self, action: Action) -> ActResult:
        if not (await self.screen.look()).takes_mouse:
            return ActResult(False, "The program in this terminal does not take mouse clicks; use the keyboard.")
        params = action.params
        code, x, y = _BUTTONS[params.get("button", "left")], int(params["x"]), int(params["y"])
        return await self._mouse([(code, x, y, "M"), (code, x, y, "m")] * int(params.get("count", 1)))

    async def _drag(self, action: Action) -> ActResult:
        if not (await self.screen.look()).takes_mouse:
            return ActResult(False, "The program in this terminal does not take the mouse; use the keyboard.")
        x, y, to_x, to_y = (int(action.params[name]) for name in ("from_x", "from_y", "to_x", "to_y"))
        return await self._mouse([(0, x, y, "M"), (32, to_x, to_y, "M"), (0, to_x, to_y, "m")])

    async def _scroll(self, action: Action) -> ActResult:
        if not (await self.screen.look()).takes_mouse:
            return ActResult(True, data={"note": "The program in this terminal does not take the mouse."})
        params = action.params
        event = (_WHEEL[params["direction"]], int(params["x"]), int(params["y"]), "M")
        return await self._mouse([event] * int(params["amount"]))

    async def _move(self, action: Action) -> ActResult:
        if not (await self.screen.look()).takes_moves:
            return ActResult(True, data={"note": "The program in this terminal does not follow the mouse."})
        return await self._mouse([(35, int(action.params["x"]), int(action.params["y"]), "M")])


class TerminalDriver:
    kind = "terminal"

    def missing(self) -> list[str]:
        return [lack for lack in (holders.chosen().missing(), sandbox.problem(self.kind)) if lack]

    async def start(self, spec: MachineSpec, handle: Handle | None) -> Handle:
        screens = holders.chosen()
        lack = screens.missing()
        if lack:
            raise DriverUnavailable(lack)
        isolated_by = await asyncio.to_thread(sandbox.choose, self.kind)
        if handle and await self.alive(spec, handle):
            return handle
        await _end(process.recorded(handle))
        places = prepare(spec)
        await _end_unrecorded(places)
        places.guest.unlink(missing_ok=True)
        bounds = await asyncio.to_thread(resource_limits.set_up, spec, places, sandbox.sandbox_of(isolated_by))
        holder = await screens.start(places.run, _command(spec, places, isolated_by, bounds), *_size(spec))
        born = {
            "pid": holder.pid,
            "starttime": holder.starttime,
            "run": str(places.run),
            "isolation": isolated_by,
            "screen": screens.name,
            **bounds.kept(),
        }
        try:
            await _first_prompt(_session(spec, places, born))
        except BaseException:
            await _end(holder)
            await asyncio.to_thread(resource_limits.end_left, places)
            raise
        return born

    async def attach(self, spec: MachineSpec, handle: Handle, *, stands: bool = False) -> TerminalSession:
        if not process.is_alive(process.recorded(handle)):
            raise MachineGone("The terminal is not running.")
        session = _session(spec, recorded_places(spec, handle), handle)
        if not stands:
            await guest_link.ask(session.places.guest, "state", guest_link.ATTACH_SECONDS)
        return session

    async def alive(self, spec: MachineSpec, handle: Handle) -> bool:
        if not process.is_alive(process.recorded(handle)):
            return False
        session = _session(spec, recorded_places(spec, handle), handle)
        try:
            await session.screen.look()
        except MachineGone:
            return False
        return await guest_link.answers(session.places.guest)

    async def stop(self, spec: MachineSpec, handle: Handle) -> None:
        await _end(process.recorded(handle))
        places = left_places(spec)
        if places:
            await _end_unrecorded(places)
            await asyncio.to_thread(resource_limits.end_left, places)


def _session(spec: MachineSpec, places: Places, handle: Handle) -> TerminalSession:
    screen = holders.holder_of(handle.get("screen")).attach(places.run, *_size(spec))
    return TerminalSession(spec, places, screen, own_ports=handle.get("isolation") != "fence")


async def _end_unrecorded(places: Places) -> None:
    """End what nobody recorded, because its starter was killed."""
    for screens in holders.HOLDERS.values():
        await _end(await screens.find(places.run))


async def _end(holder: process.Identity | None) -> None:
    """End the holder of a screen and all that runs behind it."""
    around = fence.around(process.tree(holder))
    pidfd = process.send(around, signal.SIGTERM) if around else None
    if pidfd is not None:
        await process.ended(pidfd, FENCE_TIMEOUT)
    await process.end_tree(holder)


async def _first_prompt(session: TerminalSession) -> None:
    end = time.monotonic() + START_TIMEOUT
    while not session.places.guest.exists() and time.monotonic() < end:
        await session.screen.look()  # raises MachineGone when the screen's program has ended
        await asyncio.sleep(0.005)
    ready = await guest_link.ask(session.places.guest, "ended", START_TIMEOUT + 5, start=0, seconds=START_TIMEOUT)
    if not (ready.get("how") == "refused" or ready.get("ran")):  # a first prompt comes without a command before it
        raise MachineGone("The terminal's shell did not start.")


def _size(spec: MachineSpec) -> tuple[int, int]:
    """Columns and rows that fit into the machine's picture."""
    return spec.width // screen_cells.CELL_WIDTH, spec.height // screen_cells.CELL_HEIGHT


def _command(spec: MachineSpec, places: Places, isolated_by: str, bounds: resource_limits.Limits) -> list[str]:
    """What runs on the screen: the guest, in its sandbox, with its listening socket and the shell's pty."""
    config = {"kind": "terminal", "limits": resource_limits.of_processes(spec, isolated_by)}
    command = sandbox.guest_command(places, config, isolated_by, bounds, [sandbox.NO_NESTING])
    launcher = [interpreter()[0], "-I", "-S", str(Path(launch.__file__))]
    return [*launcher, str(places.guest), launch.PTY, "--", *command]
