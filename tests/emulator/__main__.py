"""python -m tests.emulator --port N --stories FILE.json --log FILE"""

import argparse
import asyncio
import contextlib
import sys

from tests.emulator import story
from tests.emulator.server import Emulator, installed


async def serve(options: argparse.Namespace) -> None:
    stories = story.load(options.stories)
    emulator = Emulator(
        stories, options.default, port=options.port, log=options.log, delay=options.delay,
        wires=options.wires.split(","), keep_bodies=False,
    )  # fmt: skip
    async with emulator:
        for wire in emulator.wires:
            sys.stdout.write(f"{wire} {emulator.url(wire)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stories", required=True)
    parser.add_argument("--default", default="", help="the story of a task that names none")
    parser.add_argument("--log", default=None)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--wires", default=",".join(installed()))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
