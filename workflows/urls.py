"""Addresses of workflows. `new` and `check` stand first: they are never ids."""

from django.urls import path

from workflows import edit_views, views
from workflows.runs import views as run_views

urlpatterns = [
    path("workflows", views.workflow_list, name="workflows"),
    path("workflows/new", edit_views.new_workflow_page, name="workflow-new"),
    path("workflows/check", edit_views.check, name="workflow-check"),
    path("workflows/<str:workflow_id>", views.workflow_page, name="workflow"),
    path("workflows/<str:workflow_id>/run", run_views.start_page, name="workflow-start"),
    path("workflows/<str:workflow_id>/edit", edit_views.edit_workflow_page, name="workflow-edit"),
    path("workflows/<str:workflow_id>/status", views.set_status, name="workflow-status"),
    path("workflows/<str:workflow_id>/versions/<int:number>", views.version_page, name="workflow-version"),
    path("workflows/<str:workflow_id>/diff", views.diff_page, name="workflow-diff"),
]
