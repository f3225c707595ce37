"""Notifications: look at them, cancel, reschedule, resend."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement

from notifyctl.core import attached, operate, when
from notifyctl.core.address import meant
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import UNRESTRICTED
from notifyctl.core.json_codec import lenient
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import Notification, State
from notifyctl.core.outcome import Kind as OutcomeKind
from notifyctl.core.policy import UNCONFIGURED, Policy
from notifyctl.core.submission import New
from notifyctl.core.when import Point
from notifyctl.services import bulk, planning, returning
from notifyctl.services.bulk import Acted, Selection, Standing
from notifyctl.store import attachments, batches, categories, ids, providers, selections, templates, users
from notifyctl.store import notifications as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.notifications import LockedNotification, NotificationFilter
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.states import PENDING, state_expression
from notifyctl.store.queue.submit import submit
from notifyctl.store.schema.tables import notifications

WHAT = "notification"


@dataclass(frozen=True, slots=True)
class NotificationQuery:
    """Which notifications, as a person says it: `user` by id, name or e-mail, times perhaps as "so long ago"."""

    status: Status | None = None
    state: State | None = None
    channel: Channel | None = None
    provider: str | None = None
    user: str | None = None
    address: str | None = None
    contains: str | None = None
    provider_message_id: str | None = None
    template: str | None = None
    template_version: int | None = None
    category: str | None = None
    batch: str | None = None
    since: Point | None = None
    until: Point | None = None
    stuck_ms: int | None = None
    outcome: OutcomeKind | None = None


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """A query whose names were found and whose times are moments; `now` is when that was (milliseconds)."""

    filter: NotificationFilter
    now: int


# Looking


def ask(db: Database, query: NotificationQuery) -> ResolvedQuery:
    """Return the query made ready. Raises NotFound for a user or provider that does not exist, UsageError.

    An address, a text and an outcome are in no index: something else has to say among which to look for them.
    """
    require_bound(query)
    with db.read() as tx:
        return ResolvedQuery(filter_of(tx, query), tx.now)


def page(db: Database, asked: ResolvedQuery, after: Cursor | None, limit: int) -> list[Notification]:
    """Return at most `limit` notifications after the cursor, newest first."""
    with db.read() as tx:
        return store.page(tx, asked.filter, after, limit)


def count(db: Database, asked: ResolvedQuery) -> int:
    """Return how many notifications match."""
    with db.read() as tx:
        return store.count(tx, asked.filter)


def show(db: Database, texts: Sequence[str]) -> list[Notification]:
    """Return the notifications that `texts` (ids or their beginnings) mean, in that order. Raises NotFound."""
    with db.read() as tx:
        return [replace(row, payload=attachments.with_files(tx, row.payload)) for row in meant_by(tx, texts)]


def meant_by(tx: Tx, texts: Sequence[str]) -> list[Notification]:
    """Return the notifications that `texts` mean, as `show`, without their files."""
    known = _resolved(tx, texts)
    if missing := next((error for error in known.values() if isinstance(error, NotifyctlError)), None):
        raise missing
    wanted = [str(id_) for id_ in known.values()]
    found = store.get(tx, wanted)
    return [found[id_] for id_ in dict.fromkeys(wanted) if id_ in found]


def resolve(db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    """Return for each text the id that it means, or why it means none. Raises UsageError for an ambiguous one."""
    with db.read() as tx:
        known = _resolved(tx, texts)
    if ambiguous := next((error for error in known.values() if isinstance(error, UsageError)), None):
        raise ambiguous
    return known


# Acting


def select_pending(db: Database, query: NotificationQuery) -> Selection:
    """Return the pending notifications that match: what can be cancelled or rescheduled."""
    return _select(db, query, ended=False)


def select_ended(db: Database, query: NotificationQuery) -> Selection:
    """Return the notifications that match and are not pending: what can be sent again."""
    return _select(db, query, ended=True)


def survey(db: Database, chosen: Sequence[str]) -> Selection:
    """Return what these notifications are, for the person who is to agree to an act on them."""
    with db.read() as tx:
        wanted = tx.dialect.is_any(notifications.c.id, chosen)
        return bulk.selection(selections.of_notifications(tx, [wanted], state_expression(tx.now)), "state")


def cancel(db: Database, chosen: Sequence[str], *, by_filter: bool = False) -> list[Acted]:
    """Cancel pending notifications on which nobody works; return the result for each id, in their order."""

    def work(tx: Tx) -> list[Acted]:
        locked = store.lock(tx, chosen)
        may, others = bulk.split(chosen, locked, lambda row: _not_free(row, tx.now), WHAT, by_filter=by_filter)
        done = apply(tx, [operate.cancel(row, tx.now) for row in may]).ids
        return bulk.in_order(chosen, done, "cancelled", others)

    return db.write(work)


def survey_cancelled(db: Database, chosen: Sequence[str]) -> Selection:
    """Return when these notifications were for, as far as an operator cancelled them."""
    with db.read() as tx:
        return _cancelled(tx, [tx.dialect.is_any(notifications.c.id, chosen)])


def select_cancelled(db: Database, query: NotificationQuery) -> Selection:
    """Return the notifications that match and that an operator cancelled."""
    asked = ask(db, query)
    n = notifications.c
    mine = [n.status == Status.CANCELLED.value, n.error_message == operate.BY_OPERATOR]
    with db.read() as tx:
        return _cancelled(tx, [*store.conditions(tx, asked.filter, asked.now), *mine])


def restore(
    db: Database, chosen: Sequence[str], *, by_filter: bool = False, policy: Policy = UNCONFIGURED
) -> list[Acted]:
    """Take back cancellations that an operator made; each is due when it was. Say what will stop them then."""

    def work(tx: Tx) -> list[Acted]:
        locked, barred = store.lock(tx, chosen), _barred(tx, chosen)

        def objection(row: LockedNotification) -> NotifyctlError | None:
            return _not_restorable(row, tx.now) or barred.get(row.id)

        may, others = bulk.split(chosen, locked, objection, WHAT, by_filter=by_filter)
        done = apply(tx, [operate.restore(row) for row in may]).ids
        return returning.judged(tx, bulk.in_order(chosen, done, "restored", others), policy)

    return db.write(work)


def reschedule(
    db: Database,
    chosen: Sequence[str],
    send_at: int | None,
    *,
    critical: bool = False,
    by_filter: bool = False,
    policy: Policy = UNCONFIGURED,
) -> list[Acted]:
    """Move pending notifications to `send_at` (None: now), as a new time to send, and say what will stop them then.

    `critical`: they pass quiet hours and caps from now on. Raises UsageError for a time that is past.
    """

    def work(tx: Tx) -> list[Acted]:
        moment = tx.now if send_at is None else when.not_past(send_at, tx.now, "--at")
        locked, barred = store.lock(tx, chosen), _barred(tx, chosen)

        def objection(row: LockedNotification) -> NotifyctlError | None:
            return _not_free(row, tx.now) or _expires_before(row, moment) or barred.get(row.id)

        may, others = bulk.split(chosen, locked, objection, WHAT, by_filter=by_filter)
        done = apply(tx, [operate.reschedule(row, moment, tx.now, critical=critical) for row in may]).ids
        return returning.judged(tx, bulk.in_order(chosen, done, "rescheduled", others), policy)

    return db.write(work)


def resend(
    db: Database,
    chosen: Sequence[str],
    *,
    send_at: int | None = None,
    delay_ms: int | None = None,
    by_filter: bool = False,
    policy: Policy = UNCONFIGURED,
) -> list[Acted]:
    """Submit a copy of each ended notification, linked by `resent_from`; `new_id` says which; and what will stop it.

    The copy goes by the same provider, at once, at `send_at` or after `delay_ms`, with as much time to live as the
    first had. Raises UsageError for a time that is past.
    """
    # Made before the transaction: run again, it must not send twice.
    fresh = {id_: (str(uuid.uuid4()), secrets.token_hex(32)) for id_ in chosen}

    def work(tx: Tx) -> list[Acted]:
        moment = None if delay_ms is None else when.after(tx.now, delay_ms, "--in")
        if send_at is not None:
            moment = when.not_past(send_at, tx.now, "--at")
        active = {config.provider_name for config in providers.load_active(tx)}
        found = store.get(tx, chosen)
        gone = templates.gone(tx, (row.template_id for row in found.values()))

        def objection(row: Notification) -> NotifyctlError | None:
            if row.template_id in gone:
                return planning.unmade(row.id, "notifyctl send submits it anew")
            return _not_resendable(row, active) or planning.resubmission_refusal(tx, row)

        may, others = bulk.split(chosen, found, objection, WHAT, by_filter=by_filter)
        submit(tx, [_copy(row, *fresh[row.id], tx.now, moment) for row in may])
        outcome = bulk.in_order(chosen, {row.id for row in may}, "resent", others)
        copies = [replace(each, new_id=fresh[each.id][0]) if each.done else each for each in outcome]
        return returning.judged(tx, copies, policy)

    return db.write(work)


# Helpers


def require_provider(tx: Tx, name: str) -> None:
    """Raise NotFound unless the provider is configured, or was when a notification went to it."""
    if providers.get(tx, name) is None and not store.any_of_provider(tx, name):
        raise NotFound(f"there is no provider {name!r}", "notifyctl providers list")


_IN_NO_INDEX = ("address", "contains", "outcome")


def require_bound(query: NotificationQuery) -> None:
    """Raise UsageError where a query would have to look at each notification, and for what says nothing."""
    unbounded = replace(query, **dict.fromkeys(_IN_NO_INDEX)) == NotificationQuery()
    if query != NotificationQuery() and unbounded:
        option = next(f"--{name}" for name in _IN_NO_INDEX if getattr(query, name) is not None)
        raise UsageError(
            f"{option} looks at each notification: something has to say at which",
            f"{option} with --since 7d, or --user",
        )
    if query.template_version is not None and query.template is None:
        raise UsageError("--template-version goes with --template")
    if query.contains is not None and not query.contains.strip():
        raise UsageError("--contains: nothing was given")


def filter_of(tx: Tx, query: NotificationQuery) -> NotificationFilter:
    """Return what a query means. Raises NotFound, UsageError."""
    if query.provider is not None:
        require_provider(tx, query.provider)
    return NotificationFilter(
        status=query.status,
        state=query.state,
        channel=query.channel,
        provider=query.provider,
        user_id=users.find(tx, query.user).id if query.user is not None else None,
        address=_as_stored(query.address) if query.address is not None else None,
        contains=query.contains,
        provider_message_id=query.provider_message_id,
        template_id=templates.find(tx, query.template).id if query.template is not None else None,
        template_version=query.template_version,
        category=categories.known(tx, query.category) if query.category is not None else None,
        batch_id=batches.find(tx, query.batch).id if query.batch is not None else None,
        since=when.at(query.since, tx.now),
        until=when.at(query.until, tx.now),
        stuck_ms=query.stuck_ms,
        outcome=query.outcome,
    )


def _as_stored(address: str) -> str:
    """Return the address in the form of the channel it looks like."""
    channel = Channel.EMAIL if "@" in address else Channel.SMS if address.strip().startswith("+") else Channel.PUSH
    return meant(channel, address)


def resolved(tx: Tx, text: str) -> str:
    """Return the id that `text` means. Raises NotFound, UsageError."""
    return ids.resolve(tx, notifications, text, WHAT)


def _resolved(tx: Tx, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    return ids.resolve_many(tx, notifications, texts, WHAT)


def _select(db: Database, query: NotificationQuery, *, ended: bool) -> Selection:
    asked = ask(db, query)
    with db.read() as tx:
        narrowed = [*store.conditions(tx, asked.filter, asked.now), ~PENDING if ended else PENDING]
        found = selections.of_notifications(tx, narrowed, state_expression(asked.now))
    return bulk.selection(found, "state")


def _not_free(row: LockedNotification, now: int) -> NotifyctlError | None:
    if row.status != Status.PENDING:
        return Conflict(f"notification {row.id} is {row.status}", f"notifyctl notifications show {row.id}")
    if row.leased_until is not None and row.lease_running(now):
        until = when.written(row.leased_until)
        return Standing(f"notification {row.id} is being sent, its lease ends {until}", "repeat after that moment")
    return None


def _expires_before(row: LockedNotification, moment: int) -> NotifyctlError | None:
    if row.expires_at is None or moment < row.expires_at:
        return None
    expires = when.written(row.expires_at)
    return Standing(f"notification {row.id} expires {expires}, before that time", "cancel it, or name an earlier time")


def _cancelled(tx: Tx, conditions: Iterable[ColumnElement[bool]]) -> Selection:
    found = selections.of_cancelled(tx, conditions, operate.BY_OPERATOR, state_expression(tx.now))
    return bulk.selection(found, "time")


def _barred(tx: Tx, chosen: Sequence[str]) -> dict[str, NotifyctlError]:
    """Return which of these the key that acts may not have sent, and why."""
    if tx.actor.grant is None or tx.actor.grant.restrictions == UNRESTRICTED:
        return {}
    told = {id_: planning.resubmission_refusal(tx, row) for id_, row in store.get(tx, chosen).items()}
    return {id_: each for id_, each in told.items() if each is not None}


def _not_restorable(row: LockedNotification, now: int) -> NotifyctlError | None:
    anew = f"notifyctl notifications resend {row.id}"
    if row.status != Status.CANCELLED:
        return Conflict(f"notification {row.id} is {row.status}", f"notifyctl notifications show {row.id}")
    if row.error_message != operate.BY_OPERATOR:
        why = row.error_message or "for a reason that is not known"
        return Conflict(f"notification {row.id} was not cancelled by an operator: {why}", anew)
    if row.expires_at is not None and row.expires_at <= now:
        return Standing(f"notification {row.id} expired {when.written(row.expires_at)}", anew)
    return None


def _not_resendable(row: Notification, active: set[str]) -> NotifyctlError | None:
    if row.status == Status.PENDING:
        return Conflict(f"notification {row.id} is still pending", f"notifyctl notifications show {row.id}")
    if row.provider not in active:
        hint = f"notifyctl providers enable {row.provider}, or submit it anew with send --provider"
        return Standing(f"notification {row.id} went by {row.provider}, which is disabled or gone", hint)
    return None


def _copy(row: Notification, new_id: str, key: str, now: int, send_at: int | None) -> New:
    due_at = now if send_at is None else send_at
    said = lenient(row.payload)
    return New(
        id=new_id,
        user_id=row.user_id,
        idempotency_key=key,
        message_type=row.message_type,
        provider=row.provider,
        payload=row.payload,
        max_retries=row.max_retries,
        created_at=now,
        send_at=send_at,
        due_at=due_at,
        expires_at=row.copy_expires_at(due_at),
        content_hash=row.content_hash,
        resent_from=row.id,
        fails_over=row.fails_over,
        attached_bytes=attached.size(said) or None,
        files=attached.digests(said),
        template_id=row.template_id,
        template_version=row.template_version,
        category=row.category,
        is_critical=row.is_critical,
    )
