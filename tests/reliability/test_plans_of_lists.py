"""Lists and looks stay flat: a page of a list reads as much with millions of notifications behind it as with few.

Left out is what the contract asks all rows for: how many there are (`50 of 4,013`), `--address`, `--error`; a provider
that next to no notification has, for which no index is kept; and `users list`, which reads all users.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from notifyctl.core.cursor import Cursor
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import WAITING as ALL_WAITING
from notifyctl.core.notification import Notification, State
from notifyctl.store import dlq, hours, ids, metrics, notifications, providers, status
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import questions
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import notifications as table
from tests.reliability.history import HOUR_MS, NOW, analyze, moment, notification_id, user_id, write
from tests.reliability.plans import Look, look
from tests.reliability.sizes import Tell, sizes
from tests.support import seed

FEW = 8_000
LARGE = 1_000_000
PAGE = 51
"""A page, and one more that says whether there is another."""
DAY_MS = 24 * HOUR_MS

BY_ID = "notifications_pkey"
IN_ORDER = "idx_status_created"
OF_USER = "idx_user_status"
PENDING = "idx_notifications_due"
TIMED = "idx_send_at"
BURIED = "idx_moved_at"
UNRESOLVED_ONES = "idx_resolved"

Work = Callable[..., Any]
"""Takes a transaction, and where `deep` is."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is read, and the indexes by which it may be: the first is the one that was meant.

    The others are as good where few rows are pending.
    """

    work: Work
    by: tuple[str, ...]
    letters_by: tuple[str, ...] = ()


def _listed(*by: str, **wanted: Any) -> Case:
    return Case(
        lambda tx, deep: notifications.page(tx.at(NOW), notifications.NotificationFilter(**wanted), None, PAGE), by
    )


def _deep(*by: str, **wanted: Any) -> Case:
    return Case(
        lambda tx, deep: notifications.page(tx.at(NOW), notifications.NotificationFilter(**wanted), deep, PAGE), by
    )


def _buried(*by: str, **wanted: Any) -> Case:
    return Case(lambda tx, deep: dlq.page(tx, dlq.DeadLetterFilter(**wanted), None, PAGE), (BY_ID,), by)


def _deeply_buried(*by: str, **wanted: Any) -> Case:
    return Case(lambda tx, deep: dlq.page(tx, dlq.DeadLetterFilter(**wanted), deep, PAGE), (BY_ID,), by)


def _shown(tx: Tx, texts: list[str]) -> Mapping[str, Notification]:
    found = ids.resolve_many(tx, table, texts, "notification")
    return notifications.get(tx.at(NOW), [str(each) for each in found.values()])


ANY = (IN_ORDER, PENDING)
WAITING = (IN_ORDER, PENDING, TIMED)
CASES = {
    "list": _listed(*ANY),
    "list, deep": _deep(*ANY),
    "list --status sent": _listed(IN_ORDER, status=Status.SENT),
    "list --status sent, deep": _deep(IN_ORDER, status=Status.SENT),
    "list --status failed": _listed(IN_ORDER, status=Status.FAILED),
    "list --status failed, deep": _deep(IN_ORDER, status=Status.FAILED),
    "list --status pending": _listed(*ANY, status=Status.PENDING),
    "list --user": _listed(OF_USER, IN_ORDER, user_id=user_id(5)),
    "list --user, deep": _deep(OF_USER, IN_ORDER, PENDING, "idx_user_type", user_id=user_id(5)),
    "list --user --status": _listed(OF_USER, user_id=user_id(5), status=Status.SENT),
    "list --channel": _listed(*ANY, channel=Channel.EMAIL),
    "list --channel, deep": _deep(*ANY, channel=Channel.EMAIL),
    "list --provider": _listed(*ANY, provider="sendgrid"),
    "list --provider, deep": _deep(*ANY, provider="sendgrid"),
    "list --provider --status": _listed(IN_ORDER, provider="sendgrid", status=Status.FAILED),
    "list --since": _listed(*ANY, since=NOW - DAY_MS),
    "list --since --until": _listed(*ANY, since=NOW - DAY_MS, until=NOW - HOUR_MS),
    "list --until": _listed(*ANY, until=NOW - DAY_MS),
    "list --until, deep": _deep(*ANY, until=NOW - HOUR_MS),
    "list --stuck": _listed(*WAITING, stuck_ms=HOUR_MS),
    "list --provider-id": _listed("idx_notifications_provider_message", provider_message_id="message-77"),
    **{f"list --state {state}": _listed(*WAITING, state=state) for state in ALL_WAITING},
    "list --state deferred": _listed("idx_notifications_deferred", *WAITING, state=State.DEFERRED),
    "list --state bounced": _listed("idx_notifications_bounced", state=State.BOUNCED),
    "receipts poll, what is due": Case(
        lambda tx, deep: questions.claim(tx.at(NOW), questions.QuestionRequest("twilio", NOW, 8, 1, None, 8)),
        ("idx_notifications_receipt_due", BY_ID),
    ),
    "receipts poll --provider": Case(
        lambda tx, deep: questions.unasked(tx, "twilio", NOW - 3 * DAY_MS, Cursor(0, ""), PAGE), (IN_ORDER,)
    ),
    "show": Case(lambda tx, deep: _shown(tx, [notification_id(77)]), (BY_ID,)),
    "show, by beginnings": Case(
        lambda tx, deep: _shown(tx, [notification_id(number)[:8] for number in range(1, 51)]), (BY_ID,)
    ),
    "dlq list": _buried(BURIED, UNRESOLVED_ONES),
    "dlq list --provider": _buried(BURIED, UNRESOLVED_ONES, provider="sendgrid"),
    "dlq list --since": _buried(BURIED, UNRESOLVED_ONES, since=NOW - DAY_MS),
    "dlq list --resolved": _buried(BURIED, resolved=True),
    "dlq list --resolved, deep": _deeply_buried(BURIED, resolved=True),
    "status, last day": Case(lambda tx, deep: status.last_day(tx.at(NOW)), (IN_ORDER,)),
    "status, last hour": Case(lambda tx, deep: status.last_hour(tx.at(NOW)), (IN_ORDER,)),
    "status, waiting": Case(lambda tx, deep: status.waiting(tx.at(NOW)), ANY),
    "providers, pending": Case(lambda tx, deep: providers.pending(tx, "twilio"), ANY),
    "metrics show": Case(lambda tx, deep: _last_day(tx), (IN_ORDER, TIMED)),
    "metrics rollup, what to count": Case(
        lambda tx, deep: metrics._oldest_from(tx, NOW - 2 * HOUR_MS), (IN_ORDER, TIMED)
    ),
    "metrics rollup, an hour": Case(
        lambda tx, deep: hours.count(tx, [hours.hour_of(NOW - 3 * HOUR_MS)]), (IN_ORDER, TIMED)
    ),
}


def _last_day(tx: Tx) -> list[hours.Bucket]:
    until = hours.hour_of(NOW) + HOUR_MS
    return hours.read(tx, until - DAY_MS, until)


@sizes(16_000, 5_000_000)
def test_21_lists_stay_flat(room: None, database: Database, tell: Tell, size: int) -> None:
    """Each list and look goes by its index, and reads no more beside much history than beside little."""
    write(database, 1, FEW)
    _unfinished(database)
    analyze(database)
    before = _looks(database, FEW)
    write(database, FEW + 1, size)
    after = _looks(database, size)
    for name, seen in after.items():
        counts = {"history": size, "read": seen.read, "of little": before[name].read, "ms": round(seen.ms, 1)}
        tell("21 lists stay flat", {"what": name, **counts, "by": ", ".join(_used(seen))})
    grown = {
        name: f"{before[name].read} -> {seen.read}\n{seen.plans}"
        for name, seen in after.items()
        if seen.read > before[name].read * _most(database, size)
    }
    assert not grown, "\n".join(f"{name}: {what}" for name, what in grown.items())
    astray = {name: seen.plans for name, seen in after.items() if not _as_meant(CASES[name], seen)}
    assert not astray, "\n".join(f"{name}:\n{plan}" for name, plan in astray.items())


def _most(db: Database, size: int) -> float:
    """Return how many times as much may be read.

    On PostgreSQL pages are counted: in a large table an index is a level or two deeper, neighbours stand less often on
    the same page, and the planner may prefer another index that serves as well. In a small one all is near.
    """
    if db.dialect.name == "sqlite":
        return 1.3
    return 4 if size >= LARGE else math.inf


def _looks(db: Database, size: int) -> dict[str, Look]:
    deep = Cursor(moment(size // 4), notification_id(size // 4))
    return {name: look(db, partial(case.work, deep=deep), indexed=size < LARGE) for name, case in CASES.items()}


def _used(seen: Look) -> list[str]:
    return sorted(seen.of("notifications") | seen.of("notification_dlq"))


def _as_meant(case: Case, seen: Look) -> bool:
    """Return whether only the given indexes were used."""
    meant = {"notifications": set(case.by), "notification_dlq": set(case.letters_by), "users": {"users_pkey"}}
    return all(seen.of(name) <= by for name, by in meant.items())


def _unfinished(db: Database) -> None:
    """Write some notifications in every state."""
    anna = seed.user(db)
    for name in ("sendgrid", "twilio", "fcm"):
        seed.provider(db, name)
    at = NOW - 10 * 60_000
    seed.pending(db, anna, "twilio", count=60, created_at=at, due_at=at)
    _claim(db, "twilio", at + 1)
    seed.pending(db, anna, count=60, created_at=NOW - 2_000, due_at=NOW - 2_000)
    _claim(db, "sendgrid", NOW - 1_000)
    due: dict[str, Any] = {"created_at": NOW - 2 * HOUR_MS, "due_at": NOW - 2 * HOUR_MS}
    seed.pending(db, anna, "fcm", count=60, **due)
    db.write(lambda tx: providers.pause(tx.at(NOW), "fcm", "credentials"))
    seed.pending(db, anna, count=60, **due)
    seed.pending(db, anna, count=60, created_at=NOW - 1_000, due_at=NOW + HOUR_MS, send_at=NOW + HOUR_MS)
    seed.pending(db, anna, count=60, created_at=NOW - 3_000, due_at=NOW + 60_000, attempt_count=1)


def _claim(db: Database, provider: str, now: int) -> None:
    order = ClaimRequest(provider, "11111111-1111-4111-8111-111111111111", 60, 65_000)
    assert len(db.write(lambda tx: claim(tx.at(now), order)).claims) == 60
