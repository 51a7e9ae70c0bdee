"""Addresses of runs."""

from django.urls import path

from runs import views
from runs.starting import views as starting_views

urlpatterns = [
    path("runs", views.run_list, name="runs"),
    path("runs/new", starting_views.new_run_page, name="run-new"),
    path("runs/new/reading", starting_views.new_run_sentences, name="run-new-reading"),
    path("runs/new/machine", starting_views.new_run_machine, name="run-new-machine"),
    path("runs/sample", starting_views.start_sample_run, name="run-sample"),
    path("runs/<str:run_id>", views.run_page, name="run"),
    path("runs/<str:run_id>/screen", views.screen_of_run, name="run-screen"),
    path("runs/<str:run_id>/control", views.take_control, name="run-control"),
    path("runs/<str:run_id>/cancel", views.cancel_page, name="run-cancel"),
    path("runs/<str:run_id>/screenshots/<int:index>.png", views.screenshot, name="run-picture"),
    path("runs/<str:run_id>/looks/<int:number>.png", views.look, name="run-look"),
]
