"""Routes of a run: each stands under /v1/runs/{run_id} and, for workflow runs, under /v1/workflows/runs/{run_id}."""

import re
from collections.abc import Callable
from typing import Any

from accounts.doors import Route, door
from runs.schemas import RunObject, WorkflowRunObject

Register = Callable[..., Callable[[Any], Any]]  # a method of a router, such as router.get


def of_runs(
    register: Register, path: str, *scopes: str, summary: str, workflow_operation: str, **options: Any
) -> Callable[[Route[...]], Route[...]]:
    """Both routes of a view, of which the summary and the options are those of the first.

    For a workflow run the scope of workflows will do where that of runs is needed. `workflow_operation` is what generated
    clients call the second route.
    """

    def add(view: Route[...]) -> Route[...]:
        register(f"/runs/{{run_id}}{path}", summary=summary, **options)(door(*scopes)(view))
        register(
            f"/workflows/runs/{{run_id}}{path}",
            summary=re.sub(r"\brun\b", "workflow run", summary),
            operation_id=workflow_operation,
            **_of_workflows(options),
        )(door(*_with_workflows(scopes))(view))
        return view

    return add


def _with_workflows(scopes: tuple[str, ...]) -> tuple[str, ...]:
    own = [scope.replace("runs:", "workflows:") for scope in scopes if scope.startswith("runs:")]
    return (*own, *scopes)


def _of_workflows(options: dict[str, Any]) -> dict[str, Any]:
    """Who asks by the address of workflow runs may name a run of an agent, too."""
    return options | ({"response": WorkflowRunObject | RunObject} if options.get("response") is RunObject else {})
