"""`python -m benchmarks.models.server`: wires of the tests' emulator in a process of their own, whose model clicks on and on.

What is said at each turn is made and checked by the emulator for the first conversation that comes to it, and repeated for all
others: so the server costs next to nothing. GET /times tells, once, when each request had come and when its answer had gone
(seconds of the system's monotonic clock).
"""

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
from typing import Any

from aiohttp import web

from tests.emulator import anthropic, chat, story
from tests.emulator.server import PATHS, Emulator
from tests.emulator.story import Story, Turn

WIRES = ("anthropic", "compatible")
LARGEST = 256 * 2**20  # bytes of a request
_ADDRESSES = {"anthropic": f"{PATHS['anthropic']}/v1/messages", "compatible": f"{PATHS['compatible']}/chat/completions"}
_ANSWER = re.compile(rb'"role": ?"assistant"')


def clicks(turns: int, page: str) -> Story:
    """The page is opened first, if there is one; no click is where one of the last twenty was."""
    opening = [Turn([("open_url", {"url": page})], text="I open the page.")] if page else []
    points = ({"x": 110 + 4 * (n % 40), "y": 130, "button": "left", "count": 1} for n in range(turns))
    said = [Turn([("click", at)], text="Once more.", thinking="The count is not there yet.") for at in points]
    return Story([*opening, *said, Turn([("finish", {"passed": True, "summary": "Counted."})])])


class Server:
    def __init__(self, saying: Story, delay: float) -> None:
        self.emulator = Emulator({"clicks": saying}, "clicks", wires=WIRES, keep_bodies=False)
        self.delay = delay
        self.times: list[tuple[float, float]] = []
        self._said: dict[tuple[str, int], bytes] = {}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_get("/times", self.tell)
        for wire, address in _ADDRESSES.items():
            app.router.add_post(address, lambda request, wire=wire: self.answer(wire, request))
        return app

    async def tell(self, request: web.Request) -> web.Response:
        times, self.times = self.times, []
        return web.json_response(times)

    async def answer(self, wire: str, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        came = time.monotonic()
        key = wire, len(_ANSWER.findall(raw))
        if key not in self._said:
            self._said[key] = self._first(*key, self.emulator.shortened(json.loads(raw)), dict(request.headers))
        await asyncio.sleep(came + self.delay - time.monotonic())
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        with contextlib.suppress(ConnectionError):  # who asked has ended
            await response.prepare(request)
            await response.write(self._said[key])
            await response.write_eof()
        self.times.append((came, time.monotonic()))
        return response

    def _first(self, wire: str, answers: int, body: Any, headers: dict[str, str]) -> bytes:
        """Raises strict.BrokenRuleError."""
        due = story.due(self.emulator.stories, "clicks", "", answers)
        if wire == "anthropic":
            anthropic.check(body, {name.lower(): value for name, value in headers.items()}, self.emulator)
            return b"".join(anthropic.events(anthropic.answer(body, due)))
        chat.check(body, self.emulator)
        return b"".join(chat.events(chat.answer(body, due, self.emulator), body))


async def serve(options: argparse.Namespace) -> None:
    server = Server(clicks(options.turns, options.page), options.delay)
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.server")
    parser.add_argument("--turns", type=int, default=1000, help="clicks before the end")
    parser.add_argument("--page", default="", help="what is opened first")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
