"""Which server it is: the settings, checked and made into an address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlencode

from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.smtp import greeting
from notifyctl.providers.smtp.headers import own_mailbox

# The scheme by which the wire knows what to do, and the port where none is set (RFC 6409, RFC 8314).
SECURITY: Mapping[str, tuple[str, int]] = {
    "starttls": ("smtp", 587),
    "tls": ("smtps", 465),
    "none": ("smtp+plain", 25),
}
CONNECTIONS = 8
MOST_CONNECTIONS = 64
_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def address(credentials: Credentials) -> str:
    """Return the server's URL, as the wire for mail reads it; the settings are those that `problems` approved."""
    config = credentials.config
    scheme, usual = SECURITY.get(str(config.get("security") or "starttls"), SECURITY["starttls"])
    host = str(config.get("host") or "")
    port = config.get("port") or usual
    where = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    further = {name: config[name] for name in ("ca_file", "connections") if config.get(name)}
    if config.get("ehlo"):
        further["ehlo"] = greeting.chosen(str(config["ehlo"])) or ""
    return f"{where}?{urlencode(further)}" if further else where


def connections(config: Mapping[str, Any]) -> int:
    """Return how many connections to the server there may be."""
    return int(config.get("connections") or CONNECTIONS)


def problems(credentials: Credentials) -> list[str]:
    """Return what is missing or malformed in the settings, one sentence each."""
    config = credentials.config
    found = [] if config.get("host") else ["the server's host is missing"]
    if config.get("host") and not _HOST.fullmatch(str(config["host"])):
        found.append("host must be a name or an address, without a port")
    if str(config.get("security") or "starttls") not in SECURITY:
        found.append(f"security must be one of {', '.join(SECURITY)}")
    found += _numbers(config, "port", 65_535) + _numbers(config, "connections", MOST_CONNECTIONS)
    ca_file = config.get("ca_file")
    if ca_file and not (isinstance(ca_file, str) and PurePath(ca_file).is_absolute()):
        found.append("ca_file must be a whole path: dispatchers run in other folders")
    if config.get("ehlo") and greeting.chosen(str(config["ehlo"])) is None:
        found.append("ehlo must be a domain such as mail.example.com, or an address such as [192.0.2.1]")
    if config.get("base_url"):
        found.append("base_url is not for SMTP: set host and port")
    return found + _mailboxes(config)


def _numbers(config: Mapping[str, Any], name: str, most: int) -> list[str]:
    value = str(config.get(name) or "1")
    fine = value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= most
    return [] if fine else [f"{name} must be a number from 1 to {most}"]


def _mailboxes(config: Mapping[str, Any]) -> list[str]:
    found = [] if config.get("from") else ['the sender "from" is missing']
    for name in ("from", "reply_to"):
        try:
            if value := fields.text(config, name):
                own_mailbox(name, value)
        except InvalidMessage as problem:
            found.append(str(problem))
    return found
