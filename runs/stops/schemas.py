"""Request bodies and answers of stops."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from machines.models import Stop
from web.bodies import Body
from web.times import Timestamp, rfc3339

NAMED: JsonDict = {"required": ["id"], "properties": {"id": {"not": {"type": "null"}}}}
UNNAMED: JsonDict = {"properties": {"id": {"type": "null"}}}


class StopBody(Body):
    """POST /v1/stop; `id` names the machine or workflow, and is absent for the team."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["scope"], "properties": {"scope": {"const": "team"}}},
            "then": UNNAMED,
            "else": NAMED,
        }
    )

    scope: Literal["team", "machine", "workflow"]
    id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        Field(json_schema_extra={"pattern": r"\S"}),
    ]


class Nothing(Body):
    """A call without a body, or with {}."""


class StopObject(TypedDict):
    id: str
    object: str
    scope: str
    target_id: str | None
    reason: str
    runs: int
    requested_at: Timestamp
    requested_by: ActorRef
    confirmed_at: Timestamp | None
    lifted_at: Timestamp | None
    lifted_by: ActorRef | None
    test: bool
    request_id: NotRequired[str]  # where it is the whole answer


def stop_object(stop: Stop) -> StopObject:
    """`runs`: how many it held when it came. `confirmed_at`: since when no worker has an action in hand; null until then."""
    return {
        "id": stop.id,
        "object": "stop",
        "scope": stop.scope,
        "target_id": stop.target_id,
        "reason": stop.reason,
        "runs": stop.runs,
        "requested_at": rfc3339(stop.requested_at),
        "requested_by": stop.requested_by,
        "confirmed_at": rfc3339(stop.confirmed_at),
        "lifted_at": rfc3339(stop.lifted_at),
        "lifted_by": stop.lifted_by,
        "test": stop.test,
    }
