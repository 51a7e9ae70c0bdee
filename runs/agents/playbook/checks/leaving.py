"""What an instruction leaves behind, as a check that the verifier makes anew at the end (docs/api/runs.md section 9).

A draft is made before the instruction acts and becomes a check when it has done so. What a later instruction takes away or
writes over is dropped; what cannot be seen any more at the end says nothing, neither good nor bad.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from machines.drivers import element_roles
from machines.drivers.base import Session
from machines.drivers.browser.fields.field_values import means
from runs.agents.playbook.checks import machine_conditions
from runs.agents.playbook.checks.machine_conditions import Condition
from runs.agents.playbook.instructions.shell_commands import PID_FILE
from runs.agents.playbook.language.bound import Handles
from runs.agents.playbook.language.plan import Instruction
from runs.agents.playbook.scene import Patience
from runs.agents.playbook.screen.grounding import kind
from runs.secrets.handles import pieces_of

# What may change the page that fields stand on, and what surely leaves it.
_ACTS = frozenset({"click", "press", "drag", "type_text", "hover"})
_LEAVES_PAGE = frozenset({"open_url", "go_back", "reload"})
_FIELDS = {"fill": "field_is", "select_option": "field_is", "check": "box_checked", "uncheck": "box_unchecked"}
_PLACE = ("label", "role", "row", "ordinal")
HIDDEN = "[redacted]"  # how a secret that was put in is read back
_CHANGES_FOLDER = re.compile(r"\b(?:cd|pushd|popd|chroot)\b")


def draft(instruction: Instruction, ports: Sequence[int] = ()) -> Condition | None:
    """What this instruction will leave if it goes well; None for one that leaves nothing. Parameters are resolved.

    `ports`: those that something listens on before a server is stopped.
    """
    action, params = instruction.action, instruction.params
    if action in _FIELDS:
        return _of_field(instruction)
    make = _DRAFTS.get(action)
    return make(params, ports) if make else None


def _of_file(params: dict[str, Any]) -> Condition:
    text = params.get("text")
    return {"is": "file_there", "name": params["name"]} | ({} if text is None else {"is": "file_is", "text": text})


_DRAFTS: dict[str, Callable[[dict[str, Any], Sequence[int]], Condition]] = {
    "create_file": lambda params, _: _of_file(params),
    "run": lambda params, _: {"is": "ended_well", "command": params["command"]},
    "run_tests": lambda _, __: {"is": "ended_well", "command": "the test suite"},
    "start_server": lambda params, _: {"is": "port_open", "port": params["port"]},
    "stop_server": lambda _, ports: {"is": "ports_closed", "ports": list(ports)},
    "open_url": lambda params, _: {"is": "reached", "url": params["url"]},
}


def _of_field(instruction: Instruction) -> Condition:
    params = instruction.params
    place = {key: params[key] for key in _PLACE if key in params}
    text = params.get("text", params.get("option"))
    if text is None:
        return {"is": _FIELDS[instruction.action], **place}
    if isinstance(text, Handles):
        return {"is": "field_is", **place, "text": str(text), "pieces": [list(piece) for piece in text.pieces]}
    return {"is": "field_is", **place, "text": text}


def edited(draft: Condition | None, params: dict[str, Any]) -> Condition | None:
    """What is left when a person gave the action these parameters before it was done."""
    if draft is None or "command" in params:
        return draft and {"is": "ended_well", "command": params["command"]}
    if draft["is"] == "field_is":
        text = params.get("text", params.get("option"))
        if text == draft["text"]:
            return draft
        place = {key: draft[key] for key in _PLACE if key in draft}
        pieces = pieces_of(text or "")
        return {"is": "field_is", **place, "text": text} | (
            {"pieces": [list(piece) for piece in pieces]} if pieces else {}
        )
    return {"is": "reached", "url": params["url"]} if draft["is"] == "reached" else None


async def settled(condition: Condition, session: Session, patience: Patience) -> Condition:
    """The check, now that the instruction has acted: with what is known only afterwards."""
    if condition["is"].startswith("file") and not await machine_conditions.holds(condition, session):
        # Its command ended well: the shell stands in a folder that cannot be looked into from here.
        return {"is": "ended_well", "command": f"what creates the file {condition['name']}"}
    if condition["is"] == "ports_closed":
        return await _closed(condition["ports"], session, patience)
    if condition["is"] in ("reached", "field_is", "box_checked", "box_unchecked"):
        return condition | {"page": _page((await session.state()).url)}
    return condition


async def _closed(before: list[int], session: Session, patience: Patience) -> Condition:
    """The ports that the server no longer has; where none was seen, that no server is on record."""
    end = time.monotonic() + patience.target
    while True:
        closed = sorted(set(before) - set((await session.state()).ports))
        if closed:
            return {"is": "ports_closed", "ports": closed}
        if not before or time.monotonic() >= end:
            return {"is": "file_gone", "name": PID_FILE}
        await asyncio.sleep(patience.poll)


def kept(left: list[Condition], instruction: Instruction) -> list[Condition]:
    """What is left of earlier instructions once this one has acted."""
    if instruction.action in _ACTS:
        return [c | {"acted": True} if "page" in c else c for c in left]
    return [c for c in left if not _takes_away(c, instruction.action, instruction.params)]


def _takes_away(condition: Condition, action: str, params: dict[str, Any]) -> bool:
    name, kind = condition.get("name"), condition["is"]
    if action == "run":
        return _touched(condition, params["command"])
    if action == "create_file":
        return bool(name == params["name"])
    if action in ("start_server", "stop_server"):
        return kind.startswith("port") or name == PID_FILE
    if action in _LEAVES_PAGE:
        return "page" in condition and kind != "reached"
    if action in _FIELDS:
        return "label" in condition and [condition.get(k) for k in _PLACE] == [params.get(k) for k in _PLACE]
    return False


def _touched(condition: Condition, command: str) -> bool:
    """Whether a command may have changed the file of a check: it names it, or goes to another folder."""
    name = condition.get("name")
    if name is None or not condition["is"].startswith("file"):
        return False
    return name.rpartition("/")[2] in command or bool(
        _CHANGES_FOLDER.search(command) and not name.startswith(("/", "~"))
    )


async def still(condition: Condition, session: Session, patience: Patience, secrets: Mapping[str, str]) -> bool | None:
    """Whether what an instruction left is there now; None when it cannot be seen any more."""
    end = time.monotonic() + patience.target
    while True:
        holds = await _holds_now(condition, session, secrets)
        if holds is not False or time.monotonic() >= end:
            return holds
        await asyncio.sleep(patience.poll)


async def _holds_now(condition: Condition, session: Session, secrets: Mapping[str, str]) -> bool | None:
    kind = condition["is"]
    if kind == "ended_well":
        return True  # the shell said so when it ended
    if kind == "ports_closed":
        return not set(condition["ports"]) & set((await session.state()).ports)
    if kind == "reached":
        return not ((await session.state()).url or "").startswith("chrome-error:")
    if "page" not in condition:
        return await machine_conditions.holds(condition, session)
    if _page((await session.state()).url) != condition["page"]:
        return None
    return await _field_holds(condition, session, secrets)


async def _field_holds(condition: Condition, session: Session, secrets: Mapping[str, str]) -> bool | None:
    element = await machine_conditions.field_of(condition, session)
    if element is None:
        return None
    if condition["is"] != "field_is":
        return None if element.checked is None else element.checked == (condition["is"] == "box_checked")
    value = "" if element.value is None and kind(element) in element_roles.TEXT_FIELDS else element.value
    if value is None or is_hidden(value):  # browsers give an empty field no value at all
        return None
    text = condition["text"]
    if pieces := condition.get("pieces"):
        text = "".join(secrets.get(part, HIDDEN) if kind == "secret" else part for kind, part in pieces)
    if means(text, value):
        return True
    return None if condition.get("acted") and not value.strip() else False  # it was sent off


def is_hidden(value: str) -> bool:
    """The dots of a password field."""
    return bool(value) and set(value) <= set("•●*")


def _page(url: str | None) -> str:
    return (url or "").partition("#")[0]


def describe(condition: Condition) -> str:
    return machine_conditions.describe(
        {key: value for key, value in condition.items() if key not in ("page", "pieces", "acted")}
    )
