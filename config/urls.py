"""Addresses: the API at /v1, the pages at the root."""

from django.urls import URLPattern, URLResolver, include, path

from config.api import api
from config.monitoring import status
from config.openapi.docs_page import docs

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/docs", docs, name="api-docs"),
    path("v1/", api.urls),
    path("healthz", status.healthz),
    path("readyz", status.readyz),
    path("version", status.version),
    path("metrics", status.metrics),
    path("", include("config.page_urls")),
]
handler500 = "config.monitoring.status.broken"
