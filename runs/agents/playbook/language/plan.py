"""A task as a plan: its instructions in order, each readable or not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from runs.agents.base import Bound
from runs.agents.playbook.language import grammar, loose, sentence_cuts
from runs.agents.playbook.language.bound import Marked, Reference, Value, has_mark, shown
from runs.agents.playbook.language.grammar import Params
from runs.agents.playbook.language.sentence_cuts import QUOTED, Sentence
from runs.agents.playbook.language.word_values import RefusedError, unquoted

DEFAULT_PORT = 8000
DEFAULT_LIMIT_MS = 30_000
UNKNOWN = ""  # the action of a sentence that could not be read
REFUSED = "refused"  # of one that is understood and must not be carried out

_MOST_PAUSES = 8  # places where one unreadable sentence is tried to be cut in two
_ENDS = frozenset({"stop", "succeed", "fail"})
_ANSWERS = ("answer", "reply", "value")  # what the newest of them is called besides its own name
_ATOM = rf"`[^`]*`|{QUOTED}"
# Only where a text belongs that is typed: type the secret "x" ..., fill ... with the secret "x".
_SECRET = re.compile(
    rf"(?P<before>\A(?:type|write|enter|put)\s+|\Afill\b.*\bwith\s+)(?:the\s+)?secret\s+(?P<name>{QUOTED})"
    r"(?!\w)",
    re.IGNORECASE | re.DOTALL,
)
_ARTICLE = r"(?:the|that|this|their|his|her|my|your)\s+"


@dataclass(frozen=True)
class Instruction:
    """One instruction: the sentence as written, the action it names (UNKNOWN if unreadable) and its parameters.

    `values`: what the marks in its parameters stand for; those of answers and secrets are put in when its turn comes.
    """

    text: str
    column: int
    action: str
    params: Params = field(default_factory=dict)
    values: Sequence[Value] = field(default=(), repr=False, compare=False)

    @property
    def shown_params(self) -> Params:
        """As people see them: answers and secrets by name."""
        shown_params: Params = _shown(self.params, self.values)
        return shown_params


def _shown(params: Any, values: Sequence[Value]) -> Any:
    if isinstance(params, dict):
        return {key: _shown(value, values) for key, value in params.items()}
    if isinstance(params, list):
        return [_shown(value, values) for value in params]
    return shown(params, values) if isinstance(params, str) else params


@dataclass(frozen=True)
class Plan:
    instructions: tuple[Instruction, ...]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What was understood, as the API shows it."""
        read = [i for i in self.instructions if i.action != UNKNOWN]
        return [{"text": i.text, "action": i.action, "params": i.shown_params} for i in read]

    @property
    def unknown(self) -> list[dict[str, Any]]:
        """What was not; `column` counts from 1 over the whole task."""
        return [{"text": i.text, "column": i.column} for i in self.instructions if i.action == UNKNOWN]

    @property
    def readable(self) -> bool:
        """Whether anything of it can be read."""
        return any(i.action != UNKNOWN for i in self.instructions)

    @property
    def text(self) -> str:
        """The plan as people approve it: one numbered line per instruction, whatever line ends its values hold."""
        lines = (
            f"{'⏎'.join(i.text.splitlines())}{'' if i.action != UNKNOWN else ' (not understood)'}"
            for i in self.instructions
        )
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


@lru_cache(maxsize=64)
def parse(task: str, bound: tuple[Bound, ...] = (), names: tuple[str, ...] = ()) -> Plan:
    """Read a task of any content. Never raises: what cannot be read is an instruction of its own, UNKNOWN.

    `bound`: where values stand in it, which are data. `names`: of what people were asked for before this text.
    """
    return _Reader(Marked.of(task, bound), names).plan(task)


def name_given(action: str, shown_params: Params) -> str | None:
    """What later instructions can call the value that this one brings; None for one that brings none."""
    if action == "ask_question":
        return _ANSWERS[0]
    key = "value" if action == "ask_input" else "saved_as"
    return shown_params.get(key) if action == "ask_input" or action.startswith("remember") else None


class _Reader:
    """Reads one task from its beginning to its end; what people are asked for, or is remembered, has a name from then on."""

    def __init__(self, marked: Marked, names: Iterable[str]) -> None:
        self.marked = marked
        self.names = list(names)

    def plan(self, task: str) -> Plan:
        instructions = [i for sentence in sentence_cuts.split(self.marked.text) for i in self._read(sentence)]
        if not instructions:
            instructions = [Instruction(task.strip(), 1, UNKNOWN)]
        values = tuple(self.marked.values)
        return Plan(tuple(replace(i, values=values) for i in _with_ports(instructions)))

    def _read(self, sentence: Sentence) -> list[Instruction]:
        """The sentence as one instruction, or cut in two at the first place where its beginning makes sense."""
        read: list[Instruction] = []
        while True:
            whole = self._instruction(sentence)
            if whole:
                return [*read, whole]
            for left, right in _first_pauses(sentence):
                instruction = self._instruction(left)
                if instruction:
                    read.append(instruction)
                    sentence = right
                    break
            else:
                return [*read, self._instruction_of(sentence, UNKNOWN, {})]

    def _instruction(self, sentence: Sentence) -> Instruction | None:
        """None for a sentence that gives none."""
        try:
            meaning = self._understood(sentence.text)
        except RefusedError as refused:
            return self._instruction_of(sentence, REFUSED, {"reason": str(refused)})
        if meaning is None:
            return None
        action, params = _complete(*meaning)
        name = name_given(action, _shown(params, self.marked.values))
        if name is not None:
            self.names.append(name)
        return self._instruction_of(sentence, action, params)

    def _understood(self, text: str) -> tuple[str, Params] | None:
        text = self._with_secrets(text)
        for each in (text, *loose.rewritten(text)):
            meaning = grammar.read(each, self.marked.values)
            if meaning:
                return meaning
        named = self._with_answers(text)
        return grammar.read(named, self.marked.values) if named else None

    def _with_secrets(self, text: str) -> str:
        """The sentence with the secret that it calls by name as a value: `type the secret "shop password" into "Password"`."""
        match = _SECRET.match(text)
        if match is None or has_mark(match["name"]):
            return text
        mark = self.marked.mark(Reference("secret", unquoted(match["name"]).strip()))
        return f"{match['before']}{mark}{text[match.end() :]}"

    def _with_answers(self, text: str) -> str | None:
        """The sentence with the names of what people gave as values: `type the code into "Code"`. None without any."""
        latest = self.names[-1:]
        names = {name.casefold(): name for name in self.names}
        names |= {word: latest[0] for word in _ANSWERS if latest and word not in names}
        for article in (_ARTICLE, ""):
            listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
            pattern = rf"(?P<atom>{_ATOM})|(?<!\w)(?:{article}(?P<name>{listed})|(?P<it>it))(?!\w)"
            if listed and len(text) <= grammar.LONGEST_SENTENCE:
                marked, number = re.subn(pattern, lambda m: self._answer(m, names, latest), text, flags=re.IGNORECASE)
                if marked != text and number and grammar.read(marked, self.marked.values):
                    return marked
        return None

    def _answer(self, match: re.Match[str], names: dict[str, str], latest: list[str]) -> str:
        if match["atom"]:
            return match[0]
        return self.marked.mark(Reference("answer", latest[0] if match["it"] else names[match["name"].casefold()]))

    def _instruction_of(self, sentence: Sentence, action: str, params: Params) -> Instruction:
        text = shown(sentence.text, self.marked.values)
        return Instruction(text, self.marked.column(sentence.column), action, params)


def _first_pauses(sentence: Sentence) -> list[tuple[Sentence, Sentence]]:
    if len(sentence.text) > grammar.LONGEST_SENTENCE:
        return []
    return [cut for cut, _ in zip(sentence_cuts.pauses(sentence), range(_MOST_PAUSES), strict=False)]


def unread_places(instructions: Sequence[Instruction]) -> list[int]:
    """The indices of the sentences that cannot be read and would be come to."""
    places: list[int] = []
    for at, instruction in enumerate(instructions):
        if instruction.action in _ENDS:
            break
        if instruction.action == UNKNOWN:
            places.append(at)
    return places


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
        result.append(replace(instruction, params=params))
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
