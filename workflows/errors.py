"""Refusals of workflows."""

from web.errors import NotFound


class WorkflowNotFound(NotFound):
    """There is no such workflow."""

    code = "WORKFLOW_NOT_FOUND"


class SavedMeanwhile(Exception):
    """The version that a text was written on is no longer the newest. Only the editor's page asks; the API overwrites."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(version)
