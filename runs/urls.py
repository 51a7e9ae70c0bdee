"""Addresses of runs."""

from django.urls import path

from runs import control_views, views
from runs.starting import views as starting_views

urlpatterns = [
    path("runs", views.run_list, name="runs"),
    path("runs/new", starting_views.new_run_page, name="run-new"),
    path("runs/new/reading", starting_views.new_run_sentences, name="run-new-reading"),
    path("runs/new/machine", starting_views.new_run_machine, name="run-new-machine"),
    path("runs/sample", starting_views.start_sample_run, name="run-sample"),
    path("runs/<str:run_id>", views.run_page, name="run"),
    path("runs/<str:run_id>/screen", control_views.screen_of_run, name="run-screen"),
    path("runs/<str:run_id>/control", control_views.take_control_of_run, name="run-control"),
    path("runs/<str:run_id>/cancel", views.cancel_page, name="run-cancel"),
    path("runs/<str:run_id>/screenshots/<int:index>.png", views.screenshot, name="run-picture"),
    path("runs/<str:run_id>/looks/<int:number>.png", views.look, name="run-look"),
    path("machines/<str:machine_id>/screen", control_views.screen, name="machine-screen"),
    path("machines/<str:machine_id>/screen.png", control_views.screen_now, name="machine-screen-now"),
    path("machines/<str:machine_id>/control", control_views.take_control, name="machine-control"),
    path("machines/<str:machine_id>/control/act", control_views.act_by_hand, name="machine-act"),
    path("machines/<str:machine_id>/control/give-back", control_views.give_back, name="machine-give-back"),
]
