"""Starting workflow runs: of a saved version, or of a document sent with the call."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django_q.tasks import async_task

from accounts.actor import Actor
from runs.models import Run
from runs.starting.machine_choice import choose, no_machine
from runs.starting.services import agent_of, create_workflow_run, terms_violations
from web.errors import Invalid, InvalidState, Refusal
from web.json_values import Detail, unstorable_at
from workflows import access
from workflows.checking import check_with_references, merge_violations
from workflows.definition import inputs
from workflows.definition.documents import Definition, run_defaults
from workflows.definition.estimate import cheapest_step
from workflows.definition.step_types import walk
from workflows.models import Execution, Workflow
from workflows.schemas import StartBody, VersionStart, read_terms

UNNAMED = "Unnamed workflow"


@dataclass(frozen=True)
class _Program:
    """What is to be run."""

    name: str
    definition: Definition
    inputs_schema: dict[str, Any] | None
    workflow_id: str | None = None
    version: int | None = None
    archived: bool = False


def start_saved(
    actor: Actor, workflow: Workflow, start: dict[str, Any], request_id: str, *, rerun_of: str | None = None
) -> Run:
    """A queued run of a version of the workflow, the current one unless the body names another.

    Raises InvalidState for an archived workflow, NotFound for a version that is not there, and as runs.starting.services.create_run().
    """
    terms, wrong = read_terms(VersionStart, start)
    number = terms.version if isinstance(terms, VersionStart) and terms.version else workflow.version
    version = access.get_version(workflow, number)
    archived = workflow.status == "archived"
    program = _Program(version.name, version.definition, version.inputs_schema, workflow.id, version.version, archived)
    terms, values = _accept(actor, program, start, terms, wrong)
    return _create(actor, program, terms, request_id, inputs=values, rerun_of=rerun_of)


def start_document(actor: Actor, body: dict[str, Any], request_id: str, *, rerun_of: str | None = None) -> Run:
    """A queued run of a document that is not saved. Raises Invalid, PayloadTooLarge, and as runs.starting.services.create_run()."""
    fields = StartBody.model_fields
    reading = check_with_references(actor, body, "start", fields)
    start = {name: value for name, value in body.items() if name in fields}
    terms, wrong = read_terms(StartBody, start)
    wrong = merge_violations(reading.violations, wrong)
    if reading.violations:
        raise Invalid(*merge_violations(wrong, terms_violations(actor, start)))
    document = reading.values
    program = _Program(document.get("name", UNNAMED), document["definition"], document.get("inputs_schema"))
    terms, values = _accept(actor, program, start, terms, wrong)
    return _create(actor, program, terms, request_id, inputs=values, rerun_of=rerun_of)


def _accept(
    actor: Actor, program: _Program, start: dict[str, Any], terms: StartBody | None, wrong: list[Detail]
) -> tuple[StartBody, dict[str, Any]]:
    """The terms, with the limits that the document sets, and the inputs. Raises Refusal with everything that is wrong."""
    values, wrong_inputs = _read_inputs(program, start)
    wrong = merge_violations(wrong, [*_unfit(actor, start), *wrong_inputs])
    unplaced = _unplaced(actor, program, start)
    if unplaced and (not wrong or not isinstance(unplaced, Invalid)):
        raise unplaced
    if wrong or terms is None:
        raise Invalid(*wrong, *(unplaced.violations if isinstance(unplaced, Invalid) else ()))
    if program.archived:
        raise InvalidState(current_state="archived", allowed_from=["active"])
    limits = {name: limit for name, limit in run_defaults(program.definition).items() if start.get(name) is None}
    return terms.model_copy(update=limits), values


def _create(actor: Actor, program: _Program, terms: StartBody, request_id: str, **fields: Any) -> Run:
    def also(run: Run) -> None:
        Execution.objects.create(
            run=run,
            definition=program.definition,
            inputs_schema=program.inputs_schema,
            machine_named=terms.machine_id is not None,
        )
        async_task("workflows.tasks.begin", run.id)

    return create_workflow_run(
        actor,
        terms,
        request_id,
        also,
        price=cheapest_step(program.definition, terms.model_dump(), settings.PRICE_STEP_CENTS),
        workflow_id=program.workflow_id,
        workflow_version=program.version,
        name=program.name,
        max_iterations=terms.max_iterations,
        **fields,
    )


def _read_inputs(program: _Program, start: dict[str, Any]) -> tuple[dict[str, Any], list[Detail]]:
    """The inputs with their defaults, or what is wrong with them."""
    task = start.get("task")
    try:
        values = inputs.read_inputs(program.inputs_schema, start.get("inputs"), task if isinstance(task, str) else None)
    except Invalid as error:
        return {}, error.violations
    return values, []


def _unfit(actor: Actor, start: dict[str, Any]) -> list[Detail]:
    """What is wrong beyond the form of each field: people, agents."""
    wrong = terms_violations(actor, start)
    if (place := unstorable_at(start)) is not None:
        wrong.append((("body", *place), "Text must not contain the NUL character.", "value_error"))
    return wrong


def _unplaced(actor: Actor, program: _Program, start: dict[str, Any]) -> Refusal | None:
    """The refusal of a workflow with a task that no machine is named for, where none can be chosen either."""
    if actor.test or start.get("machine_id") is not None:
        return None
    usual = agent_of(actor, start.get("agent") if isinstance(start.get("agent"), str) else None)
    for _, step in walk(program.definition["steps"]):
        if step["type"] != "task" or step.get("machine_id") is not None:
            continue
        if choose(actor.team_id, step.get("agent") or usual, step["task"]) is None:
            return no_machine(actor, "A task names no machine: name one here; the team has no default machine.")
    return None
