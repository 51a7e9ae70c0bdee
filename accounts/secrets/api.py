"""Secrets of the team: make, list, replace, delete. Values are never answered."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.secrets import services
from accounts.secrets.access import get_secret, secrets_of
from accounts.secrets.schemas import SecretChange, SecretCreate, SecretObject, secret_object
from web.bodies import read
from web.paging import Page, page

router = Router(tags=["Secrets"])


@router.post(
    "/secrets", summary="Keep a secret that runs may put in", response={201: SecretObject}, **takes(SecretCreate)
)
@door("secrets:write")
def create(request: ApiRequest) -> HttpResponse:
    body = read(request, SecretCreate)
    return once(request, lambda: secret_object(services.create_secret(request.actor, body)), status=201)


@router.get("/secrets", summary="Secrets of the team and world, without their values", response=Page[SecretObject])
@door("secrets:write")
def list_secrets(request: ApiRequest) -> HttpResponse:
    return answer(page(secrets_of(request.actor), request.GET, secret_object, request_id=request.request_id))


@router.put(
    "/secrets/{name}",
    summary="Replace its value, its hosts or its machines",
    response=SecretObject,
    **takes(SecretChange),
)
@door("secrets:write")
def change(request: ApiRequest, name: str) -> HttpResponse:
    get_secret(request.actor, name)
    return answer(secret_object(services.change_secret(request.actor, name, read(request, SecretChange))))


@router.delete("/secrets/{name}", summary="Delete it", response={204: None})
@door("secrets:write")
def delete(request: ApiRequest, name: str) -> HttpResponse:
    services.delete_secret(request.actor, name)
    return HttpResponse(status=204)
