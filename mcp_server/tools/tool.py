"""What a tool is: its name and words for models, its arguments, and what it answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from mcp_types import Tool as Listed
from mcp_types import ToolAnnotations
from pydantic import Field

from accounts.access import require
from accounts.actor import Actor
from accounts.doors import ApiRequest, body_schema
from mcp_server.messages import Envelope
from web.bodies import Body
from web.errors import Refusal

B = TypeVar("B", bound=Body)
ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Your own name for this call. Sent again with the same arguments it answers with what the first call "
        "made, so that a call may safely be repeated.",
    ),
]


@dataclass(frozen=True)
class Call:
    """One call: over which request it came, what its client said of itself, and who calls."""

    request: ApiRequest
    envelope: Envelope
    actor: Actor


@dataclass(frozen=True)
class Wait:
    """The answer may wait so long for people to decide a request; `read` makes it then, for the caller as they are by then."""

    approval_id: str
    seconds: int
    read: Callable[[Actor], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """`data`: what the tool answers now. `task_id`: what a client that has tasks may wait for in its place. `wait`: what the
    answer of any other waits for."""

    data: dict[str, Any]
    is_error: bool = False
    task_id: str | None = None
    wait: Wait | None = None

    def result(self) -> dict[str, Any]:
        """As CallToolResult: the data once for programs and once, as text, for models."""
        text = json.dumps(self.data, cls=DjangoJSONEncoder, ensure_ascii=False)
        return {
            "content": [{"type": "text", "text": text}],
            "structuredContent": json.loads(text),
            "isError": self.is_error,
        }


def refused(refusal: Refusal, request_id: str) -> Outcome:
    """The refusal as the tool's answer, so that the model reads what is wrong."""
    return Outcome(refusal.body(request_id), is_error=True)


@dataclass(frozen=True)
class Tool(Generic[B]):
    """`run` is called with valid arguments, for an actor that has one of the scopes."""

    name: str
    title: str
    description: str
    arguments: type[B]
    scopes: tuple[str, ...]
    run: Callable[[Call, B], Outcome]
    annotations: Mapping[str, bool] = field(default_factory=dict)

    def __call__(self, call: Call, arguments: Mapping[str, Any]) -> Outcome:
        """Raises InsufficientScope, pydantic's ValidationError, and the tool's own refusals."""
        require(call.actor, *self.scopes)
        return self.run(call, self.arguments.model_validate(dict(arguments)))

    def listed(self) -> dict[str, Any]:
        schema = body_schema(self.arguments)
        annotations = ToolAnnotations.model_validate({"title": self.title, **self.annotations})
        shown = Listed(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema={key: value for key, value in schema.items() if key not in ("title", "description")},
            annotations=annotations,
        )
        return shown.model_dump(by_alias=True, mode="json", exclude_none=True)
