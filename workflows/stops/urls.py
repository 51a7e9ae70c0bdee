"""Addresses of stops."""

from django.urls import path

from workflows.stops import views

urlpatterns = [
    path("stops", views.stop_list, name="stops"),
    path("stops/new", views.new_stop_page, name="stop-new"),
    path("stops/<str:stop_id>/lift", views.lift_page, name="stop-lift"),
]
