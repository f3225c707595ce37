"""Leasing what is due: the statements of a claim.

The usual claim is one statement on PostgreSQL: the provider's row, the due rows with their addresses, and the lease.
SQLite's UPDATE names no other table's columns in RETURNING, so there it is two. Where the provider's row says that it
is not as usual (held, limited), the statement takes nothing; judging that is not its business.

Large messages are taken only as far as they fit into what is left of the bytes that may be in flight, by sizes that are
known without reading them. Those that are due and do not fit come back without a payload, and are not leased.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import CTE
from sqlalchemy.types import TypeEngine

from notifyctl.core.batch import BatchHold
from notifyctl.core.change import Subject
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Health
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.triage import Due
from notifyctl.store.addresses import are_sealed, best_address, reason_of
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.functions import folded, octets
from notifyctl.store.db.hot import Hot, only
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import METRIC_AT
from notifyctl.store.providers import is_polled
from notifyctl.store.queue.states import IN_QUEUE, paused
from notifyctl.store.schema.tables import (
    batches,
    dispatchers,
    notification_templates,
    notifications,
    provider_configs,
    provider_states,
    users,
)
from notifyctl.store.standings import standing_if_any

LEASE_MARGIN_MS = 5_000
LONGEST_DEADLINE_S = 300
SMALL_BYTES = 64 * 1024
"""A message of up to so many bytes counts for nothing: as many as may be in flight are still few."""
MOST_BYTES = 64_000_000
"""How many bytes large messages may have, together, that are in flight, unless it is said."""

n = notifications.c


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What is to be leased: of `provider`, at most `most`, due at `moment`; to `holder`, from `now` on.

    Of large messages no more than `room` bytes; `alone`: none is in flight, and one may be larger than that.
    `lost` are dispatchers whose leases may be taken over when they have ended, beside those who left.
    """

    provider: str
    moment: int
    most: int
    lease_id: str
    holder: str
    now: int
    lease_ms: int
    room: int = MOST_BYTES
    alone: bool = True
    lost: tuple[str, ...] = ()

    def parameters(self, dialect: Dialect) -> dict[str, Any]:
        """Return the values of the statements' parameters."""
        # No lease lies twice as far ahead as the longest there is: where one does, a clock was put back.
        far = self.now + 2 * max(self.lease_ms, lease_length(0, LONGEST_DEADLINE_S))
        return {
            **dialect.bind("lost", _LOST, [(id_,) for id_ in self.lost]),
            "far": far,
            "of_provider": self.provider,
            "moment": self.moment,
            "most": self.most,
            "new_lease": self.lease_id,
            "holder": self.holder,
            "now": self.now,
            "least_ms": self.lease_ms,
            "room": self.room,
            "alone": int(self.alone),
            "but_for": "",
        }

    def fitting(self, due: Sequence[Due]) -> list[Due]:
        """Return those of some rows, in their order, that fit: as SQL does, for rows of several questions."""
        found, upto = list[Due](), 0
        for row in due:
            weight = row.weight or 0
            upto += weight
            if not weight or upto <= (weight if self.alone and weight > self.room else self.room):
                found.append(row)
        return found


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows that were leased, as they were before and in the order to send them, and facts of the provider's row.

    `crowded`: there are more, which have to wait for what is in flight.
    """

    due: Sequence[Due]
    version: int
    polled: bool
    health: Health
    lease_ms: int
    deadline_ms: int
    crowded: bool = False


def usual(tx: Tx, wanted: LeaseRequest) -> Taken | None:
    """Lease what is due; None where the provider has to be looked at more closely."""
    rows = tx.rows(USUAL, wanted.parameters(tx.dialect))
    if not rows or not rows[0][_IS_USUAL]:
        return None
    _, timeout, version, config_json, began, failures, doubt_at = rows[0][:_FACTS]
    found = [row for row in rows if row[_FACTS] is not None]
    due = [Due._make(row[_FACTS:]) for row in found if row[_FACTS + _PAYLOAD] is not None]
    if not tx.dialect.leases_as_it_reads and due:
        _lease(tx, wanted, due, lease_length(wanted.lease_ms, timeout))
    due.sort(key=_place)
    health = Health(window_started_at=began, window_failures=failures or 0, doubt_at=doubt_at)
    length, crowded = lease_length(wanted.lease_ms, timeout), len(due) < len(found)
    return Taken(due, version, is_polled(config_json), health, length, timeout * 1_000, crowded)


def closer(
    tx: Tx, wanted: LeaseRequest, provider: ProviderConfig, standing_in_for: Sequence[str], rather_not: str | None
) -> Taken:
    """Lease what is due for a provider that may send, and for those that it stands in for.

    `rather_not` is a notification that is taken only where there is no other.
    """
    asked = wanted.parameters(tx.dialect)
    rows = [] if rather_not is None else tx.rows(_OWN, {**asked, "but_for": rather_not})
    rows = rows or tx.rows(_OWN, asked)
    for name in standing_in_for:
        rows += tx.rows(_FAILING_OVER, {**asked, "of_provider": name})
    found = [Due._make(row) for row in rows if row[_PAYLOAD] is not None]
    crowded = len(found) < len(rows)
    found = sorted(found, key=_place)[: wanted.most]
    due = wanted.fitting(found)
    crowded = crowded or len(due) < len(found)
    length = lease_length(wanted.lease_ms, provider.timeout_seconds)
    mine = [row for row in due if row.provider == wanted.provider]
    _lease(tx, wanted, mine, length)
    _lease(tx, wanted, [row for row in due if row.provider != wanted.provider], length, over=True)
    deadline = provider.timeout_seconds * 1_000
    return Taken(due, provider.updated_at, provider.polled, provider.health, length, deadline, crowded)


def leave(tx: Tx, rows: Sequence[Subject]) -> None:
    """Let rows that were leased by a provider that stands in, and are not to be sent now, stay with their own."""
    if rows:
        v = tx.dialect.rowset(
            "v", {**_LEASE, "home": String(20)}, [(row.id, row.lease_id, row.provider) for row in rows]
        )
        ours = (n.id == v.c.id, n.lease_id == v.c.fence)
        tx.execute(update(notifications).values(provider=v.c.home).where(*ours))


def renew(tx: Tx, leases: Sequence[tuple[str, str]], until: int) -> None:
    """Let leases (id of the notification, id of the lease) run until then; those that are no longer so, not."""
    tx.rows(_RENEWING, {**tx.dialect.bind("v", _LEASE, leases), "until": until})


def lease_length(least_ms: int, timeout_seconds: int) -> int:
    """Return how long a lease is: for two calls that take all their time, and a margin."""
    return max(least_ms, 2_000 * timeout_seconds + LEASE_MARGIN_MS)


def _place(due: Due) -> tuple[bool, int, str]:
    # Of what is due at the same moment the ids decide who is first under a cap: whoever explains it counts on it.
    return not due.is_critical, due.due_at, due.id


def _lease(tx: Tx, wanted: LeaseRequest, due: Sequence[Due], length: int, *, over: bool = False) -> None:
    if due:
        ids = tx.dialect.bind("v", _KEY, [(row.id, row.address) for row in due])
        given = {**wanted.parameters(tx.dialect), **ids, "until": wanted.now + length}
        tx.rows(_TAKING_OVER if over else _LEASING, given)


_KEY: dict[str, TypeEngine[Any]] = {"id": ID, "address": String(1500)}
_LEASE = {"id": ID, "fence": ID}
_LOST = {"id": ID}


def _leased(until: ColumnElement[int], address: ColumnElement[str]) -> dict[str, Any]:
    return {
        "sent_to": address,
        "lease_id": bindparam("new_lease", type_=ID),
        "leased_by": bindparam("holder", type_=ID),
        "attempt_count": n.attempt_count + 1,
        "last_attempted": bindparam("now", type_=BigInteger),
        "leased_until": until,
        "deferred_by": null(),  # as nearly always: then no index is touched
        "fails_over": and_(n.fails_over, n.lease_id.is_(None)),  # one whose lease had ended may have gone out
    }


def _leasing(dialect: Dialect, *, over: bool) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _KEY)
    until: ColumnElement[int] = bindparam("until", type_=BigInteger)
    values = _leased(until, v.c.address)
    if over:  # apart: SQLite writes the indexes of a column that is set, even to what it was
        values["provider"] = bindparam("of_provider", type_=String(20))
    return update(notifications).values(values).where(n.id == v.c.id).returning(n.id)


def _renewing(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _LEASE)
    until = bindparam("until", type_=BigInteger)
    ours = (n.id == v.c.id, n.lease_id == v.c.fence, n.leased_until < until)
    return update(notifications).values(leased_until=until).where(*ours).returning(n.id)


def _due(dialect: Dialect, *conditions: ColumnElement[bool]) -> CTE:
    """Return the rows that are due, locked, in their order; none that somebody else has locked."""
    moment: ColumnElement[int] = bindparam("moment", type_=BigInteger)
    free = _free(dialect, moment)
    size = octets(n.payload) + func.coalesce(n.attached_bytes, 0)
    picked = (
        select(
            n.id,
            n.user_id,
            n.message_type,
            n.payload,
            n.attempt_count,
            n.max_retries,
            n.due_at,
            n.lease_id,
            n.last_attempted,
            n.expires_at,
            METRIC_AT.label("metric_at"),
            n.retry_history,
            n.is_critical,
            n.provider,
            n.fails_over,
            case((size > SMALL_BYTES, size)).label("weight"),
            n.sent_to,
            n.template_id,
            n.template_version,
            n.category,
            n.counted_at,
            n.batch_id,
        )
        .where(n.provider == bindparam("of_provider", type_=String(20)), IN_QUEUE, n.due_at <= moment, free)
        .where(*conditions)
        .order_by(n.is_critical.desc(), n.due_at)
        .limit(bindparam("most", type_=Integer))
    )
    # Materialized: in a nested loop the LIMIT could be run again, and claim too much.
    return dialect.skip_locked(picked, notifications).cte("due").prefix_with("MATERIALIZED")


def _free(dialect: Dialect, moment: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether nobody works on a row: it has no lease, or one that has ended, of somebody who is gone.

    By the clock alone a live dispatcher's leases would have ended when somebody puts the clock forward.
    """
    d, lost = dispatchers.c, dialect.rowset("lost", _LOST)
    far: ColumnElement[int] = bindparam("far", type_=BigInteger)
    lives = exists(
        select(literal_column("1"))
        .select_from(dispatchers)
        .where(d.id == n.leased_by, d.id.not_in(select(lost.c.id)))
        .correlate(notifications)
    )
    return or_(n.leased_until.is_(None), and_(or_(n.leased_until <= moment, n.leased_until > far), ~lives))


def held_by(tx: Tx, provider: str, moment: int, holders: Collection[str]) -> bool:
    """Return whether one of these holds a lease that has ended, of something due for a provider."""
    if not holders:
        return False
    ended = (n.provider == provider, IN_QUEUE, n.due_at <= moment, n.leased_until <= moment)
    return bool(tx.execute(select(exists().where(*ended, tx.dialect.is_any(n.leased_by, holders)))).scalar())


def _addressed(due: CTE) -> CTE:
    address = best_address(due.c.user_id, due.c.message_type, users.c.email).label("address")
    # Materialized as well: the address would be found once to be compared and once to be returned.
    columns = (due, address, users.c.language, _fits(due).label("fits"))
    found = select(*columns).join_from(due, users, users.c.id == due.c.user_id)
    return found.cte("addressed").prefix_with("MATERIALIZED")


def _suppression(addressed: CTE) -> ColumnElement[str]:
    return reason_of(addressed.c.message_type, folded(addressed.c.address)).label("suppression")


def _fits(due: CTE) -> ColumnElement[bool]:
    """Return whether a row may be taken: it is small, or there is room for it and all large ones before it."""
    d, other = due.c, due.alias("other").c
    earlier = or_(other.due_at < d.due_at, and_(other.due_at == d.due_at, other.id <= d.id))
    before = or_(and_(other.is_critical, ~d.is_critical), and_(other.is_critical == d.is_critical, earlier))
    upto = select(func.sum(other.weight)).where(other.weight.is_not(None), before).scalar_subquery()
    room: ColumnElement[int] = bindparam("room", type_=BigInteger)
    may_be_larger = and_(bindparam("alone", type_=Integer) == 1, d.weight > room)
    # In this order: of small ones, which nearly all are, nothing is summed up.
    return case((d.weight.is_(None), true()), else_=upto <= case((may_be_larger, d.weight), else_=room))


def _rows(dialect: Dialect, addressed: CTE) -> list[ColumnElement[Any]]:
    """Return the columns of `Due`."""
    a, t, b = addressed.c, notification_templates.c, batches.c
    some_disabled = exists(select(literal_column("1")).where(~t.is_active))  # where none is, none is looked for
    disabled = select(~t.is_active).where(t.id == a.template_id).scalar_subquery()
    paused_whole = select(b.hold == BatchHold.PAUSED.value).where(b.id == a.batch_id).scalar_subquery()
    values: dict[str, ColumnElement[Any]] = {
        "payload": case((a.fits, a.payload)),
        "suppression": _suppression(addressed),
        "standing": standing_if_any(dialect, a.user_id, a.message_type, a.category),
        "template_held": case((and_(a.template_id.is_not(None), some_disabled), disabled)),
        "batch_held": case((a.batch_id.is_not(None), paused_whole)),
        "keyed": are_sealed(),
    }
    return [values[name].label(name) if name in values else a[name] for name in Due._fields]


def _picking(dialect: Dialect, *, over: bool) -> Select[Any]:
    conditions = (n.fails_over, n.lease_id.is_(None)) if over else (n.id != bindparam("but_for", type_=ID),)
    return select(*_rows(dialect, _addressed(_due(dialect, *conditions))))


_IS_USUAL = 0
_FACTS = 7
"""How many columns of the usual claim's rows are the provider's."""
_PAYLOAD = Due._fields.index("payload")


def _usual(dialect: Dialect) -> Select[Any]:
    c, state = provider_configs.c, provider_states.c
    limited = func.coalesce(c.rate_limit, 0) > 0
    not_slowed = and_(state.ceiling.is_(None), state.held_senders.is_(None))
    as_usual = and_(~paused(bindparam("now", type_=BigInteger)), not_slowed)
    unheld = or_(state.provider_id.is_(None), as_usual)
    provider = (
        select(
            case((and_(c.is_active, ~limited, unheld), 1), else_=0).label("is_usual"),
            c.timeout_seconds,
            c.updated_at,
            c.config_json,
            state.window_started_at,
            state.window_failures,
            state.doubt_at,
        )
        .select_from(provider_configs.outerjoin(provider_states))
        .where(c.provider_name == bindparam("of_provider", type_=String(20)))
        .cte("provider")
        .prefix_with("MATERIALIZED")
    )
    due = _due(dialect, exists(select(literal_column("1")).select_from(provider).where(provider.c.is_usual == 1)))
    addressed = _addressed(due)
    found = select(*provider.c, *_rows(dialect, addressed))
    joined = found.join_from(provider, addressed, true(), isouter=True)
    if not dialect.leases_as_it_reads:
        return joined
    timeout = select(provider.c.timeout_seconds).scalar_subquery()
    length = func.greatest(bindparam("least_ms", type_=BigInteger), 2_000 * timeout + LEASE_MARGIN_MS)
    values = _leased(bindparam("now", type_=BigInteger) + length, addressed.c.address)
    leased = update(notifications).values(values)
    return joined.add_cte(leased.where(n.id == addressed.c.id, addressed.c.fits).cte("leased"))


USUAL: Hot[Any] = Hot(_usual, lambda row: row)
_OWN: Hot[Any] = Hot(partial(_picking, over=False), lambda row: row)
_FAILING_OVER: Hot[Any] = Hot(partial(_picking, over=True), lambda row: row)
_LEASING = only(partial(_leasing, over=False))
_TAKING_OVER = only(partial(_leasing, over=True))
_RENEWING = only(_renewing)
