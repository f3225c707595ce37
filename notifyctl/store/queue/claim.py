"""Claiming: lease what is due for one provider, then settle what shall not be sent. One short transaction.

Claims are per provider, critical first, then oldest due, on the partial index `idx_notifications_due`. A leased row
keeps its place in that index and is passed over; when its lease has ended it is simply due again, and what the attempt
before came to is unknown. All that is due is leased, then triaged (`core.triage`); what is not taken gets its attempt
and the lease back before the commit.

A paused provider's backlog is not looked at, but for two: its own claim takes one row as a probe when it is time for
one, and the claim of the provider that stands in for it takes what may go by another.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from sqlalchemy import select

from notifyctl.core import clockstep, ratelimit, senders
from notifyctl.core.change import Bury, Cancel, Change, Confirm, Defer, Park, Release, Row
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Facts, Verdict, gate
from notifyctl.core.health import Hold
from notifyctl.core.model import Channel, Claim, Message, OnUnknown
from notifyctl.core.policy import Policy
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.suppression import NOTHING, AddressKey, Reasons, Stops, asked, stops
from notifyctl.core.triage import Due, Reading, Terms, answered, read, remembered, triage
from notifyctl.store import early, providers, receipts, standings, suppressions
from notifyctl.store.db.tx import Tx
from notifyctl.store.early import EarlyReceipt
from notifyctl.store.hours import METRIC_AT
from notifyctl.store.queue import idle, parked, take
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.opening import Opened, opened
from notifyctl.store.queue.rules import Rules
from notifyctl.store.queue.states import IN_QUEUE
from notifyctl.store.queue.take import MOST_BYTES, LeaseRequest, Taken
from notifyctl.store.schema.tables import notifications
from notifyctl.store.standings import Counted

_SETTLED: Mapping[type[Change], str] = {
    Bury: "dead",
    Cancel: "cancelled",
    Defer: "deferred",
    Park: "held",
    Confirm: "confirmed",
}


@dataclass(frozen=True, slots=True)
class StandIn:
    """A provider that another one stands in for while it fails.

    `spares_probes`: somebody here works for it as well, and what is due when a probe is due is left to that one.
    """

    provider: str
    spares_probes: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What to claim: due notifications of a provider, at most `limit`.

    `lease_ms` is the least lease; `due_by` bounds what counts as due (None: now). `stands_in_for` is believed to fail;
    the claim looks whether that is so. Of large messages no more than `room` bytes are taken; `alone`: none is in
    flight, and one may be larger than that. `lost` are dispatchers whose leases may be taken over when they have ended,
    `undecided` those of whom nobody can say yet. `lease_id` is the new lease's, `unheard` are those of claims of which
    it is not known whether they were stored: nobody works on what was taken by them.
    """

    provider: str
    holder: str
    limit: int
    lease_ms: int
    due_by: int | None = None
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    gate: Callable[[Facts], Verdict] = gate
    policy: Policy = field(default_factory=Policy)
    stands_in_for: tuple[StandIn, ...] = ()
    room: int = MOST_BYTES
    alone: bool = True
    lost: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()
    lease_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    unheard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken. `now` is the database's moment of the claim, `lease_ms` and `deadline_ms` count from before it.

    `held` says why nothing may be sent now or no more than a probe, `wait_ms` for how long that is sure. `ceiling` is
    how many calls may be in flight, where that is bounded. `version` changes whenever the provider's configuration
    does. `settled` counts what was ended or put off instead, by kind. `spared`: a probe was left to be taken first.
    `crowded`: large messages were left until others have ended.
    `unproven`: something may be a lost dispatcher's, which cannot be said yet. `is_heard`: webhooks may have been told
    of what was settled.
    """

    now: int
    claims: tuple[Claim, ...] = ()
    held: Hold | None = None
    wait_ms: int | None = None
    lease_ms: int = 0
    deadline_ms: int = 0
    version: int = 0
    settled: Mapping[str, int] = field(default_factory=dict)
    spared: bool = False
    unproven: bool = False
    ceiling: int | None = None
    crowded: bool = False
    is_heard: bool = False

    @property
    def probes(self) -> bool:
        """Whether a probe was taken."""
        return any(each.probe for each in self.claims)


def claim(tx: Tx, order: ClaimRequest) -> Batch:
    """Take at most `order.limit` notifications that are due."""
    if order.unheard:
        give_back(tx, order.provider, order.unheard)
    batch = Batch(tx.now) if _is_idle(tx, order) else _claimed(tx, order, order.lease_id)
    if batch.claims or not order.undecided:
        return batch
    return replace(batch, unproven=take.held_by(tx, order.provider, _moment(tx, order), order.undecided))


def _is_idle(tx: Tx, order: ClaimRequest) -> bool:
    """Return whether a run that ends has nothing to claim, where that is quicker asked than claimed."""
    if order.due_by is None or order.stands_in_for or take.USUAL.is_compiled(tx.dialect):
        return False
    return idle.nothing_is_due(tx, order.provider, _moment(tx, order))


def _claimed(tx: Tx, order: ClaimRequest, lease_id: str) -> Batch:
    if not order.stands_in_for:
        taken = take.usual(tx, _wanted(tx, order, lease_id))
        if taken is not None:
            return _batch(tx, taken, _terms(tx, order, taken, lease_id))
    return _look_closer(tx, order, lease_id)


def give_back(tx: Tx, provider: str, unheard: Sequence[str]) -> None:
    """Release what was taken by claims whose COMMIT was not answered: no call was begun. No index leads there."""
    n = notifications.c
    columns = (n.id, n.lease_id, n.provider, n.message_type, METRIC_AT, n.due_at, n.attempt_count, n.last_attempted)
    ours = (n.provider == provider, IN_QUEUE, tx.dialect.is_any(n.lease_id, unheard))
    counted = select(n.id, n.user_id, n.message_type, n.counted_at).where(*ours, n.counted_at == n.last_attempted)
    standings.give_back(tx, [Counted(*row) for row in tx.execute(counted)])
    found = tx.execute(select(*columns).where(*ours))
    apply(
        tx,
        [
            Release(Row(id_, lease_id, by, Channel(channel), metric_at), due_at, attempts - 1, last)
            for id_, lease_id, by, channel, metric_at, due_at, attempts, last in found
        ],
    )


def _look_closer(tx: Tx, order: ClaimRequest, lease_id: str) -> Batch:
    """Claim where the provider is held, limited, probed, or stands in for another."""
    provider = providers.get(tx, order.provider)
    if provider is not None and _is_to_lock(provider, tx.now):
        provider = providers.lock(tx, order.provider)  # permits and probes are shared by all dispatchers
    if provider is None:
        return Batch(tx.now, held=Hold.UNKNOWN)
    held = provider.hold(tx.now)
    probing = held is not None and provider.probe_due(tx.now)
    if held is not None and not probing:
        return Batch(tx.now, held=held, wait_ms=provider.health.sure_wait_ms(tx.now))
    ceiling = 1 if probing else provider.health.ceiling
    most = _permitted(provider, tx.now, order.limit if ceiling is None else min(order.limit, ceiling))
    if most == 0:
        wait_ms = max(1, provider.next_permit_us // 1_000 - tx.now)
        return Batch(tx.now, held=Hold.RATE_LIMIT, wait_ms=wait_ms, ceiling=ceiling)
    others = _Others.of(tx, () if probing else order.stands_in_for)
    wanted = _wanted(tx, order, lease_id, most=most)
    taken = take.closer(tx, wanted, provider, tuple(others.reasons), provider.health.probe_of if probing else None)
    terms = _terms(tx, order, taken, lease_id, probe=probing, taken_over=others.reasons)
    gate = senders.Gate(senders.parse(provider.health.held_senders), tx.now, taken.lease_ms)
    terms = replace(terms, waits_until=gate.waits_until) if gate.held else terms
    batch = _batch(tx, taken, terms, held=held, spared=others.spared)
    if batch.claims and provider.rate_limit:
        providers.set_next_permit(tx, provider.id, _next_permit(provider, tx.now, len(batch.claims)))
    health = replace(provider.health, held_senders=senders.text(gate.held))
    if batch.claims and probing:
        health = health.probing(tx.now, batch.lease_ms, batch.claims[0].id)
    if batch.claims and health != provider.health:
        providers.set_health(tx, provider.id, health)
    return replace(batch, ceiling=ceiling)


def _is_to_lock(provider: ProviderConfig, now: int) -> bool:
    is_shared = provider.rate_limit or provider.probe_due(now) or provider.health.held_senders
    return bool(is_shared) or clockstep.in_step(provider, now) is not provider


@dataclass(frozen=True, slots=True)
class _Others:
    """Those for whom the provider stands in. `reasons` says of those that fail why; `spared` is as in `Batch`."""

    reasons: Mapping[str, str]
    spared: bool

    @classmethod
    def of(cls, tx: Tx, stand_ins: Sequence[StandIn]) -> _Others:
        reasons, spared = {}, False
        for each in stand_ins:  # one or two: the providers of one channel
            other = providers.get(tx, each.provider)
            if other is None or not other.fails(tx.now):
                continue
            if each.spares_probes and other.probe_due(tx.now):
                spared = True
            else:
                reasons[each.provider] = f"{each.provider} is {other.hold(tx.now)}: {other.health.pause_reason}"
        return cls(reasons, spared)


def _permitted(provider: ProviderConfig, now: int, limit: int) -> int:
    if not provider.rate_limit:
        return limit
    return ratelimit.take(provider.next_permit_us, now, provider.rate_limit, limit)[0]


def _next_permit(provider: ProviderConfig, now: int, count: int) -> int:
    return ratelimit.take(provider.next_permit_us, now, provider.rate_limit or 0, count)[1]


def _wanted(tx: Tx, order: ClaimRequest, lease_id: str, most: int | None = None) -> LeaseRequest:
    limit = order.limit if most is None else most
    bounds, lost = (order.room, order.alone), tuple(order.lost)
    start = (order.provider, _moment(tx, order), limit, lease_id, order.holder, tx.now, order.lease_ms)
    return LeaseRequest(*start, *bounds, lost)


def _moment(tx: Tx, order: ClaimRequest) -> int:
    return tx.now if order.due_by is None else min(tx.now, order.due_by)


def _terms(
    tx: Tx,
    order: ClaimRequest,
    taken: Taken,
    lease_id: str,
    *,
    probe: bool = False,
    taken_over: Mapping[str, str] | None = None,
) -> Terms:
    return Terms(
        now=tx.now,
        lease_id=lease_id,
        provider=order.provider,
        version=taken.version,
        probe=probe,
        watched=taken.health.is_watched(tx.now),
        polled=taken.polled,
        on_unknown=order.on_unknown,
        taken_over=taken_over or {},
        gate=order.gate,
        policy=order.policy,
    )


def _batch(tx: Tx, taken: Taken, terms: Terms, *, held: Hold | None = None, spared: bool = False) -> Batch:
    """Triage what was leased, and write what is not taken."""
    taken = replace(taken, due=_with_lost_counted(tx, taken.due))
    lost = [row.id for row in taken.due if row.lease_id is not None]
    told = early.about(tx, lost) if lost else []
    rules = Rules(tx.now, terms.policy, taken.due)
    answers = {(each.arrival.notification_id, each.provider): each for each in told}
    _park_others(tx, taken.due)
    claims, changes = _triaged(tx, opened(tx, taken.due), terms, answers, rules)
    rules.write(tx)
    take.leave(tx, [each.of for each in changes if each.of.provider != terms.provider])
    is_heard = bool(changes) and apply(tx, changes).is_heard
    if told:
        receipts.record_kept(tx, told)
    return Batch(
        tx.now,
        tuple(claims),
        held=held,
        lease_ms=taken.lease_ms,
        deadline_ms=taken.deadline_ms,
        version=taken.version,
        settled=Counter(_SETTLED[type(change)] for change in changes if type(change) in _SETTLED),
        spared=spared,
        crowded=taken.crowded,
        is_heard=is_heard,
    )


def _with_lost_counted(tx: Tx, due: Sequence[Due]) -> Sequence[Due]:
    """Return the rows; an attempt that was lost, before its user had a cap, counts for one that is set that day."""
    lost = {
        row.id: Counted(row.id, row.user_id, row.message_type, row.last_attempted)
        for row in due
        if row.lease_id is not None and row.counted_at is None and row.last_attempted is not None
    }
    if not lost:
        return due
    standings.let_count(tx, list(lost.values()))
    return [row._replace(counted_at=lost[row.id].at) if row.id in lost else row for row in due]


def _park_others(tx: Tx, due: Sequence[Due]) -> None:
    """Take what else is held back by what holds one of these out of the queue, in portions."""
    held = parked.among(due)
    for provider in {row.provider for row in due if row.template_held or row.batch_held}:
        parked.park(tx, provider, held, tx.now)


def _triaged(
    tx: Tx, found: Opened, terms: Terms, told: Mapping[tuple[str | None, str], EarlyReceipt], rules: Rules
) -> tuple[list[Claim], list[Change]]:
    readings = [read(row) if row.category is None else rules.addressed(row, read(row)) for row in found.due]
    if found.closed:
        readings = [_closed(found, *each) for each in zip(found.due, readings, strict=True)]
    results = _judged(tx, found, readings, terms, told, rules)
    claims, changes = list[Claim](), list[Change]()
    for row, result in zip(found.due, results, strict=True):
        if not isinstance(result, Claim):
            changes.append(result)
            continue
        if row.id in found.sealed and result.message.to == row.address:
            result = result._replace(veiled=True)
        claims.append(result)
        if (past := remembered(result, row)) is not None:
            changes.append(past)
    return claims, changes


def _closed(found: Opened, row: Due, reading: Reading) -> Reading:
    """Return that a message cannot be read where it would go to an address that does not open."""
    why = found.closed.get(row.id)
    return reading if why is None or not isinstance(reading, Message) or reading.to is not None else why


def _judged(
    tx: Tx,
    found: Opened,
    readings: Sequence[Reading],
    terms: Terms,
    told: Mapping[tuple[str | None, str], EarlyReceipt],
    rules: Rules,
) -> list[Claim | Change]:
    """Judge each row once; where it counts for somebody, or is not to be sent, again when nobody changes the rules."""
    due, known = found.due, _known(tx, found, readings)

    def judge(row: Due, reading: Reading) -> Claim | Change:
        if told and (said := told.get((row.id, row.provider))) is not None:
            heard = said.arrival.without(row.address) if row.id in found.sealed else said.arrival
            return answered(row, heard, terms)
        result = triage(row, reading, _stops(row, reading, known), terms, rules.person(row))
        return rules.taken(row, result) if isinstance(result, Claim) else result

    results = [judge(row, reading) for row, reading in zip(due, readings, strict=True)]
    again = [place for place, row in enumerate(due) if rules.is_to_ask_again(row, results[place])]
    if again:
        rules.hold(tx, [due[place] for place in again], terms.lease_id)
        for place in again:
            results[place] = judge(due[place], readings[place])
    return results


def _stops(row: Due, reading: Reading, known: Reasons) -> Stops:
    return stops(reading, row.address, row.suppression, known) if isinstance(reading, Message) else NOTHING


def _known(tx: Tx, found: Opened, readings: Sequence[Reading]) -> Reasons:
    """Return why addresses are suppressed that the claim's own statement did not look up."""
    wanted: list[AddressKey] = []
    for row, reading in zip(found.due, readings, strict=True):
        if isinstance(reading, Message):
            # Where addresses are sealed a statement finds none of them by itself.
            wanted += asked(reading, row.address if found.known.are_plain else None)
    return suppressions.reasons(tx, wanted, found.known)
