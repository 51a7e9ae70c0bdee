"""The web process: HTTP through Django, websockets through channels, and only from our own pages."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django = get_asgi_application()

from config import web  # noqa: E402  Django's app daphne has chosen Twisted's reactor by now
from config.routing import websocket_urlpatterns  # noqa: E402  models can be imported only now

web.install()

application = ProtocolTypeRouter(
    {
        "http": django,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
