"""Notifications: finding them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial, reduce
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from notifyctl.core.content import ADDRESS_FIELD, FIELDS
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Status, metric_at
from notifyctl.core.notification import Notification, State
from notifyctl.core.outcome import Kind as OutcomeKind
from notifyctl.core.submission import New
from notifyctl.store import lookups
from notifyctl.store.db.functions import octets
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.queue.states import PENDING, predicates, state_expression, stuck
from notifyctl.store.schema.tables import batches, notification_templates, notifications, users
from notifyctl.store.streams import RowStream, streamed

DAY_MS = 86_400_000
MOST_TWINS = 10

n = notifications.c


@dataclass(frozen=True, slots=True)
class NotificationFilter:
    """Which notifications. Times are milliseconds since the epoch; None narrows nothing.

    `stuck_ms`: pending for longer than that. `address` is the one in the payload, or where the payload names none
    one that an attempt took. `contains` is a text in what it says. `outcome`: that of any of its attempts.
    """

    status: Status | None = None
    state: State | None = None
    channel: Channel | None = None
    provider: str | None = None
    user_id: str | None = None
    address: str | None = None
    contains: str | None = None
    provider_message_id: str | None = None
    template_id: str | None = None
    template_version: int | None = None
    category: str | None = None
    batch_id: str | None = None
    since: int | None = None
    until: int | None = None
    stuck_ms: int | None = None
    outcome: OutcomeKind | None = None


@dataclass(frozen=True, slots=True)
class LockedNotification:
    """A notification whose row is locked: what decides whether an operator's command may change it."""

    id: str
    user_id: str
    message_type: str
    status: str
    lease_id: str | None
    leased_until: int | None
    due_at: int
    created_at: int
    send_at: int | None
    expires_at: int | None
    attempt_count: int
    max_retries: int
    last_attempted: int | None
    provider: str
    retry_history: str | None
    fails_over: bool
    sent_to: str | None
    error_message: str | None

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics it belongs."""
        return metric_at(self.created_at, self.send_at)

    @property
    def channel(self) -> Channel:
        """The channel."""
        return Channel(self.message_type)

    def lease_running(self, now: int) -> bool:
        """Return whether somebody works on it."""
        return self.leased_until is not None and self.leased_until > now


# Finding


def get(tx: Tx, ids: Sequence[str]) -> dict[str, Notification]:
    """Return the notifications with these ids, by id; those that do not exist are left out."""
    found = tx.execute(_select(tx.now).where(tx.dialect.is_any(n.id, ids)))
    return {row.id: _opened(tx, row) for row in found}


def begun(row: New, username: str, *, held: bool, template: str | None = None) -> Notification:
    """Return a new notification as `get` finds it in the transaction that inserted it; nothing has to be read.

    `held`: its provider sends nothing now, nor does another in its stead. `template` is the name of its template.
    """
    due = State.HELD if held else State.DUE
    empty: dict[str, Any] = dict.fromkeys(field.name for field in fields(Notification))
    given = {name: value for name, value in row._asdict().items() if name in empty}
    set_by_the_table = {"status": Status.PENDING.value, "attempt_count": 0}
    shown = {
        "username": username,
        "template": template,
        "state": (State.SCHEDULED if row.due_at > row.created_at else due).value,
    }
    return Notification(**empty | given | set_by_the_table | shown)


def page(tx: Tx, wanted: NotificationFilter, after: Cursor | None, limit: int) -> list[Notification]:
    """Return at most `limit` of those wanted after the cursor, newest first; without payloads, which may be large."""
    # The cursor comes before the conditions: SQLite begins at the first upper bound that it meets.
    listed = _select(tx.now, _LISTED)
    statement = newest_first(listed, _created_at(wanted), n.id, after, limit).where(*conditions(tx, wanted, tx.now))
    if not _is_in_order(wanted):
        statement = _newest_of_each_status(statement, limit)
    return [_opened(tx, row) for row in tx.execute(statement)]


def stream(tx: Tx, wanted: NotificationFilter) -> RowStream[Notification]:
    """Yield all of those wanted, newest first, with their payloads."""
    ordered = select(n.id, octets(n.payload)).where(*conditions(tx, wanted, tx.now))
    return streamed(tx, ordered.order_by(n.created_at.desc(), n.id.desc()), partial(_in_order, tx))


def _in_order(tx: Tx, ids: Sequence[str]) -> Iterator[Notification]:
    found = get(tx, ids)
    return (found[id_] for id_ in ids)


def count(tx: Tx, wanted: NotificationFilter) -> int:
    """Return how many match."""
    return tx.execute(
        select(func.count()).select_from(notifications).where(*conditions(tx, wanted, tx.now))
    ).scalar_one()


def any_of_provider(tx: Tx, provider: str) -> bool:
    """Return whether a notification of this provider exists."""
    return bool(tx.execute(select(exists().where(n.provider == provider))).scalar())


def conditions(tx: Tx, wanted: NotificationFilter, now: int) -> list[ColumnElement[bool]]:
    """Return the filter as conditions on `notifications`."""
    found: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        # A literal finds the partial index of what is pending.
        found.append(PENDING if wanted.status is Status.PENDING else n.status == wanted.status.value)
    if wanted.state is not None:
        found.append(predicates(now)[wanted.state])
    equal = {
        n.message_type: wanted.channel.value if wanted.channel else None,
        n.provider: wanted.provider,
        n.user_id: wanted.user_id,
        n.provider_message_id: wanted.provider_message_id,
        n.template_id: wanted.template_id,
        n.template_version: wanted.template_version,
        n.category: wanted.category,
        n.batch_id: wanted.batch_id,
    }
    found += [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        found.append(_created_at(wanted) >= wanted.since)
    if wanted.until is not None:
        found.append(_created_at(wanted) < wanted.until)
    if wanted.stuck_ms is not None:
        found.append(stuck(now, wanted.stuck_ms))
    if wanted.outcome is not None:
        found.append(_ended(wanted.outcome, now))
    if wanted.address is not None:
        found.append(_went_to(wanted.address, lookups.sealed(tx, wanted.address, wanted.user_id)))
    if wanted.contains is not None:
        found.append(_mentions(wanted.contains))
    return found


def twins(tx: Tx, row: Notification) -> list[str]:
    """Return which others say the same to the same user on the same channel, within a day of it; the latest first."""
    same = (n.user_id == row.user_id, n.message_type == row.message_type, n.content_hash == row.content_hash)
    near = n.created_at.between(row.created_at - DAY_MS, row.created_at + DAY_MS)
    found = select(n.id).where(*same, near, n.id != row.id).order_by(n.created_at.desc(), n.id).limit(MOST_TWINS)
    return list(tx.execute(found).scalars())


# Locking


def lock(tx: Tx, ids: Sequence[str]) -> dict[str, LockedNotification]:
    """Return those that exist, by id, locked until the transaction ends."""
    columns = [_SENT_TO if field.name == "sent_to" else n[field.name] for field in fields(LockedNotification)]
    statement = select(*columns).where(tx.dialect.is_any(n.id, ids)).order_by(n.id)
    found = (LockedNotification(*row) for row in tx.execute(tx.dialect.lock_row(statement)))
    # It is only noted with an attempt that was lost, where nothing stands that is sealed elsewhere.
    return {row.id: replace(row, sent_to=None) if lookups.is_sealed(row.sent_to) else row for row in found}


# Helpers


def _ended(outcome: OutcomeKind, now: int) -> ColumnElement[bool]:
    """Return the condition that an attempt ended so: in the history stand those that did not succeed."""
    past = func.coalesce(n.retry_history, "").contains(f'"outcome":"{outcome.value}"', autoescape=True)
    if outcome is OutcomeKind.ACCEPTED:
        return n.status == Status.SENT.value
    return or_(past, predicates(now)[State.UNKNOWN]) if outcome is OutcomeKind.UNKNOWN else past


def _opened(tx: Tx, row: Sequence[Any]) -> Notification:
    found = Notification(*row)
    if not lookups.is_sealed(found.sent_to):
        return found
    return replace(found, sent_to=lookups.shown(tx, found.user_id, found.message_type, found.sent_to or ""))


_FIELD_NAMES = sorted({f'"{name}":' for names in FIELDS.values() for name in names})
_DUE = case((PENDING, n.due_at)).label("due_at")
_NO_PAYLOAD: ColumnElement[str] = literal_column("''").label("payload")
_ROW = [_DUE if field.name == "due_at" else n[field.name] for field in fields(Notification) if field.name in n]
_LISTED = [_NO_PAYLOAD if column is n.payload else column for column in _ROW]


_TEMPLATE = (
    select(notification_templates.c.name)
    .where(notification_templates.c.id == n.template_id)
    .correlate(notifications)
    .scalar_subquery()
    .label("template")
)
_BATCH = (
    select(batches.c.name).where(batches.c.id == n.batch_id).correlate(notifications).scalar_subquery().label("batch")
)


def _select(now: int, columns: Sequence[ColumnElement[Any]] = _ROW) -> Select[Any]:
    state = state_expression(now).label("state")
    return select(*columns, users.c.username, state, _TEMPLATE, _BATCH).join_from(
        notifications, users, users.c.id == n.user_id
    )


def _newest_of_each_status(statement: Select[Any], limit: int) -> Select[Any]:
    # `idx_status_created` has the order of each status, no index that of all: take the newest of each, then of those.
    each = (select(statement.where(n.status == status.value).subquery()) for status in Status)
    found = union_all(*each).subquery("found")
    return newest_first(select(found), found.c.created_at, found.c.id, None, limit)


def _is_in_order(wanted: NotificationFilter) -> bool:
    """Return whether one statement finds them quickly: all have one status, or are few."""
    only = (
        wanted.status,
        wanted.state,
        wanted.stuck_ms,
        wanted.provider_message_id,
        wanted.template_id,
        wanted.batch_id,
    )
    return any(each is not None for each in only)


def _created_at(wanted: NotificationFilter) -> ColumnElement[int]:
    # One user's are better looked through than found in everybody's order, which the cast hides from SQLite.
    few = wanted.user_id is not None or wanted.provider_message_id is not None
    return cast(n.created_at, BigInteger) if few else n.created_at


def _went_to(address: str, sealed: Sequence[str]) -> ColumnElement[bool]:
    """Return whether it went there, or names the address itself; not whether somebody has it today.

    `sealed` is as what the address is stored of those who may have had it, where addresses are sealed.
    """
    is_mail = "@" in address  # no mail server tells cases apart
    fold: Callable[[ColumnElement[str]], ColumnElement[str]] = func.lower if is_mail else _as_it_is
    address = address.lower() if is_mail else address
    sent_to, history, payload = fold(n.sent_to), fold(func.coalesce(n.retry_history, "")), fold(n.payload)
    named = (
        and_(n.message_type == channel.value, _says(payload, ADDRESS_FIELD[channel], address)) for channel in Channel
    )
    same = or_(sent_to == address, n.sent_to.in_(sealed)) if sealed else sent_to == address
    last = and_(~_names_somebody(), same, n.attempt_count > 0)
    return or_(*named, last, _says(history, "address", address), _copied_to(payload, address))


def _copied_to(payload: ColumnElement[str], address: str) -> ColumnElement[bool]:
    """Return whether it is a mail with a copy to the address: its whole text stands there, and not as a sender's."""
    written = json.dumps(address, ensure_ascii=False)
    without = reduce(lambda left, name: func.replace(left, f'"{name}":{written}', ""), ("from", "reply_to"), payload)
    has_copies = or_(_holds(payload, '"cc":'), _holds(payload, '"bcc":'))
    there = or_(_holds(without, written), _holds(without, f'<{written[1:-1]}>"'))
    return and_(n.message_type == Channel.EMAIL.value, has_copies, there)


def _as_it_is(column: ColumnElement[str]) -> ColumnElement[str]:
    return column


def _names_somebody() -> ColumnElement[bool]:
    return or_(*(_holds(n.payload, f'"{field}":') for field in ("to", "token", "fid", "topic", "condition")))


def _says(text: ColumnElement[str], field: str, value: str) -> ColumnElement[bool]:
    # As text: of a payload that is no JSON the databases' own functions make an error.
    written = json.dumps(value, ensure_ascii=False)
    return or_(_holds(text, f'"{field}":{written}'), _holds(text, f'"{field}": {written}'))


def _mentions(text: str) -> ColumnElement[bool]:
    """Return whether it stands in what a payload says, whatever the case; the names of fields say nothing."""
    # Other programs store JSON in ASCII, and SQLite knows no other letters' cases.
    written = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)}
    names = [name for name in _FIELD_NAMES if any(each.lower() in name for each in written)]
    payload: ColumnElement[str] = reduce(lambda left, name: func.replace(left, name, ""), names, n.payload)
    said, folded = payload, func.lower(payload)
    return or_(
        *(_holds(said, each) for each in written),
        *(_holds(folded, each.lower()) for each in written),
    )


def _holds(text: ColumnElement[str], part: str) -> ColumnElement[bool]:
    # Not LIKE: its case counts on PostgreSQL only, and it would need its own escapes.
    return func.replace(text, part, "") != text


_SENT_TO = case((~_names_somebody(), n.sent_to)).label("sent_to")
