"""Links to a machine's live screen (docs/api/machines-and-inference.md section 1)."""

from django.http import HttpResponse
from django.utils import timezone
from ninja import Router

from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from machines.access import get_machine
from machines.live import tokens
from machines.schemas import ConnectionObject
from machines.takeover.control_leases import controls
from web.links import address, origin
from web.times import rfc3339

router = Router(tags=["Machines"])


@router.get("/machines/{machine_id}/connection", summary="Links to the live screen", response=ConnectionObject)
@door(tokens.SCOPE)
def read_connection(request: ApiRequest, machine_id: str) -> HttpResponse:
    """Tokens stand in the fragment of a page's address: no server and no log sees them there."""
    machine, actor, start = get_machine(request.actor, machine_id), request.actor, origin(request)
    view = tokens.issue(actor, machine.id)
    lease = machine.lease if controls(actor, machine) else None
    page = address(start, "live-view")
    body: ConnectionObject = {
        "machine_id": machine.id,
        "view_url": f"{page}#{view}",
        "control_url": f"{page}#{tokens.issue(actor, machine.id, lease.id)}" if lease else None,
        "websocket_url": f"{start.replace('http', 'ws', 1)}/ws/screen",
        "token": view,
        "expires_at": rfc3339(timezone.now() + tokens.LIFE),
        "screen_width": machine.screen_width,
        "screen_height": machine.screen_height,
        "request_id": request.request_id,
    }
    response = answer(body)
    response["Cache-Control"] = "no-store"
    return response
