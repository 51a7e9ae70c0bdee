"""What the caller says when it starts a workflow (contract/workflows.md section 7)."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from runs.schemas import Terms
from web.bodies import Int, details
from web.json_values import Detail


class StartBody(Terms):
    """POST /v1/workflows/runs, beside the document."""

    task: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    max_iterations: Annotated[Int, Field(ge=1, le=100_000)] | None = None


class VersionStart(StartBody):
    """POST /v1/workflows/{id}/runs."""

    version: Annotated[Int, Field(ge=1)] | None = None


def read_terms(model: type[StartBody], fields: dict[str, Any]) -> tuple[StartBody | None, list[Detail]]:
    """The terms, or what is wrong with them."""
    try:
        return model.model_validate(fields), []
    except ValidationError as error:
        return None, details(error, "body")
