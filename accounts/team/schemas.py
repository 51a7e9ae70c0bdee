"""The settings of a team, as they are sent and answered."""

from typing import Annotated, Literal

from django.conf import settings
from django.utils.module_loading import import_string
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from accounts.models import Team
from web.bodies import Body, EachOnce, Int

Risk = Literal["read", "write", "spend", "access", "destroy"]
Mode = Literal["autonomous", "approval", "plan"]


class TeamPatch(Body):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    default_machine_id: str | None = None  # looked up, as is the agent: settings.TEAM_SETTING_GATES
    default_agent: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    forbid_self_approval: Literal["never", "four_eyes", "always"] | None = None
    undo_window_seconds: Annotated[Int, Field(ge=0, le=60)] | None = None
    screen_check: bool | None = None
    screen_check_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    risk_floor: Annotated[list[Risk], EachOnce] | None = None
    risk_floor_modes: Annotated[list[Mode], EachOnce] | None = None
    remember_days: Annotated[Int, Field(ge=1, le=3650)] | None = None
    claim_minutes: Annotated[Int, Field(ge=1, le=120)] | None = None
    hot_window_seconds: Annotated[Int, Field(ge=0, le=600)] | None = None
    plan_max_revisions: Annotated[Int, Field(ge=1, le=50)] | None = None
    max_active_runs: Annotated[Int, Field(ge=1, le=10_000)] | None = None
    budget_cents_month: Annotated[Int, Field(ge=0, le=100_000_000)] | None = None
    event_retention_days: Annotated[Int, Field(ge=1, le=3650)] | None = None
    usage_for_all: bool | None = None


class TeamObject(TypedDict):
    id: str
    object: str
    name: str
    default_machine_id: str | None
    default_agent: str
    forbid_self_approval: str
    undo_window_seconds: int
    screen_check: bool
    screen_check_threshold: float
    risk_floor: list[str]
    risk_floor_modes: list[str]
    remember_days: int | None
    claim_minutes: int
    hot_window_seconds: int
    plan_max_revisions: int
    max_active_runs: int
    budget_cents_month: int
    event_retention_days: int
    usage_for_all: bool


def team_object(team: Team) -> TeamObject:
    return {
        "id": team.id,
        "object": "team",
        "name": team.name,
        "default_machine_id": team.default_machine_id,
        "default_agent": team.default_agent or import_string(settings.USUAL_AGENT)(),
        "forbid_self_approval": team.forbid_self_approval,
        "undo_window_seconds": team.undo_window_seconds,
        "screen_check": team.screen_check,
        "screen_check_threshold": team.screen_check_threshold,
        "risk_floor": team.risk_floor,
        "risk_floor_modes": team.risk_floor_modes,
        "remember_days": team.remember_days,
        "claim_minutes": team.claim_minutes,
        "hot_window_seconds": team.hot_window_seconds,
        "plan_max_revisions": team.plan_max_revisions,
        "max_active_runs": team.max_active_runs,
        "budget_cents_month": team.budget_cents_month,
        "event_retention_days": team.event_retention_days,
        "usage_for_all": team.usage_for_all,
    }
