"""The process behind one browser machine, outside its sandbox: egress proxy, keeper, and the sandbox as a child.

Started as `python -m machines.drivers.browser.keeper.host SPEC`; it leaves its starter behind, then prints one line: its identity, or
why it could not start. When it ends, by any signal, the whole machine ends (bwrap --die-with-parent).
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from machines.drivers import guest_link
from machines.drivers.base import MachineGone
from machines.drivers.browser.keeper.egress import EgressProxy
from machines.drivers.browser.keeper.page_keeper import Keeper
from machines.drivers.detached import announce, identity, leave_starter
from machines.drivers.launch import listen

START_TIMEOUT = 20.0  # seconds
QUIT_TIMEOUT = 3.0
LONGEST_QUESTION = 1 << 20  # bytes: it may hold what is typed into a dialog


class Host:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.run = Path(spec["run"])
        self.keeper = Keeper(spec["width"], spec["height"], spec["downloads"], Path(spec["last_url"]))

    async def start_machine(self) -> asyncio.subprocess.Process:
        """The guest, in its sandbox, with its two listening sockets."""
        sockets = [listen(str(self.run / name)) for name in ("guest.sock", "cdp.sock")]
        descriptors = [socket.fileno() for socket in sockets]
        command = [*self.spec["command"], *map(str, descriptors)]
        child = await asyncio.create_subprocess_exec(
            *command, pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr
        )
        for socket in sockets:
            socket.close()
        return child

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question to the keeper; it is given up when the asker leaves."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            question = json.loads(await reader.readline())
            work = asyncio.create_task(self.keeper.answer(question))
            left = asyncio.create_task(reader.read(1))
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
            if work.done():
                writer.write(json.dumps(work.result()).encode() + b"\n")
                await writer.drain()
            else:
                work.cancel()
        writer.close()

    async def live(self) -> None:
        """Bring the machine up, say so, and stay until it or its browser ends."""
        egress = await EgressProxy(self.spec["allowed"]).listen(self.run / "egress.sock")
        if self.spec["uid"] is not None:  # the one socket that the machine opens by its name
            os.chown(self.run / "egress.sock", self.spec["uid"], -1)
        child = await self.start_machine()
        ended = asyncio.create_task(child.wait())
        try:
            ready = await guest_link.ask(self.run / "guest.sock", "ready", START_TIMEOUT + 2, seconds=START_TIMEOUT)
            if not isinstance(ready.get("devtools"), str):
                raise MachineGone("The browser did not start.")
            await self.keeper.watch(self.run / "cdp.sock", ready["devtools"], self.spec["url"])
            keeper_socket = listen(str(self.run / "keeper.sock"))
            await asyncio.start_unix_server(self.answer, sock=keeper_socket, limit=LONGEST_QUESTION)
            announce({"devtools": ready["devtools"]})
            closed = asyncio.create_task(self.keeper.cdp.wait_closed())
            await asyncio.wait({ended, closed}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ended}, timeout=QUIT_TIMEOUT)  # the browser writes its cookies after hanging up
        finally:
            egress.close()
            if child.returncode is None:
                child.kill()


def main() -> None:
    spec = leave_starter()
    (Path(spec["run"]) / "host.json").write_text(json.dumps(identity()), encoding="utf-8")
    try:
        asyncio.run(Host(spec).live())
    except (MachineGone, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
