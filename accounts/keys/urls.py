"""Addresses of keys."""

from django.urls import path

from accounts.keys import views

urlpatterns = [
    path("keys", views.key_list, name="keys"),
    path("keys/new", views.new_key, name="key-new"),
    path("keys/<str:key_id>/revoke", views.revoke_key, name="key-revoke"),
]
