"""What a tool is: its name and words for models, its arguments, and what it answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from mcp_types import Tool as Listed
from mcp_types import ToolAnnotations

from accounts.access import require
from accounts.actor import Actor
from accounts.doors import ApiRequest, body_schema
from mcp_server.messages import Envelope
from web.bodies import Body
from web.errors import Refusal

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Call:
    """One call of a tool: who calls, over which request, and what the client said of itself."""

    request: ApiRequest
    envelope: Envelope

    @property
    def actor(self) -> Actor:
        return self.request.actor


@dataclass(frozen=True)
class Outcome:
    """`data`: what the tool answers. `task_id`: what a client that can wait for it may wait for in place of the answer."""

    data: dict[str, Any]
    is_error: bool = False
    task_id: str | None = None

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
