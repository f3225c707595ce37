"""Which of the pool's connections are still of use, and what they keep."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from notifyctl.store.db.failures import is_of_the_connection, is_silence, is_without_session

log = logging.getLogger(__name__)

PREPARED_AFTER = 2

Identity = tuple[int, int] | None


class Pooled:
    """What all who use a database know of its connections.

    An error that says of one that it is useless says so of all that were made until then: their server became
    read-only, a pooler changed its mode. A SQLite file is another one when its device or its inode is.
    """

    def __init__(self, engine: Engine, path: Path | None) -> None:
        self._path = path
        self._age = 0
        self._proven = self._refuted = False
        self.opened = False
        """Whether there was ever a connection, and so a file."""
        if path is not None:
            event.listen(engine, "do_connect", self._mark_file)
        event.listen(engine, "connect", self._mark)
        event.listen(engine, "checkout", self._check)

    @property
    def age(self) -> int:
        """Grows when the connections made so far became useless: whoever has one of its own gives it up."""
        return self._age

    @property
    def keep_sessions(self) -> bool:
        """Whether PostgreSQL is known to keep what belongs to a session: then statements that come again are prepared.

        A pooler in transaction mode loses them. Once a statement was lost, nothing proves any more that none will be.
        """
        return self._proven and not self._refuted

    def proven(self, are_kept: bool) -> None:
        """Take note of whether sessions were seen to be kept."""
        self._proven = are_kept

    def learn(self, error: DBAPIError) -> None:
        """Take note of what an error says of the connections."""
        if is_without_session(error):
            self._refuted = True
        if is_of_the_connection(error) or is_silence(error):
            self._age += 1

    def _mark_file(self, _dialect: Any, record: Any, _args: Any, _options: Any) -> None:
        record.info["mark"] = self._now()  # before it is opened: a file replaced meanwhile is noticed the next time

    def _mark(self, _connection: Any, record: Any) -> None:
        self.opened = True
        record.info.setdefault("mark", self._now())

    def _check(self, connection: Any, record: Any, _proxy: Any) -> None:
        before, now = record.info["mark"], self._now()
        if before != now:
            if before[1] != now[1]:
                log.warning("%s is another file than before: it is opened anew", self._path)
            raise DisconnectionError  # the pool opens another one
        if self._path is None:
            connection.prepare_threshold = PREPARED_AFTER if self.keep_sessions else None

    def _now(self) -> tuple[int, Identity]:
        return self._age, identity(self._path)


def identity(path: Path | None) -> Identity:
    """Return what tells a file from another of the same name; None where there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
