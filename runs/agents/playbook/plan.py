"""A task as a plan: its instructions in order, each readable or not."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from runs.agents.playbook import grammar, sentences
from runs.agents.playbook.grammar import Params
from runs.agents.playbook.sentences import Sentence

DEFAULT_PORT = 8000
DEFAULT_LIMIT_MS = 30_000
UNKNOWN = ""  # the action of a sentence that could not be read

_MOST_PAUSES = 8  # places where one unreadable sentence is tried to be cut in two


@dataclass(frozen=True)
class Instruction:
    """One instruction: the sentence as written, the action it names (UNKNOWN if unreadable) and its parameters."""

    text: str
    column: int
    action: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    instructions: tuple[Instruction, ...]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What was understood, as the API shows it."""
        read = [i for i in self.instructions if i.action != UNKNOWN]
        return [{"text": i.text, "action": i.action, "params": i.params} for i in read]

    @property
    def unknown(self) -> list[dict[str, Any]]:
        """What was not; `column` counts from 1 over the whole task."""
        return [{"text": i.text, "column": i.column} for i in self.instructions if i.action == UNKNOWN]

    @property
    def text(self) -> str:
        """The plan as people approve it: one numbered line per instruction."""
        lines = (f"{i.text}{'' if i.action != UNKNOWN else ' (not understood)'}" for i in self.instructions)
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


@lru_cache(maxsize=64)
def parse(task: str) -> Plan:
    """Read a task of any content. Never raises: what cannot be read is an instruction of its own, UNKNOWN."""
    found = [i for sentence in sentences.split(task) for i in _read(sentence)]
    if not found:
        found = [Instruction(task.strip(), 1, UNKNOWN)]
    return Plan(tuple(_with_ports(found)))


def _read(sentence: Sentence) -> list[Instruction]:
    """The sentence as one instruction, or cut in two at the first place where its beginning makes sense."""
    read: list[Instruction] = []
    while True:
        whole = grammar.read(sentence.text)
        if whole:
            return [*read, Instruction(sentence.text, sentence.column, *_complete(*whole))]
        for left, right in _first_pauses(sentence):
            known = grammar.read(left.text)
            if known:
                read.append(Instruction(left.text, left.column, *_complete(*known)))
                sentence = right
                break
        else:
            return [*read, Instruction(sentence.text, sentence.column, UNKNOWN)]


def _first_pauses(sentence: Sentence) -> list[tuple[Sentence, Sentence]]:
    if len(sentence.text) > grammar.LONGEST_SENTENCE:
        return []
    return [cut for cut, _ in zip(sentences.pauses(sentence), range(_MOST_PAUSES), strict=False)]


def _complete(name: str, params: Params) -> tuple[str, Params]:
    """Fill in what the sentence left open."""
    if name == "click":
        how = params.pop("how", {"button": "left", "count": 1})
        params = {**params, **how}
    if name == "wait_for":
        params.setdefault("limit", DEFAULT_LIMIT_MS)
    if name == "scroll":
        edge = params.pop("edge", "")
        direction = "up" if edge.startswith("top") else params.get("direction", "down")
        params = {"direction": direction, "amount": 100 if edge else params.get("times", 3)}
    return name, params


def _with_ports(instructions: list[Instruction]) -> list[Instruction]:
    """A server without a port gets the one that is waited for later; a wait without one, that of the server."""
    result, port = [], DEFAULT_PORT
    for at, instruction in enumerate(instructions):
        params = instruction.params
        if instruction.action == "start_server":
            port = params.get("port") or _port_waited_for(instructions[at + 1 :]) or DEFAULT_PORT
            params = {"port": port}
        elif instruction.action == "wait_for" and params["condition"]["is"] == "port_open":
            params = {**params, "condition": {"is": "port_open", "port": params["condition"].get("port", port)}}
        result.append(Instruction(instruction.text, instruction.column, instruction.action, params))
    return result


def _port_waited_for(instructions: list[Instruction]) -> int | None:
    for instruction in instructions:
        if instruction.action == "start_server":
            return None
        condition = instruction.params.get("condition", {})
        if condition.get("is") == "port_open":
            port: int | None = condition.get("port")
            return port
    return None
