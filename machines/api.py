"""Machines: make, list, change, end them, and act on them by hand (contract/machines-and-inference.md 1 and 2)."""

import base64
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from ninja import Router

from accounts.actor import TAKE_CONTROL
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once, once_outside
from machines import services
from machines.access import costing, get_machine, list_machines
from machines.actions import by_hand
from machines.models import Machine
from machines.schemas import (
    ActionBody,
    BatchBody,
    MachineCreate,
    Nothing,
    TerminalBody,
    TtlPatch,
    active_object,
    machine_object,
)
from web.bodies import read
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Machines"])


def _full(request: ApiRequest, machine: Machine) -> dict[str, Any]:
    shown = machine_object(machine)
    return {**shown, "machine": shown, "request_id": request.request_id}


def _changed(request: ApiRequest, machine: Machine, message: str) -> dict[str, Any]:
    return {
        "machine_id": machine.id, "status": machine.status, "message": message, "request_id": request.request_id
    }  # fmt: skip


@router.post("/machines", summary="Make a machine", **takes(MachineCreate))
@door("machines:write")
def create_machine(request: ApiRequest) -> HttpResponse:
    body = read(request, MachineCreate)

    def effect() -> dict[str, Any]:
        return _full(request, services.create_machine(request.actor, body)) | {"connection": None}

    return once(request, effect)


@router.get("/machines", summary="Machines, oldest first")
@door("machines:read")
def machines(request: ApiRequest) -> HttpResponse:
    rows, order = list_machines(request.actor, request.GET), ("created_at", "id")
    found = page(rows, request.GET, machine_object, request_id=request.request_id, order=order, default=50)
    return answer(found)


@router.get("/billing/active", summary="Machines that cost money now")
@door("usage")
def active(request: ApiRequest) -> HttpResponse:
    found = [active_object(m) for m in costing(request.actor)]
    total = sum(item["cents_per_hour"] for item in found)
    return answer({"active": found, "current_run_rate_cents_per_hour": total})


@router.get("/machines/{machine_id}", summary="One machine")
@door("machines:read")
def machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    return answer(_full(request, get_machine(request.actor, machine_id)))


@router.patch("/machines/{machine_id}", summary="Change when it ends by itself", **takes(TtlPatch))
@door("machines:write")
def patch_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    row = services.set_ttl(request.actor, row.id, read(request, TtlPatch).ttl_minutes)
    ends = {"ttl_minutes": row.ttl_minutes, "auto_destroy_at": rfc3339(row.auto_destroy_at)}
    return answer({"machine_id": row.id, **ends, "status": row.status, "request_id": request.request_id})


@router.post("/machines/{machine_id}/start", summary="Start it", **takes(Nothing))
@door("machines:write")
def start_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _changed(request, services.start(request.actor, row.id), "The machine is starting."))


@router.post("/machines/{machine_id}/stop", summary="Stop it; its files stay", **takes(Nothing))
@door("machines:write")
def stop_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _changed(request, services.stop(request.actor, row.id), "The machine is stopping."))


@router.post("/machines/{machine_id}/terminate", summary="End it for ever", **takes(Nothing))
@door("machines:write")
def terminate_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _terminated(request, row))


@router.delete("/machines/{machine_id}", summary="End it for ever")
@door("machines:write")
def delete_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    return answer(_terminated(request, get_machine(request.actor, machine_id)))


def _terminated(request: ApiRequest, machine: Machine) -> dict[str, Any]:
    return _changed(request, services.terminate(request.actor, machine.id), "The machine and its files are removed.")


@router.get("/machines/{machine_id}/screenshot", summary="A picture of the screen now")
@door("machines:read")
def screenshot(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    frame, at = by_hand.take_picture(request.actor, row)
    body = {
        "machine_id": row.id, "image_b64": base64.b64encode(frame.png).decode(), "mime_type": "image/png",
        "width": frame.width, "height": frame.height, "captured_at": rfc3339(at), "request_id": request.request_id,
    }  # fmt: skip
    return _unstored(answer(body))


@router.post("/machines/{machine_id}/actions", summary="Do one action", **takes(ActionBody))
@door("actions:exec", TAKE_CONTROL)
def act(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, ActionBody)
    action = by_hand.canonical_action(row, body)

    def effect() -> HttpResponse:
        (outcome,) = by_hand.act(request.actor, row, [action], lease_id=body.lease_id)
        return _unstored(answer({"machine_id": row.id, **outcome.body(), "request_id": request.request_id}))

    return _by_hand(request, row, effect)


@router.post("/machines/{machine_id}/actions/batch", summary="Do several actions in order", **takes(BatchBody))
@door("actions:exec", TAKE_CONTROL)
def act_batch(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, BatchBody)
    actions = by_hand.canonical_actions(row, body.steps)

    def effect() -> HttpResponse:
        outcomes = by_hand.act(request.actor, row, actions, lease_id=body.lease_id, stop_on_error=body.stop_on_error)
        done = sum(outcome.result.success for outcome in outcomes)
        counts = {
            "completed_count": done,
            "failed_count": len(outcomes) - done,
            "aborted": len(outcomes) < len(actions),
        }
        results = [outcome.body() for outcome in outcomes]
        return _unstored(answer({"machine_id": row.id, "results": results, **counts, "request_id": request.request_id}))

    return _by_hand(request, row, effect)


@router.post("/machines/{machine_id}/terminal", summary="Run a shell command", **takes(TerminalBody))
@door("terminal:exec")
def terminal(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, TerminalBody)

    def effect() -> HttpResponse:
        done = by_hand.run_command(request.actor, row, body.command, body.timeout_ms, body.cwd)
        result = {"output": done.output[: by_hand.OUTPUT_CHARACTERS], "exit_code": done.exit_code}
        truncated = done.truncated or len(done.output) > by_hand.OUTPUT_CHARACTERS
        facts = {"session_id": body.session_id, "truncated": truncated, "result": result}
        return answer({
            "machine_id": row.id, "success": done.exit_code == 0, **result, **facts, "request_id": request.request_id
        })  # fmt: skip

    return _by_hand(request, row, effect)


def _by_hand(request: ApiRequest, machine: Machine, effect: Callable[[], HttpResponse]) -> HttpResponse:
    """Do it once, except in a private takeover: of that no answer is kept, so an Idempotency-Key is of no use there."""
    private = machine.lease is not None and machine.lease.private
    return effect() if private else once_outside(request, effect)


def _unstored(response: HttpResponse) -> HttpResponse:
    """Pictures of screens belong in no cache on the way."""
    response["Cache-Control"] = "no-store"
    return response
