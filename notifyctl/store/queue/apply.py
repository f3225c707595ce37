"""Writing changes: one statement for all of a kind, made from the kind's own fields.

Every write is fenced: it holds only where the row still has the status and carries the lease that it was read with, so
that a dispatcher that lost its lease cannot overwrite what happened since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import func, literal_column, null, select, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from notifyctl.core.change import (
    Acknowledge,
    Bury,
    Cancel,
    Change,
    Confirm,
    ConfirmCancelled,
    ConfirmFailed,
    Defer,
    Park,
    Release,
    Remember,
    Requeue,
    Reschedule,
    Restore,
    Retry,
    Row,
    Sent,
    Wake,
)
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Wait
from notifyctl.core.model import Channel, Claim
from notifyctl.core.webhook.telling import Tidings
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import METRIC_AT
from notifyctl.store.queue import letters
from notifyctl.store.queue.follow import follow
from notifyctl.store.queue.outbox import anybody
from notifyctl.store.queue.states import PENDING, still
from notifyctl.store.schema.tables import notifications

C = TypeVar("C", bound=Change)

n = notifications.c

KINDS: tuple[type[Change], ...] = (
    Sent,
    Retry,
    Release,
    Remember,
    Defer,
    Park,
    Bury,
    Cancel,
    Reschedule,
    Restore,
    Requeue,
    Confirm,
    ConfirmFailed,
    ConfirmCancelled,
    Acknowledge,
    Wake,
)
_KEY: dict[str, TypeEngine[Any]] = {"id": ID, "fence": ID}


@dataclass(frozen=True, slots=True)
class Applied(Generic[C]):
    """The changes that held. `is_heard`: there are webhooks, and they may have been told."""

    changes: Sequence[C] = ()
    is_heard: bool = False

    @property
    def ids(self) -> set[str]:
        """The notifications that were changed."""
        return {change.of.id for change in self.changes}


def apply(tx: Tx, changes: Sequence[C]) -> Applied[C]:
    """Write changes and what follows from them; return those that held."""
    done, is_heard, known = list[C](), False, dict[str, Tidings]()
    for kind in KINDS:
        some = [change for change in changes if type(change) is kind]
        if some:
            rows = _written(tx, kind, some)
            done += some if len(rows) == len(some) else _held(some, rows)
            is_heard = is_heard or bool(rows and rows[0][1])
            known |= {row[0]: Tidings(row[0], *row[2:]) for row in rows if len(row) > 2}
    letters.keep(tx, done)
    follow(tx, done, is_heard=is_heard, known=known)
    if freed := _freed(done):
        apply(tx, [Wake(row, due_at=tx.now) for row in _next_by_cap(tx, freed)])
    return Applied(done, is_heard)


def _freed(done: Sequence[Change]) -> Counter[tuple[str, str]]:
    """Return how many places under whose cap are free again: of what counted, and will not go out."""
    claims = (each.of for each in done if isinstance(each, Bury) and each.uncounts)
    return Counter((each.user_id, each.channel.value) for each in claims if isinstance(each, Claim) and each.counted)


def _next_by_cap(tx: Tx, freed: Mapping[tuple[str, str], int]) -> Iterator[Row]:
    """Yield as many as there are places of what the caps put off, oldest first."""
    for (user_id, channel), places in sorted(freed.items()):
        theirs = (n.user_id == user_id, n.message_type == channel, n.deferred_by == Wait.CAP.value)
        waiting = (PENDING, n.lease_id.is_(None), n.due_at > tx.now)
        found = select(n.id, n.provider, METRIC_AT).where(*theirs, *waiting).limit(places)
        # An expression: else PostgreSQL may walk through everybody's notifications by their age.
        found = found.order_by(n.created_at + literal_column("0"), n.id)
        for id_, provider, metric_at in tx.execute(tx.dialect.skip_locked(found, notifications)):
            yield Row(id_, None, provider, Channel(channel), metric_at)


def _written(tx: Tx, kind: type[Change], some: list[C]) -> list[Sequence[Any]]:
    """Return of those of a kind that held the id, whether there are webhooks, and what these would be told of it.

    The last only where they probably are told: who sends has heard of some.
    """
    names = _COLUMNS[kind]
    values = [(each.of.id, each.of.lease_id, *[getattr(each, name) for name in names]) for each in some]
    statement = _STATEMENTS[kind, tx.offer is not None]
    return tx.rows(statement, tx.dialect.bind("v", _types(kind), values))


def _held(some: list[C], rows: list[Sequence[Any]]) -> list[C]:
    held = {row[0] for row in rows}
    return [each for each in some if each.of.id in held]


def _types(kind: type[Change]) -> dict[str, TypeEngine[Any]]:
    return {**_KEY, **{name: n[name].type for name in _COLUMNS[kind]}}


def _statement(kind: type[Change], tells: bool, dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _types(kind))
    given = {name: func.coalesce(v.c[name], n[name]) if name in kind.KEEPS else v.c[name] for name in _COLUMNS[kind]}
    values: dict[str, Any] = {**given, **dict.fromkeys(kind.CLEARS, null())}
    if not kind.KEEPS_LEASE:
        values |= dict.fromkeys(("lease_id", "leased_by", "leased_until"), null())
    if kind.AFTER is not kind.BEFORE:
        values["status"] = kind.AFTER.value
    fence = (n.id == v.c.id, still(kind.BEFORE), n.lease_id.is_not_distinct_from(v.c.fence))
    told = [n[name] for name in Tidings._fields[1:]] if tells else []
    return update(notifications).values(values).where(*fence).returning(n.id, anybody(), *told)


def _as_it_is(row: Sequence[Any]) -> Sequence[Any]:
    return row


_COLUMNS = {kind: tuple(each.name for each in fields(kind) if each.name not in kind.ASIDE) for kind in KINDS}
_STATEMENTS: dict[tuple[type[Change], bool], Hot[Any]] = {
    (kind, tells): Hot(partial(_statement, kind, tells), _as_it_is) for kind in KINDS for tells in (False, True)
}
