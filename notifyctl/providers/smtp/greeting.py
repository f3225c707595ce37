"""By what name a mail server is greeted: a domain, or an address literal (RFC 5321, 4.1.2, 4.1.3 and 4.1.1.1)."""

from __future__ import annotations

import re
from ipaddress import ip_address

DOMAIN_CHARS = 255
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def own(hostname: str, address: str) -> str:
    """Return a machine's own name where it is a full one, else the literal of its address."""
    full = hostname.rstrip(".")
    return full if "." in full and is_domain(full) else literal(address)


def literal(address: str) -> str:
    """Return an IP address as a literal; without the zone that only this machine knows."""
    bare = address.partition("%")[0]
    return f"[IPv6:{bare}]" if ":" in bare else f"[{bare}]"


def chosen(text: str) -> str | None:
    """Return a configured name as it is said: a domain (as A-labels), or a literal; None for what is neither."""
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].removeprefix("IPv6:")
        try:
            return literal(str(ip_address(inner)))
        except ValueError:
            return None
    if not text.isascii():
        import idna  # only here: it brings its tables along

        try:
            text = idna.encode(text, uts46=True).decode()
        except idna.IDNAError:
            return None
    return text if is_domain(text) else None


def is_domain(text: str) -> bool:
    """Return whether it is a domain as SMTP has it; one that ends in a number would be an address."""
    fits = len(text) <= DOMAIN_CHARS and _DOMAIN.fullmatch(text) is not None
    return fits and not text.rpartition(".")[2].isdigit()
