"""Addresses of webhooks."""

from django.urls import path

from accounts.webhooks import views

urlpatterns = [
    path("webhooks", views.webhook_list, name="webhooks"),
    path("webhooks/new", views.new_webhook, name="webhook-new"),
    path("webhooks/<str:webhook_id>", views.webhook_page, name="webhook"),
    path("webhooks/<str:webhook_id>/edit", views.edit_webhook, name="webhook-edit"),
    path("webhooks/<str:webhook_id>/switch", views.switch_webhook, name="webhook-switch"),
    path("webhooks/<str:webhook_id>/test", views.send_test, name="webhook-test"),
    path("webhooks/<str:webhook_id>/rotate", views.rotate_secret, name="webhook-rotate"),
    path("webhooks/<str:webhook_id>/delete", views.delete_webhook, name="webhook-delete"),
    path("webhooks/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver", views.redeliver, name="webhook-redeliver"),
]
