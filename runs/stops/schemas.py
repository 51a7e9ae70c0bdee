"""Request bodies and answers of stops."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from machines.models import Stop
from web.bodies import Body
from web.times import rfc3339


class StopBody(Body):
    """POST /v1/stop; `id` names the machine or workflow, and is absent for the team."""

    scope: Literal["team", "machine", "workflow"]
    id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Nothing(Body):
    """A call without a body, or with {}."""


def stop_object(stop: Stop) -> dict[str, Any]:
    """`runs`: how many it held when it came. `confirmed_at`: since when no worker has an action in hand; null until then."""
    return {
        "id": stop.id, "object": "stop", "scope": stop.scope, "target_id": stop.target_id, "reason": stop.reason,
        "runs": stop.runs, "requested_at": rfc3339(stop.requested_at), "requested_by": stop.requested_by,
        "confirmed_at": rfc3339(stop.confirmed_at), "lifted_at": rfc3339(stop.lifted_at), "lifted_by": stop.lifted_by,
        "test": stop.test,
    }  # fmt: skip
