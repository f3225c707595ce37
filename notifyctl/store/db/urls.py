"""Database URLs: which are understood, and how they are shown."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from notifyctl.core.errors import UsageError

URL_HINT = "sqlite:///path or postgresql://host/name"


def label(url: str) -> str:
    """Return a database URL for people, without its password. Raises UsageError for what is no such URL."""
    return without_password(parse(url))


def without_password(url: URL) -> str:
    """Return a URL for people."""
    secrets = [key for key in url.query if "password" in key.lower()]
    return url.difference_update_query(secrets).render_as_string(hide_password=True)


def parse(url: str) -> URL:
    """Return a URL of a database that can be worked with. Raises UsageError."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError("the database URL is not understood", URL_HINT) from error
    if backend == "postgresql":
        if "@" in (parsed.host or ""):  # all of it may be the password's rest: do not show it
            raise UsageError("the database URL is not understood", "an @ in its password is written %40")
        return parsed.set(drivername="postgresql")
    if backend != "sqlite":
        raise UsageError(f"{backend} is not supported", URL_HINT)
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise UsageError("a SQLite URL names a file by its path", URL_HINT)
    return parsed.set(drivername="sqlite")
