"""Addresses: the API at /v1, that of models at /mcp, the pages at the root."""

from django.urls import URLPattern, URLResolver, include, path

from config.api import api
from config.monitoring import status
from config.openapi.docs_page import docs
from mcp_server import views as mcp_views

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/docs", docs, name="api-docs"),
    path("v1/", api.urls),
    path("mcp", mcp_views.mcp),
    path("mcp/<path:rest>", mcp_views.nothing_here),
    path("healthz", status.healthz),
    path("readyz", status.readyz),
    path("version", status.version),
    path("metrics", status.metrics),
    path("", include("config.page_urls")),
]
handler500 = "config.monitoring.status.broken"
