"""Addresses of workflow runs. They stand before those of runs: a workflow run has a page of its own at the same place."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from workflows.runs import views


class WorkflowRunId(StringConverter):
    regex = "wfr_[0-9A-Za-z]+"


register_converter(WorkflowRunId, "workflow_run")

urlpatterns = [
    path("runs/<workflow_run:run_id>", views.workflow_run_page, name="workflow-run"),
    path("runs/<workflow_run:run_id>/again", views.rerun_page, name="workflow-rerun"),
]
