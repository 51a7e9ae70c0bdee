"""Addresses of the queue."""

from django.urls import path

from approvals import views

urlpatterns = [
    path("", views.queue, name="queue"),
    path("approvals/<str:approval_id>", views.approval, name="approval"),
]
