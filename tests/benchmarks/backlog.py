"""Goal 5: a claim costs the same with millions of rows as with thousands."""

from __future__ import annotations

import statistics
import time
import uuid

from sqlalchemy import text

from notifyctl.core.decide import Sent
from notifyctl.core.model import Actor
from notifyctl.store.claims import Order, claim
from notifyctl.store.engine import Database
from notifyctl.store.records import Result, record
from tests.benchmarks import ground
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

BATCH = 64
BATCHES = 40
SMALL = (10_000, 0)
LARGE = (200_000, 500_000)
FULL = (2_000_000, 5_000_000)
_PAGES = text(
    "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
    " FROM pg_statio_user_tables WHERE relname = 'notifications'"
)


def measure(place: Place, sizes: tuple[int, int] | None = None) -> list[Table]:
    """Work through some batches on a small and on a large table; `sizes` are the pending and the sent rows."""
    pending, done = sizes or LARGE
    if place.quick:
        pending, done = pending // 10, done // 10
    with ground.ours(place.server) as small_url, ground.ours(place.server) as large_url:
        ground.fill(small_url, *SMALL)
        ground.fill(large_url, pending, done)
        small, large = Database(small_url), Database(large_url)
        facts = _interleaved(small, large)
        small.close()
        large.close()
    rows = [
        (name, f"{found[0]:.1f}", f"{found[1]:.1f}", f"{found[1] / found[0]:.2f} ×", goal)
        for (name, found), goal in zip(facts.items(), ("1.3 ×", "2 ×"), strict=True)
    ]
    title = f"Goal 5: {pending:,} pending and {done:,} sent rows against {SMALL[0]:,}, after a checkpoint"
    note = f"The goal's own size, {FULL[0]:,} and {FULL[1]:,}, is filled in many minutes: `backlog-full`."
    columns = ("per notification", "small", "large", "ratio", "goal")
    return [Table(title, columns, rows, facts, () if sizes else (note,))]


def measure_full(place: Place) -> list[Table]:
    """Do the same at the goal's own size."""
    return measure(place, FULL)


def _interleaved(small: Database, large: Database) -> dict[str, tuple[float, float]]:
    pages: dict[str, list[float]] = {"small": [], "large": []}
    times: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(BATCHES):
        for name, db in (("small", small), ("large", large)):
            touched, took = _batch(db)
            pages[name].append(touched)
            times[name].append(took)
    return {
        "pages touched by a claim": (statistics.median(pages["small"]), statistics.median(pages["large"])),
        "claim + record, µs": (statistics.median(times["small"]), statistics.median(times["large"])),
    }


def _batch(db: Database) -> tuple[float, float]:
    """Claim and record a batch; return the pages of the claim and the microseconds of both, each for one of them."""
    order = Order("sendgrid", str(uuid.uuid4()), BATCH, 65_000)
    before = _pages(db)
    began = time.perf_counter()
    batch = db.write(lambda conn: claim(conn, db.dialect, order, db.now(conn)))
    took = time.perf_counter() - began
    pages = _pages(db) - before
    results = [Result(each, Sent(batch.now, "stub", None)) for each in batch.claims]
    began = time.perf_counter()
    db.write(lambda conn: record(conn, db.dialect, results, Actor(), batch.now))
    took += time.perf_counter() - began
    return pages / BATCH, took / BATCH * 1e6


def _pages(db: Database) -> int:
    """Return how many pages of the table and its indexes were touched so far; there is one connection in all."""
    db.write(lambda conn: conn.execute(text("SELECT pg_stat_force_next_flush()")))
    with db.read() as conn:
        return int(conn.execute(_PAGES).scalar_one())
