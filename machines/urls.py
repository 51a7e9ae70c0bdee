"""Addresses of machines."""

from django.urls import path

from machines import views

urlpatterns = [
    path("machines", views.machines, name="machines"),
    path("machines/new", views.new_machine, name="machine-new"),
    path("machines/<str:machine_id>/start", views.start, name="machine-start"),
    path("machines/<str:machine_id>/stop", views.stop, name="machine-stop"),
    path("machines/<str:machine_id>/terminate", views.terminate, name="machine-terminate"),
    path("machines/<str:machine_id>/look", views.look, name="machine-look"),
    path("machines/<str:machine_id>/picture.png", views.picture, name="machine-picture"),
]
