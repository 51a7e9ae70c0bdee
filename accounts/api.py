"""Team settings, keys, idempotency records, health."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from accounts import idempotency, services
from accounts.access import get_team, keys_of
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.schemas import KeyCreate, TeamPatch, key_object, team_object
from web.bodies import read, read_json
from web.errors import EmptyUpdate
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Team and keys"])
NULLABLE = ("default_machine_id", "default_agent", "remember_days")


@router.get("/health", summary="Is the server up?", auth=None)
def health(request: HttpRequest) -> HttpResponse:
    return answer({"status": "ok"})


@router.get("/team", summary="Team settings")
@door("team:read")
def team(request: ApiRequest) -> HttpResponse:
    return answer(team_object(get_team(request.actor)))


@router.patch("/team", summary="Change team settings", **takes(TeamPatch))
@door("team:write")
def patch_team(request: ApiRequest) -> HttpResponse:
    changes = read(request, TeamPatch).model_dump(exclude_unset=True)
    raw = read_json(request)
    changes |= {name: None for name in NULLABLE if name in raw and raw[name] is None}
    if not changes:
        raise EmptyUpdate
    return answer(team_object(services.update_team(request.actor, changes)))


@router.post("/keys", summary="Make a key; it is shown once", **takes(KeyCreate))
@door("keys")
def create_key(request: ApiRequest) -> HttpResponse:
    body = read(request, KeyCreate)

    def effect() -> HttpResponse:
        made = services.create_key(
            request.actor,
            body.name,
            body.scopes,
            budget_cents_month=body.budget_cents_month,
            expires_at=body.expires_at,
        )
        row = made.row
        response = answer(
            {"key": made.key, "key_id": row.id, "key_prefix": row.prefix, "name": row.name, "kind": row.kind,
             "scopes": sorted(row.scopes), "created_at": rfc3339(row.created_at), "request_id": request.request_id}
        )  # fmt: skip
        response["Cache-Control"] = "no-store"
        return response

    return once(request, effect)


@router.get("/keys", summary="Keys of the team and world")
@door("keys")
def list_keys(request: ApiRequest) -> HttpResponse:
    return answer(page(keys_of(request.actor), request.GET, key_object, request_id=request.request_id))


@router.delete("/keys/{key_id}", summary="Revoke a key")
@door("keys")
def delete_key(request: ApiRequest, key_id: str) -> HttpResponse:
    row = services.revoke_key(request.actor, key_id)
    return answer({"status": "ok", "key_id": row.id})


@router.get("/idempotency/{key}", summary="What a call with this Idempotency-Key answered")
@door()
def idempotency_record(request: ApiRequest, key: str) -> HttpResponse:
    record: dict[str, Any] = idempotency.newest_record(request.actor, key)
    response = answer(record)
    response["Cache-Control"] = "no-store"  # the answer it holds may show a secret
    return response
