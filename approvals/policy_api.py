"""Policies by API: /v1/permissions."""

from typing import Annotated, Any, Literal

from django.http import HttpResponse
from django.utils import timezone
from ninja import Router
from pydantic import Field, model_validator

from accounts.bodies import Body, Int, Time, read, read_json
from accounts.doors import ApiRequest, door, takes
from accounts.errors import Invalid, InvalidFilter
from accounts.idempotency import answer, once
from accounts.paging import page
from accounts.times import rfc3339
from approvals import policies
from approvals.models import Effect, Policy
from approvals.quorum import checked_quorum

router = Router(tags=["Policies"])
PATCHABLE = ("effect", "expires_at", "quorum", "four_eyes", "note")


class Need(Body):
    group: Annotated[str, Field(min_length=1, max_length=64)]
    count: Annotated[Int, Field(ge=1, le=20)]


class PolicyCreate(Body):
    tool: Annotated[str, Field(min_length=1, max_length=128)]
    effect: Literal["allow", "ask", "deny"] = "allow"
    host: Annotated[str, Field(max_length=255)] | None = None
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    include_end_users: bool = False
    expires_at: Time | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool = False
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
        "expires_at": rfc3339(row.expires_at), "quorum": row.quorum, "four_eyes": row.four_eyes, "note": row.note,
        "origin": row.origin, "origin_approval_id": row.origin_approval_id, "created_by": row.created_by,
        "created_at": rfc3339(row.created_at), "revoked_at": rfc3339(row.revoked_at),
        "last_used_at": rfc3339(row.last_used_at), "uses": row.uses,
    }  # fmt: skip


def _checked(request: ApiRequest, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as they are stored. Raises Invalid with everything that is wrong."""
    wrong: list[tuple[tuple[str | int, ...], str, str]] = []
    if "tool" in fields and not policies.TOOL.match(fields["tool"]):
        wrong.append(
            (("body", "tool"), "Letters, digits, _ . - and one * as the whole or after a final dot.", "value_error")
        )
    if fields.get("host") is not None and not policies.HOST.match(fields["host"]):
        wrong.append((("body", "host"), "A host such as shop.test, or *.shop.test for its subdomains.", "value_error"))
    ends = fields.get("expires_at")
    if ends is not None and ends <= timezone.now():
        wrong.append((("body", "expires_at"), "Must lie in the future.", "value_error"))
    quorum = fields.get("quorum")
    if quorum is not None:
        wrong += checked_quorum(request.actor.team_id, quorum, ("body", "quorum"))
    if wrong:
        raise Invalid(*wrong)
    return fields


@router.post("/permissions", summary="Store a policy; an equal active one is returned", **takes(PolicyCreate))
@door("approvals:decide")
def create_policy(request: ApiRequest) -> HttpResponse:
    body = read(request, PolicyCreate)
    fields = _checked(request, body.model_dump(exclude_none=True))

    def effect() -> HttpResponse:
        row, new = policies.create(request.actor, **fields)
        return answer(policy_object(row), status=201 if new else 200)

    return once(request, effect)


@router.get("/permissions", summary="Policies, newest first")
@door("approvals:read")
def list_policies(request: ApiRequest) -> HttpResponse:
    query = request.GET
    rows = policies.policies_of(request.actor).filter(revoked_at__isnull=True)
    if query.get("tool"):
        rows = rows.filter(tool=query["tool"])
    if query.get("effect"):
        if query["effect"] not in Effect.values:
            raise InvalidFilter(parameter="effect", valid_options=list(Effect.values))
        rows = rows.filter(effect=query["effect"])
    if "end_user" in query:
        rows = rows.filter(end_user=query["end_user"]) if query["end_user"] else rows.filter(end_user__isnull=True)
    return answer(page(rows, query, policy_object, request_id=request.request_id))


@router.get("/permissions/{policy_id}", summary="One policy")
@door("approvals:read")
def read_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    return answer(policy_object(policies.get_policy(request.actor, policy_id)))


@router.patch("/permissions/{policy_id}", summary="Change a policy", **takes(PolicyPatch))
@door("approvals:decide")
def patch_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    row = policies.get_policy(request.actor, policy_id)
    changes = _checked(request, read(request, PolicyPatch).model_dump(exclude_unset=True))
    raw = read_json(request)
    changes |= {name: None for name in ("expires_at", "note") if name in raw and raw[name] is None}
    return answer(policy_object(policies.update(request.actor, row.id, changes)))


@router.delete("/permissions/{policy_id}", summary="Revoke a policy")
@door("approvals:decide")
def delete_policy(request: ApiRequest, policy_id: str) -> HttpResponse:
    policies.revoke(request.actor, policy_id)
    return HttpResponse(status=204)
