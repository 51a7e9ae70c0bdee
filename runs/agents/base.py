"""What an agent is: a stateless `next(context) -> Decision`. Its memory is JSON kept on the run.

Screens, page text and file contents are untrusted input: an agent's words never grant a permission. An agent looks at
its machine through the session but never acts through it: actions go through the drive loop, which guards and records
them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from inference.records import CallRecord
from inference.wires.base import Check
from machines.drivers.base import Action, ActResult, Frame, Session, Target

Memory = dict[str, Any]


Piece = tuple[str, str]  # ("text", what to type) or ("secret", the name of a secret of the run)


@dataclass(frozen=True)
class Act:
    """Do this action: one step. `risk` may raise the action's risk (spend, access, destroy), never lower it.

    `host` and `target` are the machine's word, whatever the agent says: the drive loop sets them.
    `secrets`: parameters that hold secrets, as the pieces that they are made of. In `action` such a parameter names its
    secrets (`{{secret:NAME}}`), as everything that is hashed, shown and stored does; the drive loop puts the values in at
    the machine.
    """

    action: Action
    risk: str | None = None
    host: str | None = None
    target: Target | None = None
    secrets: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)
    missing: frozenset[str] = (
        frozenset()
    )  # names in its command of files that do not exist: the drive loop sets them, too
    checks: tuple[Check, ...] = ()  # a person has to agree to these, whatever mode and rules say


@dataclass(frozen=True)
class Ask:
    """Stop until a person answers; not a step. `kind`: approval, question, input or takeover.

    `questions`: [{id, header, question, multi_select, allow_custom, secret,
    options: [{label, description, recommended}]}].
    `input_schema`: JSON Schema of the values wanted (kind input).
    """

    kind: str
    message: str
    questions: list[dict[str, Any]] = field(default_factory=list)
    input_schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Finish:
    """The agent declares the end; not a step. `passed` is its own claim.

    `skipped`: how many instructions were left out: a run with any has not passed. `by_person`: a person says that the task
    is done, and nothing is left to verify. `output`: JSON that fits the run's output_schema, or what the agent gathered.
    """

    passed: bool
    summary: str
    skipped: int = 0
    by_person: bool = False
    output: Any = None


@dataclass(frozen=True)
class Again:
    """Nothing to do yet: what was thought is kept, and next() is called again, on a fresh picture. Not a step.

    Its memory is committed, with or without a thought, and has to differ from the one before. For an agent that thinks and
    looks: with one call of its model in each next() none is lost or made twice.
    """


@dataclass(frozen=True)
class Look:
    """A picture that an agent was shown besides those of the steps: of the whole screen, or a zoom into `region` (x1, y1, x2,
    y2, in pixels of the screen). `picture`: the SHA-256 under which machines.pictures has it; its own size."""

    picture: str
    width: int
    height: int
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Decision:
    """One move of an agent; `memory` replaces the run's memory when the move is complete.

    `scrolled`: the agent's looking moved the page, so a picture from before shows something else. `thought`: a model was asked
    for it, by `calls`: memory, calls and words are committed, and the messages taken as read (but the verdict on the action at
    hand), before anything else is done with it; from then on next() gives the same move from memory, without `thought`.
    `text` of such a repetition stands on requests and steps; it is not said again in the log.
    """

    move: Act | Ask | Finish | Again
    memory: Memory
    text: str = ""
    reasoning: str = ""
    scrolled: bool = False
    thought: bool = False
    calls: tuple[CallRecord, ...] = ()
    looks: tuple[Look, ...] = ()  # since the decision before, for people: what the model looked at


@dataclass(frozen=True)
class Plan:
    """What an agent that thinks means to do, in plain words (mode plan), with the memory in which it thought so."""

    text: str
    memory: Memory
    calls: tuple[CallRecord, ...] = ()


@dataclass(frozen=True)
class Message:
    """What a person sent since the last move. Secrets are readable here and nowhere else.

    `verdict`: approve, reject, answer, submit, revise or skip (an action was denied). `payload`: JSON with whatever was
    sent: note, reason, answers (question id -> {value, custom} or a list of these), values, plan feedback. `redacted`
    is the payload as it may be written down.
    """

    kind: str
    verdict: str
    payload: dict[str, Any]
    redacted: dict[str, Any]


@dataclass(frozen=True)
class Bound:
    """A value that stands in the task at `at`, `length` characters long: data, never words of the task.

    The value of a secret is not in the task: `secret` is its name among the run's secrets.
    """

    at: int
    length: int
    secret: str | None = None


@dataclass(frozen=True)
class Context:
    """What an agent may know when it decides.

    `step_index`: the index (from 1) that its next action will have. `last`: the result of the action before, None at
    the start. `interrupted`: the last action was sent but its outcome is unknown: look at the screen first; so until a thought
    or a move is committed. `restarted`: the machine was restarted since the last move, in the same way. `bound`: where values
    stand in the task. `secrets`: values that people and workflows gave in confidence, by name; they are for comparing and must
    not be put into a decision.
    `frame`: the picture that people will see beside the decision, stored as `picture` (SHA-256) for agents that think.
    `cursor`: where the last action pointed. `profile`: the name of the agent's profile. `output_schema`: what the output of
    the end has to fit. `db`: `await context.db(work, *args)` does synchronous database work in one of the worker's threads.
    """

    task: str
    data: dict[str, Any]
    engine: str  # cua_version: v1, v3, v4
    may_ask: bool
    step_index: int
    memory: Memory
    machine_kind: str
    width: int
    height: int
    last: ActResult | None = None
    messages: tuple[Message, ...] = ()
    interrupted: bool = False
    restarted: bool = False
    instructions: str | None = None
    system_prompt: str | None = None
    bound: tuple[Bound, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    team_id: str = ""
    profile: str = ""
    frame: Frame | None = None
    picture: str | None = None
    cursor: tuple[int, int] | None = None
    output_schema: dict[str, Any] | None = None
    db: Callable[..., Awaitable[Any]] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Verdict:
    """What the verifier of engine v4 found on a fresh observation: `verdict` is pass, fail or unknown, None when a person
    says that the task is done. `evidence`: what was looked at, in words."""

    passed: bool
    verdict: str | None
    summary: str
    evidence: tuple[str, ...] = ()
    calls: tuple[CallRecord, ...] = ()


class GuardReached(Exception):
    """The run has used what its profile allows it: `guard` is budget_tokens or depth. The run ends GUARD_EXCEEDED."""

    def __init__(self, guard: str, limit: int, used: int) -> None:
        super().__init__(f"{guard}: {used} of {limit}")
        self.guard = guard
        self.limit = limit
        self.used = used


class Agent(Protocol):
    """`thinks`: a model is asked for decisions, which may take minutes and is paid for each time. next(), plan() and verify()
    of such an agent may raise inference.errors.ModelProblem and GuardReached besides. What they raise, CancelledError too, may
    carry `record` (CallRecord) and `calls`, those made before: they are written down."""

    thinks: bool

    async def next(self, context: Context, session: Session) -> Decision: ...

    async def plan(self, context: Context, session: Session) -> Plan:
        """What the agent means to do, step by step (mode plan); asked for in place of the first move that is more than
        looking, whose decision is not kept."""
        ...

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        """Judge the claim of a finished run on a fresh observation (engine v4 only)."""
        ...
