"""Keys: make, list, revoke."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.keys import services
from accounts.keys.access import keys_of
from accounts.keys.schemas import KeyCreate, KeyPage, KeyRevokedObject, NewKeyObject, key_object, new_key_object
from web import aliases
from web.bodies import read
from web.paging import page

router = Router(tags=["Team and keys"])


@router.post("/keys", summary="Make a key; it is shown once", response=NewKeyObject, **takes(KeyCreate))
@door("keys")
def create_key(request: ApiRequest) -> HttpResponse:
    body = read(request, KeyCreate)

    def effect() -> HttpResponse:
        new_key = services.create_key(
            request.actor,
            body.name,
            body.scopes,
            budget_cents_month=body.budget_cents_month,
            expires_at=body.expires_at,
        )
        response = answer(new_key_object(new_key.row, new_key.key, request.request_id))
        response["Cache-Control"] = "no-store"
        return response

    return once(request, effect)


@router.get("/keys", summary="Keys of the team and world", response=KeyPage)
@door("keys")
def list_keys(request: ApiRequest) -> HttpResponse:
    rows = page(keys_of(request.actor), request.GET, key_object, request_id=request.request_id)
    return answer({**rows, **aliases.rows_again("keys", rows["data"])})


@router.delete("/keys/{key_id}", summary="Revoke a key", response=KeyRevokedObject)
@door("keys")
def delete_key(request: ApiRequest, key_id: str) -> HttpResponse:
    row = services.revoke_key(request.actor, key_id)
    return answer({"status": "ok", "key_id": row.id})
