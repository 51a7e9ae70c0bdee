"""Addresses of the websockets."""

from django.urls import path

from machines.live.consumers import ScreenConsumer
from runs.live.consumers import RunConsumer, TeamConsumer

websocket_urlpatterns = [
    path("ws/runs/<str:run_id>", RunConsumer.as_asgi()),
    path("ws/machines/<str:machine_id>/screen", ScreenConsumer.as_asgi()),
    path("ws/team", TeamConsumer.as_asgi()),
]
