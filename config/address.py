"""The address of this computer's own web server."""

from ipaddress import ip_address

EVERYWHERE = {"0.0.0.0": "localhost", "::": "localhost"}  # noqa: S104


def local_url(host: str, port: int | str) -> str:
    """Where a browser on this computer finds what listens on `host`."""
    name = EVERYWHERE.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def only_here(host: str) -> bool:
    """What listens on `host` is reached from this computer alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
