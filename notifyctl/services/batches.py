"""Batches: follow what was submitted together, hold it back, let it go on, and take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from notifyctl.core.audit.words import Action
from notifyctl.core.batch import BatchHold, BatchState
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_release
from notifyctl.core.text import word
from notifyctl.services import notifications
from notifyctl.services.bulk import Acted
from notifyctl.services.presence import Problem
from notifyctl.store import batches as store
from notifyctl.store.batches import BatchCounts, BatchRow
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import parked

WHAT: Final = "batch"
_HELD = {
    BatchState.PAUSED: "paused",
    BatchState.CANARY: "held behind its canary",
    BatchState.CANCELLED: "cancelled",
}
PORTION = 5_000
"""How many are cancelled in one transaction, so that others get a turn between."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch and what became of its notifications. Times are milliseconds since the epoch.

    `held` of those pending are out of the queue, until nothing holds them back.
    """

    id: str
    name: str | None
    source: str
    state: str
    created_at: int
    held_at: int | None
    cancelled_at: int | None
    total: int
    pending: int
    held: int
    sent: int
    failed: int
    cancelled: int


def get(db: Database, ref: str) -> BatchReport:
    """Return a batch by its name or id. Raises NotFound, UsageError for a beginning of several ids."""
    with db.read() as tx:
        return _report(tx, store.find(tx, ref))


def held_back(db: Database, batch_id: str, added: int) -> int:
    """Return how many of so many that were added to a batch last wait until it is resumed."""
    found = get(db, batch_id)
    return min(added, found.pending if found.state == BatchState.PAUSED else found.held)


def would_be_held(db: Database, batch: BatchRow, added: int, canary: int | None) -> int:
    """Return how many would of so many that were added to a batch with that canary, as it is or is yet to be made."""
    if batch.hold != BatchHold.CANARY:
        return added if batch.hold == BatchHold.PAUSED else 0
    most = canary or 0
    with db.read() as tx:
        return max(0, added - max(0, most - store.let_go(tx, batch.id, most)))


def listed(db: Database, after: Cursor | None, limit: int) -> list[BatchReport]:
    """Return at most `limit` batches after the cursor, newest first."""
    with db.read() as tx:
        rows = store.page(tx, after, limit)
        counts = store.counts(tx, [row.id for row in rows])
        return [_told(row, counts[row.id]) for row in rows]


def count(db: Database) -> int:
    """Return how many batches there are."""
    with db.read() as tx:
        return store.count(tx)


def pause(db: Database, ref: str) -> BatchReport:
    """Let nothing more of a batch go. Raises NotFound, Conflict where it is cancelled."""

    def work(tx: Tx) -> BatchReport:
        row = store.lock(tx, ref)
        if row.cancelled_at is not None:
            raise store.is_cancelled(row)
        _become(tx, row, BatchHold.PAUSED, "pause")
        return _report(tx, store.find(tx, row.id))

    return db.write(work)


def resume(db: Database, ref: str) -> BatchReport:
    """Let a batch go on that is paused or behind its canary, or open one that is cancelled. Raises NotFound.

    What was cancelled of it stays so. Raises NotAllowed for a restricted key: it may be of anybody.
    """

    def work(tx: Tx) -> BatchReport:
        require_release(tx.actor.grant)
        row = store.lock(tx, ref)
        _become(tx, row, None, "resume")
        parked.come_back(tx)  # the first of them; dispatchers do the others
        return _report(tx, store.find(tx, row.id))

    return db.write(work)


def problems(tx: Tx) -> list[Problem]:
    """Return which batches are held back, and how many of each."""
    return [
        Problem(
            "batch_held",
            f"batch {each.shown} is {_HELD[each.state]}; {each.held:,} held",
            _way_out(each.state, word(each.shown)),
        )
        for each in store.holding(tx)
    ]


def _way_out(state: BatchState, name: str) -> str:
    """Return the command that ends the waiting; what is left of a cancelled batch may also have been let go since."""
    if state is not BatchState.CANCELLED:
        return f"notifyctl batches resume {name}"
    return f"notifyctl batches cancel {name} gives them up, batches resume {name} lets them go"


def close(db: Database, ref: str) -> BatchRow:
    """Let nothing more of a batch go, nor be added to it. Raises NotFound."""

    def work(tx: Tx) -> BatchRow:
        row = store.lock(tx, ref)
        _become(tx, row, BatchHold.PAUSED, "cancel", cancelled=True)
        return store.find(tx, row.id)

    return db.write(work)


def cancel(db: Database, chosen: Sequence[str]) -> list[Acted]:
    """Cancel these notifications of a batch, a portion at a time; return the result for each, in their order."""
    acted = list[Acted]()
    for start in range(0, len(chosen), PORTION):
        acted += notifications.cancel(db, chosen[start : start + PORTION], by_filter=True)
    return acted


def _become(tx: Tx, row: BatchRow, hold: BatchHold | None, action: Action, *, cancelled: bool = False) -> None:
    """Change what holds a batch, and say so where that is something else."""
    if (row.hold, row.cancelled_at is not None) == (hold, cancelled):
        return
    store.put(tx, row.id, hold, cancelled=cancelled)
    tx.audit(action, WHAT, [(row.id, {"state": [row.state.value, store.find(tx, row.id).state.value]})])


def _report(tx: Tx, row: BatchRow) -> BatchReport:
    return _told(row, store.counts(tx, [row.id])[row.id])


def _told(row: BatchRow, found: BatchCounts) -> BatchReport:
    about = {name: getattr(row, name) for name in ("id", "name", "source", "created_at", "held_at", "cancelled_at")}
    numbers = asdict(found)
    parked = numbers.pop("parked")  # behind a canary some go; what is paused waits whole, in the queue or out of it
    held = found.pending if row.hold == BatchHold.PAUSED else parked
    return BatchReport(**about, state=row.state.value, held=held, **numbers)
