"""A webhook's URL: what may be one, and what of it may be shown.

It is read strictly, because two readers that differ are how a check is got round: what is not plainly a host, a port
and a path is refused. Whether the host's addresses may be dialled is asked of each when it is dialled (`reach`).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, NoReturn

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern
from notifyctl.core.webhook.reach import Address, is_loopback, is_public
from notifyctl.core.webhook.webhook import LONGEST_URL

PORTS = frozenset({443, 8443})
_URL = pattern(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\\\[\]%]+)(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>(/[!$&-;=@-Z_a-z~%]*)?(\?[!$&-;=?@-Z_a-z~%/]*)?)",
    re.ASCII | re.IGNORECASE,
)
_UNREADABLE = "(no host)"
_LABEL = pattern(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = pattern(r"([0-9]+|0x[0-9a-f]*)")
_QUAD = pattern(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a webhook is delivered: `host` is in ASCII, and an `address` where the URL names one itself."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None = None

    @property
    def url(self) -> str:
        """The URL as it is requested. It may be a secret: nothing but the host is shown."""
        usual = {"http": 80, "https": 443}[self.scheme]
        port = "" if self.port == usual else f":{self.port}"
        return f"{self.scheme}://{self.named}{port}{self.path}"

    @property
    def named(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host


class HookReach(NamedTuple):
    """Where webhooks may go: this machine, by http too and at any port; of anybody else these ports."""

    loopback: bool = False
    ports: frozenset[int] = PORTS

    def target(self, text: str) -> Receiver:
        """Return what a URL says. Raises UsageError for what is none or must not be one."""
        return target(text, loopback=self.loopback, ports=self.ports)


def target(text: str, *, loopback: bool = False, ports: frozenset[int] = PORTS) -> Receiver:
    """Return what a URL says. With `loopback` this machine may be named, by http too, and at any port.

    Raises UsageError for what is none or must not be one; the URL is not repeated, but for its host.
    """
    if len(text) > LONGEST_URL:
        _refuse(f"is longer than {LONGEST_URL} characters", "a shorter one")
    found = _URL.fullmatch(text)
    if found is None:
        _refuse("cannot be read", "https://HOST/PATH, with no user, fragment or odd characters")
    scheme, host = found["scheme"].lower(), found["host"]
    name, address = _host(host)
    port = int(found["port"][1:]) if found["port"] else {"http": 80, "https": 443}[scheme]
    here = loopback and is_here(name, address)
    if scheme != "https" and not here:
        _refuse("is not https", "http is for loopback, in a profile with webhook_loopback = true")
    if not here and port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        _refuse(f"names port {port}", f"allowed are {allowed}; others where the profile's webhook_ports names them")
    if not 0 < port < 65_536:
        _refuse(f"names port {port}", "1 to 65535")
    if address is not None and not here and not is_public(address):
        _refuse(f"names {address}, which is no public address", "a name or an address of the Internet")
    return Receiver(scheme, name, port, found["rest"] or "/", address)


def host_of(url: str) -> str:
    """Return what may be shown of a stored URL: its host, in ASCII; that there is none where it cannot be read."""
    found = _URL.fullmatch(url)
    if found is None:
        return _UNREADABLE
    try:
        return _in_ascii(found["host"].strip("[]"))
    except UsageError:
        return _UNREADABLE


def may_dial(address: Address, *, loopback: bool = False) -> bool:
    """Return whether an address that a webhook's name resolved to may be dialled."""
    return is_public(address) or (loopback and is_loopback(address))


def is_here(name: str, address: Address | None = None) -> bool:
    """Return whether a host is this machine: by its address, where it is one, else by its name (RFC 6761, 6.3)."""
    return name == "localhost" or name.endswith(".localhost") if address is None else is_loopback(address)


def _host(text: str) -> tuple[str, Address | None]:
    """Return a host in ASCII, and the address that it is."""
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except ValueError:
            _refuse("names an address that is none", "[2606:2800:21f::1], or a name")
        return str(address), address
    name = _in_ascii(text)
    if _QUAD.fullmatch(name):
        try:
            return name, IPv4Address(name)
        except ValueError:
            _refuse("names an address that is none", "four numbers up to 255, or a name")
    labels = name.split(".")
    # What a browser reads as a number (127.1, 0x7f.1, 2130706433) is no name, and to strict readers no address.
    if _NUMBER.fullmatch(labels[-1]):
        _refuse("names an address in an odd way", "four numbers with points between, or a name")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("names no host", "https://HOST/PATH")
    return name, None


def _in_ascii(text: str) -> str:
    if text.isascii():
        return text.lower().removesuffix(".")
    import idna  # here, because few names need it, and it takes as long to load as all the rest

    try:
        return idna.encode(text, uts46=True).decode().lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError):
        _refuse("names no host", "https://HOST/PATH")


def _refuse(problem: str, hint: str) -> NoReturn:
    raise UsageError(f"the webhook's URL {problem}", hint)
