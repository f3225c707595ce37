"""Whether some profile demands an API key for a database, whichever profile, file or URL it is reached by.

What one profile of a file demands would else be got round by another one, by `--config`, `--database-url` or the
environment. Whoever may write these files, or has the database's password and another program, is not stopped by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notifyctl.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL

FilesRead = Iterable[tuple[Path, Mapping[str, Any]]]

_HERE = frozenset({"", "localhost", "127.0.0.1", "::1"})
_PORT = "5432"


def demanded_by(url: str, files: FilesRead, default_url: str, env: Mapping[str, str]) -> str | None:
    """Return which profile of these files demands a key for the database of that URL; None where none does.

    A demand is for the database that stands beside it, else for the default one.
    """
    demands = list(_demands(files, default_url))
    if not demands or not url:
        return None
    return next((where for where, other in demands if _is_same(url, other, env)), None)


def _demands(files: FilesRead, default_url: str) -> Iterator[tuple[str, str]]:
    for path, data in files:
        usual, url = data.get("require_api_key") is True, _text(data.get("database_url")) or default_url
        if usual:
            yield str(path), url
        profiles = data.get("profiles")
        for name, said in profiles.items() if isinstance(profiles, dict) else ():
            if isinstance(said, dict) and said.get("require_api_key", usual) is True:
                yield f"{path} [profiles.{name}]", _text(said.get("database_url")) or url


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
    return _server(first, env) == _server(second, env)


def _file(url: URL) -> tuple[int, int] | str:
    """Return what tells a file from all others: also by another link to it."""
    path = Path(os.path.realpath(url.database or ""))
    try:
        found = path.stat()
    except OSError:
        return str(path)
    return found.st_dev, found.st_ino


def _server(url: URL, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return service, host, port and database; what the URL does not say, libpq's environment does.

    Source: PostgreSQL, 32.15, environment variables.
    """
    host = _said(url, "host", url.host, env.get("PGHOST")).lower().rstrip(".")
    port = _said(url, "port", str(url.port or ""), env.get("PGPORT")) or _PORT
    database = _said(url, "dbname", url.database, env.get("PGDATABASE")) or url.username or ""
    is_here = host in _HERE or host.startswith("/")
    return _said(url, "service", None, env.get("PGSERVICE")), "" if is_here else host, port, database


def _said(url: URL, name: str, own: str | None, of_environment: str | None) -> str:
    told = url.query.get(name)
    return (told if isinstance(told, str) else ",".join(told or ())) or own or of_environment or ""
