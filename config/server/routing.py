"""Addresses of the websockets."""

from django.urls import path

from machines.live.consumers import LinkConsumer, ScreenConsumer
from runs.live.consumers import RunConsumer, TeamConsumer

websocket_urlpatterns = [
    path("ws/runs/<str:run_id>", RunConsumer.as_asgi()),
    path("ws/machines/<str:machine_id>/screen", ScreenConsumer.as_asgi()),
    path("ws/team", TeamConsumer.as_asgi()),
]

# What comes with a token of its own as its first message: no cookie is read, so programs without an origin may open it too.
token_urlpatterns = [path("ws/screen", LinkConsumer.as_asgi())]
TOKEN_PATHS = frozenset(f"/{pattern.pattern}" for pattern in token_urlpatterns)
