"""Addresses of the queue."""

from django.urls import path

from approvals import views
from approvals.policies import views as policy_views

urlpatterns = [
    path("", views.queue, name="queue"),
    path("approvals/<str:approval_id>", views.approval, name="approval"),
    path("policies", policy_views.policy_list, name="policies"),
    path("policies/new", policy_views.new_policy, name="policy-new"),
    path("policies/<str:policy_id>", policy_views.policy, name="policy"),
    path("policies/<str:policy_id>/edit", policy_views.edit_policy, name="policy-edit"),
    path("policies/<str:policy_id>/revoke", policy_views.revoke_policy, name="policy-revoke"),
]
