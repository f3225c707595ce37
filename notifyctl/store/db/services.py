"""What libpq takes for what a URL of PostgreSQL leaves out: of a service file, the environment, and of its own.

It is asked itself, as only it knows where its files are. Loads psycopg: imported where there is a PostgreSQL to connect
to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_NAME = "PGSERVICE"


def defaults(service: str) -> Mapping[str, str]:
    """Return the parameters of a connection by their keywords, of that service where one is named.

    One that is in no file has none of its own: nobody can connect to it.
    """
    from psycopg.pq import Conninfo

    with _named(service):
        found = Conninfo.get_defaults()
    return {each.keyword.decode(): each.val.decode(errors="replace") for each in found if each.val is not None}


@contextmanager
def _named(service: str) -> Iterator[None]:
    """Name the service where libpq looks, which takes no name otherwise."""
    before = os.environ.get(_NAME)
    if service:
        os.environ[_NAME] = service
    try:
        yield
    finally:
        if before is not None:
            os.environ[_NAME] = before
        elif service:
            del os.environ[_NAME]
