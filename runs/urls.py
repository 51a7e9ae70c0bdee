"""Addresses of runs, and of decisions."""

from django.urls import path

from runs import handling_views, link_views, together_views, views

urlpatterns = [
    path("runs", views.runs, name="runs"),
    path("runs/new", views.new_run, name="run-new"),
    path("runs/sample", views.sample_run, name="run-sample"),
    path("runs/<str:run_id>", views.run, name="run"),
    path("runs/<str:run_id>/cancel", views.cancel, name="run-cancel"),
    path("runs/<str:run_id>/screenshots/<int:index>.png", views.picture, name="run-picture"),
    path("approvals/<str:approval_id>/decide", views.decide_request, name="decide"),
    path("approvals/<str:approval_id>/undo", views.undo_decision, name="undo"),
    path("approvals/<str:approval_id>/claim", handling_views.claim, name="claim"),
    path("approvals/<str:approval_id>/release", handling_views.release, name="release"),
    path("approvals/<str:approval_id>/assign", handling_views.assign, name="assign"),
    path("approvals/<str:approval_id>/extend", handling_views.extend, name="extend"),
    path("approvals/<str:approval_id>/comment", handling_views.comment, name="comment"),
    path("together", together_views.page, name="together"),
    path("d/<str:token>", link_views.page, name="decide-link"),
    path("d/<str:token>/picture.png", link_views.picture, name="link-picture"),
]
