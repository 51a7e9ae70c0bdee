"""Reading workflows, the actor first."""

from accounts.actor import Actor
from workflows.errors import WorkflowNotFound
from workflows.models import Workflow, WorkflowVersion


def get_workflow(actor: Actor, workflow_id: str) -> Workflow:
    row = Workflow.objects.filter(team_id=actor.team_id, test=actor.test, id=workflow_id).first()
    if row is None:
        raise WorkflowNotFound
    return row


def get_version(workflow: Workflow, number: int) -> WorkflowVersion:
    row = WorkflowVersion.objects.filter(workflow=workflow, version=number).first()
    if row is None:
        raise WorkflowNotFound
    return row
