"""A conversation with a model over a wire, as an agent leads it, but without a machine: memory goes through JSON all the time."""

import asyncio
import contextlib
import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from PIL import Image

from inference.specs import Spec
from inference.wires.base import Answer, Request, Thought, Tool, View, Wanted, Wire
from tests.emulator.server import Emulator

ACTIONS = frozenset(
    {"click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait", "open_url", "go_back"}
)
ASK = Tool(
    "ask_human", "Ask a person.",
    {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"], "additionalProperties": False},
)  # fmt: skip
FINISH = Tool(
    "finish", "End the task.",
    {
        "type": "object", "properties": {"passed": {"type": "boolean"}, "summary": {"type": "string"}},
        "required": ["passed"],
    },
)  # fmt: skip
KEY = "sk-test-0123456789abcdef"
_screens: dict[str, bytes] = {}


def screen(number: int, width: int = 1280, height: int = 800) -> str:
    """The SHA-256 of a picture that differs by its number."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (number % 256, number // 256, 90)).save(file, "PNG")
    sha = hashlib.sha256(file.getvalue()).hexdigest()
    _screens[sha] = file.getvalue()
    return sha


def spec(emulator: Emulator, wire: Any, model: str = "model-1", **options: Any) -> Spec:
    return Spec("eye", wire, model, base_url=emulator.url(wire), key=KEY, options=options)


@contextlib.asynccontextmanager
async def web_page() -> AsyncIterator[str]:
    """The address of a server that says 200 to everything, as many pages do."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<h1>Welcome</h1>", content_type="text/html")

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Conversation:
    """`make` makes the wire anew after every move, as another worker would."""

    make: Callable[[], Wire]
    task: str
    screen_size: tuple[int, int] = (1280, 800)
    tools: Sequence[Tool] = (ASK, FINISH)
    options: dict[str, Any] = field(default_factory=dict)  # of each Request
    log: list[Any] = field(default_factory=list)
    shown: int = 0
    first_bytes: int = 0

    def picture(self) -> str:
        self.shown += 1
        wire = self.make()
        view = wire.view(*self.screen_size)
        return screen(self.shown, view.sent_width, view.sent_height)

    def view(self) -> View:
        return self.make().view(*self.screen_size)

    def request(self) -> Request:
        if not self.log:
            self.keep(self.make().opening(self.task, self.picture()))
        asked = Request(
            "You drive a computer.", self.log, self.view(), self.tools, ACTIONS, picture=_screens.__getitem__
        )
        return replace(asked, key="run_1", **self.options)

    def keep(self, items: Sequence[Any]) -> None:
        self.log = json.loads(json.dumps([*self.log, *items]))

    async def think(self) -> Thought:
        wire, request = self.make(), self.request()
        try:
            body = await asyncio.to_thread(wire.body, request)
            thought = await wire.send(body, request, self.first)
        finally:
            await wire.close()
        self.keep(thought.items)
        kept = [Wanted.from_json(json.loads(json.dumps(one.as_json()))) for one in thought.wanted]
        return replace(thought, wanted=tuple(kept))

    def first(self) -> None:
        self.first_bytes += 1

    def answer(
        self, thought: Thought, *, failed: Sequence[int] = (), acknowledged: bool = False, looks: bool = True
    ) -> None:
        """Everything was done but for those that `failed` (by their places)."""
        answers = []
        for place, wanted in enumerate(thought.wanted):
            ok = wanted.kind != "bad" and place not in failed
            own = screen(1000 + place, 640, 400) if wanted.kind == "look" and looks and ok else None
            text = wanted.problem or ("" if ok else "not executed: a person said no")
            answers.append(Answer(wanted, ok, text, own, acknowledged))
        self.keep(self.make().results(answers, self.picture()))
