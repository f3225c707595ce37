"""Whether some profile demands an API key for a database, whichever profile, file or URL it is reached by.

What one profile of a file demands would else be got round by another one, by `--config`, `--database-url` or the
environment. Whoever may write these files, or has the database's password and another program, is not stopped by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from notifyctl.config.values import checked
from notifyctl.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL

FilesRead = Iterable[tuple[Path, Mapping[str, Any]]]

_HERE_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_PORT = "5432"
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
}


class _Demand(NamedTuple):
    """Who demands a key for the database of a URL; an empty one is any database but those that the file lets free."""

    where: str
    url: str
    free: tuple[str, ...] = ()


def demanded_by(url: str, files: FilesRead, env: Mapping[str, str]) -> str | None:
    """Return which profile of these files demands a key for the database of that URL; None where none does.

    A demand is for the database that stands beside it. Without one it is for any, since the environment may name any:
    but for those of the same file's profiles that demand none. Raises UsageError for a demand that is no yes or no.
    """
    demands = [each for path, data in files for each in _demands(path, data)]
    return next((each.where for each in demands if _covers(each, url, env)), None) if url else None


def _demands(path: Path, data: Mapping[str, Any]) -> Iterator[_Demand]:
    usual, url = _demands_key(data, str(path), default=False), _text(data.get("database_url"))
    tables = data.get("profiles")
    profiles = {
        f"{path} [profiles.{name}]": said
        for name, said in (tables.items() if isinstance(tables, dict) else ())
        if isinstance(said, dict)
    }
    wants = {where: _demands_key(said, where, default=usual) for where, said in profiles.items()}
    named = {where: _text(said.get("database_url")) for where, said in profiles.items()}
    free = tuple(own for where, own in named.items() if own and not wants[where])
    if usual:
        yield _Demand(str(path), url, free)
    for where, wanted in wants.items():
        if wanted:
            yield _Demand(where, named[where] or url, free)


def _demands_key(said: Mapping[str, Any], where: str, *, default: bool) -> bool:
    return bool(checked("require_api_key", said.get("require_api_key", default), where))


def _covers(demand: _Demand, url: str, env: Mapping[str, str]) -> bool:
    if demand.url:
        return _is_same(url, demand.url, env)
    return not any(_is_same(url, other, env) for other in demand.free)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_same(one: str, other: str, env: Mapping[str, str]) -> bool:
    from notifyctl.store.db.urls import parse  # not loaded where nothing is demanded

    try:
        first, second = parse(one), parse(other)
    except UsageError:
        return False  # it cannot be opened either
    if first.get_backend_name() != second.get_backend_name():
        return False
    if first.get_backend_name() == "sqlite":
        return _file(first) == _file(second)
    return not _servers(first, env).isdisjoint(_servers(second, env))


def _file(url: URL) -> tuple[int, int] | str:
    """Return what tells a file from all others: also by another link to it."""
    path = Path(os.path.realpath(url.database or ""))
    try:
        found = path.stat()
    except OSError:
        return str(path)
    return found.st_dev, found.st_ino


def _servers(url: URL, env: Mapping[str, str]) -> set[tuple[str, int | str, str]]:
    """Return host, port and database of each server; what the URL does not say, a service or the environment does.

    A list names several, and what is given by name and by address has both. Source: PostgreSQL, 32.1.1.3 (several
    hosts), 32.1.2 (host, hostaddr, port), 32.15 (environment variables) and 32.17 (service file).
    """
    service = _said(url, "service", None, env.get("PGSERVICE"))
    other = _defaults(service) if service else {word: env.get(name, "") for word, name in _VARIABLES.items()}
    hosts = _said(url, "host", url.host, other.get("host")).split(",")
    addresses = _said(url, "hostaddr", None, other.get("hostaddr")).split(",")
    ports = (_said(url, "port", str(url.port or ""), other.get("port")) or _PORT).split(",")
    database = _said(url, "dbname", url.database, other.get("dbname"))
    database = database or _said(url, "user", url.username, other.get("user")) or _defaults("").get("user", "")
    found = set()
    for at in range(max(len(hosts), len(addresses))):
        host, own_port = _parted(_nth(hosts, at))
        address = _nth(addresses, at)
        port = _number(own_port or (ports[0] if len(ports) == 1 else _nth(ports, at)) or _PORT)
        for name in {host, address} - {""} or {""}:
            found.add((_server_name(name), port, database))
    return found


def _defaults(service: str) -> Mapping[str, str]:
    from notifyctl.store.db.services import defaults

    return defaults(service)


def _nth(values: list[str], at: int) -> str:
    return values[at].strip() if at < len(values) else ""


def _parted(host: str) -> tuple[str, str]:
    """Return host and port of what SQLAlchemy takes as `?host=name:port`."""
    name, colon, port = host.rpartition(":")
    is_pair = colon and ":" not in name and not host.startswith(("/", "@"))
    return (name, port) if is_pair else (host, "")


def _number(port: str) -> int | str:
    return int(port) if port.strip().isdecimal() else port


def _server_name(host: str) -> str:
    """Return a host's name, or its address in the one form of it; empty for this machine, whichever it is called."""
    import ipaddress
    import socket

    name = host.lower().rstrip(".").strip("[]").partition("%")[0]
    if name in _HERE_NAMES or name[0] in "/@" or name.endswith(".localhost") or name == socket.gethostname().lower():
        return ""
    try:
        address = ipaddress.ip_address(socket.inet_aton(name) if ":" not in name else name)  # also 127.1, 2130706433
    except (OSError, ValueError):
        return name
    address = getattr(address, "ipv4_mapped", None) or address
    return "" if address.is_loopback or address.is_unspecified else str(address)


def _said(url: URL, name: str, own: str | None, of_environment: str | None) -> str:
    told = url.query.get(name)
    return (told if isinstance(told, str) else ",".join(told or ())) or own or of_environment or ""
