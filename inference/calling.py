"""Calling models: the only place that calls a wire."""

import asyncio
from datetime import UTC, datetime

from inference.profiles import Spec
from inference.records import CallRecord, Purpose
from inference.wires import wire_for
from inference.wires.base import Request, Thought


async def think(spec: Spec, request: Request, purpose: Purpose) -> tuple[Thought, CallRecord]:
    """Ask once. Raises ModelBusy, ModelRefused, ModelMisconfigured, each with its record."""
    wire = await asyncio.to_thread(wire_for, spec)
    body = await asyncio.to_thread(wire.body, request)
    began = datetime.now(UTC)
    thought = await wire.send(body, request, lambda: None)
    ended = datetime.now(UTC)
    return thought, CallRecord(spec.name, spec.wire, spec.model, purpose, "ok", began, ended, usage=thought.usage)
