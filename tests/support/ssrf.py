"""Addresses that a webhook must never reach, in the notations by which others were got round.

From IANA's registries of special-purpose addresses (RFC 6890 and its updates), the clouds' documentation of their
metadata services, `inet_aton` as POSIX describes it, the URL Standard's host parser, and published lists of bypasses.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

LOOPBACK_4 = ("127.0.0.1", "127.0.0.53", "127.127.127.127", "127.255.255.254")
PRIVATE_4 = ("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255")
METADATA_4 = (
    "169.254.169.254",  # AWS, Azure, GCP, DigitalOcean, OpenStack
    "169.254.170.2",  # AWS ECS
    "169.254.169.123",  # AWS time
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle
    "168.63.129.16",  # Azure's platform
)
SPECIAL_4 = (
    *("0.0.0.0", "0.0.0.1", "0.255.255.255"),  # this network
    *("100.64.0.1", "100.127.255.254"),  # carriers' NAT
    *("192.0.0.1", "192.0.0.8", "192.0.0.170"),  # protocol assignments
    *("192.0.2.1", "198.51.100.1", "203.0.113.255"),  # documentation
    *("192.31.196.1", "192.52.193.1", "192.175.48.1"),  # AS112, AMT
    "192.88.99.1",  # 6to4 relays
    *("198.18.0.1", "198.19.255.255"),  # benchmarks
    *("224.0.0.1", "239.255.255.250"),  # multicast
    *("240.0.0.1", "255.255.255.254", "255.255.255.255"),  # reserved, broadcast
)
ALL_4 = (*LOOPBACK_4, *PRIVATE_4, *METADATA_4, *SPECIAL_4)
NATIVE_6 = (
    *("::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0:1", "0::1", "::2"),
    *("fe80::1", "febf:ffff::1", "FE80::A", "fec0::1"),  # link-local, the former site-local
    *("fc00::1", "fd00::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:ec2::254", "fd20:ce::254"),
    *("ff00::1", "ff02::1", "ff05::2", "ff0e::1"),  # multicast
    *("2001:db8::1", "3fff::1", "3fff:fff:ffff::1"),  # documentation
    *("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1"),  # protocol assignments
    *("100::1", "100:0:0:1::1", "5f00::1"),  # discarded, dummy, SRv6
    "2620:4f:8000::1",  # AS112
    *("::ffff:0:0", "4000::1", "8000::1", "e000::1"),  # not allocated
)


def of_four(text: str) -> Iterator[str]:
    """Yield an IPv4 address as `inet_aton` and browsers read it too."""
    a, b, c, d = (int(part) for part in text.split("."))
    whole = int(IPv4Address(text))
    yield from (text, f"{text}.", str(whole), hex(whole), f"0X{whole:08X}", f"0{whole:o}")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.0{b:o}.{c}.{d}")
    yield from (f"{a}.{whole & 0xFFFFFF}", f"{a}.{b}.{whole & 0xFFFF}", f"0x{a:010x}.{b}.{c}.{d}")


def in_text(text: str) -> Iterator[str]:
    """Yield it in characters that are mapped to digits and dots (UTS 46), and in percents (RFC 3986, 2.1)."""
    yield text.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})  # fullwidth
    yield text.translate({ord("0") + digit: 0x2460 + digit - 1 for digit in range(1, 10)})  # circled
    yield text.translate({ord("0") + digit: 0x1D7D8 + digit for digit in range(10)})  # mathematical
    yield from (text.replace(".", dot) for dot in ("。", "．", "｡"))
    yield "".join(f"%{ord(each):02x}" for each in text)
    yield text.replace(".", "%2e")
    yield text.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)})  # Arabic


def in_six(text: str) -> Iterator[str]:
    """Yield IPv6 addresses by which packets get to an IPv4 address, or are said to."""
    whole = int(IPv4Address(text))
    high, low = f"{whole >> 16:x}", f"{whole & 0xFFFF:x}"
    yield from (f"::ffff:{text}", f"::ffff:{high}:{low}", f"::FFFF:{text}", f"0:0:0:0:0:ffff:{high}:{low}")
    yield from (f"::{text}", f"::ffff:0:{text}")  # compatible; translated (RFC 2765)
    yield from (f"64:ff9b::{text}", f"64:ff9b::{high}:{low}", f"64:ff9b:1::{text}", f"64:ff9b:1:fffe::{high}:{low}")
    yield from (f"2002:{high}:{low}::1", f"2002:{high}:{low}::")  # 6to4
    yield f"2001:0:4136:e378:8000:63bf:{whole >> 16 ^ 0xFFFF:x}:{whole & 0xFFFF ^ 0xFFFF:x}"  # Teredo
    yield from (f"2a00:1450:4001:81b:0:5efe:{high}:{low}", f"2a00:1450:4001:81b:200:5efe:{text}")  # ISATAP


def urls() -> Iterator[str]:
    """Yield URLs that name such an address themselves, or seem to name another host."""
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "0.0.0.0"):
        yield from (f"https://{host}/" for host in (*of_four(address), *in_text(address)))
        yield from (f"https://[{host}]/" for host in in_six(address))
    yield from (f"https://{address}:8443/latest/meta-data/" for address in ALL_4)
    yield from (f"https://[{address}]/" for address in NATIVE_6)
    yield from (f"https://[{address}]/" for address in ("fe80::1%25lo", "fe80::1%lo", "::1%251", "::1%1", "::1%25"))
    yield from TRICKS


TRICKS = (
    *("https://0/", "https://0x/", "https://127.1/", "https://127.0.1:8443/", "https://0177.1/", "https://10.1/"),
    *("https://383.0.0.1/", "https://127.0.0.257/", "https://6425673729/", "https://0x17f000001/", "https://1.1.1.1.1/"),
    *("https://0000177.0.0.1/", "https://127.00.0.1/", "https://127..0.1/", "https://.127.0.0.1/", "https://127.0.0.1../"),
    *("https://[127.0.0.1]/", "https://[::1/", "https://::1/", "https://[[::1]]/", "https://[::1].example.com/"),
    *("https://[v1.::1]/", "https://[::ffff:127.1]/", "https://[::ffff:0x7f.0.0.1]/", "https://[::ffff:0177.0.0.1]/"),
    *("https://example.com@127.0.0.1/", "https://example.com:443@127.0.0.1/", "https://127.0.0.1@example.com/"),
    *("https://a:b@127.0.0.1/", "https://@127.0.0.1/", "https://:@127.0.0.1/", "https://example.com%40127.0.0.1/"),
    *("https://example.com\\@127.0.0.1/", "https://127.0.0.1\\@example.com/", "https://127.0.0.1\\.example.com/"),
    *("https:\\\\127.0.0.1\\", "https:/127.0.0.1/", "https:127.0.0.1/", "https:///127.0.0.1/", "https:/\\127.0.0.1/"),
    *("//127.0.0.1/", "127.0.0.1/", "://127.0.0.1/", "https//127.0.0.1/", "https://", "https:// /", ""),
    *("https://127.0.0.1#@example.com/", "https://example.com#@127.0.0.1/", "https://127.0.0.1?@example.com/"),
    *("https://127.0.0.1;@example.com/", "https://127.0.0.1&@example.com/", "https://127.0.0.1 @example.com/"),
    *("https://127.0.0\t.1/", "https://127.0.0.1\n/", "https://127.0.0.1\r\nHost: example.com/", " https://127.0.0.1/"),
    *("ht\ttps://127.0.0.1/", "https://\t127.0.0.1/", "https://127.0.0.1\0.example.com/", "https://127.0.0.1 /"),
    *("https://127.0.0.1%00.example.com/", "https://127.0.0.1%2f@example.com/", "https://127.0.0.1%09/"),
    *("https://127.0.0.1%23.example.com/", "https://127.0.0.1%5c.example.com/", "https://%6c%6f%63alhost/"),
    *("https://127.0.0.1\u200b/", "https://127.0\u00ad.0.1/", "https://127.0.0.1\ufeff/", "https://127.0.0.1\u2028/"),
    *("https://127\u20240\u20240\u20241/", "https://127.0.0.1\uff0fexample.com/", "https://127.0.0.1\uff1a443/"),
    *("https://example.com\uff20127.0.0.1/", "https://127.0.0.1\uff03@example.com/", "https://\u2488.0.0.1/"),
    *("http://127.0.0.1/", "http://127.0.0.1:8443/", "http://localhost:443/", "http://[::1]:8443/", "HTTP://127.0.0.1/"),
    *("https://127.0.0.1:443/", "https://127.0.0.1:08443/", "https://127.0.0.1:443:8443/", "https://127.0.0.1:/"),
    *("https://127.0.0.1:65979/", "https://127.0.0.1:-1/", "https://127.0.0.1:0x1bb/", "https://127.0.0.1:٤٤٣/"),
    *("https://93.184.216.34:22/", "https://93.184.216.34:80/", "https://93.184.216.34:0/", "https://93.184.216.34:25/"),
    *("http://93.184.216.34/", "http://93.184.216.34:443/", "https://93.184.216.34:65979/", "https://93.184.216.34:6379/"),
    *("file:///etc/passwd", "gopher://127.0.0.1:8443/_x", "ftp://127.0.0.1:8443/", "dict://127.0.0.1:8443/x"),
    *("ldap://127.0.0.1/", "smtp://127.0.0.1:8443/", "unix:///run/x.sock", "jar:https://127.0.0.1!/", "data:,x"),
    *("javascript:0", "view-source:https://127.0.0.1/", "url:https://127.0.0.1/", "wss://127.0.0.1/", "https+x://127.0.0.1/"),
)  # fmt: skip
HERE = (
    *("https://localhost/", "https://LOCALHOST:8443/", "https://localhost./", "https://a.localhost/", "https://ⓛocalhost/"),
    *("https://localhost.localdomain/", "https://ip6-localhost/", "https://ip6-loopback/", "https://localhost:8443/"),
)  # fmt: skip
"""Names that the system itself resolves to this machine."""
NAMED = (
    *(("169.254.169.254",), ("fd00:ec2::254", "169.254.169.254")),  # metadata.google.internal, say
    *((address,) for address in (*ALL_4, *NATIVE_6)),
    *((address,) for text in ("127.0.0.1", "10.0.0.1", "169.254.169.254") for address in in_six(text)),
    *(("93.184.216.34", address) for address in ("127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo")),
    *((address, "93.184.216.34") for address in ("127.0.0.1", "10.0.0.1", "::1", "64:ff9b::7f00:1", "fe80::1%1")),
    *(("2606:4700::1111", "1.1.1.1", "192.168.1.1"), ("fe80::1%lo",), ("::1%lo",), ("::ffff:127.0.0.1%1",)),
    *((odd,) for odd in ("127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.1.", " 127.0.0.1", "here", "")),
)  # fmt: skip
"""What names are resolved to, by servers of names that anybody may run."""
REDIRECTS = (
    *("http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://localhost:{port}/"),
    *("http://127.1:{port}/", "http://2130706433:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/"),
    *("http://0.0.0.0:{port}/", "http://0:{port}/", "/elsewhere", "http:/elsewhere", "gopher://127.0.0.1:{port}/_x"),
)  # fmt: skip
