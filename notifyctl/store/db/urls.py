"""Database URLs: which are understood, and how they are shown."""

from __future__ import annotations

import re

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern

_SQLITE = pattern(
    r"sqlite(?:\+pysqlite)?:///(?P<path>.*?)(?:\?(?P<options>(?:mode=ro|timeout=[\d.]+)(?:&(?:mode=ro|timeout=[\d.]+))*))?",
    re.S,
)
"""A path is taken as it stands, whatever a URL would make of its `?`, `%` and `#`; only our own options may follow."""

_LIBPQ = pattern(r"^postgres(?=://)")
"""What libpq takes as well, and hosts hand out."""

URL_HINT = "sqlite:///path or postgresql://host/name"


def label(url: str) -> str:
    """Return a database URL for people, without its password. Raises UsageError for what is no such URL."""
    return without_password(parse(url))


def without_password(url: URL) -> str:
    """Return a URL for people."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    secrets = [key for key in url.query if "password" in key.lower()]
    return url.difference_update_query(secrets).render_as_string(hide_password=True)


def parse(url: str) -> URL:
    """Return a URL of a database that can be worked with. Raises UsageError."""
    if file := _SQLITE.fullmatch(url):
        return _of_file(file["path"], dict(pair.split("=", 1) for pair in (file["options"] or "").split("&") if pair))
    try:
        url.encode()
        parsed = make_url(_LIBPQ.sub("postgresql", url))
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # the last one also for bytes that are no text
        raise UsageError("the database URL is not understood", URL_HINT) from error
    if backend == "postgresql":
        if "@" in (parsed.host or ""):  # all of it may be the password's rest: do not show it
            raise UsageError("the database URL is not understood", "an @ in its password is written %40")
        return parsed.set(drivername="postgresql")
    if backend != "sqlite":
        raise UsageError(f"{backend} is not supported", URL_HINT)
    raise _no_path()


def _of_file(path: str, options: dict[str, str]) -> URL:
    if not path or path == ":memory:" or path.startswith("file:") or "\0" in path:
        raise _no_path()
    return URL.create("sqlite", database=path, query=options)


def _no_path() -> UsageError:
    return UsageError("a SQLite URL names a file by its path", URL_HINT)
