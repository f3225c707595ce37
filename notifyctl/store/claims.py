"""Claiming: take what is due for one provider, put it through the gate, lease what may be sent. One short transaction.

Claims are per provider, critical first, then oldest due, on the partial index `idx_notifications_due`. A leased row
keeps its place in that index and is passed over; when its lease has ended it is simply due again, and what the attempt
before came to is unknown.

A paused provider's backlog is not looked at, but for two: its own claim takes one row as a probe when it is time for
one, and the claim of the provider that stands in for it takes what may go by another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, Select, String, and_, bindparam, select
from sqlalchemy.types import TypeEngine

from notifyctl.core import content, failover, flow, history
from notifyctl.core.audience import message, needs_address
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.decide import Attempt, Bury, Retry, Sent, decide
from notifyctl.core.gate import Cancel, Defer, Facts, Fail, Send, Verdict, gate
from notifyctl.core.model import Category, Channel, Claim, Message, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store import admission, metrics, providers, transitions
from notifyctl.store.addresses import best_address
from notifyctl.store.dialect import Dialect
from notifyctl.store.states import QUEUED, free_at
from notifyctl.store.tables import notifications, suppressions, users
from notifyctl.store.transitions import Burial, Cancellation, Lease, Return

NEWER_PAYLOAD_WAIT_MS = 5 * 60_000
LEASE_MARGIN_MS = 5_000

Gate = Callable[[Facts], Verdict]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. `lease_ms` is the least lease; `due_by` bounds what counts as due (None: now).

    `stands_in_for` is believed to fail; the claim looks whether that is so.
    """

    provider: str
    holder: str
    limit: int
    lease_ms: int
    due_by: int | None = None
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    gate: Gate = gate
    stands_in_for: tuple[admission.StandIn, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What was taken. `now` is the database's moment of the claim, `lease_ms` and `deadline_ms` count from before it.

    `held` says why nothing may be sent now (paused, open, throttled, disabled, rate limit) or no more than a probe,
    `wait_ms` for how long that is sure. `version` changes whenever the provider's configuration does. `settled` counts
    what the gate and lost attempts ended, by what became of it. `spared`: a probe was left to be taken first.
    """

    now: int
    claims: tuple[Claim, ...] = ()
    held: str | None = None
    wait_ms: int | None = None
    lease_ms: int = 0
    deadline_ms: int = 0
    version: int = 0
    settled: Mapping[str, int] = field(default_factory=dict)
    spared: bool = False

    @property
    def probes(self) -> bool:
        """Whether a probe was taken."""
        return any(each.probe for each in self.claims)


def claim(conn: Connection, dialect: Dialect, order: Order, now: int) -> Batch:
    """Take at most `order.limit` notifications that are due."""
    provider = admission.row(conn, dialect, order.provider, now)
    held = admission.hold(provider, now)
    probing = held is not None and admission.probe_is_due(provider, now)
    if provider is None or (held is not None and not probing):
        return Batch(now, held=held, wait_ms=admission.sure_wait(provider, held, now))
    allowed = admission.allowed(provider, now, 1 if probing else order.limit)
    if allowed == 0:
        return Batch(now, held="rate limit", wait_ms=max(1, provider.next_permit_us // 1_000 - now))
    others = admission.Others(conn, () if probing else order.stands_in_for, now)
    due = [_read(row) for row in _rows(conn, dialect, order, others, now, allowed)]
    deadline = provider.timeout_seconds * 1_000
    length = max(order.lease_ms, 2 * deadline + LEASE_MARGIN_MS)
    sorting = _Sorting(order, now, _Terms(provider, now, probing, others.reasons), _suppressed(conn, dialect, due))
    for each in due:
        sorting.sort(each)
    claims = sorting.write(conn, dialect, until=now + length)
    if claims and provider.rate_limit:
        admission.take_permits(conn, dialect, provider, now, len(claims))
    if claims and probing:
        admission.take_probe(conn, provider, now, length)
    return Batch(
        now,
        claims,
        held=held,
        lease_ms=length,
        deadline_ms=deadline,
        version=provider.updated_at,
        settled=sorting.settled(),
        spared=others.spared,
    )


def _rows(conn: Connection, dialect: Dialect, order: Order, others: admission.Others, now: int, most: int) -> list[Any]:
    moment = min(now, order.due_by or now)
    taken = {"provider": order.provider, "moment": moment, "most": most}
    own = list(conn.execute(_due(dialect), taken).all())
    over = _due(dialect, failing_over=True)
    more = [row for name in others.reasons for row in conn.execute(over, {**taken, "provider": name}).all()]
    return sorted([*own, *more], key=lambda row: (not row.is_critical, row.due_at))[:most] if more else own


@cache
def _due(dialect: Dialect, *, failing_over: bool = False) -> Select[Any]:
    c = notifications.c
    moment: ColumnElement[int] = bindparam("moment", type_=BigInteger)
    picked = (
        select(
            c.id,
            c.user_id,
            c.message_type,
            c.payload,
            c.attempt_count,
            c.max_retries,
            c.due_at,
            c.lease_id,
            c.last_attempted,
            c.expires_at,
            c.created_at,
            c.send_at,
            c.retry_history,
            c.is_critical,
            c.provider,
            c.fails_over,
        )
        .where(c.provider == bindparam("provider"), QUEUED, c.due_at <= moment, free_at(moment))
        .order_by(c.is_critical.desc(), c.due_at)
        .limit(bindparam("most", type_=Integer))
    )
    if failing_over:  # another provider may take it
        picked = picked.where(c.fails_over, c.lease_id.is_(None))
    # Materialized: in a nested loop the LIMIT could be run again, and claim too much.
    due = dialect.skip_locked(picked, notifications).cte("due").prefix_with("MATERIALIZED")
    address = best_address(due.c.user_id, due.c.message_type, users.c.email).label("address")
    addressed = select(due, address).join_from(due, users, users.c.id == due.c.user_id)
    # Materialized as well: the address would be found once to be compared and once to be returned.
    a = addressed.cte("addressed").prefix_with("MATERIALIZED").c
    same = and_(suppressions.c.channel == a.message_type, suppressions.c.address == a.address)
    return (
        select(*a, suppressions.c.reason.label("suppression"))
        .join_from(a.id.table, suppressions, same, isouter=True)
        .order_by(a.is_critical.desc(), a.due_at)
    )


@dataclass(frozen=True, slots=True)
class _Due:
    """A row that is due, its payload read; `problem` is why it could not be."""

    row: Any
    message: Message
    problem: InvalidPayload | NewerPayload | None = None


def _read(row: Any) -> _Due:
    channel = Channel(row.message_type)
    try:
        payload = content.parse(row.payload, channel)
    except (InvalidPayload, NewerPayload) as problem:
        return _Due(row, Message(row.id, channel, None, {}), problem)
    return _Due(row, message(row.id, channel, payload, row.address))


def _suppressed(conn: Connection, dialect: Dialect, due: Sequence[_Due]) -> dict[tuple[str, str], str]:
    """Return why, for those addresses that payloads name themselves and that are suppressed."""
    addresses = {
        (each.message.channel.value, each.message.to)
        for each in due
        if each.message.to and each.message.to != each.row.address
    }
    if not addresses:
        return {}
    found = conn.execute(_reasons(dialect), dialect.bind("v", _ADDRESS, sorted(addresses)))
    return {(row.channel, row.address): row.reason for row in found}


_ADDRESS: dict[str, TypeEngine[Any]] = {"channel": String(20), "address": String(1024)}


@cache
def _reasons(dialect: Dialect) -> Select[Any]:
    v, c = dialect.rowset("v", _ADDRESS), suppressions.c
    same = (c.channel == v.c.channel) & (c.address == v.c.address)
    return select(c.channel, c.address, c.reason).join_from(v, suppressions, same)


class _Terms:
    """What the provider's row says of every claim of the batch; `reasons` are why others' rows are taken over."""

    def __init__(self, provider: Any, now: int, probing: bool, reasons: Mapping[str, str]) -> None:
        began = provider.window_started_at
        self.version: int = provider.updated_at
        self.probe = probing
        self.watched = bool(provider.window_failures) and began is not None and began > now - flow.WINDOW_MS
        self.traced = providers.is_polled(provider.config_json)
        self.reasons = reasons


class _Sorting:
    """Puts each row that is due where it belongs, then writes each heap with one statement."""

    def __init__(self, order: Order, now: int, terms: _Terms, suppressed: Mapping[tuple[str, str], str]) -> None:
        self._order = order
        self._now = now
        self._terms = terms
        self._suppressed = suppressed
        self._lease_id = str(uuid.uuid4())
        self._leases: list[Lease] = []
        self._takeovers: list[Lease] = []
        self._claims: list[Claim] = []
        self._burials: list[Burial] = []
        self._cancellations: list[Cancellation] = []
        self._returns: list[Return] = []
        self._metric_at: dict[str, int] = {}

    def sort(self, due: _Due) -> None:
        row = due.row
        self._metric_at[row.id] = row.send_at if row.send_at is not None else row.created_at
        past = row.retry_history
        if row.lease_id is not None:
            lost = self._lost_attempt(due)
            past = history.append(past, lost.entry)
            if isinstance(lost, Bury):
                self._bury(row, lost.category, lost.error, past)
                return
        if due.problem is not None:
            self._unreadable(row, due.problem, past)
            return
        self._gated(due, past)

    def _lost_attempt(self, due: _Due) -> Bury | Retry:
        """Decide what an expired lease means: nobody knows what the attempt came to."""
        row = due.row
        attempt = Attempt(
            number=row.attempt_count,
            max_retries=row.max_retries,
            provider=self._order.provider,
            began_at=row.last_attempted or row.due_at,
            ended_at=self._now,
        )
        outcome = Outcome(Kind.UNKNOWN, "the dispatcher was lost in the call; nobody knows what came of it")
        lost = decide(attempt, outcome, 0.0, self._order.on_unknown.get(due.message.channel, OnUnknown.RETRY))
        assert not isinstance(lost, Sent)  # noqa: S101 - an unknown outcome is never an accepted one
        return lost

    def _unreadable(self, row: Any, problem: InvalidPayload | NewerPayload, past: str | None) -> None:
        if isinstance(problem, NewerPayload):
            self._return(row, self._now + NEWER_PAYLOAD_WAIT_MS, str(problem), past)
        else:
            self._bury(row, Category.INVALID_PAYLOAD, str(problem), past)

    def _gated(self, due: _Due, past: str | None) -> None:
        row, to_send = due.row, due.message
        facts = Facts(
            now=self._now,
            expires_at=row.expires_at,
            needs_address=needs_address(to_send.channel, to_send.content),
            address=to_send.to,
            suppression=self._why_suppressed(due),
        )
        match self._order.gate(facts):
            case Send():
                self._take(due, past)
            case Defer(until, reason):
                self._return(row, until, reason, past)
            case Cancel(reason):
                self._cancellations.append(Cancellation(row.id, row.lease_id, reason))
            case Fail(category, reason):
                self._bury(row, category, reason, past)

    def _take(self, due: _Due, past: str | None) -> None:
        row, mine = due.row, self._order.provider
        if row.provider == mine:
            self._leases.append(Lease(row.id, row.lease_id, past))
        else:
            past = history.append(
                past, failover.entry(row.provider, mine, self._now, self._terms.reasons[row.provider])
            )
            self._takeovers.append(Lease(row.id, row.lease_id, past))
        self._claims.append(self._claim(due, past))

    def _why_suppressed(self, due: _Due) -> str | None:
        to = due.message.to
        own: str | None = due.row.suppression if to == due.row.address else None
        return own or self._suppressed.get((due.message.channel.value, to or ""))

    def _claim(self, due: _Due, past: str | None) -> Claim:
        row = due.row
        return Claim(
            id=row.id,
            user_id=row.user_id,
            lease_id=self._lease_id,
            provider=self._order.provider,
            message=due.message,
            attempt=row.attempt_count + 1,
            max_retries=row.max_retries,
            due_at=row.due_at,
            metric_at=self._metric_at[row.id],
            provider_version=self._terms.version,
            retry_history=past,
            fails_over=row.fails_over and row.lease_id is None,
            probe=self._terms.probe,
            watched=self._terms.watched,
            traced=self._terms.traced,
        )

    def _bury(self, row: Any, category: Category, reason: str, past: str | None) -> None:
        clear = row.lease_id is None
        self._burials.append(Burial(row.id, row.lease_id, self._now, category, reason, None, past, clear))

    def _return(self, row: Any, due_at: int, reason: str, past: str | None) -> None:
        clear = row.lease_id is None  # else it may have gone out
        self._returns.append(Return(row.id, row.lease_id, due_at, row.attempt_count, reason, None, past, clear))

    def write(self, conn: Connection, dialect: Dialect, until: int) -> tuple[Claim, ...]:
        """Write the heaps and return the claims whose lease is held."""
        ended = [*self._burials, *self._cancellations]
        if self._burials:
            transitions.bury(conn, dialect, self._burials)
        if self._cancellations:
            transitions.cancel(conn, dialect, self._cancellations)
        if self._returns:
            transitions.give_back(conn, dialect, self._returns)
        if ended:
            metrics.mark_dirty(conn, [self._metric_at[each.id] for each in ended], self._now)
        held = self._lease(conn, dialect, self._leases, until)
        held |= self._lease(conn, dialect, self._takeovers, until, self._order.provider)
        return tuple(each for each in self._claims if each.id in held)

    def _lease(
        self, conn: Connection, dialect: Dialect, leases: Sequence[Lease], until: int, provider: str | None = None
    ) -> set[str]:
        if not leases:
            return set()
        return transitions.lease(
            conn,
            dialect,
            leases,
            lease_id=self._lease_id,
            holder=self._order.holder,
            now=self._now,
            until=until,
            provider=provider,
        )

    def settled(self) -> dict[str, int]:
        """Return how many were ended or put off without being sent."""
        return {
            "dead": len(self._burials),
            "cancelled": len(self._cancellations),
            "deferred": len(self._returns),
        }
