"""Notifications: look at them, cancel, reschedule, resend."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from notifyctl.core import when
from notifyctl.core.address import normalised
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.model import Actor, Channel, Status
from notifyctl.core.when import Point
from notifyctl.services import acts
from notifyctl.services.acts import Acted, Selection, Standing
from notifyctl.store import audit, ids, metrics, picks, providers, users
from notifyctl.store import notifications as store
from notifyctl.store.engine import Database
from notifyctl.store.notifications import Filter, Held, New, Notification
from notifyctl.store.page import Cursor
from notifyctl.store.states import PENDING, State, state_expression
from notifyctl.store.tables import notifications

WHAT = "notification"
BY_OPERATOR = "cancelled by an operator"


@dataclass(frozen=True, slots=True)
class Query:
    """Which notifications, as a person says it: `user` by id, name or e-mail, times perhaps as "so long ago"."""

    status: Status | None = None
    state: State | None = None
    channel: Channel | None = None
    provider: str | None = None
    user: str | None = None
    address: str | None = None
    provider_message_id: str | None = None
    since: Point | None = None
    until: Point | None = None
    stuck_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A query whose names were found and whose times are moments; `now` is when that was (milliseconds)."""

    filter: Filter
    now: int


# Looking


def ask(db: Database, query: Query) -> Asked:
    """Return the query made ready. Raises NotFound for a user or provider that does not exist."""
    with db.read() as conn:
        now = db.now(conn)
        if query.provider is not None:
            require_provider(conn, query.provider)
        return Asked(_filter(conn, db, query, now), now)


def page(db: Database, asked: Asked, after: Cursor | None, limit: int) -> list[Notification]:
    """Return at most `limit` notifications after the cursor, newest first."""
    with db.read() as conn:
        return store.page(conn, asked.filter, db.now(conn), after, limit)


def count(db: Database, asked: Asked) -> int:
    """Return how many notifications match."""
    with db.read() as conn:
        return store.count(conn, asked.filter, db.now(conn))


def show(db: Database, texts: Sequence[str]) -> list[Notification]:
    """Return the notifications that `texts` (ids or their beginnings) mean, in that order. Raises NotFound."""
    with db.read() as conn:
        known = _resolved(conn, db, texts)
        if missing := next((error for error in known.values() if isinstance(error, NotifyctlError)), None):
            raise missing
        wanted = [str(id_) for id_ in known.values()]
        found = store.get(conn, db.dialect, wanted, db.now(conn))
        return [found[id_] for id_ in dict.fromkeys(wanted) if id_ in found]


def resolve(db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    """Return for each text the id that it means, or why it means none. Raises UsageError for an ambiguous one."""
    with db.read() as conn:
        known = _resolved(conn, db, texts)
    if ambiguous := next((error for error in known.values() if isinstance(error, UsageError)), None):
        raise ambiguous
    return known


# Acting


def select_pending(db: Database, query: Query) -> Selection:
    """Return the pending notifications that match: what can be cancelled or rescheduled."""
    return _select(db, query, ended=False)


def select_ended(db: Database, query: Query) -> Selection:
    """Return the notifications that match and are not pending: what can be sent again."""
    return _select(db, query, ended=True)


def cancel(db: Database, actor: Actor, chosen: Sequence[str], *, by_filter: bool = False) -> list[Acted]:
    """Cancel pending notifications on which nobody works; return what became of each id, in their order."""

    def work(conn: Connection) -> list[Acted]:
        now = db.now(conn)
        held = store.lock(conn, db.dialect, chosen)
        may, others = acts.split(chosen, held, lambda row: _not_free(row, now), WHAT, by_filter=by_filter)
        done = store.cancel(conn, db.dialect, may, BY_OPERATOR, now)
        _account(conn, actor, "cancel", [(row, {"status": ["pending", "cancelled"]}) for row in may], done, now)
        return acts.in_order(chosen, done, "cancelled", others)

    return db.write(work)


def reschedule(
    db: Database, actor: Actor, chosen: Sequence[str], send_at: int | None, *, by_filter: bool = False
) -> list[Acted]:
    """Move pending notifications to `send_at` (None: now), as a new time to send. Raises UsageError for a past one."""

    def work(conn: Connection) -> list[Acted]:
        now = db.now(conn)
        moment = now if send_at is None else when.not_past(send_at, now, "--at")
        held = store.lock(conn, db.dialect, chosen)

        def objection(row: Held) -> NotifyctlError | None:
            return _not_free(row, now) or _expires_before(row, moment)

        may, others = acts.split(chosen, held, objection, WHAT, by_filter=by_filter)
        done = store.reschedule(conn, db.dialect, may, moment, now)
        _account(conn, actor, "reschedule", [(row, {"send_at": [row.send_at, moment]}) for row in may], done, now)
        return acts.in_order(chosen, done, "rescheduled", others)

    return db.write(work)


def resend(db: Database, actor: Actor, chosen: Sequence[str], *, by_filter: bool = False) -> list[Acted]:
    """Submit a copy of each ended notification, linked by `resent_from`; `new_id` says which.

    The copy goes by the same provider, at once, with as much time to live as the first had.
    """
    # Made before the transaction: run again, it must not send twice.
    fresh = {id_: (str(uuid.uuid4()), secrets.token_hex(32)) for id_ in chosen}

    def work(conn: Connection) -> list[Acted]:
        now = db.now(conn)
        active = {config.provider_name for config in providers.load_active(conn)}
        found = store.get(conn, db.dialect, chosen, now)
        may, others = acts.split(chosen, found, lambda row: _not_resendable(row, active), WHAT, by_filter=by_filter)
        store.insert(conn, db.dialect, [_copy(row, *fresh[row.id], now) for row in may])
        copies = [(fresh[row.id][0], {"resent_from": row.id}) for row in may]
        audit.record(conn, actor, "resend", WHAT, copies, now)
        outcome = acts.in_order(chosen, {row.id for row in may}, "resent", others)
        return [replace(each, new_id=fresh[each.id][0]) if each.done else each for each in outcome]

    return db.write(work)


# Helpers


def require_provider(conn: Connection, name: str) -> None:
    """Raise NotFound unless the provider is configured, or was when a notification went to it."""
    if providers.get(conn, name) is None and not store.any_of_provider(conn, name):
        raise NotFound(f"there is no provider {name!r}", "notifyctl providers list")


def _filter(conn: Connection, db: Database, query: Query, now: int) -> Filter:
    return Filter(
        status=query.status,
        state=query.state,
        channel=query.channel,
        provider=query.provider,
        user_id=users.find(conn, db.dialect, query.user).id if query.user is not None else None,
        address=_as_stored(query.address) if query.address is not None else None,
        provider_message_id=query.provider_message_id,
        since=when.at(query.since, now),
        until=when.at(query.until, now),
        stuck_ms=query.stuck_ms,
    )


def _as_stored(address: str) -> str:
    """Return the address in the form of the channel it looks like."""
    channel = Channel.EMAIL if "@" in address else Channel.SMS if address.strip().startswith("+") else Channel.PUSH
    return normalised(channel, address)


def _resolved(conn: Connection, db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    return ids.resolve_many(conn, db.dialect, notifications, texts, WHAT)


def _select(db: Database, query: Query, *, ended: bool) -> Selection:
    asked = ask(db, query)
    narrowed = [*store.conditions(asked.filter, asked.now), ~PENDING if ended else PENDING]
    with db.read() as conn:
        found = picks.of_notifications(conn, narrowed, state_expression(asked.now))
    return acts.selection(found, "state")


def _not_free(row: Held, now: int) -> NotifyctlError | None:
    if row.status != Status.PENDING:
        return Conflict(f"notification {row.id} is {row.status}", f"notifyctl notifications show {row.id}")
    if row.leased_until is not None and row.lease_running(now):
        until = when.written(row.leased_until)
        return Standing(f"notification {row.id} is being sent, its lease ends {until}", "repeat after that moment")
    return None


def _expires_before(row: Held, moment: int) -> NotifyctlError | None:
    if row.expires_at is None or moment < row.expires_at:
        return None
    expires = when.written(row.expires_at)
    return Standing(f"notification {row.id} expires {expires}, before that time", "cancel it, or name an earlier time")


def _not_resendable(row: Notification, active: set[str]) -> NotifyctlError | None:
    if row.status == Status.PENDING:
        return Conflict(f"notification {row.id} is still pending", f"notifyctl notifications show {row.id}")
    if row.provider not in active:
        hint = f"notifyctl providers enable {row.provider}, or submit it anew with send --provider"
        return Standing(f"notification {row.id} went by {row.provider}, which is disabled or gone", hint)
    return None


def _copy(row: Notification, new_id: str, key: str, now: int) -> New:
    return New(
        id=new_id,
        user_id=row.user_id,
        idempotency_key=key,
        message_type=row.message_type,
        provider=row.provider,
        payload=row.payload,
        max_retries=row.max_retries,
        created_at=now,
        send_at=None,
        due_at=now,
        expires_at=None if row.expires_at is None else now + max(row.expires_at - row.metric_at, 0),
        content_hash=row.content_hash,
        resent_from=row.id,
        fails_over=row.fails_over,
    )


def _account(
    conn: Connection,
    actor: Actor,
    action: str,
    changes: Sequence[tuple[Held, Mapping[str, Any]]],
    done: set[str],
    now: int,
) -> None:
    """Write the audit rows of what was done, and let its hours be counted again."""
    audit.record(conn, actor, action, WHAT, [(row.id, change) for row, change in changes if row.id in done], now)
    metrics.mark_dirty(conn, [row.metric_at for row, _ in changes if row.id in done], now)
