"""How the receivers of webhooks fare: numbers for `metrics show --webhooks`, and what `status` says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from notifyctl.core import conditions as core
from notifyctl.core.conditions import Condition, SeenCondition
from notifyctl.core.duration import show_ms
from notifyctl.core.frozen import dataclass
from notifyctl.core.text import word
from notifyctl.core.webhook.target import host_of
from notifyctl.services import metrics
from notifyctl.services.metrics import MetricsQuery
from notifyctl.services.presence import Problem
from notifyctl.services.webhooks import state_of
from notifyctl.store import conditions as condition_store
from notifyctl.store import hookmetrics, webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.hookmetrics import ReceiverCounts

HOUR_MS = 3_600_000
TOLD = 5
"""So many receivers in trouble are named."""
LINES = 10
"""So many have a line in `status`: those in trouble first."""
_STATES = ("disabled", "failing", "resting", "active")


@dataclass(frozen=True, slots=True)
class ReceiverTotals:
    """A webhook and its numbers: what became of deliveries in a stretch of time, and what waits now.

    `ok_percent` is of those delivered and given up. `p50_ms` and `p95_ms` are from what happened until it was there.
    """

    webhook_id: str
    username: str
    name: str
    host: str
    state: str
    total_delivered: int
    total_given_up: int
    total_not_tried: int
    waiting: int
    oldest_undelivered_at: int | None
    ok_percent: float | None
    p50_ms: int | None
    p95_ms: int | None

    @property
    def called(self) -> str:
        """What people call it."""
        return f"{self.username}/{self.name}"


@dataclass(frozen=True, slots=True)
class ReceiversReport:
    """The numbers over whole hours from `since` to before `until`; `now` is when they were read (ms)."""

    since: int
    until: int
    now: int
    rows: list[ReceiverTotals]


@dataclass(frozen=True, slots=True)
class ReceiversLately:
    """What `status` shows: how many there are, those that it has room for with their last hour, and what is wrong.

    Of all of them are `by_state`, how many deliveries are `waiting`, and since when the oldest of those does (ms).
    """

    number: int
    lines: list[ReceiverTotals]
    problems: list[Problem]
    by_state: Mapping[str, int]
    waiting: int = 0
    oldest_undelivered_at: int | None = None


def show(db: Database, query: MetricsQuery) -> ReceiversReport:
    """Return the numbers as they are now. Raises UsageError for no window."""
    with db.read() as tx:
        since, until = metrics.window(query, tx.now)
        return ReceiversReport(since, until, tx.now, _totals(tx, since, until))


def lately(tx: Tx) -> ReceiversLately:
    """Return how they do, and which are in trouble; next to nothing is asked where there are none."""
    rows = _totals(tx, tx.now - HOUR_MS, tx.now + HOUR_MS)
    if not rows:
        return ReceiversLately(0, [], [], _by_state(rows))
    worst = sorted(rows, key=lambda each: (_STATES.index(each.state), each.oldest_undelivered_at or tx.now))
    found = core.of_receivers(condition_store.receivers(tx), tx.now)
    stalled = condition_store.stalled_delivery(tx)
    problems = [*_of_conditions(found), *([] if stalled is None else [_of_stalled(tx.now - stalled[1])])]
    oldest = min((each.oldest_undelivered_at for each in rows if each.oldest_undelivered_at is not None), default=None)
    waiting = sum(each.waiting for each in rows)
    return ReceiversLately(len(rows), worst[:LINES], problems, _by_state(rows), waiting, oldest)


def _by_state(rows: Sequence[ReceiverTotals]) -> Mapping[str, int]:
    found = Counter(each.state for each in rows)
    return {state: found[state] for state in _STATES}


def _totals(tx: Tx, since: int, until: int) -> list[ReceiverTotals]:
    every = webhooks.of_users(tx, None)
    if not every:
        return []
    counts, paces = hookmetrics.counts(tx, since, until), hookmetrics.paces(tx, since, until)
    behind = hookmetrics.waiting(tx)
    rows = []
    for webhook, username in every:
        did, pace = counts.get(webhook.id, ReceiverCounts(0, 0, 0)), paces.get(webhook.id)
        left = behind.get(webhook.id)
        tried = did.delivered + did.given_up
        rows.append(
            ReceiverTotals(
                webhook_id=webhook.id,
                username=username,
                name=webhook.name,
                host=host_of(webhook.url),
                state=state_of(webhook, tx.now),
                total_delivered=did.delivered,
                total_given_up=did.given_up,
                total_not_tried=did.not_tried,
                waiting=0 if left is None else left.undelivered,
                oldest_undelivered_at=None if left is None else left.oldest_at,
                ok_percent=round(100 * did.delivered / tried, 1) if tried else None,
                p50_ms=None if pace is None else pace.p50_ms,
                p95_ms=None if pace is None else pace.p95_ms,
            )
        )
    return sorted(rows, key=lambda each: (each.username, each.name))


def _of_conditions(found: Sequence[SeenCondition]) -> list[Problem]:
    worst = sorted(found, key=lambda each: (each.condition, -each.level))
    told = [Problem(each.condition.value, each.text, _out_of(each)) for each in worst[:TOLD]]
    if len(found) > TOLD:
        text = f"{len(found) - TOLD:,} more receivers fail for long, or were disabled for it"
        told.append(Problem(Condition.RECEIVER_FAILING.value, text, "notifyctl webhooks list --failing"))
    return told


def _out_of(found: SeenCondition) -> str:
    called = word(found.subject)
    if found.condition is Condition.RECEIVER_DISABLED:
        return f"notifyctl webhooks enable {called} --redeliver"
    return f"notifyctl webhooks show {called}"


def _of_stalled(age_ms: int) -> Problem:
    message = f"deliveries to webhooks are due for {show_ms(age_ms)}, and were not begun"
    return Problem("deliveries_stalled", message, "notifyctl dispatch")
