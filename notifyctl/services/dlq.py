"""Dead letters: look at them, retry, resolve, reopen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from notifyctl.core import when
from notifyctl.core.audience import needs_address, own_address
from notifyctl.core.content import InvalidPayload, NewerPayload, parse
from notifyctl.core.errors import Conflict, NotifyctlError, UsageError
from notifyctl.core.model import Actor, Category, Channel
from notifyctl.core.when import Point
from notifyctl.services import acts
from notifyctl.services.acts import Acted, Selection
from notifyctl.services.notifications import require_provider
from notifyctl.store import audit, ids, metrics, picks, users
from notifyctl.store import dlq as store
from notifyctl.store.dlq import DeadLetter, Filter, Revival, Suppressed
from notifyctl.store.engine import Database
from notifyctl.store.page import Cursor
from notifyctl.store.tables import notification_dlq

WHAT = "dead letter"
RETRIES = 5


@dataclass(frozen=True, slots=True)
class Query:
    """Which dead letters, as a person says it: `user` by id, name or e-mail, times perhaps as "so long ago"."""

    resolved: bool | None = False
    reason: Category | None = None
    error: str | None = None
    channel: Channel | None = None
    provider: str | None = None
    user: str | None = None
    since: Point | None = None
    until: Point | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of each id, and what may stand against the new attempts."""

    acted: list[Acted]
    suppressed: list[Suppressed]
    expired: int


# Looking


def ask(db: Database, query: Query) -> Filter:
    """Return the query made ready. Raises NotFound for a user or provider that does not exist."""
    with db.read() as conn:
        if query.provider is not None:
            require_provider(conn, query.provider)
        now = db.now(conn)
        return Filter(
            resolved=query.resolved,
            reason=query.reason,
            error=query.error,
            channel=query.channel,
            provider=query.provider,
            user_id=users.find(conn, db.dialect, query.user).id if query.user is not None else None,
            since=when.at(query.since, now),
            until=when.at(query.until, now),
        )


def page(db: Database, wanted: Filter, after: Cursor | None, limit: int) -> list[DeadLetter]:
    """Return at most `limit` dead letters after the cursor, the latest first."""
    with db.read() as conn:
        return store.page(conn, wanted, after, limit)


def count(db: Database, wanted: Filter) -> int:
    """Return how many match."""
    with db.read() as conn:
        return store.count(conn, wanted)


def show(db: Database, texts: Sequence[str]) -> list[DeadLetter]:
    """Return the dead letters that `texts` (ids of entries or notifications) mean, in that order. Raises NotFound."""
    known = resolve_ids(db, texts)
    if missing := next((error for error in known.values() if isinstance(error, NotifyctlError)), None):
        raise missing
    wanted = dict.fromkeys(str(id_) for id_ in known.values())
    with db.read() as conn:
        found = store.get(conn, db.dialect, list(wanted))
    return [found[id_] for id_ in wanted if id_ in found]


def resolve_ids(db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    """Return for each text (the id of an entry or a notification) the notification's id, or why it means none.

    Raises UsageError for a text that is ambiguous or too short.
    """
    with db.read() as conn:
        mine = ids.resolve_many(conn, db.dialect, notification_dlq, texts, WHAT, column="notification_id")
        others = [text for text, found in mine.items() if isinstance(found, NotifyctlError)]
        entries = ids.resolve_many(conn, db.dialect, notification_dlq, others, WHAT)
        by_entry = store.notification_ids(conn, db.dialect, [id_ for id_ in entries.values() if isinstance(id_, str)])
    known = {text: _better(found, entries.get(text), by_entry) for text, found in mine.items()}
    if ambiguous := next((error for error in known.values() if isinstance(error, UsageError)), None):
        raise ambiguous
    return known


def select(db: Database, query: Query) -> Selection:
    """Return the dead letters that match, as the ids of their notifications."""
    wanted = ask(db, query)
    with db.read() as conn:
        return acts.selection(picks.of_dead_letters(conn, store.conditions(wanted)), "reason")


# Acting


def retry(
    db: Database,
    actor: Actor,
    chosen: Sequence[str],
    *,
    retries: int = RETRIES,
    interval_ms: float = 0.0,
    force: bool = False,
    by_filter: bool = False,
) -> Retried:
    """Send the dead letters' notifications once more, each with `retries` attempts after the next one.

    `interval_ms` spaces the moments from which they are due. `force` takes resolved ones as well.
    """

    def objection(letter: DeadLetter) -> NotifyctlError | None:
        if letter.resolved and not force:
            return Conflict(f"dead letter {letter.notification_id} is resolved", "--force retries it all the same")
        return None

    def work(conn: Connection) -> Retried:
        now = db.now(conn)
        letters, others = acts.split(chosen, store.lock(conn, db.dialect, chosen), objection, WHAT, by_filter=by_filter)
        revivals = [Revival(letter, now + round(index * interval_ms), retries) for index, letter in enumerate(letters)]
        done = store.revive(conn, db.dialect, revivals, now)
        facts = [(letter.notification_id, {"failure_reason": letter.failure_reason}) for letter in letters]
        audit.record(conn, actor, "retry", "notification", [fact for fact in facts if fact[0] in done], now)
        metrics.mark_dirty(conn, [letter.metric_at for letter in letters if letter.notification_id in done], now)
        expired = [letter for letter in letters if letter.expires_at is not None and letter.expires_at <= now]
        return Retried(
            acts.in_order(chosen, done, "retried", others), _suppressed(conn, db, letters), expired=len(expired)
        )

    return db.write(work)


def resolve(
    db: Database, actor: Actor, chosen: Sequence[str], *, by: str, note: str | None = None, by_filter: bool = False
) -> list[Acted]:
    """Mark dead letters as dealt with by the user `by` (an id, username or e-mail address); they stay failed."""

    def objection(letter: DeadLetter) -> NotifyctlError | None:
        if letter.resolved:
            who = f" by {letter.resolver}" if letter.resolver else ""
            return Conflict(f"dead letter {letter.notification_id} is resolved{who} already")
        return None

    def work(conn: Connection) -> list[Acted]:
        now = db.now(conn)
        user = users.find(conn, db.dialect, by)
        letters, others = acts.split(chosen, store.lock(conn, db.dialect, chosen), objection, WHAT, by_filter=by_filter)
        wanted = [letter.notification_id for letter in letters]
        done = store.resolve(conn, db.dialect, wanted, by=user.id, note=note, now=now)
        change = {"resolved": [False, True], "resolved_by": user.id, "note": note}
        _audit(conn, actor, "resolve", letters, done, change, now)
        return acts.in_order(chosen, done, "resolved", others)

    return db.write(work)


def reopen(db: Database, actor: Actor, chosen: Sequence[str], *, by_filter: bool = False) -> list[Acted]:
    """Mark resolved dead letters as unresolved again."""

    def objection(letter: DeadLetter) -> NotifyctlError | None:
        return None if letter.resolved else Conflict(f"dead letter {letter.notification_id} is not resolved")

    def work(conn: Connection) -> list[Acted]:
        now = db.now(conn)
        letters, others = acts.split(chosen, store.lock(conn, db.dialect, chosen), objection, WHAT, by_filter=by_filter)
        done = store.reopen(conn, db.dialect, [letter.notification_id for letter in letters])
        _audit(conn, actor, "reopen", letters, done, {"resolved": [True, False]}, now)
        return acts.in_order(chosen, done, "reopened", others)

    return db.write(work)


# Helpers


def _better(
    found: str | NotifyctlError, entry: str | NotifyctlError | None, by_entry: Mapping[str, str]
) -> str | NotifyctlError:
    if isinstance(found, str):
        return found
    if isinstance(entry, str):
        return by_entry[entry]
    return entry if isinstance(entry, UsageError) else found


def _audit(
    conn: Connection,
    actor: Actor,
    action: str,
    letters: Sequence[DeadLetter],
    done: set[str],
    change: Mapping[str, Any],
    now: int,
) -> None:
    changes = [(letter.id, {"notification_id": letter.notification_id, **change}) for letter in letters]
    kept = [each for each, letter in zip(changes, letters, strict=True) if letter.notification_id in done]
    audit.record(conn, actor, action, "dead_letter", kept, now)


def _suppressed(conn: Connection, db: Database, letters: Sequence[DeadLetter]) -> list[Suppressed]:
    targets = set()
    for letter in letters:
        channel = Channel(letter.message_type)
        try:
            content = parse(letter.payload, channel)
        except (InvalidPayload, NewerPayload):
            continue
        if needs_address(channel, content):
            targets.add((letter.user_id, channel, own_address(channel, content)))
    return store.suppressed(conn, db.dialect, targets)
