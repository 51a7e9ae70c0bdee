"""Request bodies and answers of machines."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from machines.models import Machine, TakeoverLease
from web.bodies import Body, Int
from web.times import rfc3339

MACHINE_CENTS_PER_HOUR = {"linux": 5, "windows": 9, "idle": 1}  # contract/billing.md section 1
_POWERED = frozenset({"starting", "running", "stopping"})
_IDLE = frozenset({"stopped", "suspended"})
BILLED = _POWERED | _IDLE

Short = Annotated[str, Field(max_length=64)]
Long = Annotated[str, Field(max_length=256)]
Ttl = Annotated[Int, Field(ge=5, le=10_080)]
MAX_NOTE = 2000  # characters
Note = Annotated[str, Field(max_length=MAX_NOTE)]
Timeout = Annotated[Int, Field(ge=1000, le=120_000)]


def _zero_or_ttl(value: int) -> int:
    if value != 0 and not 5 <= value <= 10_080:
        raise ValueError("Must be 0 (never) or between 5 and 10080.")
    return value


class MachineCreate(Body):
    display_name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Literal["browser", "desktop", "terminal", "simulated"] = "desktop"
    os: Literal["linux", "windows"] = "linux"
    cpu_cores: Annotated[Int, Field(ge=1, le=16)] = 2
    memory_gb: Annotated[Int, Field(ge=1, le=64)] = 4
    screen_width: Annotated[Int, Field(ge=320, le=3840)] = 1280
    screen_height: Annotated[Int, Field(ge=240, le=2160)] = 800
    ttl_minutes: Ttl | None = None
    metadata: Annotated[dict[Short, Long], Field(max_length=16)] = Field(default_factory=dict)


class TtlPatch(Body):
    ttl_minutes: Annotated[Int, AfterValidator(_zero_or_ttl)]


class Nothing(Body):
    """A call that takes no fields."""


class ActionBody(Body):
    """One action; `action_type` and `name` are other spellings of `command`, `params` of `parameters`."""

    command: Annotated[str, Field(max_length=64)] | None = None
    action_type: Annotated[str, Field(max_length=64)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    parameters: dict[str, Any] | None = None
    params: dict[str, Any] | None = None
    timeout_ms: Timeout | None = None
    lease_id: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if sum(given is not None for given in (self.command, self.action_type, self.name)) > 1:
            raise ValueError("Give only one of command, action_type and name.")
        if self.parameters is not None and self.params is not None:
            raise ValueError("Give either parameters or params, not both.")
        return self

    @property
    def asked(self) -> str | None:
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


def machine_object(machine: Machine) -> dict[str, Any]:
    """The machine as the API shows it. Of many machines, `team` and takeovers should be loaded before (machines_of does)."""
    lease = machine.lease
    return {
        "id": machine.id, "object": "machine", "display_name": machine.display_name, "kind": machine.kind,
        "os": machine.os, "isolation": machine.isolation, "node": machine.node,
        "status": machine.status, "problem": machine.problem or None,
        "is_default": machine.team.default_machine_id == machine.id,
        "cpu_cores": machine.cpu_cores, "memory_gb": machine.memory_gb,
        "screen_width": machine.screen_width, "screen_height": machine.screen_height, "is_test": machine.test,
        "current_run_id": machine.current_run_id, "takeover": lease_object(lease) if lease else None,
        "ttl_minutes": machine.ttl_minutes,
        "auto_destroy_at": rfc3339(machine.auto_destroy_at), "cents_per_hour": cents_per_hour(machine),
        "metadata": machine.metadata, "created_at": rfc3339(machine.created_at),
        "started_at": rfc3339(machine.started_at), "terminated_at": rfc3339(machine.terminated_at),
    }  # fmt: skip


def active_object(machine: Machine) -> dict[str, Any]:
    return {
        "machine_id": machine.id, "kind": machine.kind, "status": machine.status,
        "cents_per_hour": cents_per_hour(machine), "since": rfc3339(machine.status_at),
    }  # fmt: skip


def lease_object(lease: TakeoverLease) -> dict[str, Any]:
    return {
        "id": lease.id, "object": "takeover", "machine_id": lease.machine_id, "run_id": lease.run_id,
        "holder": lease.holder, "private": lease.private,
        "taken_at": rfc3339(lease.taken_at), "expires_at": rfc3339(lease.expires_at),
        "idle_expires_at": rfc3339(lease.idle_expires_at), "approval_id": lease.approval_id,
    }  # fmt: skip
