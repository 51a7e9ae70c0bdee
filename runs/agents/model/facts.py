"""What is known about the end of a run without asking a model, and in which words a verifier is told."""

import asyncio
import json

from machines import pictures
from machines.drivers.base import Frame, Session
from runs.agents.base import Context
from runs.agents.model import prompt
from runs.agents.model.agent_memory import State
from runs.agents.playbook.checks import leaving, machine_conditions
from runs.agents.playbook.checks.machine_conditions import Condition
from runs.agents.playbook.instructions.value_filling import UnknownValueError, with_values
from runs.agents.playbook.language.plan import Instruction, parse, unread_places
from runs.agents.playbook.scene import Patience
from runs.secrets.services import cleared

# What a task that can be read leaves behind whoever did it, and can be looked at with nothing else known.
_SEEN_AT_THE_END = frozenset({"file_there", "file_is", "port_open"})
LONGEST_TEXT = 8000
LONGEST_FILE = 2000
_OPEN, _CLOSE = "<machine>", "</machine>"


async def checks(context: Context, session: Session, patience: Patience) -> list[tuple[str, bool]]:
    """Every check that the task itself makes, with whether it holds now: (words, holds)."""
    results: list[tuple[str, bool]] = []
    for condition in conditions_of(context):
        waited = await machine_conditions.wait_until(condition, session, patience.target, patience.poll)
        results.append((machine_conditions.describe(condition), waited is not None))
    return results


def conditions_of(context: Context) -> list[Condition]:
    """`check that …` of the task; and where all of it can be read, the files and servers that it leaves."""
    instructions = list(parse(context.task, context.bound).instructions)
    checked = [_condition(i) for i in instructions if i.action == "check_that"]
    left: list[Condition] = []
    if not unread_places(instructions):
        for instruction in instructions:
            left = leaving.kept(left, instruction)
            draft = _draft(instruction)
            left += [draft] if draft is not None and draft["is"] in _SEEN_AT_THE_END else []
    usable = [condition for condition in (*checked, *left) if condition is not None]
    kind = context.machine_kind
    return [each for each in usable if kind == "browser" or each["is"] not in machine_conditions.OF_BROWSERS]


def _condition(instruction: Instruction) -> Condition | None:
    """None for one with a value that people gave: what was answered is not known here by its name."""
    try:
        condition: Condition = with_values(instruction, {}).params["condition"]
    except UnknownValueError:
        return None
    return condition


def _draft(instruction: Instruction) -> Condition | None:
    try:
        return leaving.draft(with_values(instruction, {}))
    except UnknownValueError:
        return None


async def frame(sha: str, context: Context) -> Frame:
    """A stored picture. Raises FileNotFoundError."""
    return Frame(await asyncio.to_thread(pictures.read, sha), context.width, context.height)


async def described(context: Context, state: State, session: Session, patience: Patience) -> str:
    """Task, actions and what the machine shows. Nothing of it is the agent's own word, its questions neither."""
    sayings = "\n".join(f"- {words}" for _, words in state.words)
    parts = [
        prompt.opening(context, [], ""),
        f"What the task was given with:\n{context.instructions}" if context.instructions else "",
        f"What people said while it was done:\n{sayings}" if sayings else "",
        "The actions that were done:\n" + ("\n".join(_actions(state)) or "None."),
    ]
    ours = "\n\n".join(filter(None, parts)).replace("machine>", "machine›")  # only we begin and end what it shows
    return "\n".join([ours, "", _OPEN, *await _shown(context, session, patience), _CLOSE])


def _actions(state: State) -> list[str]:
    lines = (
        f"{n}. {name} {json.dumps(params, ensure_ascii=False)}{'' if outcome == 'done' else ' (not done)'}"
        for n, (name, params, outcome) in enumerate(state.done, 1)
    )
    return list(lines)


async def _shown(context: Context, session: Session, patience: Patience) -> list[str]:
    now = await session.state()
    lines = [f"checked, and true: {words}" for words, holds in await checks(context, session, patience) if holds]
    if context.machine_kind == "browser":
        lines += [f"address: {_data(now.url or '')}", f"title: {_data(now.title)}"]
    else:
        lines += [f"exit code of the last command: {now.exit_code}", f"ports that are listened on: {list(now.ports)}"]
    for name in _files(context):
        content = await session.read_file(name, LONGEST_FILE)
        words = "does not exist" if content is None else f"holds {_data(content.decode(errors='replace'))}"
        lines.append(f"the file {_data(name)} {words}")
    text = cleared(await session.text(), context.secrets)
    return [*lines, f"text: {_data(text[:LONGEST_TEXT])}"]


def _data(text: str) -> str:
    """One line of JSON, in which nothing can look like our own lines."""
    return json.dumps(text, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def _files(context: Context) -> list[str]:
    names = (condition["name"] for condition in conditions_of(context) if condition["is"].startswith("file"))
    return list(dict.fromkeys(names))
