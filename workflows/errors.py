"""Refusals of workflows."""

from accounts.errors import NotFound


class WorkflowNotFound(NotFound):
    """There is no such workflow."""

    code = "WORKFLOW_NOT_FOUND"
