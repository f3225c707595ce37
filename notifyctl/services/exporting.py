"""Exports: all that a filter matches, as it was at one moment.

What is exported is taken as fast as the database gives it, by somebody who waits for no reader: a snapshot that is held
keeps PostgreSQL from tidying up, and lets SQLite's log grow. Where the connection is lost it is taken once more.

What each takes is imported where it is taken: who lists users would load all that dead letters need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from notifyctl.core.frozen import dataclass
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.streams import RowStream

if TYPE_CHECKING:
    from notifyctl.core.audit.entry import AuditEntry, AuditFilter
    from notifyctl.core.deadletter import DeadLetter
    from notifyctl.core.notification import Notification
    from notifyctl.services.dlq import DeadLetterQuery
    from notifyctl.services.notifications import NotificationQuery
    from notifyctl.store.reachable import Reachable
    from notifyctl.store.suppressions import Suppression, SuppressionFilter

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[R]):
    """The rows, newest first; `count` says how many there are, by a question of its own."""

    rows: Iterator[R]
    count: Callable[[], int]


Take = Callable[[Snapshot[R]], T]
"""Takes all rows; called once more, it begins anew."""


def notifications(db: Database, query: NotificationQuery, take: Take[Notification, T]) -> T:
    """Return what `take` makes of the notifications that match. Raises NotFound, UsageError for the query."""
    from notifyctl.services import notifications as of_notifications
    from notifyctl.store import notifications as store

    of_notifications.require_bound(query)

    def work(tx: Tx) -> T:
        wanted = of_notifications.filter_of(tx, query)
        return _given(take, store.stream(tx, wanted), partial(store.count, tx, wanted))

    return db.snapshot(work)


def dead_letters(db: Database, query: DeadLetterQuery, take: Take[tuple[DeadLetter, Notification], T]) -> T:
    """Return what `take` makes of the dead letters that match, each with its notification. Raises NotFound."""
    from notifyctl.services import dlq as of_letters
    from notifyctl.store import dlq as letters

    def work(tx: Tx) -> T:
        wanted = of_letters.filter_of(tx, query)
        return _given(take, letters.stream(tx, wanted), partial(letters.count, tx, wanted))

    return db.snapshot(work)


def users(db: Database, take: Take[Reachable, T]) -> T:
    """Return what `take` makes of all users."""
    from notifyctl.store import reachable
    from notifyctl.store import users as people

    return db.snapshot(lambda tx: _given(take, reachable.stream(tx), partial(people.count, tx)))


def suppressions(db: Database, wanted: SuppressionFilter, take: Take[Suppression, T]) -> T:
    """Return what `take` makes of the suppressions that match and hold."""
    from notifyctl.store import suppressions as addresses

    def work(tx: Tx) -> T:
        return _given(take, addresses.stream(tx, wanted), partial(addresses.count, tx, wanted))

    return db.snapshot(work)


def audit_entries(db: Database, wanted: AuditFilter, take: Take[AuditEntry, T]) -> T:
    """Return what `take` makes of the entries of the audit trail that match."""
    from notifyctl.store import audit

    def work(tx: Tx) -> T:
        return _given(take, audit.stream(tx, wanted), partial(audit.count, tx, wanted))

    return db.snapshot(work)


def _given(take: Take[R, T], rows: RowStream[R], count: Callable[[], int]) -> T:
    with closing(rows):
        return take(Snapshot(rows, count))
