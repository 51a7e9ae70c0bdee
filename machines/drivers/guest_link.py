"""The host's side of guest/: one question, one answer, each a line of JSON. Answers are untrusted."""

import asyncio
import base64
import binascii
import json
from pathlib import Path
from typing import Any

from machines.drivers import storable
from machines.drivers.base import MachineGone, TerminalResult

OUTPUT_LIMIT = 5000  # characters
ASKED = 3  # times without an answer: then a guest is not busy but stopped
ANSWER_SECONDS = 3.0
ATTACH_SECONDS = 5.0


async def ask(socket: Path, op: str, patience: float = 10.0, size: int = 1 << 16, **params: Any) -> dict[str, Any]:
    """Ask the guest; `size` bounds its answer in bytes, `patience` is in seconds. Without a good answer MachineGone."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(str(socket), limit=size)
            try:
                writer.write(json.dumps({"op": op, **params}).encode() + b"\n")
                answer = storable.load(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        raise MachineGone(f"The machine does not answer ({type(error).__name__}).") from error
    if not isinstance(answer, dict):
        raise MachineGone("The machine answers nonsense.")
    return answer


async def answers(socket: Path) -> bool:
    """Whether the guest is there: programs inside may stop it, and what is stopped neither ends nor answers."""
    for _ in range(ASKED):
        try:
            await ask(socket, "state", ANSWER_SECONDS)
        except MachineGone:
            continue
        return True
    return False


async def read_file(socket: Path, path: str, limit: int) -> bytes | None:
    answer = await ask(socket, "read_file", size=2 * limit + (1 << 16), path=path, limit=limit)
    content = answer.get("content")
    if not isinstance(content, str):
        return None
    try:
        return base64.b64decode(content, validate=True)[:limit]
    except binascii.Error:
        return None


async def run(socket: Path, command: str, timeout_ms: int, cwd: str | None) -> TerminalResult:
    seconds = timeout_ms / 1000
    answer = await ask(socket, "exec", seconds + 10, command=command, seconds=seconds, cwd=cwd, limit=OUTPUT_LIMIT)
    exit_code = answer.get("exit_code")
    output = str(answer.get("output", ""))
    return TerminalResult(
        output=output[:OUTPUT_LIMIT],
        exit_code=exit_code if isinstance(exit_code, int) else None,
        truncated=bool(answer.get("truncated")) or len(output) > OUTPUT_LIMIT,
    )


def ports(answer: dict[str, Any]) -> tuple[int, ...]:
    numbers = answer.get("ports")
    return tuple(port for port in numbers if isinstance(port, int)) if isinstance(numbers, list) else ()
