"""Receipts: written to the notifications that they are about, with the suppressions and pauses that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import String, select

from notifyctl.core.audience import copies, group, own_address
from notifyctl.core.change import Confirm
from notifyctl.core.confirmation import answer
from notifyctl.core.errors import EncryptionKeyAway
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Cause
from notifyctl.core.json_codec import stored
from notifyctl.core.model import Channel, metric_at
from notifyctl.core.patterns import pattern
from notifyctl.core.receipt import Arrival, DeliveryState, Receipt
from notifyctl.core.suppression import key, shown
from notifyctl.core.weigh import Addressee, Counts, Weighed, reason_to_pause, weigh
from notifyctl.store import early, lookups, providers
from notifyctl.store.addresses import best_address
from notifyctl.store.db.tx import Tx
from notifyctl.store.early import EarlyReceipt
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.follow import follow_words
from notifyctl.store.schema.tables import notifications, users
from notifyctl.store.suppressions import AddressNews

n = notifications.c

_UUID = pattern(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


Found = list[tuple[Arrival, Addressee | None]]
"""Receipts, each with the notification that it is of."""


@dataclass(frozen=True, slots=True)
class RecordedReceipts:
    """What a batch of receipts changed; `paused` is why its provider was paused just now.

    `changes` counts the notifications that know more by it, and the receipts that were kept.
    """

    counts: Counts
    paused: str | None = None
    changes: int = 0


def record(tx: Tx, provider: str, arrivals: Sequence[Arrival], channel: Channel | None = None) -> RecordedReceipts:
    """Write what receipts of one provider say, and what follows for addresses, metrics and the provider itself.

    What an attempt in doubt came to is known by them; those that come before the result of their call are kept.
    `channel` is the provider's: with it, what receipts of no notification here say of addresses is learned as well.
    """
    report, early_ones = _record(tx, provider, [_tidy(each) for each in arrivals], channel)
    early.keep(tx, provider, early_ones)
    return report


def look_again(tx: Tx) -> dict[str, RecordedReceipts]:
    """Write what kept receipts say at which it is time to look again; return what was recorded, by provider."""
    return record_kept(tx, early.due(tx))


def record_kept(tx: Tx, kept: Sequence[EarlyReceipt]) -> dict[str, RecordedReceipts]:
    """Write what receipts say that were kept; those that still match nothing wait on."""
    reports = dict[str, RecordedReceipts]()
    for provider in sorted({each.provider for each in kept}):
        some = [each for each in kept if each.provider == provider]
        reports[provider], too_early = _record(tx, provider, [each.arrival for each in some], again=True)
        waiting = set(too_early)
        early.forget(tx, [each.id for each in some if each.arrival not in waiting])
        early.put_off(tx, [each for each in some if each.arrival in waiting])
    return reports


def _record(
    tx: Tx, provider: str, arrivals: Sequence[Arrival], channel: Channel | None = None, *, again: bool = False
) -> tuple[RecordedReceipts, list[Arrival]]:
    """Write what can be written; return the receipts for which it is too early as well."""
    found = _found(tx, provider, arrivals)
    answers = _answers(found, provider, tx.now)
    if answers:
        apply(tx, answers)
        found = _found(tx, provider, arrivals)
    weighed = weigh(found, provider, tx.now, again=again)
    apply(tx, weighed.changes)
    learned = follow_words(tx, list(_said(weighed, channel)))
    weighed.counts.suppressed, weighed.counts.lifted = learned.suppressed, learned.lifted
    changes = len(weighed.changes) + len(weighed.early) * (not again)
    return RecordedReceipts(weighed.counts, _pause(tx, provider, weighed.complaints), changes), weighed.early


def account(tx: Tx, reports: Mapping[str, RecordedReceipts]) -> None:
    """Write into the audit trail that an operator took in receipts, by provider: what dispatchers do all the time."""
    for provider, report in reports.items():
        if report.changes:
            said = {name: count for name, count in asdict(report.counts).items() if count}
            tx.audit("ingest", "receipt", [(None, {"provider": provider, **said})])


def _answers(found: Found, provider: str, now: int) -> list[Confirm]:
    """Return that notifications are sent after all of whose attempts nobody knew what came, each once."""
    answers = dict[str, Confirm]()
    for arrival, row in found:
        if row is not None and row.id not in answers and (change := answer(row, arrival, provider, now)) is not None:
            answers[row.id] = change
    return list(answers.values())


def _tidy(arrival: Arrival) -> Arrival:
    """Return a receipt without an id that is none of ours."""
    given = arrival.notification_id
    return arrival if given is None or _UUID.fullmatch(given) else replace(arrival, notification_id=None)


def _pause(tx: Tx, provider: str, complaints: Sequence[tuple[Receipt, int]]) -> str | None:
    """Pause the provider where a receipt says that its account cannot send; return why, if it is paused by this."""
    config = providers.lock(tx, provider) if complaints else None
    reason = None if config is None else reason_to_pause(complaints, config.updated_at, tx.now)
    if config is None or reason is None or providers.pause(tx, provider, reason, cause=Cause.CONFIG) is None:
        return None
    tx.audit("pause", "provider", [(config.id, {"provider": provider, "reason": reason})])
    return reason


def _said(weighed: Weighed, channel: Channel | None) -> Iterable[AddressNews]:
    """Return what was said of addresses, as they are kept."""
    for refusal, row in weighed.refusals:
        of = channel if row is None else row.channel
        if of is not None:
            address = shown(of, refusal.address, None if row is None else row.own)
            yield AddressNews(of, replace(refusal, address=address), None if row is None else row.id)


# Finding


def _found(tx: Tx, provider: str, arrivals: Sequence[Arrival]) -> Found:
    """Return each receipt with the notification that it is of, locked until the transaction ends."""
    named = {each.notification_id for each in arrivals if each.notification_id}
    by_message = _ids_by_message(tx, provider, {each.provider_message_id for each in arrivals})
    rows = _rows(tx, sorted(named | set(by_message.values())))
    return [
        (each, rows.get(each.notification_id or "") or rows.get(by_message.get(each.provider_message_id or "", "")))
        for each in arrivals
    ]


def _ids_by_message(tx: Tx, provider: str, message_ids: Iterable[str | None]) -> dict[str, str]:
    wanted = [(each,) for each in sorted(each for each in message_ids if each)]
    if not wanted:
        return {}
    v = tx.dialect.rowset("v", {"message_id": String(255)}, wanted)
    statement = select(n.provider_message_id, n.id).where(
        n.provider_message_id == v.c.message_id, n.provider == provider
    )
    return {row[0]: row[1] for row in tx.execute(statement)}


def _rows(tx: Tx, ids: Sequence[str]) -> dict[str, Addressee]:
    if not ids:
        return {}
    of_them = tx.dialect.is_any(n.id, ids)
    contact = best_address(n.user_id, n.message_type, users.c.email)
    contacts = select(n.id, contact).join_from(notifications, users, users.c.id == n.user_id).where(of_them)
    own = {row[0]: row[1] for row in tx.execute(contacts)}
    # In the order of their ids: two that write the same ones wait for each other one way only.
    statement = select(notifications).where(of_them).order_by(n.id)
    return {row.id: _row(tx, row, own.get(row.id)) for row in tx.execute(tx.dialect.lock_row(statement))}


def _row(tx: Tx, row: Any, contact: str | None) -> Addressee:
    channel = Channel(row.message_type)
    content: Mapping[str, Any] = stored(row.payload, {})
    named, went_to = own_address(channel, content), row.sent_to or contact
    return Addressee(
        id=row.id,
        lease_id=row.lease_id,
        channel=channel,
        provider=row.provider,
        status=row.status,
        sent_at=row.created_at if row.sent_at is None else row.sent_at,
        metric_at=metric_at(row.created_at, row.send_at),
        known=DeliveryState(row.delivered_at, row.bounced_at, row.receipt),
        receipt_due_at=row.receipt_due_at,
        own=named or _opened(tx, row.user_id, channel.value, went_to),
        veiled=named is None and lookups.is_sealed(went_to),
        copies=frozenset(_copies(content)) if channel is Channel.EMAIL else frozenset(),
        group=group(content),
        leased_until=row.leased_until,
        attempt_count=row.attempt_count,
        last_attempted=row.last_attempted,
        retry_history=row.retry_history,
    )


def _opened(tx: Tx, user_id: str, channel: str, address: str | None) -> str | None:
    """Return where a notification went. Where that does not open here, what its receipt says of an address has to do:
    it would else keep all others waiting that came with it."""
    try:
        return lookups.opened_or_none(tx, user_id, channel, address)
    except EncryptionKeyAway:
        return None


def _copies(content: Mapping[str, Any]) -> Iterable[str]:
    return (key(Channel.EMAIL, each).folded for field in ("cc", "bcc") for each in copies(content, field))
