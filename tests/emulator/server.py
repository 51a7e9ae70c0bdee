"""A server on the loopback that answers as the vendors of the four wires do, with stories instead of models.

Which turn is due is derived from the request itself, so the server forgets everything but its counters: it serves many
runs at once, and a client that was restarted. Each wire module (`MODULES`) exports `routes(emulator)`; its handler does

    call = await emulator.receive("anthropic", request)    # body with its pictures replaced by short stand-ins
    ... check, else: return call.refuse(status, error body)
    turn = call.due(opening text, answers in the log, kind)
    return await call.answer(turn, whole JSON, [chunks of the stream] or None, error=lambda status, message: body)
"""

import asyncio
import base64
import contextlib
import hashlib
import importlib
import importlib.util
import json
import re
import struct
import threading
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.emulator import story
from tests.emulator.story import Fault, Json, Story, Turn

MODULES = {"anthropic": "anthropic", "openai": "responses", "compatible": "chat", "gemini": "gemini"}
PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "compatible": "/compatible/v1", "gemini": "/gemini"}
_DATA_URL = re.compile(r"data:(image/[a-z]+);base64,")
_PLAIN = str.maketrans("-_", "+/")  # both alphabets of base64 are taken
_SDKS = {"anthropic": "anthropic", "openai": "openai", "compatible": "openai", "gemini": "google.genai"}
_MODELS_ITEMS = frozenset({"reasoning", "computer_call", "function_call"})  # of OpenAI's Responses
_LONG = 400  # characters: shorter strings are no pictures


def installed() -> tuple[str, ...]:
    """The wires whose SDK is there, and that are written."""
    return tuple(wire for wire in MODULES if _is_there(_SDKS[wire]) and _is_there(f"tests.emulator.{MODULES[wire]}"))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


@dataclass(frozen=True)
class Picture:
    sha: str
    width: int
    height: int
    size: int


@dataclass
class Body:
    """One request as it came. Pictures in `json` are stand-ins: valid base64 of `Emulator.pictures`' keys."""

    wire: str
    path: str
    headers: dict[str, str]
    json: Any
    status: int = 0


class Emulator:
    """`async with Emulator({"name": [Turn(...), ...]}) as emulator`.

    `default`: the story of a task that names none (the only one if there is one). `wires`: those that it answers on, by default all
    whose SDK is installed. `keys`: the keys that are let in, None = any; change it to revoke one. `delay`: seconds before each
    answer. `log`: a file that gets every body as a line of JSON. `bodies`, `requests` (by wire), `refused` (the rules that requests
    broke), `left` (clients that went before their answer) tell what came; `broken` are faults of the emulator itself, for which
    leaving it raises.
    """

    def __init__(
        self, stories: Mapping[str, Story | Sequence[Turn]], default: str = "", *, port: int = 0,
        log: Path | str | None = None, keys: set[str] | None = None, delay: float = 0.0,
        wires: Sequence[str] = (), keep_bodies: bool = True,
    ) -> None:  # fmt: skip
        self.stories = {name: story.as_story(one) for name, one in stories.items()}
        self.default = default or (next(iter(self.stories)) if len(self.stories) == 1 else "")
        self.port, self.keys, self.delay = port, keys, delay
        self.wires = tuple(wires) or installed()
        self.bodies: list[Body] = []
        self.pictures: dict[str, Picture] = {}  # by stand-in
        self.requests: Counter[str] = Counter()
        self.refused: list[str] = []
        self.broken: list[str] = []
        self.strict_checks = False  # openai: a safety check that is not acknowledged is refused whatever is told of it
        self.faults: Counter[tuple[str, str, str, int]] = Counter()  # used: (wire, story, kind, turn)
        self.left = 0
        self._keep = keep_bodies
        self._log = Path(log) if log else None
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 2**20, middlewares=[self._owning_up])
        for wire in self.wires:
            module = await asyncio.to_thread(importlib.import_module, f"tests.emulator.{MODULES[wire]}")
            app.router.add_routes(module.routes(self))
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner
        await self._runner.cleanup()
        if self.broken and error is None:
            raise AssertionError(f"The emulator failed: {self.broken[0]}")

    @web.middleware
    async def _owning_up(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Clients take a 500 for a busy model and come again; the test has to hear of it."""
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            self.broken.append(traceback.format_exc())
            raise

    def url(self, wire: str) -> str:
        """The base_url of a profile."""
        return f"http://127.0.0.1:{self.port}{PATHS[wire]}"

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until it holds; it is looked at after each request, answer and client that left."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(condition)

    async def changed(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def receive(self, wire: str, request: web.Request) -> "Call":
        raw = await request.read()
        self.requests[wire] += 1
        try:
            body = self.shortened(json.loads(raw))
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in request.headers.items()}
        kept = Body(wire, request.path, headers, body)
        if self._keep:
            self.bodies.append(kept)
        await self.changed()
        return Call(self, request, kept)

    def write(self, body: Body) -> None:
        if self._log:
            line = {"wire": body.wire, "path": body.path, "status": body.status, "body": body.json}
            with self._log.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def shortened(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.shortened(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.shortened(one) for one in value]
        if isinstance(value, str) and len(value) > _LONG:
            return self._stand_in(value)
        return value

    def _stand_in(self, text: str) -> str:
        match = _DATA_URL.match(text)
        prefix = match[0] if match else ""
        start = _bytes_of(text[len(prefix) : len(prefix) + 64])
        if start is None or not (match or start.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF"))):
            return text
        sha = hashlib.sha256(text[len(prefix) :].encode()).digest()
        short = base64.b64encode(sha).decode()
        if short not in self.pictures:
            width, height = struct.unpack(">II", start[16:24]) if start.startswith(b"\x89PNG") else (0, 0)
            content = base64.b64decode(text[len(prefix) :].translate(_PLAIN))
            self.pictures[short] = Picture(hashlib.sha256(content).hexdigest(), width, height, len(content))
        return prefix + short

    def picture(self, stand_in: str) -> Picture | None:
        """By a stand-in or a data URL of one."""
        return self.pictures.get(_DATA_URL.sub("", stand_in))


def _bytes_of(text: str) -> bytes | None:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4].translate(_PLAIN), validate=True)
    except ValueError:
        return None


@dataclass
class Call:
    """One request on its way to its answer."""

    emulator: Emulator
    request: web.Request
    body: Body
    _stop: str = field(default="", init=False)

    @property
    def json(self) -> Any:
        return self.body.json

    def lets_in(self, key: str | None) -> bool:
        return self.emulator.keys is None or key in self.emulator.keys

    def due(self, opening: str, answers: int, kind: str = "turns") -> story.Due:
        """Raises story.OverError. A fault that only changes how the turn stops is put into the turn here."""
        told = _after_answers(self.json)
        due = story.due(self.emulator.stories, self.emulator.default, opening, answers, kind, told)
        fault = due.turn.fault
        if fault and fault.stop and self._takes(due, fault):
            return replace(due, turn=replace(due.turn, stop=fault.stop))
        return due

    def refuse(self, status: int, error: Json, headers: Mapping[str, str] | None = None) -> web.Response:
        """A rule was broken, or a fault says so."""
        self.body.status = status
        self.emulator.write(self.body)
        if status not in {429, 529}:
            self.emulator.refused.append(json.dumps(error))
        return web.json_response(error, status=status, headers=dict(headers or {}))

    async def answer(
        self, due: story.Due, whole: Json, events: Sequence[bytes] | None, error: Callable[[int, str], Json],
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:  # fmt: skip
        """`events` is None where the client did not ask for a stream."""
        try:
            return await self._answer(due, whole, events, error, dict(headers or {}))
        except (asyncio.CancelledError, ConnectionResetError):
            self.emulator.left += 1
            await asyncio.shield(self.emulator.changed())
            raise

    async def _answer(
        self, due: story.Due, whole: Json, events: Sequence[bytes] | None, error: Callable[[int, str], Json],
        headers: dict[str, str],
    ) -> web.StreamResponse:  # fmt: skip
        await asyncio.sleep(due.turn.delay or self.emulator.delay)
        fault = due.turn.fault
        if not (fault and not fault.stop and self._takes(due, fault)):
            fault = Fault()
        if fault.status:
            return self.refuse(fault.status, error(fault.status, fault.message or "It was so written."), fault.headers)
        if fault.hang:
            await asyncio.Event().wait()
        self.body.status = 200
        self.emulator.write(self.body)
        if events is None:
            return await self._whole(json.dumps(whole).encode(), fault, headers)
        return await self._stream(events, fault, headers)

    async def _whole(self, text: bytes, fault: Fault, headers: dict[str, str]) -> web.StreamResponse:
        if fault.half:
            return web.Response(body=text[: len(text) // 2], content_type="application/json", headers=headers)
        if not fault.cut:
            return web.Response(body=text, content_type="application/json", headers=headers)
        response = web.StreamResponse(headers={**headers, "content-type": "application/json"})
        response.content_length = len(text)
        await response.prepare(self.request)
        await response.write(text[: len(text) // 2])
        return self._dropped(response)

    async def _stream(self, events: Sequence[bytes], fault: Fault, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={**headers, "content-type": "text/event-stream"})
        await response.prepare(self.request)
        whole = b"".join(events)
        if not fault.cut and not fault.half:
            await response.write(whole)
            return response
        await response.write(whole[: len(whole) // 2])
        return self._dropped(response) if fault.cut else response

    def _dropped(self, response: web.StreamResponse) -> web.StreamResponse:
        if self.request.transport:
            self.request.transport.abort()
        return response

    def _takes(self, due: story.Due, fault: Fault) -> bool:
        """Is the fault's turn now? Counts it if so."""
        key = (self.body.wire, *due.key)
        if fault.times and self.emulator.faults[key] >= fault.times:
            return False
        self.emulator.faults[key] += 1
        return True


def _after_answers(body: Json) -> list[str]:
    """What followed each answer of the model, as JSON: of any wire."""
    items = next((body[name] for name in ("messages", "input", "contents") if name in body), [])
    told: list[str] = []
    spoke = False
    for item in items:
        speaks = item.get("role") in {"assistant", "model"} or item.get("type") in _MODELS_ITEMS
        if speaks and not spoke:
            told.append("")
        elif told and not speaks:
            told[-1] += json.dumps(item)
        spoke = speaks
    return told


@contextlib.contextmanager
def in_thread(emulator: Emulator) -> Iterator[Emulator]:
    """The emulator on a loop of its own, for tests that have none. Its counters may be read from outside."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result(60)
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(emulator.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
