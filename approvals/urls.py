"""Addresses of the queue and of requests."""

from django.urls import path

from approvals import views
from approvals.mail import link_views
from approvals.policies import views as policy_views
from approvals.queue import batch_views
from approvals.queue import views as queue_views
from approvals.statistics import views as statistics_views

urlpatterns = [
    path("", queue_views.queue_page, name="queue"),
    path("together", batch_views.batch_page, name="together"),
    path("approvals/statistics", statistics_views.statistics_page, name="statistics"),
    path("approvals/<str:approval_id>", views.approval_page, name="approval"),
    path("approvals/<str:approval_id>/pictures/<int:index>", views.picture, name="approval-picture"),
    path("approvals/<str:approval_id>/decide", views.decide, name="decide"),
    path("approvals/<str:approval_id>/undo", views.undo, name="undo"),
    path("approvals/<str:approval_id>/claim", views.claim, name="claim"),
    path("approvals/<str:approval_id>/release", views.release, name="release"),
    path("approvals/<str:approval_id>/assign", views.assign, name="assign"),
    path("approvals/<str:approval_id>/extend", views.extend, name="extend"),
    path("approvals/<str:approval_id>/comment", views.comment, name="comment"),
    path("d/<str:token>", link_views.link_page, name="decide-link"),
    path("d/<str:token>/pictures/<int:index>", link_views.link_picture, name="link-picture"),
    path("policies", policy_views.policy_list, name="policies"),
    path("policies/new", policy_views.new_policy, name="policy-new"),
    path("policies/<str:policy_id>", policy_views.policy_page, name="policy"),
    path("policies/<str:policy_id>/edit", policy_views.edit_policy, name="policy-edit"),
    path("policies/<str:policy_id>/revoke", policy_views.revoke_policy, name="policy-revoke"),
]
