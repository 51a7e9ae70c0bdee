"""The web process: HTTP through Django, websockets through channels, and only from our own pages."""

import functools
import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django = get_asgi_application()

from daphne import http_protocol  # noqa: E402  the app has chosen Twisted's reactor by now

from config.routing import websocket_urlpatterns  # noqa: E402  models can be imported only now

# Twisted would read every posted body as the form that its Content-Type says it is, and refuse those that are none.
http_protocol.WebRequest = functools.partial(http_protocol.WebRequest, parsePOSTFormSubmission=False)

application = ProtocolTypeRouter(
    {
        "http": django,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
