"""Whole addresses of pages, for mails and for copying."""

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse


def origin(request: HttpRequest | None = None) -> str:
    """PUBLIC_URL; without it where the request came in, and without one where this computer listens."""
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    return request.build_absolute_uri("/").rstrip("/") if request is not None else str(settings.LOCAL_URL)


def address(start: str, name: str, *args: str) -> str:
    """The named page below `start`, which origin() gave."""
    return start + reverse(name, args=args)
