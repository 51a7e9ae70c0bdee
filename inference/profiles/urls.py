"""Addresses of the models."""

from django.urls import path

from inference.profiles import views

urlpatterns = [
    path("models", views.model_list, name="models"),
    path("models/new", views.new_model_page, name="model-new"),
    path("models/targets.png", views.targets_picture, name="model-targets"),
    path("models/<str:profile_id>", views.model_page, name="model"),
    path("models/<str:profile_id>/edit", views.edit_model_page, name="model-edit"),
    path("models/<str:profile_id>/test", views.test_model, name="model-test"),
    path("models/<str:profile_id>/default", views.default_model_page, name="model-default"),
    path("models/<str:profile_id>/no-default", views.clear_default_model, name="model-no-default"),
    path("models/<str:profile_id>/switch", views.switch_model, name="model-switch"),
    path("models/<str:profile_id>/delete", views.delete_model_page, name="model-delete"),
]
