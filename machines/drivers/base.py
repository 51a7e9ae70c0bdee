"""What every way of reaching a computer offers: two small Protocols and the values they exchange.

A driver starts, attaches to and stops machines of one kind. Its handle is JSON kept in the machine's row:
enough for any process to attach to the machine or to kill it. Machines outlive the process that started them.
Text, names and files that come from a machine are untrusted input.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Handle = dict[str, Any]


class MachineGone(Exception):
    """The machine's process does not answer: it ended, was killed, or was never started."""


class DriverUnavailable(Exception):
    """This computer lacks what the driver needs. The message says what to install."""


@dataclass(frozen=True)
class MachineSpec:
    """Everything a driver needs to know of one machine; the folder is private to it and survives restarts."""

    id: str
    kind: str
    folder: Path
    width: int  # pixels
    height: int  # pixels
    memory_gb: int = 4
    cpu_cores: int = 2


@dataclass(frozen=True)
class Frame:
    """One picture of the screen: PNG bytes, size in pixels; `text` is what a terminal showed in it, as lines."""

    png: bytes
    width: int
    height: int
    text: str | None = None


@dataclass(frozen=True)
class Prompt:
    """What stands at a terminal's prompt. `at`: prompt; continuation (the rest of a command is awaited); program (the shell
    does not read); unknown (the line cannot be read now). `line` is the text typed there so far, without Enter.
    """

    at: str
    line: str = ""


@dataclass(frozen=True)
class Content:
    """Something that an action works with and that may change before it is done.

    `kind`: file, folder, pattern or program of a command, shell (where and how it stands), field or address of a form.
    `value` is what is compared, `says` what people may read of it; "" for what is not there. Neither of a `secret` one is
    ever shown or kept.
    """

    kind: str
    name: str
    value: str
    says: str = ""
    secret: bool = False


@dataclass(frozen=True)
class Contents:
    """What an action works with, as it is now. `uncovered`: what of it cannot be compared, in words. `question`: how it was
    looked at, for who looks again."""

    items: tuple[Content, ...] = ()
    uncovered: tuple[str, ...] = ()
    question: dict[str, Any] = field(default_factory=dict)

    def differing(self, now: "Contents") -> list[str]:
        """The names of what is another now, or gone."""
        values = {(item.kind, item.name): item.value for item in now.items}
        return [item.name for item in self.items if values.get((item.kind, item.name)) != item.value]


@dataclass(frozen=True)
class Action:
    """One action in canonical form (machines/actions/canonical.py). Coordinates are pixels of the screen.

    `ref` says which element is meant (Element.ref), for who looked at the elements: the action is done to that one or not
    at all. It is no parameter: it is neither shown nor hashed, and holds only as long as the page does.
    `secret`: what it types is not to be told, nor what a page made of it. `only`: lists of hosts, each of which has to hold the
    host of the page, and of every frame around the field, that gets the text; none: any page may. `hidden`: texts that a
    page may show and nobody may carry off. `expects`: what the click was judged by; where something else lies now it is not
    made, and where it is `firm` neither when something else comes under the pointer at the last moment.

    `prompt` is what stood at the terminal's prompt when people approved the action: with anything else there it is not
    done. No parameter either. `contents`: what it worked with then; where any of it is another it is not done.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    timeout_ms: int = 30_000
    ref: str | None = None
    prompt: Prompt | None = None
    contents: Contents | None = None
    checked: bool | None = None
    secret: bool = False
    only: tuple[tuple[str, ...], ...] = ()
    hidden: tuple[str, ...] = ()
    expects: "Target | None" = None
    firm: bool = False


@dataclass(frozen=True)
class ActResult:
    """What the machine said of one action. `error` is plain words; `data` is JSON (exit_code, output, url, …).

    A pointed action of a browser has `hit` in its data: {"role", "name", "tag"} of what received it. `stale` is true when
    the element of its ref is not there any more.

    A line that a terminal's shell was given has `finished` and `exit_code` (None: still running, or nobody knows), `output`
    (text, at most 4 KiB, `[...]` where it was cut), and where they apply `cleared` (what stood on the line and was replaced),
    `line` (the whole line that ran, when it was more than what was typed), `waits` (who waits for input, in words), `busy`
    (the shell did not read, nothing was typed) and `changed` (something else than Action.prompt stood there). `withheld`: why
    the secrets of the text did not go in.
    """

    success: bool
    error: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


async def waited(action: Action) -> ActResult:
    """Do a wait action; one that is longer than its timeout is cut short and has failed."""
    milliseconds = int(action.params["ms"])
    await asyncio.sleep(min(milliseconds, action.timeout_ms) / 1000)
    if milliseconds > action.timeout_ms:
        return ActResult(False, f"The wait was ended by its timeout after {action.timeout_ms} ms.")
    return ActResult(True)


@dataclass(frozen=True)
class Element:
    """Something on the screen that has a name: a control, a heading, a run of terminal text. Pixels.

    `ref` names it for actions: "<frame id>/<backend node id>" in a browser, None where a kind has no such names.
    """

    role: str
    name: str
    x: int
    y: int
    width: int
    height: int
    value: str | None = None
    disabled: bool = False
    checked: bool | None = None
    ref: str | None = None

    @property
    def center(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y + self.height // 2


@dataclass(frozen=True)
class Reach:
    """Where an element can be pressed now, or why it cannot.

    `problem`: in words, naming what covers it. `hidden`: nobody can see it at all. `scrolled`: the page had to be scrolled
    to look, so pictures from before show something else.
    """

    point: tuple[int, int] | None
    problem: str = ""
    hidden: bool = False
    scrolled: bool = False


@dataclass(frozen=True)
class Target:
    """What an action would reach, in the machine's own words: untrusted like all of them.

    `kind`: the field's type or autocomplete token ("password", "cc-number", "submit"). `form`: what its form is for, as the
    form says it: the words of its submit button, else its name.
    """

    role: str
    name: str
    kind: str = ""
    form: str = ""


@dataclass(frozen=True)
class MachineState:
    """Facts about the machine now; fields that its kind does not have keep their default.

    `idle`: the terminal's shell waits at its prompt. `waits`: who waits for somebody to type instead, in words, when that has
    been so for a second. `exit_code`: of the last finished command. `ports`: TCP ports that
    something inside the machine listens on. `dialog`: text of an open JavaScript dialog. `host`: whose page it is, where
    the address does not say so.
    """

    url: str | None = None
    host: str | None = None
    title: str = ""
    dialog: str | None = None
    idle: bool = True
    waits: str | None = None
    exit_code: int | None = None
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class TerminalResult:
    """The outcome of one command; `output` holds stdout and stderr together, at most 5,000 characters.

    `exit_code` is None when the command was still running at its timeout (it is then ended).
    """

    output: str
    exit_code: int | None
    truncated: bool


class Session(Protocol):
    """A connection to one running machine. Every method raises MachineGone when the machine does not answer."""

    async def begin(self) -> None:
        """Make ready for a run that has seen nothing of the machine yet: a browser gets one fresh tab, and no other.

        Raises MachineGone when that cannot be done: then only a new start helps.
        """
        ...

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        """Password fields, and whatever shows one of the texts `hidden`, are painted over in it."""
        ...

    async def act(self, action: Action) -> ActResult:
        """Do one action and wait until the screen has settled. A failure on the machine is a result, no exception."""
        ...

    async def elements(self) -> list[Element]: ...

    async def reach(self, ref: str) -> Reach | None:
        """Bring an element onto the screen and test where it can be pressed; None for kinds that have no such test."""
        ...

    async def target(self, action: Action) -> Target | None:
        """What lies under the action's point, or is its ref; None for nothing and where the kind cannot tell."""
        ...

    async def prompt(self) -> Prompt | None:
        """What stands at a terminal's prompt now; None for kinds without one."""
        ...

    async def contents(self, action: Action) -> Contents | None:
        """The files that a command names, the values of the form that a press sends; None where the action works with
        nothing that could be compared. Values are in it as they are, those of secret fields too."""
        ...

    async def text(self) -> str:
        """Everything readable on the screen or page, as plain text."""
        ...

    async def state(self) -> MachineState: ...

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        """The file's first `limit` bytes, read inside the machine; None when there is no such file.

        At a terminal a relative path counts from the folder that the shell stands in, else from home.
        """
        ...

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        """Run a command inside, beside the visible shell. Kinds without a shell raise NotImplementedError."""
        ...

    async def close(self) -> None:
        """Let go of the connection; the machine keeps running."""
        ...


class Driver(Protocol):
    """One way of reaching computers. All methods may be called from any process on the machine's host."""

    kind: str

    def missing(self) -> list[str]:
        """What this computer lacks for this kind, each as a sentence that says how to install it; empty when ready."""
        ...

    async def start(self, spec: MachineSpec, handle: Handle | None) -> Handle:
        """Start the machine detached from this process; returns its handle. `handle` is of its former life."""
        ...

    async def attach(self, spec: MachineSpec, handle: Handle, *, stands: bool = False) -> Session:
        """Raises MachineGone when its process is not there or its guest does not answer; `stands`: it must not."""
        ...

    async def alive(self, spec: MachineSpec, handle: Handle) -> bool: ...

    async def stop(self, spec: MachineSpec, handle: Handle) -> None:
        """End every process of the machine; its folder stays. A machine that is gone is no error.

        Also one whose start was never recorded: `handle` is then empty, or of a former life.
        """
        ...
