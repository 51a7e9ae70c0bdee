"""Bodies and answers of workflows. The bodies stand here for the OpenAPI document only: documents.py reads them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from web.times import rfc3339
from workflows.definition.documents import DSL_VERSION, SLUG
from workflows.models import Document, Workflow, WorkflowVersion
from workflows.runs.schemas import StartBody


class WorkflowDocument(BaseModel):
    """Either `definition`, or `steps` with `output` beside it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    version: Annotated[str, Field(max_length=64, description="A label, shown as declared_version")] | None = None
    definition: dict[str, Any] | None = None
    steps: list[dict[str, Any]] | None = None
    output: dict[str, Any] | None = None
    inputs_schema: dict[str, Any] | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    metadata: dict[str, Any] | None = None
    budget_cents_month: Annotated[int, Field(ge=0, le=100_000_000)] | None = None


class WorkflowCreate(WorkflowDocument):
    """Either `definition` and `slug`, or `steps` with `output` beside it; the slug then defaults to the name."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    slug: Annotated[str, Field(pattern=f"^{SLUG.pattern}$")] | None = None


class WorkflowPut(WorkflowDocument):
    """What is not given stays as it is."""

    status: Literal["active", "archived"] | None = None


class WorkflowExamined(WorkflowPut):
    slug: Annotated[str, Field(pattern=f"^{SLUG.pattern}$")] | None = None


def _with_start(base: type[BaseModel], doc: str) -> type[BaseModel]:
    """The document's fields and those of a start."""
    of_start: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in StartBody.model_fields.items()
        if name not in base.model_fields
    }
    return create_model(base.__name__ + "AndStart", __base__=base, __doc__=doc, **of_start)


WorkflowValidate = _with_start(WorkflowExamined, "Any part of a document, and fields of a start.")
DocumentStart = _with_start(WorkflowDocument, "A document, and fields of a start.")


def _document(row: Document) -> dict[str, Any]:
    return {
        "name": row.name, "version": row.version, "declared_version": row.declared_version, "dsl_version": DSL_VERSION,
        "definition": row.definition, "inputs_schema": row.inputs_schema, "description": row.description,
        "metadata": row.metadata,
    }  # fmt: skip


def workflow_object(row: Workflow, request_id: str) -> dict[str, Any]:
    """The workflow as the API shows it; `request_id` is that of the answer."""
    return {"id": row.id, "object": "workflow", "slug": row.slug, "status": row.status} | _document(row) | {
        "budget_cents_month": row.budget_cents_month, "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at), "request_id": request_id,
    }  # fmt: skip


def version_object(row: WorkflowVersion, request_id: str) -> dict[str, Any]:
    by = {"type": row.created_by["type"], "id": row.created_by["id"]}
    return {"object": "workflow.version", "workflow_id": row.workflow_id} | _document(row) | {
        "created_by": by, "created_at": rfc3339(row.created_at), "request_id": request_id,
    }  # fmt: skip
