"""Request bodies and answers of the inference routes (docs/api/machines-and-inference.md section 4)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from billing.schemas import CallUsageObject
from inference.models import Call, Session
from inference.screenshots import LEAST, MOST, Loc
from web.bodies import Body, EachOnce, Int, exactly_one_of
from web.errors import ErrorObject
from web.json_values import too_big
from web.paging import Page
from web.times import Timestamp, rfc3339

# The words of actions that this API answers: those of machines.actions.canonical that a caller can do on any screen.
ACTION_TYPES = ("click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait", "done", "fail")
ENGINES = ("v1", "v3", "v4")
MOST_METADATA = 32
MOST_CODE = 700_000  # characters: a text of 65,536, each of them escaped
ASKS_A_MODEL = {402: ErrorObject, 502: ErrorObject, 504: ErrorObject}  # how the calls that do may be refused


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if problem := too_big(value):
        raise ValueError(problem)
    return value


Base64 = Annotated[
    str,
    Field(
        description="Raw base64 of a PNG, JPEG or WebP, 101 to 10,485,760 characters",
        json_schema_extra={"minLength": LEAST, "maxLength": MOST},
    ),
]
Words = Annotated[str, Field(min_length=1, max_length=32_000)]
Long = Annotated[str, Field(max_length=16_000)]
Width = Annotated[Int, Field(ge=320, le=3840)]
Height = Annotated[Int, Field(ge=240, le=2160)]
Name = Literal["click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait", "done", "fail"]
Tools = Annotated[list[Name], Field(min_length=1, max_length=8), EachOnce]
Engine = Literal["v1", "v3", "v4"]
Metadata = Annotated[dict[str, Any], Field(max_length=MOST_METADATA), AfterValidator(_small)]


class PastAction(Body):
    """An action as a prediction answers it; the spellings of machine actions are accepted too."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("action_type", "command", "name"))

    action_type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    command: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    params: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    raw_code: Annotated[str, Field(max_length=MOST_CODE)] | None = None  # as it was answered; not read

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if sum(word is not None for word in (self.action_type, self.command, self.name)) != 1:
            raise ValueError("Give one of action_type, command and name.")
        if self.params is not None and self.parameters is not None:
            raise ValueError("Give either params or parameters, not both.")
        return self

    @property
    def as_pair(self) -> tuple[str, dict[str, Any]]:
        return self.action_type or self.command or self.name or "", self.params or self.parameters or {}


class PastStep(Body):
    screenshot: Base64
    actions: Annotated[list[PastAction], Field(max_length=10)] = Field(default_factory=list)
    reasoning: Long | None = None


class Screen(Body):
    screen_width: Width = 1920
    screen_height: Height = 1080

    @property
    def screen(self) -> tuple[int, int]:
        return self.screen_width, self.screen_height


class Terms(Screen):
    """What a prediction and a session have in common."""

    cua_version: Engine = "v3"
    system_prompt: Long | None = None
    instructions: Long | None = None
    tools: Tools | None = None


class PredictBody(Terms):
    screenshot: Base64
    instruction: Words
    trajectory: Annotated[list[PastStep], Field(max_length=20)] = Field(default_factory=list)
    max_actions: Annotated[Int, Field(ge=1, le=10)] = 5
    include_reasoning: bool = True
    include_raw_code: bool = False

    def screenshots(self) -> Iterator[tuple[Loc, str]]:
        """Those of the trajectory, oldest first, and the present one."""
        for n, step in enumerate(self.trajectory):
            yield ("body", "trajectory", n, "screenshot"), step.screenshot
        yield ("body", "screenshot"), self.screenshot


class SessionCreate(Terms):
    max_trajectory_length: Annotated[Int, Field(ge=1, le=20)] = 3
    metadata: Metadata = Field(default_factory=dict)


class SessionPredictBody(Body):
    screenshot: Base64
    instruction: Words
    include_reasoning: bool = True
    include_raw_code: bool = False


class GroundBody(Screen):
    screenshot: Base64
    element: Words


class ParseBody(Body):
    code: Annotated[str, Field(min_length=1, max_length=50_000)]


class Nothing(Body):
    """A call that takes no fields."""


class PredictionObject(TypedDict):
    """`raw_code`, here and in each action, where it was asked for: the action as a line for pyautogui. It is for reading."""

    status: str
    reasoning: str | None
    actions: list[dict[str, Any]]
    raw_code: NotRequired[list[str]]
    usage: CallUsageObject
    request_id: str


class SessionPredictionObject(PredictionObject):
    session_id: str
    step: int


class GroundingObject(TypedDict):
    x: int
    y: int
    screen_width: int
    screen_height: int
    usage: CallUsageObject
    request_id: str


class ParsedActionsObject(TypedDict):
    actions: list[dict[str, Any]]
    request_id: str


class ModelObject(TypedDict):
    id: str
    wire: str


class EngineObject(TypedDict):
    id: str


class AgentObject(TypedDict):
    """What a run's `agent` may name."""

    name: str
    wire: str | None
    vision: bool
    needs_key: bool
    model: str | None


class ModelsObject(TypedDict):
    models: list[ModelObject]
    cua_versions: list[EngineObject]
    action_types: list[str]
    agents: list[AgentObject]
    request_id: str


class NewSessionObject(TypedDict):
    session_id: str
    screen_size: str
    created_at: Timestamp
    expires_at: Timestamp
    usage: CallUsageObject
    request_id: str


class SessionEndObject(TypedDict):
    status: str
    session_id: str
    request_id: str


class ModelCallObject(TypedDict):
    """Tokens are null where the vendor does not say, and the cost where it cannot be known."""

    id: str
    object: str
    run_id: str | None
    step_index: int | None
    profile: str
    wire: str
    model: str
    purpose: str
    status: str
    why: str | None
    request_id: str | None
    input_tokens: int | None
    cached_tokens: int | None
    cache_written_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cost_microcents: int | None
    started_at: Timestamp
    first_byte_at: Timestamp | None
    ended_at: Timestamp


def call_object(row: Call) -> ModelCallObject:
    return {
        "id": row.id,
        "object": "model_call",
        "run_id": row.run_id,
        "step_index": row.step_index,
        "profile": row.profile,
        "wire": row.wire,
        "model": row.model,
        "purpose": row.purpose,
        "status": row.status,
        "why": row.why,
        "request_id": row.request_id,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "cache_written_tokens": row.cache_written_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "cost_microcents": row.cost_microcents,
        "started_at": rfc3339(row.started_at),
        "first_byte_at": rfc3339(row.first_byte_at),
        "ended_at": rfc3339(row.ended_at),
    }


class SessionObject(TypedDict):
    session_id: str
    step_count: int
    total_credits_used: int
    created_at: Timestamp
    expires_at: Timestamp
    request_id: NotRequired[str]  # where it is the whole answer


class SessionPage(Page[SessionObject]):
    """`sessions`: the rows once more (docs/api/aliases.md)."""

    sessions: NotRequired[list[SessionObject]]


def session_object(session: Session) -> SessionObject:
    return {
        "session_id": session.id,
        "step_count": session.step_count,
        "total_credits_used": session.total_credits_used,
        "created_at": rfc3339(session.created_at),
        "expires_at": rfc3339(session.expires_at),
    }
