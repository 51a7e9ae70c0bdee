"""Refusals of workflows."""

from accounts.errors import Refusal


class WorkflowNotFound(Refusal):
    """There is no such workflow."""

    code, status = "WORKFLOW_NOT_FOUND", 404
