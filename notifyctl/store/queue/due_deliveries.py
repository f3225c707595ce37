"""Leasing deliveries to webhooks: the statements of their claim.

In flight `next_retry_at` is the lease's end, so that one whose dispatcher died is simply due again. What is new goes
before what was queued again, and of one notification nothing goes while something earlier is under way; but what waits
for its retry holds nothing up.

The claim is one statement on PostgreSQL; on SQLite, which has one writer, it is two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import CTE, FromClause, Subquery
from sqlalchemy.types import TypeEngine

from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.attempt import Delivery
from notifyctl.core.webhook.schedule import LONGEST_WISH_MS
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot, only
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import idle
from notifyctl.store.queue.take import LEASE_MARGIN_MS
from notifyctl.store.schema.tables import notification_webhooks, webhook_deliveries

FAR_MS = LONGEST_WISH_MS + 3_600_000
"""No rest lies farther ahead: where one does, a clock was put back."""

_OF_WEBHOOK = (
    "url",
    "secret_key",
    "previous_secret",
    "previous_secret_ends",
    "retry_count",
    "timeout_seconds",
    "slowed",
)

w, d = notification_webhooks.c, webhook_deliveries.c


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """What is to be claimed for `holder`: at most `most` deliveries.

    Of each webhook at most what `room` says, `usual` where it says nothing. What is tried again counts as due until
    `due_by`, what is new until `new_by` (milliseconds since the epoch); None: now.
    """

    holder: str
    lease_id: str
    most: int
    lease_ms: int
    usual: int
    room: Mapping[str, int]
    due_by: int | None = None
    new_by: int | None = None

    def parameters(self, dialect: Dialect, now: int) -> dict[str, Any]:
        """Return the values of the statements' parameters."""
        due, new = (now if by is None else min(by, now) for by in (self.due_by, self.new_by))
        return {
            **dialect.bind("v", _ROOM, list(self.room.items())),
            "now": now,
            "due_by": due,
            "new_by": new,
            "far": now + FAR_MS,
            "usual": self.usual,
            "widest": max([self.usual, *self.room.values()]) + 1,
            "most": self.most,
            "least_ms": self.lease_ms,
            "new_lease": self.lease_id,
            "holder": self.holder,
        }


def claim(tx: Tx, wanted: DeliveryRequest) -> list[Delivery]:
    """Lease what is due, in the order in which it is to be sent; each counts as an attempt from now on.

    Of a receiver that asked for less one is taken, and until that is recorded nobody takes another.
    """
    if wanted.due_by is not None and not _CLAIMING.is_compiled(tx.dialect) and idle.nothing_is_owed(tx):
        return []
    given = wanted.parameters(tx.dialect, tx.now)
    found = tx.rows(_CLAIMING, given)
    if not found:
        return []
    if not tx.dialect.leases_as_it_reads:
        keys = [(each.id, tx.now + each.lease_ms) for each in found]
        tx.rows(_LEASING, {**given, **tx.dialect.bind("k", _LEASE, keys)})
    probes = [(each.webhook_id, tx.now + each.lease_ms) for each in found if each.probe]
    if probes:
        tx.rows(_PROBING, tx.dialect.bind("k", _LEASE, probes))
    return sorted(found, key=lambda each: (each.created_at, each.id))


_ROOM: dict[str, TypeEngine[Any]] = {"id": ID, "room": Integer()}
_LEASE: dict[str, TypeEngine[Any]] = {"id": ID, "until": BigInteger()}


def _moment(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=BigInteger)


def _claiming(dialect: Dialect) -> Select[Any]:
    ranked = _ranked(dialect, _receivers(dialect))
    chosen = (
        select(ranked)
        .where(ranked.c.place <= ranked.c.share)
        .order_by(ranked.c.place, func.random())  # each receiver in turn, and none always first
        .limit(bindparam("most", type_=Integer))
        .cte("chosen")
        .prefix_with("MATERIALIZED")
    )
    found = select(*(chosen.c[name] for name in Delivery._fields))
    if not dialect.leases_as_it_reads:
        return found
    leased = update(webhook_deliveries).values(_leased(_moment("now") + chosen.c.lease_ms))
    return found.add_cte(leased.where(d.id == chosen.c.id).cte("leased"))


def _receivers(dialect: Dialect) -> CTE:
    """Return the webhooks with something due that do not rest, and how much of each may be taken (`share`)."""
    queued, v = _queued(), dialect.rowset("v", _ROOM)
    room = func.coalesce(v.c.room, bindparam("usual", type_=Integer))
    least, needed = bindparam("least_ms", type_=BigInteger), 2_000 * w.timeout_seconds + LEASE_MARGIN_MS
    found = (
        select(
            w.id.label("webhook_id"),
            *(w[name] for name in _OF_WEBHOOK),
            case((w.slowed > 0, 1), else_=room).label("share"),
            case((needed > least, needed), else_=least).label("lease_ms"),
        )
        .select_from(queued.join(notification_webhooks, w.id == queued.c.webhook_id).outerjoin(v, v.c.id == w.id))
        .where(w.is_active, ~_rests(), room > 0)
        .where(or_(_has_due(~d.is_replay), _has_due(d.is_replay)))
    )
    return dialect.pass_gently(found, notification_webhooks).cte("receivers").prefix_with("MATERIALIZED")


def _queued() -> CTE:
    """Return the webhooks that are owed something, now or later, from one to the next in the index of what is owed.

    Of those that are owed nothing there may be very many.
    """
    x = webhook_deliveries.alias("owed").c
    found = select(func.min(d.webhook_id, type_=ID).label("webhook_id")).where(d.next_retry_at.is_not(None))
    queued = found.cte("queued", recursive=True)
    after = select(func.min(x.webhook_id)).where(x.next_retry_at.is_not(None), x.webhook_id > queued.c.webhook_id)
    following = after.correlate(queued).scalar_subquery()
    return queued.union_all(select(following).where(queued.c.webhook_id.is_not(None)))


def _has_due(kind: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether something of a kind is due for a webhook.

    By the first in the order of its index, and not by EXISTS: for that PostgreSQL reads the table from its beginning,
    where it believes that many rows are so.
    """
    first = select(d.next_retry_at).where(d.webhook_id == w.id, kind, _is_due(d)).order_by(d.next_retry_at).limit(1)
    return first.correlate(notification_webhooks).scalar_subquery().is_not(None)


def _rests() -> ColumnElement[bool]:
    return and_(w.rests_until.is_not(None), w.rests_until > _moment("now"), w.rests_until <= _moment("far"))


def _is_due(of: Any) -> ColumnElement[bool]:
    """Return whether a delivery is due; with two moments, of which the one for what was never tried may be later."""
    is_new = and_(of.attempt_count == 0, of.next_retry_at <= _moment("new_by"))
    return and_(of.next_retry_at <= _moment("now"), or_(of.next_retry_at <= _moment("due_by"), is_new))


def _may_go(of: Any, among: FromClause) -> ColumnElement[bool]:
    """Return whether nothing of the same notification that happened earlier is under way to the same receiver.

    Looked up for each row by its notification: an EXISTS would become a join with all that is under way or waits, and
    without the addition the index of all moments would be read from now on, where few are believed to lie ahead.
    """
    e = webhook_deliveries.alias("earlier")
    before = or_(e.c.created_at < of.created_at, and_(e.c.created_at == of.created_at, e.c.id < of.id))
    same = and_(e.c.webhook_id == of.webhook_id, e.c.notification_id == of.notification_id)
    under_way = and_(e.c.lease_id.is_not(None), e.c.next_retry_at + literal_column("0", BigInteger) > _moment("now"))
    one = select(literal_column("1", Integer)).select_from(e).where(same, before, under_way).limit(1).correlate(among)
    # So that PostgreSQL expects nearly all to be free: else it would sort all that is due to find a few.
    return func.coalesce(one.scalar_subquery(), 0) != 1


def _ranked(dialect: Dialect, receivers: CTE) -> Subquery:
    """Return what is due of the receivers, locked, with its place in the order of its receiver's."""
    every = union_all(*(_first(dialect, receivers, is_replay=value) for value in (False, True))).cte("found")
    order = (every.c.is_replay, every.c.due_at, every.c.created_at, every.c.id)
    place = func.row_number().over(partition_by=every.c.webhook_id, order_by=order)
    following = func.lead(literal_column("1", Integer)).over(partition_by=every.c.webhook_id, order_by=order)
    more = case((and_(place == every.c.share, following.is_not(None)), 1), else_=0)
    return select(every, place.label("place"), more.label("more")).subquery("ranked")


def _first(dialect: Dialect, receivers: CTE, *, is_replay: bool) -> Select[Any]:
    """Return what is due of each receiver, the earliest first: one more than it has room for, or some."""
    x = webhook_deliveries.alias("x")
    own = (x.c.webhook_id == receivers.c.webhook_id, x.c.is_replay if is_replay else ~x.c.is_replay)
    where = (*own, _is_due(x.c), _may_go(x.c, x))
    # By nothing else: that is the order of the index, in which what is due since the same moment stands as it was
    # written. Who sorts that would sort all that a bulk act made, at each claim.
    order = x.c.next_retry_at
    if dialect.laterals:
        earliest = select(x).where(*where).order_by(order).limit(receivers.c.share + 1)
        due: Any = dialect.skip_locked(earliest, x).lateral("due")
        joined = receivers.join(due, true())
    else:
        widest = bindparam("widest", type_=Integer)
        earliest = select(x.c.id).where(*where).order_by(order).limit(widest).correlate(receivers)
        due = webhook_deliveries
        joined = receivers.join(due, d.id.in_(earliest))
    replay = literal_column(str(int(is_replay)), Integer).label("is_replay")
    return select(*_columns(due.c, receivers), receivers.c.share, replay).select_from(joined)


def _columns(due: Any, receivers: CTE) -> Iterator[ColumnElement[Any]]:
    """Yield the columns of `Delivery`."""
    values = {
        "attempt": due.attempt_count + 1,
        "due_at": due.next_retry_at,
        "lease_id": bindparam("new_lease", type_=ID),
    }
    for name in Delivery._fields[:-1]:  # the last one only the whole tells
        given = values[name] if name in values else receivers.c.get(name)
        yield (due[name] if given is None else given).label(name)


def _leased(until: ColumnElement[int]) -> dict[str, Any]:
    return {
        "lease_id": bindparam("new_lease", type_=ID),
        "leased_by": bindparam("holder", type_=ID),
        "attempt_count": d.attempt_count + 1,
        "next_retry_at": until,
    }


def _leasing(dialect: Dialect) -> ReturningUpdate[Any]:
    k = dialect.rowset("k", _LEASE)
    return update(webhook_deliveries).values(_leased(k.c.until)).where(d.id == k.c.id).returning(d.id)


def _probing(dialect: Dialect) -> ReturningUpdate[Any]:
    k = dialect.rowset("k", _LEASE)
    return update(notification_webhooks).values(rests_until=k.c.until).where(w.id == k.c.id).returning(w.id)


_CLAIMING: Hot[Delivery] = Hot(_claiming, Delivery._make)
_LEASING = only(_leasing)
_PROBING = only(_probing)
