"""Addresses of stops."""

from django.urls import path

from workflows.stops import views

urlpatterns = [
    path("stops", views.stops, name="stops"),
    path("stops/new", views.new_stop, name="stop-new"),
    path("stops/<str:stop_id>/lift", views.lift, name="stop-lift"),
]
