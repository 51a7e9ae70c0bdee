"""The sentences of a terminal: each is a command that is put at its visible prompt."""

import asyncio
import time
from typing import Any

from machines.drivers.base import Action, ActResult, Session
from runs.agents.base import Act
from runs.agents.playbook import person_questions
from runs.agents.playbook.instructions import shell_commands
from runs.agents.playbook.scene import Patience, Reply, Scene, look, stuck
from runs.agents.playbook.screen.grounding import short

# What a running program may be told or watched for before it has ended.
INTERACTIVE = frozenset({"type_text", "press", "wait", "wait_for"})
COMMAND_MS = 30_000  # how long the step of a command may take; after that its end is awaited without a step
PROGRAM_MS = 2_000  # when the next instruction does not need the end


async def run(scene: Scene) -> Reply:
    return await _command(scene, scene.params["command"], f"Run `{short(scene.params['command'], 200)}`.")


async def run_tests(scene: Scene) -> Reply:
    return await _command(scene, shell_commands.run_tests(), "Run the test suite.")


async def create_file(scene: Scene) -> Reply:
    name, text = scene.params["name"], scene.params.get("text")
    if scene.context.interrupted:
        there = await scene.session.read_file(name)
        if there is not None and (text is None or there == text.encode()):
            return look(f"The file {name} was created already.")
    return await _command(scene, shell_commands.create_file(name, text), f"Create the file {name}.")


async def start_server(scene: Scene) -> Reply:
    port = scene.params["port"]
    if port in (await scene.session.state()).ports:
        return look(f"Port {port} is listening already; nothing to start.")
    return await _command(scene, shell_commands.start_server(port), f"Start the web server on port {port}.")


async def stop_server(scene: Scene) -> Reply:
    return await _command(scene, shell_commands.stop_server(), "Stop the web server.")


async def _command(scene: Scene, line: str, text: str) -> Reply:
    waits = scene.patience.target if scene.context.may_ask else scene.patience.command
    if not await _idle(scene.session, scene.patience, waits):
        return await _busy(scene)
    limit = PROGRAM_MS if scene.next_action in INTERACTIVE else COMMAND_MS
    move = Act(Action("run_line", {"command": line}, timeout_ms=limit))
    return Reply(move, text, lasting={"command": {"name": scene.instruction.text}})


async def _busy(scene: Scene) -> Reply:
    """A program of an earlier run, or of a person, has the terminal."""
    text = short(scene.instruction.text, 500)
    waits = (await scene.session.state()).waits
    who = f" ({waits})" if waits else ""
    message = (
        f"Something else still runs in the terminal{who}, so this has to wait: {text}. To end it, write: press Ctrl+C"
    )
    message += f", then {text}" if len(text) < 200 else ", then the instruction again"
    return stuck(
        scene,
        "busy",
        message,
        [person_questions.RETRY, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP],
    )


class Waiting(str):
    """What the command waits for: somebody has to type, so its end would be waited for in vain."""

    __slots__ = ()


def ended_badly(result: ActResult) -> bool:
    """A command ran and failed, which is its outcome; other failures mean that it did not run as it should."""
    return bool(result.data.get("exit_code"))


async def ended(
    command: dict[str, Any], last: ActResult | None, session: Session, patience: Patience
) -> str | Waiting | None:
    """Wait for the end of the command that was run; what went wrong, if anything did, or what it waits for."""
    name = short(command["name"], 200)
    data = last.data if last else {}
    code = data.get("exit_code")
    if last is None or not data.get("finished", True):
        waits = data.get("waits") or await _end_or_wait(session, patience)
        if waits is not None:
            return Waiting(f"{waits}: {name}") if waits else f"Not finished after {patience.command:g} s: {name}"
        code = (await session.state()).exit_code
    return f"Ended with exit code {code}: {name}" if code else None


async def _end_or_wait(session: Session, patience: Patience) -> str | None:
    """None when the shell is back at its prompt; else what the program waits for, "" when that is not known in time."""
    deadline = time.monotonic() + patience.command
    while not (state := await session.state()).idle:
        if state.waits or time.monotonic() >= deadline:
            return state.waits or ""
        await asyncio.sleep(patience.poll)
    return None


async def at_rest(session: Session, patience: Patience) -> bool:
    """Wait for a command that a lost worker typed, as long as its step could have taken."""
    return await _idle(session, patience, min(patience.command, COMMAND_MS / 1000))


async def _idle(session: Session, patience: Patience, seconds: float) -> bool:
    """Wait for the prompt; not for a program that waits for somebody itself."""
    deadline = time.monotonic() + seconds
    while not (state := await session.state()).idle:
        if state.waits or time.monotonic() >= deadline:
            return False
        await asyncio.sleep(patience.poll)
    return True
