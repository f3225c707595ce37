"""Dead letters: look at them, retry, resolve, reopen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from notifyctl.core import operate, when
from notifyctl.core.audience import needs_address, own_address
from notifyctl.core.audit.words import Action
from notifyctl.core.content import InvalidPayload, NewerPayload, parse
from notifyctl.core.cursor import Cursor
from notifyctl.core.deadletter import DeadLetter
from notifyctl.core.errors import Conflict, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Category, Channel
from notifyctl.core.policy import UNCONFIGURED, Policy
from notifyctl.core.when import Point
from notifyctl.services import bulk, planning, returning
from notifyctl.services.bulk import Acted, Selection
from notifyctl.services.notifications import require_provider
from notifyctl.store import attachments, batches, ids, selections, templates, users
from notifyctl.store import dlq as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.dlq import DeadLetterFilter, SuppressedAddress
from notifyctl.store.queue.apply import apply
from notifyctl.store.schema.tables import notification_dlq

WHAT = "dead letter"
RETRIES = 5


@dataclass(frozen=True, slots=True)
class DeadLetterQuery:
    """Which dead letters, as a person says it: `user` by id, name or e-mail, times perhaps as "so long ago"."""

    resolved: bool | None = False
    reason: Category | None = None
    error: str | None = None
    channel: Channel | None = None
    provider: str | None = None
    user: str | None = None
    template: str | None = None
    batch: str | None = None
    since: Point | None = None
    until: Point | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """The result for each id, and what to warn of: addresses that are suppressed, and how many have expired.

    `reasons` counts for what reasons those had died that were retried.
    """

    acted: list[Acted]
    suppressed: list[SuppressedAddress]
    expired: int
    reasons: Mapping[str, int]


# Looking


def ask(db: Database, query: DeadLetterQuery) -> DeadLetterFilter:
    """Return the query made ready. Raises NotFound for a user or provider that does not exist, UsageError."""
    with db.read() as tx:
        return filter_of(tx, query)


def filter_of(tx: Tx, query: DeadLetterQuery) -> DeadLetterFilter:
    """Return what a query means. Raises NotFound, UsageError for a text that says nothing."""
    if query.error is not None and not query.error.strip():  # every error contains it
        raise UsageError("--error: nothing was given")
    if query.provider is not None:
        require_provider(tx, query.provider)
    return DeadLetterFilter(
        resolved=query.resolved,
        reason=query.reason,
        error=query.error,
        channel=query.channel,
        provider=query.provider,
        user_id=users.find(tx, query.user).id if query.user is not None else None,
        template_id=templates.find(tx, query.template).id if query.template is not None else None,
        batch_id=batches.find(tx, query.batch).id if query.batch is not None else None,
        since=when.at(query.since, tx.now),
        until=when.at(query.until, tx.now),
    )


def page(db: Database, wanted: DeadLetterFilter, after: Cursor | None, limit: int) -> list[DeadLetter]:
    """Return at most `limit` dead letters after the cursor, the latest first."""
    with db.read() as tx:
        return store.page(tx, wanted, after, limit)


def count(db: Database, wanted: DeadLetterFilter) -> int:
    """Return how many match."""
    with db.read() as tx:
        return store.count(tx, wanted)


def show(db: Database, texts: Sequence[str]) -> list[DeadLetter]:
    """Return the dead letters that `texts` (ids of entries or notifications) mean, in that order. Raises NotFound."""
    known = resolve_ids(db, texts)
    if missing := next((error for error in known.values() if isinstance(error, NotifyctlError)), None):
        raise missing
    wanted = dict.fromkeys(str(id_) for id_ in known.values())
    with db.read() as tx:
        found = store.get(tx, list(wanted))
        rows = [found[id_] for id_ in wanted if id_ in found]
        return [replace(row, payload=attachments.with_files(tx, row.payload)) for row in rows]


def resolve_ids(db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    """Return for each text (the id of an entry or a notification) the notification's id, or why it means none.

    Raises UsageError for a text that is ambiguous or too short.
    """
    with db.read() as tx:
        mine = ids.resolve_many(tx, notification_dlq, texts, WHAT, column="notification_id")
        others = [text for text, found in mine.items() if isinstance(found, NotifyctlError)]
        entries = ids.resolve_many(tx, notification_dlq, others, WHAT)
        by_entry = store.notification_ids(tx, [id_ for id_ in entries.values() if isinstance(id_, str)])
    known = {text: _better(found, entries.get(text), by_entry) for text, found in mine.items()}
    if ambiguous := next((error for error in known.values() if isinstance(error, UsageError)), None):
        raise ambiguous
    return known


def select(db: Database, query: DeadLetterQuery) -> Selection:
    """Return the dead letters that match, as the ids of their notifications."""
    wanted = ask(db, query)
    with db.read() as tx:
        return bulk.selection(selections.of_dead_letters(tx, store.conditions(wanted)), "reason")


def survey(db: Database, chosen: Sequence[str]) -> Selection:
    """Return what the dead letters of these notifications are, for the person who is to agree to an act on them."""
    with db.read() as tx:
        wanted = tx.dialect.is_any(notification_dlq.c.notification_id, chosen)
        return bulk.selection(selections.of_dead_letters(tx, [wanted]), "reason")


# Acting


def retry(
    db: Database,
    chosen: Sequence[str],
    *,
    retries: int = RETRIES,
    interval_ms: float = 0.0,
    force: bool = False,
    latest_template: bool = False,
    by_filter: bool = False,
    policy: Policy = UNCONFIGURED,
) -> Retried:
    """Send the dead letters' notifications again, each with `retries` attempts after the next; say what will stop them.

    `interval_ms` spaces the moments from which they are due. `force` takes resolved ones as well. With
    `latest_template` each is rendered from what is published now, and no longer from what it was submitted with.
    """

    def work(tx: Tx) -> Retried:
        locked = store.lock(tx, chosen)
        gone = templates.gone(tx, (each.template_id for each in locked.values()))

        def objection(letter: DeadLetter) -> NotifyctlError | None:
            ends = None if force else _is_dealt_with(letter)
            return ends or _unmade(letter, gone) or planning.resubmission_refusal(tx, letter)

        letters, others = bulk.split(chosen, locked, objection, WHAT, by_filter=by_filter)
        moments = [tx.now + round(index * interval_ms) for index in range(len(letters))]
        newest = templates.published(tx, {each.template_id or "" for each in letters}) if latest_template else {}
        requeued = (operate.requeue(each, due, retries, tx.now) for each, due in zip(letters, moments, strict=True))
        versions = (newest.get(each.template_id or "") for each in letters)
        changes = [replace(each, template_version=it) for each, it in zip(requeued, versions, strict=True)]
        done = apply(tx, changes).ids
        expired = [letter for letter in letters if letter.expires_at is not None and letter.expires_at <= tx.now]
        reasons = Counter(letter.failure_reason for letter in letters if letter.notification_id in done)
        acted, suppressed = bulk.in_order(chosen, done, "retried", others), _suppressed(tx, letters)
        if len(letters) > 1 or not (suppressed or expired):  # of one that is said already
            acted = returning.judged(tx, acted, policy)
        return Retried(acted, suppressed, len(expired), reasons)

    return db.write(work)


def resolve(
    db: Database, chosen: Sequence[str], *, by: str, note: str | None = None, by_filter: bool = False
) -> list[Acted]:
    """Mark dead letters as dealt with by the user `by` (an id, username or e-mail address); they stay failed."""

    def objection(letter: DeadLetter) -> NotifyctlError | None:
        if letter.resolved:
            who = f" by {letter.resolver}" if letter.resolver else ""
            return Conflict(f"dead letter {letter.notification_id} is resolved{who} already")
        return None

    def work(tx: Tx) -> list[Acted]:
        user = users.find(tx, by)
        letters, others = bulk.split(chosen, store.lock(tx, chosen), objection, WHAT, by_filter=by_filter)
        wanted = [letter.notification_id for letter in letters]
        done = store.resolve(tx, wanted, by=user.id, note=note)
        change = {"resolved": [False, True], "resolved_by": user.id, "note": note}
        _audit(tx, "resolve", letters, done, change)
        return bulk.in_order(chosen, done, "resolved", others)

    return db.write(work)


def reopen(db: Database, chosen: Sequence[str], *, by_filter: bool = False) -> list[Acted]:
    """Mark resolved dead letters as unresolved again."""

    def objection(letter: DeadLetter) -> NotifyctlError | None:
        return None if letter.resolved else Conflict(f"dead letter {letter.notification_id} is not resolved")

    def work(tx: Tx) -> list[Acted]:
        letters, others = bulk.split(chosen, store.lock(tx, chosen), objection, WHAT, by_filter=by_filter)
        done = store.reopen(tx, [letter.notification_id for letter in letters])
        _audit(tx, "reopen", letters, done, {"resolved": [True, False]})
        return bulk.in_order(chosen, done, "reopened", others)

    return db.write(work)


# Helpers


def _is_dealt_with(letter: DeadLetter) -> Conflict | None:
    if not letter.resolved:
        return None
    return Conflict(f"dead letter {letter.notification_id} is resolved", "--force retries it all the same")


def _unmade(letter: DeadLetter, gone: Set[str]) -> Conflict | None:
    if letter.template_id not in gone:
        return None
    return planning.unmade(letter.notification_id, f"notifyctl dlq resolve {letter.notification_id}")


def _better(
    found: str | NotifyctlError, entry: str | NotifyctlError | None, by_entry: Mapping[str, str]
) -> str | NotifyctlError:
    if isinstance(found, str):
        return found
    if isinstance(entry, str):
        return by_entry[entry]
    return entry if isinstance(entry, UsageError) else found


def _audit(tx: Tx, action: Action, letters: Sequence[DeadLetter], done: set[str], change: Mapping[str, Any]) -> None:
    changes = [(letter.id, {"notification_id": letter.notification_id, **change}) for letter in letters]
    kept = [each for each, letter in zip(changes, letters, strict=True) if letter.notification_id in done]
    tx.audit(action, "dead_letter", kept)


def _suppressed(tx: Tx, letters: Sequence[DeadLetter]) -> list[SuppressedAddress]:
    targets = set()
    for letter in letters:
        channel = Channel(letter.message_type)
        try:
            content = parse(letter.payload, channel)
        except (InvalidPayload, NewerPayload):
            continue
        if needs_address(channel, content):
            targets.add((letter.user_id, channel, own_address(channel, content)))
    return store.suppressed(tx, targets)
