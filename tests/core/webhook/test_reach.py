"""Nothing but the public Internet is reached, whatever an address is written as: from IANA's registries."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.webhook.reach import is_loopback, is_public, parsed

PRIVATE_4 = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9"),
    *("169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1"),
    *("192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255", "168.63.129.16", "192.31.196.1", "192.52.193.1", "192.175.48.1"),
)
PUBLIC_4 = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.0.1",
    "172.32.0.1",
)
PRIVATE_6 = (
    *("::", "::1", "fe80::1", "febf::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "100::1"),
    *("2001:db8::1", "3fff::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "5f00::1", "64:ff9b:1::1"),
    *("2002:0101:0101::1", "2002:7f00:1::", "::1.1.1.1", "::ffff:0:1.1.1.1", "2620:4f:8000::1", "4000::1", "8000::1"),
    *("2a00:1450::5efe:a00:1", "2a00:1450::200:5efe:a00:1"),
)
PUBLIC_6 = ("2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2001:200::1")


@pytest.mark.parametrize("text", PRIVATE_4)
def test_special_ipv4_is_refused_in_each_of_its_disguises(text: str) -> None:
    """Itself, mapped into IPv6, behind NAT64's prefix, in a tunnel, and compatible as of old."""
    number = int(IPv4Address(text))
    disguises = {
        "itself": IPv4Address(text),
        "mapped": IPv6Address((0xFFFF << 32) | number),
        "translated": IPv6Address((0x64FF9B << 96) | number),
        "NAT64 of a site": IPv6Address((0x64FF9B0001 << 80) | number),
        "6to4": IPv6Address((0x2002 << 112) | number << 80 | 1),
        "Teredo": IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
        "compatible": IPv6Address(number),
        "ISATAP": IPv6Address((0x2A001450 << 96) | 0x00005EFE << 32 | number),
    }
    assert [name for name, address in disguises.items() if is_public(address)] == []


@pytest.mark.parametrize("text", PRIVATE_6)
def test_special_ipv6_is_refused(text: str) -> None:
    """What no router of the Internet carries, and what leads elsewhere."""
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", [*PUBLIC_4, *PUBLIC_6, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_what_is_public_is_reached(text: str) -> None:
    """Also behind NAT64, where hosts without IPv4 find all others."""
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_no_disguise_is_more_public_than_what_it_hides(address: IPv4Address) -> None:
    """A mapped or a translated address is judged by the one that it leads to."""
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert is_public(IPv6Address(prefix | int(address))) == is_public(address)


@given(st.ip_addresses(v=4))
def test_all_that_python_calls_special_is_refused(address: IPv4Address) -> None:
    """Ours is the longer list: Python 3.11 takes multicast for global."""
    assert address.is_global or not is_public(address)


@pytest.mark.parametrize(
    ("text", "here"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False)]
)
def test_loopback_is_this_machine(text: str, here: bool) -> None:
    """And nothing else is."""
    assert is_loopback(ip_address(text)) is here


@pytest.mark.parametrize("text", ["fe80::1%eth0", "", "1.2.3", "0x7f.1", "127.0.0.1 ", "1.1.1.01"])
def test_what_a_resolver_would_not_say_is_none(text: str) -> None:
    """A zone leads to a network of this machine."""
    assert parsed(text) is None
