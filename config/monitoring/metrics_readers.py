"""Who may read /metrics: whoever asks from this very computer, a program with METRICS_TOKEN, and any API key."""

from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port

from accounts import limits
from accounts.access import actor_of_key
from accounts.actor import Actor
from accounts.errors import InvalidApiKey
from accounts.middleware import sent_key
from config.address import only_here

# What proxies add. Whoever sends one of them from this computer passes on what somebody else asked.
_OF_PROXIES = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"}
)


def require_reader(request: HttpRequest) -> Actor | None:
    """Whose key it is that reads; None for who watches the installation. Raises InvalidApiKey, AgentForbidden, RateLimited."""
    if _is_from_here(request) and not _is_behind_proxy():
        return None
    key = sent_key(request)
    if settings.METRICS_TOKEN and compare_digest(key.encode(), settings.METRICS_TOKEN.encode()):
        return None
    if not key:
        raise InvalidApiKey
    minute = limits.this_minute()
    reader, used = actor_of_key(key, minute)
    if refusal := limits.rate(used, minute).refusal:
        raise refusal
    return reader


def _is_from_here(request: HttpRequest) -> bool:
    """A connection over loopback, to a name of this computer, that nobody passed on."""
    passed_on = any(n in _OF_PROXIES or n.startswith("x-forwarded") for n in map(str.lower, request.headers))
    name = split_domain_port(request.get_host())[0]
    return not passed_on and _is_loopback(request.META.get("REMOTE_ADDR", "")) and name in settings.LOCAL_HOSTS


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_behind_proxy() -> bool:
    """What the settings say: a proxy that adds no header at all looks like a caller on this computer."""
    public = urlsplit(settings.PUBLIC_URL).hostname
    return settings.SECURE_COOKIES or bool(settings.CSRF_TRUSTED_ORIGINS) or bool(public and not only_here(public))
