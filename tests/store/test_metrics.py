"""The numbers: always what a plain count of the notifications says, whatever happened in which order."""

from __future__ import annotations

import multiprocessing
import random
import re
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.store import hours, metrics, receipts
from notifyctl.store.db.database import Begin, Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import HOUR_MS, Bucket, hour_of
from notifyctl.store.metrics import GRACE_MS, RolledUp, rollup
from notifyctl.store.schema.tables import metrics_dirty_hours, notification_metrics, notifications, users

# A day's last hours and the next day's first ones.
START = 1_767_218_400_000  # 2025-12-31T22:00:00Z
HOURS = 8
ROUTES = (("sendgrid", "email"), ("smtp", "email"), ("twilio", "sms"))
COUNTS = ("total_sent", "total_failed", "total_pending", "total_delivered", "total_bounced")
Key = tuple[int, str, str]


class Clocked(Database):
    """A database whose clock the test sets, also on PostgreSQL."""

    at = START

    def _begun(self, conn: Connection, begin: Begin, statement_s: float | None = None) -> Tx:
        return super()._begun(conn, begin, statement_s).at(self.at)


@pytest.fixture
def clocked(database_url: str) -> Any:
    """A migrated database of the test's own, at `START`."""
    opened = Clocked(database_url)
    yield opened
    opened.close()


def row(user_id: str, at: int, status: str = "sent", **values: Any) -> dict[str, Any]:
    """Return a notification as it is inserted: created at `at`, sent 1,500 ms later."""
    base = {
        "id": str(uuid.uuid4()),
        "user_id": user_id,
        "idempotency_key": uuid.uuid4().hex,
        "message_type": "email",
        "provider": "sendgrid",
        "status": status,
        "payload": "{}",
        "content_hash": "0" * 64,
        "created_at": at,
        "send_at": None,
    }
    base |= values
    metric_at = base["send_at"] if base["send_at"] is not None else base["created_at"]
    return {**base, "sent_at": metric_at + 1_500 if base["status"] == "sent" else None}


def new_user(tx: Tx) -> str:
    """Insert somebody and return the id."""
    user_id = str(uuid.uuid4())
    tx.execute(insert(users).values(id=user_id, email=f"{user_id}@example.org", username=user_id))
    return user_id


def add(db: Database, *rows: dict[str, Any], user_id: str | None = None) -> str:
    """Insert notifications for a new user, or the one given, and return the user's id."""

    def work(tx: Tx) -> str:
        owner = user_id or new_user(tx)
        tx.execute(insert(notifications), [{**each, "user_id": owner} for each in rows])
        return owner

    return db.write(work)


def shown(db: Database, since: int = START - 48 * HOUR_MS, until: int = START + 48 * HOUR_MS) -> dict[Key, list[int]]:
    """Return what `metrics show` reads: sent, failed, pending, mean time, delivered, bounced; without empty buckets."""
    with db.read() as tx:
        return as_numbers(hours.read(tx, since, until))


def as_numbers(buckets: list[Bucket]) -> dict[Key, list[int]]:
    """Return the buckets by what they are for, without empty ones."""
    return {
        (b.hour_start, b.provider, b.message_type): [
            b.sent, b.failed, b.pending, hours.average(b.delivery_ms, b.sent) or 0, b.delivered, b.bounced,
        ]
        for b in buckets
        if b.sent or b.failed or b.pending
    }  # fmt: skip


@dataclass
class Ledger:
    """What should be shown: a plain count of the notifications, and of what was deleted."""

    db: Clocked
    erased: list[dict[str, Any]] = field(default_factory=list)

    def expected(self) -> dict[Key, list[int]]:
        """Count in Python, the slow and obvious way."""
        with self.db.read() as tx:
            rows: list[Any] = list(tx.execute(select(notifications)).mappings())
        sums: dict[Key, list[int]] = defaultdict(lambda: [0] * 6)
        for each in [*rows, *self.erased]:
            at = each["created_at"] if each["send_at"] is None else each["send_at"]
            if each["status"] != "cancelled":
                found = sums[hour_of(at), each["provider"], each["message_type"]]
                found[("sent", "failed", "pending").index(each["status"])] += 1
                found[3] += each["sent_at"] - at if each["status"] == "sent" else 0
                found[4] += each["status"] == "sent" and each["delivered_at"] is not None
                found[5] += each["status"] == "sent" and each["bounced_at"] is not None
        return {key: [*found[:3], hours.average(found[3], found[0]) or 0, *found[4:]] for key, found in sums.items()}


Step = Callable[[Ledger, random.Random], None]


def submit(ledger: Ledger, chance: random.Random) -> None:
    """Some are submitted now, at once or for a time."""
    now = ledger.db.at
    rows = []
    for _ in range(chance.randint(1, 4)):
        provider, channel = chance.choice(ROUTES)
        send_at = chance.choice([None, None, now + chance.randrange(3 * HOUR_MS), hour_of(now) + HOUR_MS])
        rows.append(row("", now, "pending", provider=provider, message_type=channel, send_at=send_at))
    add(ledger.db, *rows)


def change(ledger: Ledger, chance: random.Random) -> None:
    """Some change their status, some their time, marked as every writer does it."""

    def work(tx: Tx) -> None:
        found = tx.execute(select(notifications).order_by(notifications.c.idempotency_key)).mappings().all()
        for each in chance.sample(found, min(len(found), 3)):
            before = each["created_at"] if each["send_at"] is None else each["send_at"]
            status = chance.choice(["sent", "failed", "cancelled", "pending"])
            send_at = chance.choice([each["send_at"], ledger.db.at - chance.randrange(2 * HOUR_MS)])
            after = each["created_at"] if send_at is None else send_at
            sent_at = ledger.db.at + chance.randrange(5_000) if status == "sent" else None
            tx.execute(
                update(notifications)
                .where(notifications.c.id == each["id"])
                .values(status=status, send_at=send_at, sent_at=sent_at)
            )
            metrics.mark_dirty(tx, [before, after])

    ledger.db.write(work)


def tell(ledger: Ledger, chance: random.Random) -> None:
    """Receipts come, some twice."""

    def work(tx: Tx) -> None:
        found = tx.execute(select(notifications).order_by(notifications.c.idempotency_key)).mappings().all()
        for each in chance.sample(found, min(len(found), 4)):
            stage = chance.choice([Stage.DELIVERED, Stage.DELIVERED, Stage.BOUNCED])
            arrival = Arrival(Receipt(stage, stage.name), notification_id=each["id"])
            for _ in range(chance.randint(1, 2)):
                receipts.record(tx.at(ledger.db.at), each["provider"], [arrival])

    ledger.db.write(work)


def erase(ledger: Ledger, chance: random.Random) -> None:
    """A user is deleted, with everything."""

    def work(tx: Tx) -> list[dict[str, Any]]:
        ids = tx.execute(select(users.c.id).order_by(users.c.id)).scalars().all()
        if not ids:
            return []
        user_id = chance.choice(ids)
        mine = tx.execute(select(notifications).where(notifications.c.user_id == user_id)).mappings().all()
        metrics.keep_erased(tx.at(ledger.db.at), user_id)
        tx.execute(delete(users).where(users.c.id == user_id))
        return [dict(each) for each in mine if each["status"] in ("sent", "failed")]

    ledger.erased += ledger.db.write(work)


def count(ledger: Ledger, chance: random.Random) -> None:
    """The roll-up runs, now and then as a repair."""
    rollup(ledger.db, since=chance.choice([None, None, ledger.db.at - chance.randrange(HOURS * HOUR_MS)]))


def wait(ledger: Ledger, chance: random.Random) -> None:
    """Time passes, often just to an edge."""
    edge = hour_of(ledger.db.at) + HOUR_MS
    ledger.db.at = max(
        ledger.db.at,
        chance.choice([edge - 1, edge, edge + GRACE_MS - 1, edge + GRACE_MS, ledger.db.at + 2 * HOUR_MS]),
    )


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from([submit, submit, change, change, tell, erase, count, wait, wait]), max_size=25),
    seed=st.integers(0, 2**32),
)
def test_shown_is_always_a_plain_count(clocked: Clocked, steps: list[Step], seed: int) -> None:
    """Whatever is submitted, changed, deleted and rolled up in whatever order, the numbers are right at each moment."""
    clocked.write(wipe)
    clocked.at = START
    ledger = Ledger(clocked)
    chance = random.Random(seed)
    for step in steps:
        step(ledger, chance)
        assert_close(shown(clocked), ledger.expected())
    clocked.at += 3 * HOUR_MS
    rollup(clocked)
    assert_close(shown(clocked), ledger.expected())
    assert_stored_agrees(clocked)
    assert unchanged_by(clocked, rollup)


def wipe(tx: Tx) -> None:
    """Empty the tables."""
    for table in (notification_metrics, metrics_dirty_hours, notifications, users):
        tx.execute(delete(table))


def assert_close(found: dict[Key, list[int]], expected: dict[Key, list[int]]) -> None:
    """Compare; the mean is kept in whole milliseconds, and may be off by one where a rolled one is added to."""
    assert {key: exact(numbers) for key, numbers in found.items()} == {k: exact(n) for k, n in expected.items()}
    for key, numbers in expected.items():
        assert abs(found[key][3] - numbers[3]) <= 1, key


def exact(numbers: list[int]) -> list[int]:
    """Return all but the mean."""
    return [*numbers[:3], *numbers[4:]]


def assert_stored_agrees(db: Clocked) -> None:
    """The table itself holds the same as is shown, and each day is the sum of its hours."""
    with db.read() as tx:
        stored = tx.execute(select(notification_metrics)).mappings().all()
    finished = hour_of(db.at - GRACE_MS)
    by_hour = {
        (hours.start_of(each["date"], each["hour"]), each["provider"], each["message_type"]): each
        for each in stored
        if each["hour"] is not None
    }
    for key, numbers in shown(db).items():
        if key[0] < finished:
            each = by_hour[key]
            assert [each[name] for name in COUNTS] == exact(numbers)
            assert (each["avg_delivery_ms"] or 0) == numbers[3]
    for each in stored:
        if each["hour"] is None:
            parts = [hour for hour in by_hour.values() if same_day(each, hour)]
            for name in COUNTS:
                assert each[name] == sum(part[name] for part in parts)


def same_day(day: Any, hour: Any) -> bool:
    """Return whether the hour's row is part of the day's."""
    return all(day[name] == hour[name] for name in ("date", "provider", "message_type"))


def stored(db: Database) -> list[Any]:
    """Return all of the table, in a fixed order."""
    with db.read() as tx:
        found = tx.execute(select(notification_metrics)).all()
    return sorted(found, key=repr)


def unchanged_by(db: Database, act: Callable[[Database], Any]) -> bool:
    """Return whether nothing at all differs after `act`."""
    before = stored(db)
    act(db)
    return stored(db) == before


def test_an_hour_belongs_to_its_first_millisecond(clocked: Clocked) -> None:
    """Edges: the last millisecond of an hour and of a day is counted there, the next one in the next."""
    midnight = START + 2 * HOUR_MS
    add(clocked, row("", midnight - 1), row("", midnight), row("", START, send_at=midnight + HOUR_MS))
    clocked.at = midnight + 3 * HOUR_MS
    expected = {
        (midnight - HOUR_MS, "sendgrid", "email"): [1, 0, 0, 1_500, 0, 0],
        (midnight, "sendgrid", "email"): [1, 0, 0, 1_500, 0, 0],
        (midnight + HOUR_MS, "sendgrid", "email"): [1, 0, 0, 1_500, 0, 0],
    }
    assert shown(clocked) == expected
    rollup(clocked)
    assert shown(clocked) == expected
    with clocked.read() as tx:
        m = notification_metrics.c
        days = tx.execute(select(m.date, m.total_sent).where(m.hour.is_(None)).order_by(m.date)).all()
    assert [(day.isoformat(), sent) for day, sent in days] == [("2025-12-31", 1), ("2026-01-01", 2)]


def test_an_hour_is_counted_a_minute_after_its_end(clocked: Clocked) -> None:
    """A transaction that began within the hour has time to commit before the hour is counted."""
    add(clocked, row("", START))
    clocked.at = START + HOUR_MS + GRACE_MS - 1
    assert rollup(clocked) == RolledUp(0, 0, None)
    clocked.at += 1
    assert rollup(clocked) == RolledUp(1, 0, START + HOUR_MS)


def test_the_window_is_cut_at_its_edges(clocked: Clocked) -> None:
    """Hours outside the window are not shown, whether they are rolled up or live."""
    add(clocked, *(row("", START + hour * HOUR_MS) for hour in range(6)))
    clocked.at = START + 4 * HOUR_MS
    rollup(clocked)
    found = shown(clocked, START + HOUR_MS, START + 5 * HOUR_MS)
    assert [key[0] for key in found] == [START + hour * HOUR_MS for hour in range(1, 5)]
    assert shown(clocked, START + HOUR_MS, START + HOUR_MS) == {}


def test_marks_only_for_older_hours(clocked: Clocked) -> None:
    """The dispatcher's usual batch, which is of this hour, writes nothing; older hours are marked once each."""
    now = START + 2 * HOUR_MS + 5

    def work(tx: Tx) -> list[int]:
        metrics.mark_dirty(tx.at(now), [now, now + HOUR_MS, hour_of(now)])
        assert not tx.execute(select(metrics_dirty_hours)).all()
        metrics.mark_dirty(tx.at(now), [START, START + 1, START + HOUR_MS])
        return sorted(tx.execute(select(metrics_dirty_hours.c.hour_start)).scalars())

    assert clocked.write(work) == [START, START + HOUR_MS]


def test_a_change_that_commits_after_the_count(postgresql_url: str) -> None:
    """A change under way while the roll-up counts is not lost: its mark outlives the roll-up, and it is shown."""
    db = Clocked(postgresql_url)
    user_id = add(db, row("", START, "pending"))
    db.at = START + 2 * HOUR_MS
    changed, counted = threading.Event(), threading.Event()

    def late(tx: Tx) -> None:
        tx.execute(update(notifications).values(status="failed"))
        metrics.mark_dirty(tx, [START])
        changed.set()
        assert counted.wait(60)

    thread = threading.Thread(target=db.write, args=(late,))
    thread.start()
    assert changed.wait(60)
    assert rollup(db).hours == 1
    assert shown(db) == {(START, "sendgrid", "email"): [0, 0, 1, 0, 0, 0]}
    counted.set()
    thread.join()
    assert shown(db) == {(START, "sendgrid", "email"): [0, 1, 0, 0, 0, 0]}
    assert rollup(db) == RolledUp(0, 1, START + HOUR_MS)
    assert shown(db) == {(START, "sendgrid", "email"): [0, 1, 0, 0, 0, 0]}
    assert user_id
    db.close()


def test_a_deletion_that_commits_after_the_count(postgresql_url: str) -> None:
    """A user's deletion under way while the roll-up counts neither loses nor doubles what was sent."""
    db = Clocked(postgresql_url)
    user_id = add(db, row("", START), row("", START + 1))
    add(db, row("", START + 2))
    db.at = START + HOUR_MS + GRACE_MS
    deleted, counted = threading.Event(), threading.Event()

    def deletion(tx: Tx) -> None:
        tx.execute(delete(notifications).where(notifications.c.user_id == user_id))
        deleted.set()
        assert counted.wait(60)
        # The upsert comes last here: the roll-up would wait for its row.
        added = hours.key_of(START, "sendgrid", "email") | {"erased_sent": 2, "erased_delivery_ms": 3_000}
        statement = tx.dialect.insert(notification_metrics)
        sums = {name: notification_metrics.c[name] + statement.excluded[name] for name in list(added)[5:]}
        tx.execute(statement.on_conflict_do_update(index_elements=hours.BUCKET, set_=sums), [added])

    thread = threading.Thread(target=db.write, args=(deletion,))
    thread.start()
    assert deleted.wait(60)
    rollup(db)
    assert shown(db) == {(START, "sendgrid", "email"): [3, 0, 0, 1_500, 0, 0]}
    counted.set()
    thread.join()
    assert shown(db) == {(START, "sendgrid", "email"): [3, 0, 0, 1_500, 0, 0]}
    rollup(db, since=START)
    assert shown(db) == {(START, "sendgrid", "email"): [3, 0, 0, 1_500, 0, 0]}
    db.close()


def test_a_commit_later_than_the_grace_is_picked_up(clocked: Clocked) -> None:
    """What commits into an hour after it was counted, unmarked, is found with the next hour's roll-up."""
    add(clocked, row("", START))
    clocked.at = START + HOUR_MS + GRACE_MS
    rollup(clocked)
    user_id = add(clocked, row("", START + 5), row("", START + HOUR_MS))
    clocked.at += HOUR_MS
    rollup(clocked)
    assert shown(clocked)[START, "sendgrid", "email"][0] == 2
    assert user_id


def test_deleted_before_ever_counted(clocked: Clocked) -> None:
    """What was sent and deleted within the same hour is counted all the same."""
    user_id = add(clocked, row("", START), row("", START, "failed"))

    def deletion(tx: Tx) -> None:
        metrics.keep_erased(tx.at(clocked.at), user_id)
        tx.execute(delete(users).where(users.c.id == user_id))

    clocked.write(deletion)
    expected = {(START, "sendgrid", "email"): [1, 1, 0, 1_500, 0, 0]}
    assert shown(clocked) == expected
    clocked.at += 2 * HOUR_MS
    assert rollup(clocked).hours >= 1
    assert shown(clocked) == expected
    assert_stored_agrees(clocked)


def test_months_of_history_in_stretches(clocked: Clocked) -> None:
    """The first roll-up over a long and sparse history counts all of it, and nothing again the next time."""
    first = START - 400 * 24 * HOUR_MS
    add(clocked, *(row("", first + day * 24 * HOUR_MS) for day in range(0, 400, 20)))
    clocked.at = START + HOUR_MS
    assert rollup(clocked).hours >= 20
    assert sum(numbers[0] for numbers in shown(clocked, first, START).values()) == 20
    assert rollup(clocked) == RolledUp(0, 0, first + 380 * 24 * HOUR_MS + HOUR_MS)


def test_a_roll_up_that_is_cut_short(clocked: Clocked) -> None:
    """After any stretch of a long roll-up the numbers are right: no later hour is taken for counted before its turn."""
    moments = [START + hour * HOUR_MS for hour in range(60)]
    add(clocked, *(row("", at) for at in moments))
    clocked.at = moments[-1] + 2 * HOUR_MS
    clocked.write(lambda tx: metrics.mark_dirty(tx, moments[-1:]))
    expected = {(at, "sendgrid", "email"): [1, 0, 0, 1_500, 0, 0] for at in moments}
    at = 0
    for _ in range(3):
        stretch = clocked.write(partial(metrics._count_stretch, at=at))
        at = stretch.next_at
        assert shown(clocked, START, clocked.at) == expected
    assert (stretch.more, at) == (False, moments[-1] + HOUR_MS)


def test_roll_ups_take_turns(postgresql_url: str) -> None:
    """While one roll-up counts another waits: it might otherwise write older numbers over newer ones."""
    db = Clocked(postgresql_url)
    held, done = threading.Event(), threading.Event()

    def hold(tx: Tx) -> bool:
        tx.serialize("metrics rollup")
        held.set()
        return done.wait(0.5)

    def second() -> None:
        assert held.wait(60)
        rollup(db)
        done.set()

    other = threading.Thread(target=second)
    other.start()
    assert not db.write(hold)
    assert done.wait(60)
    other.join()
    db.close()


def test_repair_counts_again(clocked: Clocked) -> None:
    """`--since` puts right what somebody changed behind the program's back."""
    add(clocked, row("", START), row("", START + HOUR_MS))
    clocked.at = START + 5 * HOUR_MS
    rollup(clocked)
    clocked.write(lambda tx: tx.execute(update(notification_metrics).values(total_sent=99)))
    rollup(clocked)
    assert shown(clocked)[START, "sendgrid", "email"][0] == 99
    rollup(clocked, since=START)
    assert {key: numbers[0] for key, numbers in shown(clocked).items()} == {
        (START, "sendgrid", "email"): 1,
        (START + HOUR_MS, "sendgrid", "email"): 1,
    }
    assert_stored_agrees(clocked)


def roll_up_at(url: str, at: int, times: int) -> None:
    """Roll up again and again, as a process of its own."""
    db = Clocked(url)
    db.at = at
    for _ in range(times):
        rollup(db, since=START)
    db.close()


def test_two_processes_at_once(clocked: Clocked) -> None:
    """Two roll-ups at the same time leave the rows that one leaves."""
    chance = random.Random(7)
    rows = [
        row("", START + chance.randrange(HOURS * HOUR_MS), chance.choice(["sent", "failed", "pending"]))
        for _ in range(500)
    ]
    add(clocked, *rows)
    clocked.at = START + 9 * HOUR_MS
    url = clocked.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=roll_up_at, args=(url, clocked.at, 5)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert_close(shown(clocked), Ledger(clocked).expected())
    assert_stored_agrees(clocked)
    assert unchanged_by(clocked, rollup)
    assert unchanged_by(clocked, lambda db: rollup(db, since=START))


def test_more_gaps_than_ranges(clocked: Clocked) -> None:
    """Many dirty hours far apart are still one statement: the narrowest gaps are counted with them, nothing twice."""
    marked = [START + hour * HOUR_MS for hour in range(0, 6 * hours.MOST_RANGES, 3)]
    between = [at + HOUR_MS for at in marked]
    add(clocked, *(row("", at) for at in (*marked, *between)))
    end = marked[-1] + 4 * HOUR_MS
    clocked.at = end + HOUR_MS
    rollup(clocked)

    def fail_all(tx: Tx) -> None:
        tx.execute(update(notifications).where(notifications.c.created_at.in_(marked)).values(status="failed"))
        metrics.mark_dirty(tx, marked)

    clocked.write(fail_all)
    expected = {(at, "sendgrid", "email"): [0, 1, 0, 0, 0, 0] for at in marked}
    expected |= {(at, "sendgrid", "email"): [1, 0, 0, 1_500, 0, 0] for at in between}
    assert shown(clocked, START, end) == expected
    assert rollup(clocked).recounted == len(marked)
    assert shown(clocked, START, end) == expected


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 200])
def test_ranges_cover_the_hours(number: int) -> None:
    """The ranges are few, in order, apart from each other, and cover every hour."""
    wanted = {each * (each + 1) // 2 * HOUR_MS for each in range(number)}
    ranges = hours._ranges(wanted)
    assert len(ranges) <= hours.MOST_RANGES
    assert all(any(begin <= hour < end for begin, end in ranges) for hour in wanted)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    if len(wanted) <= hours.MOST_RANGES:
        assert sum(end - begin for begin, end in ranges) == len(wanted) * HOUR_MS
    else:
        assert len(ranges) == hours.MOST_RANGES


def plan_of(db: Database, ranges: list[tuple[int, int]]) -> str:
    """Return how the database would count these ranges."""
    statement = hours._counts(ranges).compile(dialect=db._engine.dialect, compile_kwargs={"render_postcompile": True})
    given = statement.construct_params()
    parameters = given if not statement.positiontup else tuple(given[name] for name in statement.positiontup)
    explain = "EXPLAIN" if db.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    with db.read() as tx:
        return "\n".join(str(each[-1]) for each in tx.conn.exec_driver_sql(f"{explain} {statement}", parameters))


@pytest.mark.slow
def test_counting_goes_through_the_indexes(clocked: Clocked) -> None:
    """A few hours of a long history are found by index, not by reading all of it."""
    moments = [START + number * 60_000 for number in range(20_000)]
    add(clocked, *(row("", at, send_at=None if number % 5 else at) for number, at in enumerate(moments)))
    clocked.write(lambda tx: tx.conn.exec_driver_sql("ANALYZE"))
    plan = plan_of(clocked, [(START, START + HOUR_MS), (START + 50 * HOUR_MS, START + 51 * HOUR_MS)])
    assert not re.search("Seq Scan|SCAN notifications", plan), plan
    assert {"idx_send_at", "idx_status_created"} <= set(re.findall(r"idx_\w+", plan))
