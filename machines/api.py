"""Machines: make, list, change, end them, and act on them by hand (docs/api/machines-and-inference.md 1 and 2)."""

import base64
from collections.abc import Callable

from django.http import HttpResponse
from ninja import Query, Router

from accounts.actor import TAKE_CONTROL
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once, once_outside
from machines import services
from machines.access import costing, get_machine, machines_of
from machines.actions import by_hand
from machines.models import Machine
from machines.schemas import (
    ActionBody,
    ActionResultObject,
    ActiveObject,
    BatchBody,
    BatchResultObject,
    MachineAnswer,
    MachineChangeObject,
    MachineCreate,
    MachineFilters,
    MachineObject,
    MachineTtlObject,
    NewMachineObject,
    Nothing,
    PictureObject,
    TerminalBody,
    TerminalResultObject,
    TtlPatch,
    active_object,
    machine_object,
)
from web.bodies import read
from web.errors import ErrorObject
from web.paging import Page, limit_parameter, page
from web.times import rfc3339

router = Router(tags=["Machines"])
AT_A_MACHINE = {502: ErrorObject, 504: ErrorObject}


def _full(request: ApiRequest, machine: Machine) -> MachineAnswer:
    shown = machine_object(machine)
    return {**shown, "machine": shown, "request_id": request.request_id}


def _changed(request: ApiRequest, machine: Machine, message: str) -> MachineChangeObject:
    return {"machine_id": machine.id, "status": machine.status, "message": message, "request_id": request.request_id}


@router.post(
    "/machines", summary="Make a machine", response={200: NewMachineObject, 402: ErrorObject}, **takes(MachineCreate)
)
@door("machines:write")
def create_machine(request: ApiRequest) -> HttpResponse:
    body = read(request, MachineCreate)

    def effect() -> NewMachineObject:
        return {**_full(request, services.create_machine(request.actor, body)), "connection": None}

    return once(request, effect)


@router.get(
    "/machines",
    summary="Machines, oldest first",
    response=Page[MachineObject],
    openapi_extra={"parameters": [limit_parameter(50)]},
)
@door("machines:read")
def machines(request: ApiRequest, filters: Query[MachineFilters]) -> HttpResponse:
    rows, order = filters.filter(machines_of(request.actor)), ("created_at", "id")
    return answer(page(rows, request.GET, machine_object, request_id=request.request_id, order=order, default=50))


@router.get("/billing/active", summary="Machines that cost money now", response=ActiveObject)
@door("usage")
def active(request: ApiRequest) -> HttpResponse:
    machines = [active_object(machine) for machine in costing(request.actor)]
    total = sum(each["cents_per_hour"] for each in machines)
    return answer({"active": machines, "current_run_rate_cents_per_hour": total})


@router.get("/machines/{machine_id}", summary="One machine", response=MachineAnswer)
@door("machines:read")
def machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    return answer(_full(request, get_machine(request.actor, machine_id)))


@router.patch(
    "/machines/{machine_id}", summary="Change when it ends by itself", response=MachineTtlObject, **takes(TtlPatch)
)
@door("machines:write")
def patch_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    row = services.set_ttl(request.actor, row.id, read(request, TtlPatch).ttl_minutes)
    ends = {"ttl_minutes": row.ttl_minutes, "auto_destroy_at": rfc3339(row.auto_destroy_at)}
    return answer({"machine_id": row.id, **ends, "status": row.status, "request_id": request.request_id})


@router.post(
    "/machines/{machine_id}/start",
    summary="Start it",
    response={200: MachineChangeObject, 402: ErrorObject},
    **takes(Nothing),
)
@door("machines:write")
def start_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _changed(request, services.start(request.actor, row.id), "The machine is starting."))


@router.post(
    "/machines/{machine_id}/stop", summary="Stop it; its files stay", response=MachineChangeObject, **takes(Nothing)
)
@door("machines:write")
def stop_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _changed(request, services.stop(request.actor, row.id), "The machine is stopping."))


@router.post(
    "/machines/{machine_id}/terminate", summary="End it for ever", response=MachineChangeObject, **takes(Nothing)
)
@door("machines:write")
def terminate_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    read(request, Nothing)
    return once(request, lambda: _terminated(request, row))


@router.delete("/machines/{machine_id}", summary="End it for ever", response=MachineChangeObject)
@door("machines:write")
def delete_machine(request: ApiRequest, machine_id: str) -> HttpResponse:
    return answer(_terminated(request, get_machine(request.actor, machine_id)))


def _terminated(request: ApiRequest, machine: Machine) -> MachineChangeObject:
    return _changed(request, services.terminate(request.actor, machine.id), "The machine and its files are removed.")


@router.get(
    "/machines/{machine_id}/screenshot",
    summary="A picture of the screen now",
    response={200: PictureObject, 409: ErrorObject, **AT_A_MACHINE},
)
@door("machines:read")
def screenshot(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    frame, at = by_hand.take_picture(request.actor, row)
    body = {
        "machine_id": row.id,
        "image_b64": base64.b64encode(frame.png).decode(),
        "mime_type": "image/png",
        "width": frame.width,
        "height": frame.height,
        "captured_at": rfc3339(at),
        "request_id": request.request_id,
    }
    return _unstored(answer(body))


@router.post(
    "/machines/{machine_id}/actions",
    summary="Do one action",
    response={200: ActionResultObject, **AT_A_MACHINE},
    **takes(ActionBody),
)
@door("actions:exec", TAKE_CONTROL)
def act(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, ActionBody)
    action = by_hand.canonical_action(row, body)

    def effect() -> HttpResponse:
        (outcome,) = by_hand.act(request.actor, row, [action], lease_id=body.lease_id)
        return _unstored(answer({"machine_id": row.id, **outcome.body(), "request_id": request.request_id}))

    return _by_hand(request, row, effect)


@router.post(
    "/machines/{machine_id}/actions/batch",
    summary="Do several actions in order",
    response={200: BatchResultObject, **AT_A_MACHINE},
    **takes(BatchBody),
)
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


@router.post(
    "/machines/{machine_id}/terminal",
    summary="Run a shell command",
    response={200: TerminalResultObject, **AT_A_MACHINE},
    **takes(TerminalBody),
)
@door("terminal:exec")
def terminal(request: ApiRequest, machine_id: str) -> HttpResponse:
    row = get_machine(request.actor, machine_id)
    body = read(request, TerminalBody)

    def effect() -> HttpResponse:
        done = by_hand.run_command(request.actor, row, body.command, body.timeout_ms, body.cwd)
        result = {"output": done.output[: by_hand.OUTPUT_CHARACTERS], "exit_code": done.exit_code}
        truncated = done.truncated or len(done.output) > by_hand.OUTPUT_CHARACTERS
        facts = {"session_id": body.session_id, "truncated": truncated, "result": result}
        return answer(
            {"machine_id": row.id, "success": done.exit_code == 0, **result, **facts, "request_id": request.request_id}
        )

    return _by_hand(request, row, effect)


def _by_hand(request: ApiRequest, machine: Machine, effect: Callable[[], HttpResponse]) -> HttpResponse:
    """Do it once, except in a private takeover: of that no answer is kept, so an Idempotency-Key is of no use there."""
    private = machine.lease is not None and machine.lease.private
    return effect() if private else once_outside(request, effect)


def _unstored(response: HttpResponse) -> HttpResponse:
    """Pictures of screens belong in no cache on the way."""
    response["Cache-Control"] = "no-store"
    return response
