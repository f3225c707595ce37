"""Versions of the database's schema as they are shown."""

from __future__ import annotations

from notifyctl.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Revision:
    """One migration. `previous` is None for the first."""

    id: str
    previous: str | None
    summary: str


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a database stands.

    `current` is None where nothing was ever migrated; `exists` is false for a SQLite file that was never created;
    `pending` are the migrations that `up` would run, oldest first; `known` is false where a later version of this
    program has upgraded the database.
    """

    database: str
    current: str | None
    head: str
    pending: tuple[Revision, ...]
    exists: bool = True
    known: bool = True

    @property
    def is_current(self) -> bool:
        """Whether this program and the database fit each other."""
        return self.current == self.head


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `what` it is about (a table, `table.column`, an index, a constraint), `how` the database is."""

    what: str
    how: str
