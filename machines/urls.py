"""Addresses of machines."""

from django.urls import path

from machines import views
from machines.live import views as live
from machines.takeover import views as takeover

urlpatterns = [
    path("machines", views.machine_list, name="machines"),
    path("machines/new", views.new_machine_page, name="machine-new"),
    path("machines/<str:machine_id>/start", views.start, name="machine-start"),
    path("machines/<str:machine_id>/stop", views.stop, name="machine-stop"),
    path("machines/<str:machine_id>/terminate", views.terminate_page, name="machine-terminate"),
    path("machines/<str:machine_id>/look", views.look, name="machine-look"),
    path("machines/<str:machine_id>/picture.png", views.last_picture, name="machine-picture"),
    path("machines/<str:machine_id>/screen", takeover.screen_page, name="machine-screen"),
    path("machines/<str:machine_id>/screen.png", takeover.screen_picture, name="machine-screen-now"),
    path("screen", live.link_page, name="live-view"),
    path("machines/<str:machine_id>/control", takeover.take_control, name="machine-control"),
    path("machines/<str:machine_id>/control/act", takeover.act_by_hand, name="machine-act"),
    path("machines/<str:machine_id>/control/give-back", takeover.give_back, name="machine-give-back"),
]
