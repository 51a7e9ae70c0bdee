"""Which origins are ours: scheme, name and port, as forms may be sent from.

A cookie knows no port: the page of another program on this computer, at http://localhost:9000, would come with ours.
"""

from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain

_PORTS = {"http": 80, "https": 443}
Place = tuple[str, str, int]  # scheme, name, port


def is_own(origin: str, scheme: str, host: str) -> bool:
    """Whether a page of this origin is ours: of the very address (http or https, host) that it calls, PUBLIC_URL or a
    trusted one."""
    page = _origin(origin)
    if page is None:
        return False
    if _is_served(host) and page == _origin(f"{scheme}://{host}"):
        return True
    trusted = [settings.PUBLIC_URL, *settings.CSRF_TRUSTED_ORIGINS]
    return any(_matches(page, pattern) for pattern in trusted if pattern)


def _is_served(host: str) -> bool:
    return validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


def _matches(page: Place, pattern: str) -> bool:
    """`https://*.example.com` is every name below it, as Django has it for forms."""
    scheme, star, rest = pattern.partition("://*.")
    place = _origin(f"{scheme}://{rest}" if star else pattern, path=True)
    if place is None or (page[0], page[2]) != (place[0], place[2]):
        return False
    return is_same_domain(page[1], f".{place[1]}") and page[1] != place[1] if star else page[1] == place[1]


def _origin(text: str, *, path: bool = False) -> Place | None:
    """None for what is no origin; `path`: an address of a page names one, too."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or (not path and _more(parts)):
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _more(parts: SplitResult) -> bool:
    return bool(parts.path or parts.query or parts.fragment)
