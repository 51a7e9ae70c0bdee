"""What a wire is: a translator between one vendor's messages and what we mean by them.

The conversation (`log`) is JSON in the vendor's own form, as it was sent and as it came back, byte for byte; a picture in it
is `{"$img": SHA-256}` and is read from machines.pictures when a request is built. It only ever grows at its end: vendors
bind what a model thought to everything before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from inference.records import Usage
from machines import pictures

Json = dict[str, Any]
Kind = Literal["act", "look", "tool", "bad"]
End = Literal["calls", "said", "cut", "paused", "full"]


@dataclass(frozen=True)
class Check:
    """A vendor's safety check: a person has to agree before the action may run and be acknowledged. Untrusted words."""

    id: str
    code: str
    message: str


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; `schema` is the JSON Schema (type object) of its parameters."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True)
class View:
    """The screen in pixels, and the size of the pictures of it that this model is sent."""

    width: int
    height: int
    sent_width: int
    sent_height: int


@dataclass(frozen=True)
class Wanted:
    """One thing that a model wants, in our words and in pixels of the screen. JSON-able, so that memory can keep it.

    `kind`: act (`name`, `params` of machines.actions.canonical, not checked yet), look (`name` screenshot, or zoom with params
    `region` [x1, y1, x2, y2] in pixels of the screen), tool (one of the given tools), bad (`problem` says what to tell the
    model). `call`: the vendor's id of the call; one call may hold several actions, `last` is its last. `extra`: whatever the
    wire needs to answer it.
    """

    call: str
    kind: Kind
    name: str = ""
    params: Json = field(default_factory=dict)
    last: bool = True
    problem: str = ""
    text: str = ""  # what the model says it is for
    checks: tuple[Check, ...] = ()
    extra: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        return asdict(self)

    @staticmethod
    def from_json(kept: Mapping[str, Any]) -> "Wanted":
        return Wanted(**{**kept, "checks": tuple(Check(**check) for check in kept["checks"])})


@dataclass(frozen=True)
class Answer:
    """What came of one thing wanted. `acknowledged`: a person agreed to its safety checks. `picture`: SHA-256 of a look's
    own picture."""

    wanted: Wanted
    ok: bool
    text: str = ""
    picture: str | None = None
    acknowledged: bool = False


@dataclass(frozen=True)
class Request:
    """One question to a model. `tools` stand in fixed order; with `schema` the answer has to be JSON that fits it and
    `computer` is False; `actions` are the names of machines.actions.canonical that this machine can do; `key` groups the requests of
    one conversation for the vendor's cache. `cursor`: where the last action pointed, in pixels of the screen: some models
    leave a point out and mean it. `longer`: the answer before was cut, this one may be twice as long."""

    system: str
    log: Sequence[Json]
    view: View
    tools: Sequence[Tool] = ()
    actions: frozenset[str] = frozenset()
    machine_kind: str = "browser"
    computer: bool = True
    schema: Json | None = None
    key: str = ""
    picture: Callable[[str], bytes] = pictures.read
    cursor: tuple[int, int] | None = None
    longer: bool = False


@dataclass(frozen=True)
class Thought:
    """A whole answer. `items` continue the log. `end`: calls (there are some), said (only words), cut (it ran into its
    length: there are no `items` and nothing is wanted; ask with `longer`), paused (send the log with these items again),
    full (the conversation is too long; no `items`)."""

    items: tuple[Json, ...]
    end: End
    wanted: tuple[Wanted, ...] = ()
    text: str = ""
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    notes: tuple[str, ...] = ()  # what people should know, for example that the vendor dropped old thoughts


class Wire(Protocol):
    """One vendor's form. Made for one profile; has no state but its client, so one serves many conversations at once."""

    @property
    def grid(self) -> int | None:
        """The model counts points in so many parts of each side of a picture; None: in pixels of the picture sent."""
        ...

    def view(self, width: int, height: int) -> View:
        """How pictures of a screen of this size are sent."""
        ...

    def opening(self, text: str, picture: str | None) -> list[Json]:
        """The first items of a conversation: what the person wants, and the screen."""
        ...

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        """Items that tell the model something between its calls."""
        ...

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        """Items that answer every call of the newest turn, in order; `picture` is the screen now."""
        ...

    def body(self, request: Request) -> Json:
        """The request as it is sent, pictures put in. Heavy: call it in a thread."""
        ...

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        """Ask, and read the whole answer. Never asks twice. Raises ModelBusy, ModelRefused, ModelMisconfigured."""
        ...

    async def close(self) -> None: ...
