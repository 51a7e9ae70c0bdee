"""Bodies and answers of workflows. Documents stand here for the OpenAPI document only: definition/documents.py reads them."""

from typing import Annotated, Any, Literal

from django.db.models import Q
from ninja import FilterSchema
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from accounts.actor import ActorId
from runs.schemas import Terms
from web.bodies import Int, details, exactly_one_of
from web.errors import InvalidStatusFilter
from web.filters import Text, several_of, words_of
from web.json_values import Detail
from web.times import Timestamp, rfc3339
from workflows.definition.documents import DSL_VERSION, SLUG
from workflows.definition.estimate import EstimateObject
from workflows.models import STATUSES, Document, Workflow, WorkflowVersion


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


BESIDE_STEPS: JsonDict = {"dependentRequired": {"output": ["steps"]}}


class WorkflowDocument(BaseModel):
    """Either `definition`, or `steps` with `output` beside it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=BESIDE_STEPS)

    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    version: Annotated[str, Field(max_length=64, description="A label, shown as declared_version")] | None = None
    definition: dict[str, Any] | None = None
    steps: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    output: dict[str, Any] | None = None
    inputs_schema: dict[str, Any] | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    metadata: dict[str, Any] | None = None


class StoredDocument(WorkflowDocument):
    budget_cents_month: Annotated[int, Field(ge=0, le=100_000_000)] | None = None


class WorkflowCreate(StoredDocument):
    """Either `definition` and `slug`, or `steps` with `output` beside it; the slug then defaults to the name."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("definition", "steps") | BESIDE_STEPS)

    name: Annotated[str, Field(min_length=1, max_length=128)]
    slug: Annotated[str, Field(pattern=f"^{SLUG.pattern}$")] | None = None


class WorkflowPut(StoredDocument):
    """What is not given stays as it is."""

    status: Literal["active", "archived"] | None = None


class StartedDocument(WorkflowDocument):
    model_config = ConfigDict(json_schema_extra=exactly_one_of("definition", "steps") | BESIDE_STEPS)


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
DocumentStart = _with_start(StartedDocument, "A document, and fields of a start.")


class WorkflowFilters(FilterSchema):
    status: Annotated[Text, several_of(STATUSES)] = None

    def filter_status(self, status: str | None) -> Q:
        """Raises InvalidStatusFilter."""
        unknown = InvalidStatusFilter(valid_options=list(STATUSES))
        return Q(status__in=words_of(status, STATUSES, unknown)) if status else Q()


class DocumentObject(TypedDict):
    name: str
    version: int
    declared_version: str | None
    dsl_version: str
    definition: dict[str, Any]
    inputs_schema: dict[str, Any] | None
    description: str | None
    metadata: dict[str, Any] | None


class WorkflowObject(DocumentObject):
    id: str
    object: str
    slug: str
    status: str
    budget_cents_month: int
    created_at: Timestamp
    updated_at: Timestamp
    request_id: str


class WorkflowArchivedObject(WorkflowObject):
    deleted: bool


class WorkflowVersionObject(DocumentObject):
    object: str
    workflow_id: str
    created_by: ActorId
    created_at: Timestamp
    request_id: str


class WarningObject(TypedDict):
    loc: list[str | int]
    msg: str
    type: str


class WorkflowExaminationObject(TypedDict):
    valid: bool
    errors: list[WarningObject]
    warnings: list[WarningObject]
    estimate: EstimateObject | None


def _document(row: Document) -> DocumentObject:
    return {
        "name": row.name,
        "version": row.version,
        "declared_version": row.declared_version,
        "dsl_version": DSL_VERSION,
        "definition": row.definition,
        "inputs_schema": row.inputs_schema,
        "description": row.description,
        "metadata": row.metadata,
    }


def workflow_object(row: Workflow, request_id: str) -> WorkflowObject:
    """The workflow as the API shows it; `request_id` is that of the answer."""
    return {
        "id": row.id,
        "object": "workflow",
        "slug": row.slug,
        "status": row.status,
        **_document(row),
        "budget_cents_month": row.budget_cents_month,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "request_id": request_id,
    }


def version_object(row: WorkflowVersion, request_id: str) -> WorkflowVersionObject:
    return {
        "object": "workflow.version",
        "workflow_id": row.workflow_id,
        **_document(row),
        "created_by": {"type": row.created_by["type"], "id": row.created_by["id"]},
        "created_at": rfc3339(row.created_at),
        "request_id": request_id,
    }
