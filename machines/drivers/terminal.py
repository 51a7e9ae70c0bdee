"""Terminal machines: a tmux server holds the screen, a sandboxed bash runs behind it; there is no network at all.

tmux runs outside the sandbox and outlives whoever started it; the shell cannot reach its socket.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machines.drivers import guestlink, keys, process, screen
from machines.drivers.base import (
    Action,
    ActResult,
    DriverUnavailable,
    Element,
    Frame,
    Handle,
    MachineGone,
    MachineSpec,
    MachineState,
    Target,
    TerminalResult,
    waited,
)
from machines.drivers.places import Places, left_places, prepare, recorded_places
from machines.drivers.sandbox import guest_command, interpreter, sandbox_problem, sandboxed

START_TIMEOUT = 15.0  # seconds
SETTLE_TIMEOUT = 1.0
_PANE = "machine"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/", "SHELL": "/bin/sh"}
_FACTS = "#{pane_dead} #{cursor_flag} #{cursor_x} #{cursor_y} #{mouse_any_flag} #{mouse_sgr_flag} #{mouse_all_flag}"
_TMUX_KEYS = {
    "enter": "Enter", "tab": "Tab", "escape": "Escape", "backspace": "BSpace", "delete": "DC", "insert": "IC",
    "up": "Up", "down": "Down", "left": "Left", "right": "Right", "home": "Home", "end": "End",
    "pageup": "PPage", "pagedown": "NPage", " ": "Space", ";": "\\;",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip
_BUTTONS = {"left": 0, "middle": 1, "right": 2}
_WHEEL = {"up": 64, "down": 65, "left": 66, "right": 67}


async def tmux(socket: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run one tmux command; raises MachineGone when the server refuses or is not there."""
    process_ = await asyncio.create_subprocess_exec(
        "tmux", "-u", "-S", str(socket), "-f", "/dev/null", *arguments, cwd="/", env=_ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaint = await process_.communicate(stdin)
    if process_.returncode:
        raise MachineGone(f"The terminal is gone: {complaint.decode(errors='replace').strip()[:300]}")
    return output.decode(errors="replace")


@dataclass(frozen=True)
class View:
    """What the screen shows at one moment."""

    text: str
    cursor: screen.Cursor | None
    takes_mouse: bool
    takes_moves: bool


class TerminalSession:
    def __init__(self, spec: MachineSpec, places: Places) -> None:
        self.spec = spec
        self.places = places
        self.columns = spec.width // screen.CELL_WIDTH
        self.rows = spec.height // screen.CELL_HEIGHT
        self._last: tuple[View, Frame] | None = None

    async def view(self) -> View:
        show = ["display-message", "-p", "-t", _PANE, _FACTS]
        output = await tmux(self.places.tmux, "capture-pane", "-p", "-e", "-N", "-t", _PANE, ";", *show)
        text, _, facts = output.rstrip("\n").rpartition("\n")
        dead, shown, x, y, mouse, sgr, moves = (int(fact or 0) for fact in facts.split(" "))
        if dead:
            raise MachineGone("The terminal's program has ended.")
        cursor = screen.Cursor(x, y) if shown else None
        return View(text, cursor, bool(mouse and sgr), bool(moves and sgr))

    def _grid(self, view: View) -> list[list[screen.Cell]]:
        return screen.parse(view.text, self.columns, self.rows)

    async def screenshot(self) -> Frame:
        view = await self.view()
        if self._last is None or self._last[0] != view:
            png = screen.draw(self._grid(view), (self.spec.width, self.spec.height), view.cursor)
            self._last = view, Frame(png, self.spec.width, self.spec.height)
        return self._last[1]

    async def target(self, action: Action) -> Target | None:
        return None

    async def text(self) -> str:
        return "\n".join(screen.plain(row) for row in self._grid(await self.view())).rstrip("\n")

    async def elements(self) -> list[Element]:
        width, height = screen.CELL_WIDTH, screen.CELL_HEIGHT
        return [
            Element("text", run.text, run.column * width, y * height, run.width * width, height)
            for y, row in enumerate(self._grid(await self.view()))
            for run in screen.text_runs(row)
        ]

    async def state(self) -> MachineState:
        answer = await guestlink.ask(self.places.guest, "state")
        code = answer.get("exit_code")
        return MachineState(
            idle=bool(answer.get("idle")),
            exit_code=code if isinstance(code, int) else None,
            ports=guestlink.ports(answer),
        )

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return await guestlink.read_file(self.places.guest, path, limit)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        return await guestlink.run(self.places.guest, command, timeout_ms, cwd)

    async def close(self) -> None:
        return None

    async def act(self, action: Action) -> ActResult:
        doers: dict[str, Callable[[Action], Awaitable[ActResult]]] = {
            "type_text": self._type_text,
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
        return await doers[action.name](action)

    async def _nothing(self, action: Action) -> ActResult:
        await self.view()
        return ActResult(True)

    async def _wait(self, action: Action) -> ActResult:
        await self.view()
        return await waited(action)

    async def _type_text(self, action: Action) -> ActResult:
        """Type; when that sends a command to the idle shell, wait until the command has ended."""
        text = str(action.params["text"]).replace("\r\n", "\n")
        before = await guestlink.ask(self.places.guest, "state")
        await self._send(text.replace("\n", "\r"))
        if not (text.endswith("\n") and before.get("idle")):
            return await self._settled()
        seconds = action.timeout_ms / 1000
        after = await guestlink.ask(
            self.places.guest, "await_prompt", seconds + 10, after=before.get("prompts", 0), seconds=seconds
        )
        finished = bool(after.get("finished"))
        return await self._settled({"exit_code": after.get("exit_code") if finished else None, "finished": finished})

    async def _send(self, text: str) -> None:
        """Put these characters into the terminal exactly as a keyboard would."""
        if text:
            paste = ["load-buffer", "-", ";", "paste-buffer", "-d", "-r", "-t", _PANE]
            await tmux(self.places.tmux, *paste, stdin=text.encode(errors="replace"))

    async def _settled(self, data: dict[str, Any] | None = None) -> ActResult:
        """Wait until all input has been read and two looks at the screen are equal, at most SETTLE_TIMEOUT seconds."""
        end = time.monotonic() + SETTLE_TIMEOUT
        last = await self.view()
        while time.monotonic() < end:
            await asyncio.sleep(0.03)
            pending = (await guestlink.ask(self.places.guest, "state")).get("pending")
            view = await self.view()
            if view == last and not pending:
                break
            last = view
        return ActResult(True, data=data or {})

    async def _press(self, name: str) -> ActResult:
        await tmux(self.places.tmux, "send-keys", "-t", _PANE, name)
        return await self._settled()

    async def _key_press(self, action: Action) -> ActResult:
        key = keys.key_name(str(action.params["key"]))
        if key is None:
            return ActResult(False, f"There is no key named {action.params['key']!r}.")
        return await self._press(_TMUX_KEYS.get(key, key))

    async def _key_combo(self, action: Action) -> ActResult:
        combination = keys.combination([str(key) for key in action.params["keys"]])
        if combination is None or "meta" in combination[0]:
            return ActResult(False, f"A terminal cannot press {'+'.join(map(str, action.params['keys']))}.")
        modifiers, key = combination
        if len(key) == 1 and "shift" in modifiers:
            modifiers, key = [modifier for modifier in modifiers if modifier != "shift"], key.upper()
        if "ctrl" in modifiers:
            key = key.lower()
        prefix = "".join({"ctrl": "C-", "alt": "M-", "shift": "S-"}[modifier] for modifier in modifiers)
        name = _TMUX_KEYS.get(key, key)
        return await self._press("BTab" if prefix + name == "S-Tab" else prefix + name)

    async def _mouse(self, events: list[tuple[int, int, int, str]]) -> ActResult:
        """SGR mouse reports: button code, x, y in pixels, M for down and m for up."""
        cells = [(code, x // screen.CELL_WIDTH + 1, y // screen.CELL_HEIGHT + 1, end) for code, x, y, end in events]
        await self._send("".join(f"\x1b[<{code};{column};{row}{end}" for code, column, row, end in cells))
        return await self._settled()

    async def _click(self, action: Action) -> ActResult:
        if not (await self.view()).takes_mouse:
            return ActResult(False, "The program in this terminal does not take mouse clicks; use the keyboard.")
        params = action.params
        code, x, y = _BUTTONS[params.get("button", "left")], int(params["x"]), int(params["y"])
        return await self._mouse([(code, x, y, "M"), (code, x, y, "m")] * int(params.get("count", 1)))

    async def _drag(self, action: Action) -> ActResult:
        if not (await self.view()).takes_mouse:
            return ActResult(False, "The program in this terminal does not take the mouse; use the keyboard.")
        x, y, to_x, to_y = (int(action.params[name]) for name in ("from_x", "from_y", "to_x", "to_y"))
        return await self._mouse([(0, x, y, "M"), (32, to_x, to_y, "M"), (0, to_x, to_y, "m")])

    async def _scroll(self, action: Action) -> ActResult:
        if not (await self.view()).takes_mouse:
            return ActResult(True, data={"note": "The program in this terminal does not take the mouse."})
        params = action.params
        event = (_WHEEL[params["direction"]], int(params["x"]), int(params["y"]), "M")
        return await self._mouse([event] * int(params["amount"]))

    async def _move(self, action: Action) -> ActResult:
        if not (await self.view()).takes_moves:
            return ActResult(True, data={"note": "The program in this terminal does not follow the mouse."})
        return await self._mouse([(35, int(action.params["x"]), int(action.params["y"]), "M")])


class TerminalDriver:
    kind = "terminal"

    def missing(self) -> list[str]:
        lacks = [] if shutil.which("tmux") else ["tmux is not installed: apt-get install tmux."]
        problem = sandbox_problem()
        return lacks + ([problem] if problem and os.environ.get("MACHINE_ALLOW_UNSANDBOXED") != "1" else [])

    async def start(self, spec: MachineSpec, handle: Handle | None) -> Handle:
        if not shutil.which("tmux"):
            raise DriverUnavailable("tmux is not installed: apt-get install tmux.")
        isolated = await asyncio.to_thread(sandboxed)
        if handle and await self.alive(spec, handle):
            return handle
        await process.end_tree(process.recorded(handle))
        places = prepare(spec)
        await process.end_tree(await _server_of(places))  # one that nobody recorded: its starter was killed
        for socket in (places.tmux, places.guest):
            socket.unlink(missing_ok=True)
        await tmux(places.tmux, *_new_session(spec, places, isolated))
        server = await _server_of(places)
        if server is None:
            raise MachineGone("The terminal ended at once.")
        try:
            await _first_prompt(TerminalSession(spec, places))
        except BaseException:
            await process.end_tree(server)
            raise
        return {"pid": server.pid, "starttime": server.starttime, "run": str(places.run), "sandboxed": isolated}

    async def attach(self, spec: MachineSpec, handle: Handle) -> TerminalSession:
        if not process.is_alive(process.recorded(handle)):
            raise MachineGone("The terminal is not running.")
        return TerminalSession(spec, recorded_places(spec, handle))

    async def alive(self, spec: MachineSpec, handle: Handle) -> bool:
        try:
            await (await self.attach(spec, handle)).view()
        except MachineGone:
            return False
        return True

    async def stop(self, spec: MachineSpec, handle: Handle) -> None:
        await process.end_tree(process.recorded(handle))
        places = left_places(spec)
        await process.end_tree(await _server_of(places) if places else None)


async def _server_of(places: Places) -> process.Identity | None:
    try:
        return process.identify(int(await tmux(places.tmux, "display-message", "-p", "#{pid}")))
    except (MachineGone, ValueError):
        return None


async def _first_prompt(session: TerminalSession) -> None:
    end = time.monotonic() + START_TIMEOUT
    while not session.places.guest.exists() and time.monotonic() < end:
        await session.view()  # raises MachineGone when the pane's program has ended
        await asyncio.sleep(0.005)
    ready = await guestlink.ask(session.places.guest, "await_prompt", START_TIMEOUT + 5, after=0, seconds=START_TIMEOUT)
    if not ready.get("finished"):
        raise MachineGone("The terminal's shell did not start.")


def _new_session(spec: MachineSpec, places: Places, isolated: bool) -> list[str]:
    """The tmux command that sets the server up and starts the machine in its only pane."""
    gigabyte = 1 << 30
    limits = {"CORE": 0, "DATA": spec.memory_gb * gigabyte, "FSIZE": 4 * gigabyte, "NPROC": 1024}
    config = {"kind": "terminal", "limits": limits}
    command = guest_command(places, config, isolated, ["--disable-userns"])
    launcher = [interpreter()[0], "-I", "-S", str(Path(__file__).with_name("launch.py")), str(places.guest), "--"]
    options = {
        "status": "off", "remain-on-exit": "on", "prefix": "None", "prefix2": "None", "escape-time": "0",
        "history-limit": "20000", "default-terminal": "tmux-256color", "set-clipboard": "off", "mouse": "off",
    }  # fmt: skip
    settings = [word for name, value in options.items() for word in ("set-option", "-g", name, value, ";")]
    size = ["-x", str(spec.width // screen.CELL_WIDTH), "-y", str(spec.height // screen.CELL_HEIGHT)]
    create = ["new-session", "-d", "-s", _PANE, *size, "--", *launcher, *command]
    # tmux 3.3 crashes when window-size is manual before the first window exists.
    return ["start-server", ";", *settings, *create, ";", "set-option", "-g", "window-size", "manual"]
