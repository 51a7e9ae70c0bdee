"""Which addresses belong to the public internet. Pure: the egress proxy of a machine uses it outside of Django."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What some versions of Python call global and is not; and where clouds answer their own machines at a public address.
_NEVER = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "3fff::/20", "168.63.129.16/32")))


def is_global(address: Address) -> bool:
    """Global unicast by the address alone: forms of IPv6 that carry an IPv4 address are not looked into."""
    is_ordinary = address.is_global and not address.is_multicast and not address.is_reserved
    return is_ordinary and not any(address in network for network in _NEVER)
