"""Request bodies and answers of policies."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from approvals.models import Policy
from web.bodies import Body, Int, Time
from web.times import rfc3339


class Need(Body):
    group: Annotated[str, Field(min_length=1, max_length=64)]
    count: Annotated[Int, Field(ge=1, le=20)]


class When(Body):
    """A condition on the action: its class (docs/risks.md)."""

    action_class: Annotated[Literal["read", "reversible", "irreversible"], Field(alias="class")]


class PolicyCreate(Body):
    tool: Annotated[str, Field(min_length=1, max_length=128)]
    effect: Literal["allow", "ask", "deny"] = "allow"
    host: Annotated[str, Field(max_length=255)] | None = None
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    include_end_users: bool = False
    expires_at: Time | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool = False
    when: Annotated[list[When], Field(max_length=10)] | None = None
    note: Annotated[str, Field(max_length=500)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _user_id_is_end_user(cls, value: dict[str, Any]) -> dict[str, Any]:
        """`user_id` is another name of `end_user`; both at once are one too many."""
        if "user_id" in value and "end_user" not in value:
            return {k: v for k, v in value.items() if k != "user_id"} | {"end_user": value["user_id"]}
        return value


class PolicyPatch(Body):
    effect: Literal["allow", "ask", "deny"] | None = None
    expires_at: Time | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool | None = None
    note: Annotated[str, Field(max_length=500)] | None = None


def policy_object(row: Policy) -> dict[str, Any]:
    return {
        "id": row.id, "object": "policy", "tool": row.tool, "tool_name": row.tool, "effect": row.effect, "host": row.host,
        "end_user": row.end_user, "include_end_users": row.include_end_users, "run_id": row.run_id,
        "expires_at": rfc3339(row.expires_at), "quorum": row.quorum, "four_eyes": row.four_eyes,
        "when": row.when, "note": row.note,
        "origin": row.origin, "origin_approval_id": row.origin_approval_id, "created_by": row.created_by,
        "created_at": rfc3339(row.created_at), "revoked_at": rfc3339(row.revoked_at),
        "last_used_at": rfc3339(row.last_used_at), "uses": row.uses,
    }  # fmt: skip
