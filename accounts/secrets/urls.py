"""Addresses of secrets."""

from django.urls import path

from accounts.secrets import views

urlpatterns = [
    path("secrets", views.secret_list, name="secrets"),
    path("secrets/new", views.new_secret, name="secret-new"),
    path("secrets/<str:secret_id>", views.secret_page, name="secret"),
    path("secrets/<str:secret_id>/edit", views.edit_secret, name="secret-edit"),
    path("secrets/<str:secret_id>/delete", views.delete_secret, name="secret-delete"),
]
