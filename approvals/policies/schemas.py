"""Request bodies and answers of policies."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from django.db.models import Q
from ninja import FilterSchema
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from approvals.models import Effect, Policy
from approvals.policies.conditions import LONGEST_PATH, MOST
from web.bodies import Body, Int, Time
from web.errors import InvalidFilter
from web.filters import Text, one_of
from web.times import Timestamp, rfc3339

ACTION_NAME = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"  # of a tool, or of what a program asks about
HOST_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"


class PolicyFilters(FilterSchema):
    """An empty `end_user` leaves those that are for nobody in particular."""

    tool: Text = None
    effect: Annotated[Text, one_of(Effect.values)] = None
    end_user: str | None = None

    def filter_effect(self, effect: str | None) -> Q:
        """Raises InvalidFilter."""
        if effect is None:
            return Q()
        if effect not in Effect.values:
            raise InvalidFilter(parameter="effect", valid_options=list(Effect.values))
        return Q(effect=effect)

    def filter_end_user(self, end_user: str | None) -> Q:
        return Q(end_user__isnull=True) if end_user == "" else Q(end_user=end_user)


class Need(Body):
    group: Annotated[str, Field(min_length=1, max_length=64)]
    count: Annotated[Int, Field(ge=1, le=20)]


class When(Body):
    """A condition on the action: on its class (docs/risks.md), or on a parameter (approvals/policies/conditions.py)."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["class"]}, {"required": ["path", "op", "value"]}]}
    )

    action_class: Annotated[Literal["read", "reversible", "irreversible"] | None, Field(alias="class")] = None
    path: Annotated[str, Field(min_length=1, max_length=LONGEST_PATH)] | None = None
    op: Literal["eq", "ne", "gt", "lt", "contains", "prefix", "in", "matches"] | None = None
    value: Any = None


Conditions = Annotated[list[When], Field(max_length=MOST)]


def conditions_of(rows: list[When]) -> list[dict[str, Any]]:
    """As they were sent."""
    return [row.model_dump(exclude_none=True, by_alias=True) for row in rows]


class PolicyCreate(Body):
    tool: Annotated[str, Field(min_length=1, max_length=128)]
    effect: Literal["allow", "ask", "deny"] = "allow"
    host: Annotated[str, Field(max_length=255)] | None = None
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    include_end_users: bool = False
    expires_at: Time | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool = False
    when: Conditions | None = None
    max_uses: Annotated[Int, Field(ge=1, le=10_000)] | None = None
    note: Annotated[str, Field(max_length=500)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _user_id_is_end_user(cls, value: dict[str, Any]) -> dict[str, Any]:
        """`user_id` is another name of `end_user`; both at once are one too many."""
        if "user_id" in value and "end_user" not in value:
            return {k: v for k, v in value.items() if k != "user_id"} | {"end_user": value["user_id"]}
        return value


class PolicyPatch(Body):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    effect: Literal["allow", "ask", "deny"] | None = None
    expires_at: Time | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool | None = None
    note: Annotated[str, Field(max_length=500)] | None = None


class PolicyObject(TypedDict):
    id: str
    object: str
    tool: str
    tool_name: str
    effect: str
    host: str | None
    end_user: str | None
    include_end_users: bool
    run_id: str | None
    expires_at: Timestamp | None
    quorum: list[dict[str, Any]]
    four_eyes: bool | None
    when: list[dict[str, Any]]
    max_uses: int | None
    note: str | None
    origin: str
    origin_approval_id: str | None
    created_by: ActorRef
    created_at: Timestamp
    revoked_at: Timestamp | None
    last_used_at: Timestamp | None
    uses: int


class WouldObject(TypedDict):
    allow: int
    ask: int
    deny: int


class PeopleObject(TypedDict):
    approved: int
    rejected: int
    edited: int


class PreviewObject(TypedDict):
    """What the policy would have done with the newest actions that people were asked about (approvals/policies/replay.py)."""

    object: str
    matched: int
    would: WouldObject
    people: PeopleObject
    examples: list[str]


def preview_object(
    matched: int, would: Mapping[str, int], people: Mapping[str, int], examples: Sequence[str]
) -> PreviewObject:
    return {
        "object": "policy_preview",
        "matched": matched,
        "would": {"allow": would["allow"], "ask": would["ask"], "deny": would["deny"]},
        "people": {"approved": people["approved"], "rejected": people["rejected"], "edited": people["edited"]},
        "examples": list(examples),
    }


def policy_object(row: Policy) -> PolicyObject:
    return {
        "id": row.id,
        "object": "policy",
        "tool": row.tool,
        "tool_name": row.tool,
        "effect": row.effect,
        "host": row.host,
        "end_user": row.end_user,
        "include_end_users": row.include_end_users,
        "run_id": row.run_id,
        "expires_at": rfc3339(row.expires_at),
        "quorum": row.quorum,
        "four_eyes": row.four_eyes,
        "when": row.when,
        "max_uses": row.max_uses,
        "note": row.note,
        "origin": row.origin,
        "origin_approval_id": row.origin_approval_id,
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at),
        "last_used_at": rfc3339(row.last_used_at),
        "uses": row.uses,
    }
