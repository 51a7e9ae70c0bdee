"""A wire without a vendor: it does what the test tells it, and keeps what came."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from inference.records import Usage
from inference.specs import Spec
from inference.wires.base import Answer, Json, Request, Thought, View, Wanted

Move = Thought | Exception | Callable[[Request], Thought] | None  # None: hang until cancelled


class FakeWire:
    """`moves` are answered in order, the last one for ever."""

    grid: int | None = None

    def __init__(self, *moves: Move) -> None:
        self.moves = list(moves)
        self.requests: list[Request] = []
        self.under_way = self.most = self.closed = 0
        self.specs: list[Spec] = []
        self.gate: asyncio.Event | None = None  # answers wait for it

    def __call__(self, spec: Spec) -> "FakeWire":
        self.specs.append(spec)
        return self

    def view(self, width: int, height: int) -> View:
        return View(width, height, width, height)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [{"task": text, "$img": picture}]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        return [{"note": text, "$img": picture}]

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        return [{"result": a.text, "ok": a.ok, "$img": picture} for a in answers]

    def body(self, request: Request) -> Json:
        pictures = [request.picture(item["$img"]) for item in request.log if item.get("$img")]
        return {"log": list(request.log), "bytes": sum(map(len, pictures))}

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.gate:
                await self.gate.wait()
            move = self.moves.pop(0) if len(self.moves) > 1 else self.moves[0]
            if move is None:
                await asyncio.Event().wait()
            if isinstance(move, Exception):
                raise move
            on_first_byte()
            assert move is not None
            return move if isinstance(move, Thought) else move(request)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        self.closed += 1


def click(x: int, y: int, **more: Any) -> Thought:
    wanted = Wanted("c1", "act", "click", {"x": x, "y": y, "button": "left", "count": 1})
    return Thought(({"said": "click"},), "calls", (wanted,), usage=Usage(input=1000, output=10), **more)


def says(text: str) -> Thought:
    return Thought(({"said": text},), "said", text=text, usage=Usage(input=1000, output=10))


def request(text: str = "click", wire: FakeWire | None = None) -> Request:
    return Request("be careful", [{"task": text}], View(1280, 800, 1280, 800))
