"""Request bodies and answers of machines."""

from typing import Annotated, Any, Literal, NotRequired, Self

from django.db.models import Q
from ninja import FilterSchema
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from machines.models import Machine, MachineStatus, TakeoverLease
from web.bodies import Body, Int, exactly_one_of
from web.errors import InvalidFilter, InvalidStatusFilter
from web.filters import Text, several_of, words_of
from web.times import Timestamp, rfc3339

MACHINE_CENTS_PER_HOUR = {"linux": 5, "windows": 9, "idle": 1}  # docs/api/billing.md section 1
KINDS = ("browser", "desktop", "terminal", "simulated")
_POWERED = frozenset({"starting", "running", "stopping"})
_IDLE = frozenset({"stopped", "suspended"})
BILLED = _POWERED | _IDLE

Short = Annotated[str, Field(max_length=64)]
Long = Annotated[str, Field(max_length=256)]
Ttl = Annotated[Int, Field(ge=5, le=10_080)]
MAX_NOTE = 2000  # characters
Note = Annotated[str, Field(max_length=MAX_NOTE)]
Timeout = Annotated[Int, Field(ge=1000, le=120_000)]
Os = Literal["linux", "windows"]
PassedOver = Annotated[Any, Field(exclude=True)]


def _zero_or_ttl(value: int) -> int:
    if value != 0 and not 5 <= value <= 10_080:
        raise ValueError("Must be 0 (never) or between 5 and 10080.")
    return value


class MachineFilters(FilterSchema):
    status: Annotated[Text, several_of(MachineStatus.values)] = None
    kind: Annotated[Text, several_of(KINDS)] = None

    def filter_status(self, status: str | None) -> Q:
        """Raises InvalidStatusFilter."""
        unknown = InvalidStatusFilter(valid_options=list(MachineStatus.values))
        return Q(status__in=words_of(status, MachineStatus.values, unknown)) if status else Q()

    def filter_kind(self, kind: str | None) -> Q:
        """Raises InvalidFilter."""
        unknown = InvalidFilter(parameter="kind", valid_options=list(KINDS))
        return Q(kind__in=words_of(kind, KINDS, unknown)) if kind else Q()


class MachineCreate(Body):
    """`os_type` is another spelling of `os`. The last three fields are those of other vendors' clients: they do nothing here."""

    display_name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Literal["browser", "desktop", "terminal", "simulated"] = "desktop"
    os: Os = "linux"
    os_type: Annotated[Os | None, Field(exclude=True)] = None
    cpu_cores: Annotated[Int, Field(ge=1, le=16)] = 2
    memory_gb: Annotated[Int, Field(ge=1, le=64)] = 4
    screen_width: Annotated[Int, Field(ge=320, le=3840)] = 1280
    screen_height: Annotated[Int, Field(ge=240, le=2160)] = 800
    ttl_minutes: Ttl | None = None
    metadata: Annotated[dict[Short, Long], Field(max_length=16)] = Field(default_factory=dict)
    provider: PassedOver = None
    desktop_enabled: PassedOver = None
    storage_gb: PassedOver = None

    @model_validator(mode="after")
    def _one_system(self) -> Self:
        if self.os_type is not None:
            if "os" in self.model_fields_set and self.os != self.os_type:
                raise ValueError("os and os_type name two systems.")
            self.os = self.os_type
        return self


ZERO_OR_TTL: JsonDict = {"anyOf": [{"const": 0}, {"minimum": 5, "maximum": 10_080}]}


class TtlPatch(Body):
    ttl_minutes: Annotated[Int, AfterValidator(_zero_or_ttl), Field(json_schema_extra=ZERO_OR_TTL)]


class Nothing(Body):
    """A call that takes no fields."""


class ActionBody(Body):
    """One action; `action_type` and `name` are other spellings of `command`, `params` of `parameters`."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("command", "action_type", "name"))

    command: Annotated[str, Field(max_length=64)] | None = None
    action_type: Annotated[str, Field(max_length=64)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    parameters: dict[str, Any] | None = None
    params: dict[str, Any] | None = None
    timeout_ms: Timeout | None = None
    lease_id: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if sum(name is not None for name in (self.command, self.action_type, self.name)) > 1:
            raise ValueError("Give only one of command, action_type and name.")
        if self.parameters is not None and self.params is not None:
            raise ValueError("Give either parameters or params, not both.")
        return self

    @property
    def action_name(self) -> str | None:
        return self.command or self.action_type or self.name


class TakeBody(Body):
    private: bool = False
    note: Note | None = None


class LeaseBody(Body):
    lease_id: Annotated[str, Field(max_length=64)]


class ReleaseBody(LeaseBody):
    note: Note | None = None  # what the person changed, for the agent
    resume: bool = True


class BatchBody(Body):
    steps: Annotated[list[ActionBody], Field(min_length=1, max_length=50)]
    stop_on_error: bool = True

    @model_validator(mode="after")
    def _one_lease(self) -> Self:
        if len({step.lease_id for step in self.steps} - {None}) > 1:
            raise ValueError("Give one lease_id for all steps.")
        return self

    @property
    def lease_id(self) -> str | None:
        return next((step.lease_id for step in self.steps if step.lease_id), None)


class TerminalBody(Body):
    command: Annotated[str, Field(min_length=1, max_length=8192)]
    timeout_ms: Timeout = 30_000
    session_id: Annotated[str, Field(max_length=128)] | None = None
    cwd: Annotated[str, Field(max_length=512)] | None = None


def cents_per_hour(machine: Machine) -> int:
    """What the machine costs in its present status, in US cents."""
    if machine.kind == "simulated":
        return 0
    if machine.status in _POWERED:
        return MACHINE_CENTS_PER_HOUR[machine.os]
    return MACHINE_CENTS_PER_HOUR["idle"] if machine.status in _IDLE else 0


class TakeoverObject(TypedDict):
    """With `request_id` where it is the whole answer."""

    id: str
    object: str
    machine_id: str
    run_id: str | None
    holder: ActorRef
    private: bool
    taken_at: Timestamp
    expires_at: Timestamp
    idle_expires_at: Timestamp
    approval_id: str | None
    request_id: NotRequired[str]


class TakeoverEndObject(TypedDict):
    """`run_id` and `status` are those of the run that had the machine."""

    released: bool
    run_id: str | None
    status: str | None
    request_id: str


class MachineObject(TypedDict):
    id: str
    object: str
    display_name: str
    kind: str
    os: str
    os_type: str
    isolation: str
    node: str | None
    status: str
    problem: str | None
    is_default: bool
    cpu_cores: int
    memory_gb: int
    screen_width: int
    screen_height: int
    is_test: bool
    current_run_id: str | None
    takeover: TakeoverObject | None
    ttl_minutes: int | None
    auto_destroy_at: Timestamp | None
    cents_per_hour: int
    metadata: dict[str, str]
    created_at: Timestamp
    started_at: Timestamp | None
    terminated_at: Timestamp | None


class MachineAnswer(MachineObject):
    machine: MachineObject
    request_id: str


class NewMachineObject(MachineAnswer):
    connection: None


class MachineChangeObject(TypedDict):
    machine_id: str
    status: str
    message: str
    request_id: str


class MachineTtlObject(TypedDict):
    machine_id: str
    ttl_minutes: int | None
    auto_destroy_at: Timestamp | None
    status: str
    request_id: str


class ActiveMachineObject(TypedDict):
    machine_id: str
    kind: str
    status: str
    cents_per_hour: int
    since: Timestamp


class ActiveObject(TypedDict):
    active: list[ActiveMachineObject]
    current_run_rate_cents_per_hour: int


class PictureObject(TypedDict):
    machine_id: str
    image_b64: str
    mime_type: str
    width: int
    height: int
    captured_at: Timestamp
    request_id: str


class ConnectionObject(TypedDict):
    """Links to the live screen. `token` is the first message to the websocket; it only watches."""

    machine_id: str
    view_url: str
    control_url: str | None
    websocket_url: str
    token: str
    expires_at: Timestamp
    screen_width: int
    screen_height: int
    request_id: str


class OutcomeObject(TypedDict):
    """What one action did; `screenshot` is a PNG in base64."""

    command: str
    params: dict[str, Any]
    success: bool
    result: dict[str, Any]
    error: str | None
    duration_ms: int
    screenshot: str | None


class ActionResultObject(OutcomeObject):
    machine_id: str
    request_id: str


class BatchResultObject(TypedDict):
    machine_id: str
    results: list[OutcomeObject]
    completed_count: int
    failed_count: int
    aborted: bool
    request_id: str


class CommandResultObject(TypedDict):
    output: str
    exit_code: int | None


class TerminalResultObject(CommandResultObject):
    machine_id: str
    success: bool
    session_id: str | None
    truncated: bool
    result: CommandResultObject
    request_id: str


def machine_object(machine: Machine) -> MachineObject:
    """The machine as the API shows it. Of many machines, `team` and takeovers should be loaded before (machines_of does)."""
    lease = machine.lease
    return {
        "id": machine.id,
        "object": "machine",
        "display_name": machine.display_name,
        "kind": machine.kind,
        "os": machine.os,
        "os_type": machine.os,
        "isolation": machine.isolation,
        "node": machine.node,
        "status": machine.status,
        "problem": machine.problem or None,
        "is_default": machine.team.default_machine_id == machine.id,
        "cpu_cores": machine.cpu_cores,
        "memory_gb": machine.memory_gb,
        "screen_width": machine.screen_width,
        "screen_height": machine.screen_height,
        "is_test": machine.test,
        "current_run_id": machine.current_run_id,
        "takeover": lease_object(lease) if lease else None,
        "ttl_minutes": machine.ttl_minutes,
        "auto_destroy_at": rfc3339(machine.auto_destroy_at),
        "cents_per_hour": cents_per_hour(machine),
        "metadata": machine.metadata,
        "created_at": rfc3339(machine.created_at),
        "started_at": rfc3339(machine.started_at),
        "terminated_at": rfc3339(machine.terminated_at),
    }


def active_object(machine: Machine) -> ActiveMachineObject:
    return {
        "machine_id": machine.id,
        "kind": machine.kind,
        "status": machine.status,
        "cents_per_hour": cents_per_hour(machine),
        "since": rfc3339(machine.status_at),
    }


def lease_object(lease: TakeoverLease) -> TakeoverObject:
    return {
        "id": lease.id,
        "object": "takeover",
        "machine_id": lease.machine_id,
        "run_id": lease.run_id,
        "holder": lease.holder,
        "private": lease.private,
        "taken_at": rfc3339(lease.taken_at),
        "expires_at": rfc3339(lease.expires_at),
        "idle_expires_at": rfc3339(lease.idle_expires_at),
        "approval_id": lease.approval_id,
    }
