"""Which addresses a webhook may be delivered to: public ones, whatever they are written as.

The networks are those of IANA's registries of special-purpose addresses (RFC 6890 and its updates). An address that
leads to another one (mapped, NAT64) is judged by that; tunnels (6to4, Teredo, ISATAP) lead to wherever their text says,
and are refused.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Return whether it is an address of the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6) and not _is_isatap(address)


def is_loopback(address: Address) -> bool:
    """Return whether it is this machine itself."""
    if isinstance(address, IPv4Address):
        return address in _LOOPBACK_4
    inner = address.ipv4_mapped
    return address == _LOOPBACK_6 if inner is None else inner in _LOOPBACK_4


def parsed(text: str) -> Address | None:
    """Return the address that a resolver gave; None for what is none, or has a zone."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(found, IPv6Address) and found.scope_id is not None else found


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this one reach."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE)


_LOOPBACK_4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_6 = IPv6Address("::1")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; what stands in 64:ff9b:1::/48 is of a site, and not global
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, and the platform's own on every machine at Azure
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_NOT_PUBLIC_6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
