"""The web process: HTTP through Django, websockets through channels, and only from our own pages."""

import gc
import importlib
import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from config.server import protocol  # noqa: E402  Django's app daphne has chosen Twisted's reactor by now
from config.server.asgi_handler import Handler  # noqa: E402  it reads the settings
from config.server.origins import OwnOriginOnly, OwnOriginOrNone  # noqa: E402
from config.server.routing import TOKEN_PATHS, token_urlpatterns, websocket_urlpatterns  # noqa: E402  models can be imported only now

protocol.install()

application = ProtocolTypeRouter(
    {
        "http": Handler(),
        "websocket": OwnOriginOrNone(
            TOKEN_PATHS,
            URLRouter(token_urlpatterns),
            OwnOriginOnly(SessionMiddlewareStack(URLRouter(websocket_urlpatterns))),
        ),
    }
)
importlib.import_module("config.urls")  # now, not with the first request
gc.collect()
gc.freeze()  # what was imported stays: looking through it for garbage again and again stops every stream for 0.1 s
