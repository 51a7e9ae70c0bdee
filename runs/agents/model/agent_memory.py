"""What a model agent remembers of a run: JSON, so that any worker can go on with it (Run.memory).

The conversation (`log`) is kept as the wire sends and got it, byte for byte; pictures in it are named by their hash. What holds
words of others stands in memory as JSON text: PostgreSQL's own JSON would sort its keys, which changes what a vendor reads
and has signed, and takes neither NUL nor half of a surrogate pair.
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from inference.wires.base import Answer, Json, Wanted
from runs.agents.base import Memory

MOST_DONE = 100  # actions that are kept for the verifier and for a new episode
MOST_SEEN = 20
MOST_WORDS = 50
MOST_WORDS_BYTES = 64 * 1024  # of all of them: a new episode begins with them, and has to have room left
LONGEST_WORDS = 2000  # characters of one message of a person
VERSION = 1
# What is understood whatever release wrote it.
_OUTLIVING = ("summary", "words", "first", "tokens", "done", "old")
_SURROGATE = re.compile("[\ud800-\udfff]")
_AS_TEXT = frozenset({"summary", "todo", "now", "got", "notes", "words", "done"})


@dataclass
class State:
    """`todo`: what the newest answer wants and has not come to yet (Wanted). `now`: the move that was decided on and whose
    outcome is not known (moves.py). `got`: results that the model has not been sent yet (Answer). `notes`: what it is told
    with them. `words`: [what they were asked, what they
    said] of all that people said in this run. `picture`: the screen on which the newest answer was decided;
    `first`: the one at the beginning of the run.

    `begun`: an action of the newest answer was done already. `longer`: the newest answer was cut off, the next may be longer.
    `looked`: what was looked at since the newest thought (base.Look). `looks`, `bad`, `talks`, `misfits`, `calls`: how many in
    a row. `tokens`: of the run so far. `seen`: [action hash, picture before, picture after] of the last actions.
    `done`: [name, params, outcome] of the run. `old`: the files of former episodes.
    """

    wire: str = ""
    model: str = ""
    profile: str = ""
    form: str = ""  # of the profile that the log was begun for (Spec.form); "" in a log of an older release
    episode: int = 0  # 0: nothing was asked yet
    summary: str = ""
    log: list[Json] = field(default_factory=list)
    todo: list[Json] = field(default_factory=list)
    now: Json | None = None
    got: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: list[list[str]] = field(default_factory=list)
    picture: str | None = None
    first: str | None = None
    begun: bool = False
    longer: bool = False
    looked: list[Json] = field(default_factory=list)
    looks: int = 0
    bad: int = 0
    talks: int = 0
    misfits: int = 0
    calls: int = 0
    tokens: int = 0
    window: int = 0  # tokens that the newest request and its answer took
    seen: list[list[Any]] = field(default_factory=list)
    done: list[list[Any]] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    v: int = VERSION

    @classmethod
    def of(cls, memory: Memory) -> "State":
        """A memory of another version, or one that cannot be read, keeps its words; its conversation has to begin anew."""
        if not memory:
            return cls()
        names = {each.name for each in fields(cls)}
        values = {key: value for key, value in memory.items() if key in names}
        if memory.get("v") == VERSION:
            with suppress(TypeError, ValueError, AttributeError):
                return cls(**{key: _read(key, value) for key, value in values.items()})
        return cls._rescued(memory, values)

    @classmethod
    def _rescued(cls, memory: Memory, values: Memory) -> "State":
        """The old memory becomes the log of the episode that ended with it, so that it is kept as evidence."""
        state = cls(episode=1, log=[{"memory": memory}])
        for name in _OUTLIVING:
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                value = _read(name, values[name])
                if isinstance(value, str if name == "first" else type(getattr(state, name))):
                    setattr(state, name, value)
        state.words = [each for each in state.words if _is_list(each, 2)]
        state.done = [each for each in state.done if _is_list(each, 3)]
        return state

    def memory(self) -> Memory:
        return {each.name: _written(each.name, getattr(self, each.name)) for each in fields(self)}

    # --- results for the model

    def answer(
        self, wanted: Wanted, ok: bool, text: str, picture: str | None = None, *, acknowledged: bool = False
    ) -> None:
        """What came of one thing that the model wanted."""
        self.got.append(asdict(Answer(wanted, ok, text, picture, acknowledged)))

    def answers(self) -> list[Answer]:
        return [Answer(**{**kept, "wanted": Wanted.from_json(kept["wanted"])}) for kept in self.got]

    def close_rest(self, why: str) -> None:
        """The rest of the newest answer is not done: the model is told so of each."""
        for kept in self.todo:
            self.answer(Wanted.from_json(kept), False, f"Not executed: {why}")
        self.todo = []

    def tell(self, words: str) -> None:
        """What people said: for the model with its next request, and again when a new episode begins."""
        self.notes.append(words)
        self.heard("", words)

    def heard(self, question: str, words: str) -> None:
        self.words = [*self.words, [question[:LONGEST_WORDS], words[:LONGEST_WORDS]]][-MOST_WORDS:]
        while len(as_text(self.words).encode()) > MOST_WORDS_BYTES:
            self.words = self.words[1:]

    # --- what was done

    def record(self, name: str, params: Json, outcome: str) -> None:
        short = {key: _short(value) for key, value in params.items()}
        self.done = [*self.done, [name, short, _short(outcome)]][-MOST_DONE:]


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def _read(name: str, value: Any) -> Any:
    if name == "log":
        return [json.loads(item) for item in value]
    if name in _AS_TEXT:
        return json.loads(value)
    if not isinstance(value, list):
        return value
    return [item.copy() if isinstance(item, dict | list) else item for item in value]


def _written(name: str, value: Any) -> Any:
    if name == "log":
        return [as_text(item) for item in value]
    return as_text(value) if name in _AS_TEXT else _read("", value)


def as_text(value: Any) -> str:
    """JSON text that PostgreSQL can store."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, separators=(",", ":")) if _SURROGATE.search(text) else text


def _short(value: Any, most: int = 200) -> Any:
    return value if not isinstance(value, str) or len(value) <= most else value[:most] + "…"
