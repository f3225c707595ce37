"""The pure core in a world of its own: time, store, wire and fate come from one seed, to be replayed.

Real are `triage` (with the gate), `decide` (with the backoff), the changes, the rate limit and the history. The store
is a model of the semantics that SQL implements: a claim leases what is due, a change holds only for whoever still has
the lease. Fate delays everything, kills dispatchers, loses COMMITs and their answers.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from notifyctl.core import history
from notifyctl.core.change import Bury, Cancel, Change, Release, Retry, Sent
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Channel, Claim, Message, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.ratelimit import take
from notifyctl.core.suppression import NOTHING
from notifyctl.core.triage import Due, Terms, triage

DEADLINE_MS = 1_000
LEASE_MS = 7_000
MARGIN_MS = 1_000
CONCURRENCY = 4
TROUBLE_ENDS_MS = 60_000
AFTERMATH_MS = 30_000
PATIENCE_MS = 24 * 3_600_000

KINDS = (
    (Kind.ACCEPTED, 60),
    (Kind.TRANSIENT, 15),
    (Kind.UNKNOWN, 12),
    (Kind.THROTTLED, 6),
    (Kind.PERMANENT, 4),
    (Kind.RECIPIENT, 3),
)


class Violation(AssertionError):
    """An invariant did not hold."""


@dataclass(frozen=True)
class Safeguards:
    """What the model's dispatchers and store do for safety; a test switches one off to see that it is missed."""

    fence: bool = True
    margin: bool = True
    letters: bool = True


@dataclass
class Row:
    """A notification."""

    id: str
    due_at: int
    max_retries: int
    expires_at: int | None
    status: str = "pending"
    lease: str | None = None
    attempts: int = 0
    began_at: int | None = None
    history: str | None = None
    cancelled_by_hand: bool = False


@dataclass
class Dispatcher:
    """A process: what it has in flight, what waits to be recorded. Dead ones do nothing any more."""

    alive: bool = True
    in_flight: int = 0
    gathered: list[tuple[Claim, Change]] = field(default_factory=list)
    recording: bool = False


class Simulation:
    """One schedule. `run` returns what happened, or raises Violation with the seed in its text."""

    def __init__(self, seed: int, safeguards: Safeguards = Safeguards()) -> None:
        self.seed = seed
        self._safe = safeguards
        self._draw = Random(seed)
        self._now = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._leases = itertools.count(1)
        self.counts: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._letters: Counter[str] = Counter()
        self._policy = self._draw.choice(tuple(OnUnknown))
        self._per_minute = self._draw.choice((None, None, 60, 600))
        self._next_permit_us = 0
        self._permits: list[tuple[int, int]] = []
        self._rows = {str(number): self._row(str(number)) for number in range(self._draw.randint(1, 40))}

    def run(self) -> Counter[str]:
        """Let it happen."""
        for _ in range(self._draw.randint(1, 4)):
            self._spawn()
        for row in self._rows.values():
            if self._draw.random() < 0.15:
                self._at(self._draw.randint(0, TROUBLE_ENDS_MS), lambda row=row: self._cancel(row))
        last = None
        while self._events and (last is None or self._now < last + AFTERMATH_MS):
            self._now, _, act = heapq.heappop(self._events)
            act()
            if last is None and all(row.status != "pending" for row in self._rows.values()):
                last = self._now
            self._hold(self._now < PATIENCE_MS, "it did not come to its end")
        self._check()
        return self.counts

    # The world

    def _row(self, number: str) -> Row:
        due = self._draw.choice((0, 0, self._draw.randint(0, TROUBLE_ENDS_MS)))
        expires = due + self._draw.randint(1_000, 120_000) if self._draw.random() < 0.1 else None
        return Row(number, due, self._draw.randint(0, 6), expires)

    def _at(self, delay: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + delay, next(self._order), act))

    def _delay(self) -> int:
        """A moment; now and then as long as several leases."""
        if self._trouble and self._draw.random() < 0.03:
            return self._draw.randint(0, 3 * LEASE_MS)
        return self._draw.randint(0, 60)

    @property
    def _trouble(self) -> bool:
        return self._now < TROUBLE_ENDS_MS

    def _fate(self) -> str:
        """What becomes of a COMMIT."""
        if not self._trouble:
            return "stored"
        return self._draw.choices(("stored", "lost", "unheard"), (90, 5, 5))[0]

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(f"{what} (seed {self.seed}, at {self._now} ms)")

    def _cancel(self, row: Row) -> None:
        """An operator's cancel, which loses while a lease is running."""
        if row.status != "pending" or (row.lease is not None and row.due_at > self._now):
            return
        if row.lease is not None:
            row.history = history.append(row.history, {"outcome": Kind.UNKNOWN.value})
        row.status, row.lease, row.cancelled_by_hand = "cancelled", None, True
        self.counts["cancelled by hand"] += 1

    # The dispatcher

    def _spawn(self) -> None:
        one = Dispatcher()
        self._at(self._delay(), lambda: self._look(one))

    def _dies(self, one: Dispatcher) -> bool:
        if one.alive and self._trouble and self._draw.random() < 0.01:
            one.alive = False
            self.counts["killed"] += 1
            self._spawn()
        return not one.alive

    def _look(self, one: Dispatcher) -> None:
        if self._dies(one):
            return
        began = self._now
        self._at(self._delay(), lambda: self._claim(one, began))

    def _claim(self, one: Dispatcher, began: int) -> None:
        """The claim's transaction, at the server."""
        fate, claims = self._fate(), []
        if one.alive and fate != "lost":
            claims = self._lease_what_is_due(CONCURRENCY - one.in_flight)
        if fate == "stored":
            one.in_flight += len(claims)
            self._at(self._delay(), lambda: self._begin(one, claims, began))
        else:
            self._at(self._delay() + 500, lambda: self._look(one))

    def _begin(self, one: Dispatcher, claims: list[Claim], began: int) -> None:
        if self._dies(one):
            return
        for claim in claims:
            self._at(self._delay(), lambda claim=claim: self._attempt(one, claim, began))
        self._at(50 if claims else 200, lambda: self._look(one))

    def _attempt(self, one: Dispatcher, claim: Claim, began: int) -> None:
        if self._dies(one):
            return
        if self._safe.margin and LEASE_MS - (self._now - began) < DEADLINE_MS + MARGIN_MS:
            self._gather(one, claim, Release(claim, claim.due_at, claim.attempt - 1, claim.last_attempted))
            return
        outcome = self._provider(claim)
        began_at = self._now
        takes = self._draw.randint(1, DEADLINE_MS)
        self._at(takes + self._delay(), lambda: self._answered(one, claim, outcome, began_at))

    def _provider(self, claim: Claim) -> Outcome:
        row = self._rows[claim.id]
        self.counts["sends"] += 1
        self._hold(row.status == "pending" and row.lease == claim.lease_id, f"{row.id} is sent without the lease")
        self._hold(self._now < row.due_at, f"{row.id} is sent after the lease ended")
        self._hold(self._now >= claim.due_at, f"{row.id} is sent before its time")
        kind = self._draw.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        if kind is Kind.ACCEPTED or (kind is Kind.UNKNOWN and self._draw.random() < 0.5):
            self._delivered[claim.id] += 1
        wish = self._draw.randint(0, 5_000) if kind is Kind.THROTTLED else None
        return Outcome(kind, "fate", retry_after_ms=wish)

    def _answered(self, one: Dispatcher, claim: Claim, outcome: Outcome, began_at: int) -> None:
        if self._dies(one):
            return
        attempt = Attempt(claim, began_at, self._now)
        self._gather(one, claim, decide(attempt, outcome, self._draw.random(), self._policy))

    def _gather(self, one: Dispatcher, claim: Claim, change: Change) -> None:
        one.gathered.append((claim, change))
        if not one.recording:
            one.recording = True
            self._at(self._delay(), lambda: self._record(one))

    def _record(self, one: Dispatcher) -> None:
        """The record's transaction; whoever does not hear of it repeats it."""
        if self._dies(one):
            return
        fate = self._fate()
        batch = one.gathered[:]
        if fate != "lost":
            for claim, change in batch:
                self._write(claim, change)
        if fate == "stored":
            one.in_flight -= len(batch)
            one.gathered.clear()
            one.recording = False
        else:
            self._at(self._delay() + 50, lambda: self._record(one))

    # The store

    def _lease_what_is_due(self, limit: int) -> list[Claim]:
        if self._per_minute is not None:
            limit = take(self._next_permit_us, self._now, self._per_minute, limit)[0] if limit else 0
        due = sorted((row for row in self._rows.values() if row.status == "pending"), key=lambda row: row.due_at)
        lease = str(next(self._leases))
        claims = [self._lease(row, lease) for row in due[:limit] if row.due_at <= self._now]
        taken = [claim for claim in claims if claim is not None]
        if self._per_minute is not None and taken:
            self._next_permit_us = take(self._next_permit_us, self._now, self._per_minute, len(taken))[1]
            self._permits.append((self._now, len(taken)))
        return taken

    def _lease(self, row: Row, lease: str) -> Claim | None:
        """Lease a row, as SQL does before anybody judges it; what is not taken is written at once."""
        if row.lease is not None:
            self.counts["leases expired"] += 1
        due, message = self._due(row), Message(row.id, Channel.EMAIL, "anna@example.org", {})
        row.lease, row.attempts, row.began_at, row.due_at = lease, row.attempts + 1, self._now, self._now + LEASE_MS
        policy = {Channel.EMAIL: self._policy}
        result = triage(due, message, NOTHING, Terms(self._now, lease, "sendgrid", 1, on_unknown=policy))
        if isinstance(result, Claim):
            row.history = result.retry_history
            return result
        self._change(row, result)
        return None

    def _due(self, row: Row) -> Due:
        return Due(
            id=row.id,
            user_id="user",
            message_type=Channel.EMAIL.value,
            payload="{}",
            attempt_count=row.attempts,
            max_retries=row.max_retries,
            due_at=row.due_at,
            lease_id=row.lease,
            last_attempted=row.began_at,
            expires_at=row.expires_at,
            metric_at=0,
            retry_history=row.history,
            is_critical=False,
            provider="sendgrid",
            fails_over=True,
            sent_to="anna@example.org",
            address="anna@example.org",
            suppression=None,
        )

    def _write(self, claim: Claim, change: Change) -> None:
        row = self._rows[claim.id]
        if row.status != "pending" or (self._safe.fence and row.lease != claim.lease_id):
            self.counts["refused writes"] += 1
            return
        self._change(row, change)

    def _change(self, row: Row, change: Change) -> None:
        row.lease, row.status = None, change.AFTER.value
        match change:
            case Release(due_at=due_at, attempt_count=attempts):
                row.due_at, row.attempts = due_at, attempts
            case Retry(due_at=due_at, attempt_count=attempts, retry_history=past):
                row.due_at, row.attempts, row.history = due_at, attempts, past
            case Bury(attempt_count=attempts, retry_history=past):
                row.attempts, row.history = attempts, past
                self._bury(row)
            case Cancel(attempt_count=attempts, retry_history=past):
                row.attempts, row.history = attempts, past
            case _:
                assert isinstance(change, Sent)

    def _bury(self, row: Row) -> None:
        if self._safe.letters:
            self._letters[row.id] += 1

    # What must hold at the end

    def _check(self) -> None:
        for row in self._rows.values():
            self.counts[row.status] += 1
            self._hold(row.status != "pending", f"{row.id} was lost")
            self._hold(row.lease is None, f"{row.id} ended with a lease")
            self._hold(self._letters[row.id] == (row.status == "failed"), f"{row.id}: dead letters")
            self._hold(row.status != "sent" or self._delivered[row.id] > 0, f"{row.id} is sent and never was")
            unknown = sum(entry["outcome"] == "unknown" for entry in history.parse(row.history))
            admitted = unknown + (row.status == "sent")
            self._hold(self._delivered[row.id] <= admitted, f"{row.id} went out more often than it admits")
            self._hold(row.attempts <= row.max_retries + 1, f"{row.id} had too many attempts")
            self.counts["repeated"] += self._delivered[row.id] > 1
        self._check_rate()

    def _check_rate(self) -> None:
        """No minute may hold more than the limit, wherever it begins."""
        if self._per_minute is None:
            return
        for start, (began, _) in enumerate(self._permits):
            total = sum(count for at, count in self._permits[start:] if at < began + 60_000)
            self._hold(total <= self._per_minute, f"{total} permits within a minute")
