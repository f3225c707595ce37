"""Compares ledger, provider and database, and counts what must not be.

Every word here is a set of notifications, so that a failure names them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sqlalchemy import select

from notifyctl.core import content
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_dlq, notifications
from tests.reliability.ledger import Ledger

Ids = frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, and at the end what there was. All but `repeated` must be empty, whatever happened.

    lost: acknowledged, and gone, or not ended, or `sent` without the provider having seen it
    ghosts: in the database or at the provider, and never submitted
    twins: one key, several notifications
    repeated: went out more than once
    unadmitted: went out more often than the row's history admits
    letters: failed without a dead letter, or a dead letter of what has not failed
    leases: a lease is left
    """

    lost: Ids
    ghosts: Ids
    twins: Ids
    repeated: Ids
    unadmitted: Ids
    letters: Ids
    leases: Ids
    accepted: int
    sent: int
    failed: int
    cancelled: int

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What must not be, with a few of each."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: [*sorted(ids)[:3], f"{len(ids)} in all"]
            for name, ids in found.items()
            if isinstance(ids, frozenset) and ids and name != "repeated"
        }

    def counts(self) -> dict[str, int]:
        """Return everything as numbers, for the summary."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: len(value) if isinstance(value, frozenset) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    user_id: str
    key: str
    status: str
    lease_id: str | None
    unknown: int


def check(db: Database, ledger: Ledger, deliveries: Mapping[str, int]) -> Verdict:
    """Return the verdict, when all work is said to be done."""
    rows = _rows(db)
    letters = _letters(db)
    ids = ledger.ids
    by_status = Counter(row.status for row in rows.values())
    failed = {row.id for row in rows.values() if row.status == "failed"}
    return Verdict(
        lost=frozenset(id_ for id_ in ids if _is_lost(rows.get(id_), deliveries.get(id_, 0))),
        ghosts=frozenset(deliveries.keys() - rows.keys()) | _unasked(rows, ledger),
        twins=frozenset(id_ for same in ledger.accepted.values() if len(same) > 1 for id_ in same) | _twins(rows),
        repeated=frozenset(id_ for id_, times in deliveries.items() if times > 1),
        unadmitted=frozenset(id_ for id_, row in rows.items() if deliveries.get(id_, 0) > _admitted(row)),
        letters=frozenset(failed ^ letters.keys()) | {id_ for id_, count in letters.items() if count != 1},
        leases=frozenset(row.id for row in rows.values() if row.lease_id is not None),
        accepted=len(ids),
        sent=by_status["sent"],
        failed=by_status["failed"],
        cancelled=by_status["cancelled"],
    )


def _is_lost(row: _Row | None, delivered: int) -> bool:
    return row is None or row.status == "pending" or (row.status == "sent" and not delivered)


def _admitted(row: _Row) -> int:
    """Return how often it may have gone out, by its own account."""
    return row.unknown + (row.status == "sent")


def _unasked(rows: Mapping[str, _Row], ledger: Ledger) -> Ids:
    """Return the rows that nobody tried to submit."""
    unheard = ledger.tried - ledger.accepted.keys()
    known = ledger.ids
    return frozenset(
        row.id
        for row in rows.values()
        if row.id not in known and row.key not in {content.idempotency_key(row.user_id, key) for key in unheard}
    )


def _twins(rows: Mapping[str, _Row]) -> Ids:
    times = Counter(row.key for row in rows.values())
    return frozenset(row.id for row in rows.values() if times[row.key] > 1)


def _rows(db: Database) -> dict[str, _Row]:
    n = notifications.c
    with db.read() as tx:
        found = tx.execute(select(n.id, n.user_id, n.idempotency_key, n.status, n.lease_id, n.retry_history)).all()
    return {row.id: _Row(*row[:5], _unknown(row.retry_history)) for row in found}


def _unknown(history: str | None) -> int:
    return sum(entry.get("outcome") == "unknown" for entry in json.loads(history or "[]"))


def _letters(db: Database) -> Counter[str]:
    with db.read() as tx:
        return Counter(tx.execute(select(notification_dlq.c.notification_id)).scalars())
