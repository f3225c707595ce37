"""The rows of a file become notifications: planned a portion at a time, stored a chunk at a time.

A chunk is one transaction: it is stored as a whole or not at all, and a row that comes again is recognised by its key.
So whoever is stopped anywhere repeats the same, and nothing is there twice. While the database stores a chunk, the next
one is planned, and while it is asked for that, further rows are read. What was found out of a row is at most a chunk
old when the row is stored.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from functools import partial
from typing import NamedTuple

import orjson
from sqlalchemy.exc import IntegrityError

from notifyctl.core.batch import BatchHold, BatchSource
from notifyctl.core.errors import CommitUnknown, Conflict, NotFound, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Verdict
from notifyctl.core.pace import moments
from notifyctl.core.rowfile.drafting import reason_of
from notifyctl.core.rowfile.rows import BadRow, Cells, RowDraft
from notifyctl.core.submission import Draft, Former, New, Plan
from notifyctl.core.wording import Template
from notifyctl.services import planning
from notifyctl.services.ahead import DueLines
from notifyctl.services.planning import Planned, SubmissionTerms
from notifyctl.services.rowfiles.tallying import RowTally
from notifyctl.services.rowfiles.throughput import for_very_many
from notifyctl.services.using import Seen, Using
from notifyctl.store import batches, submissions, users
from notifyctl.store.batches import BatchRow as BatchRow
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

PORTION = 2_000
"""How many rows are planned with one look at the database."""
PORTION_CHARS, CHUNK_CHARS = 1_000_000, 8_000_000
"""How long they may be together, in that, and in a transaction: so that memory does not grow with what rows say."""
TRIES = 5
LOOKED_FOR = 20
"""Of so many portions behind a row that was there already it is asked which of their rows are there, too."""
COLLECTED_EVERY = 16
"""After so many chunks cycles are looked for: there are hardly any, and looking costs a tenth of all."""

DraftedRows = Iterable[RowDraft | BadRow]
_RowPortion = list[RowDraft | BadRow]


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """How rows are submitted: as which batch, under which terms.

    `times` are when each new one is for, one after the other. Of a batch that does not exist yet the first `canary` go,
    the others wait until it is resumed; to one that was there, and `was_open`, nothing is added under that promise.
    """

    batch: BatchRow
    terms: SubmissionTerms = field(default_factory=SubmissionTerms)
    times: Iterator[int] | None = None
    canary: int | None = None
    was_open: bool = False

    def require_canary(self) -> None:
        """Raise Conflict where rows that are new would all go at once, which is not what was asked for."""
        if self.canary is not None and self.was_open:
            raise Conflict(
                f"batch {self.batch.shown} is open already: --canary would hold nothing of it back",
                "a --batch of their own, or no --canary",
            )

    def fitting(self, row: RowDraft | BadRow) -> RowDraft | BadRow:
        """Return the row; or that it has a time of its own where all are spread."""
        if self.times is None or isinstance(row, BadRow) or (row.draft.send_at, row.draft.delay_ms) == (None, None):
            return row
        return BadRow(row.line, "it has a time of its own, and --rate gives each one", row.cells, row.identity)


class Importer:
    """Submits rows. `rejected` is told of each row that is not taken, `watch` of how far it is; so is `tally`.

    `seen` counts rows of the same person.
    """

    def __init__(
        self,
        db: Database,
        order: ImportOrder,
        rejected: Callable[[BadRow], None],
        watch: Callable[[RowTally], None],
        seen: Seen,
    ) -> None:
        self.tally = RowTally()
        self._db = db
        self._order = order
        self._tell = rejected
        self._watch = watch
        self._using = Using(seen)
        self._lines = DueLines(order.terms.policy, db.moment())
        self._stopped = False
        self._settled = 0
        # Without a look at the first it would be found out late, and for all at once, that a file comes again.
        self._looks = 1

    def stop(self) -> None:
        """Let it end when what is being stored is stored; may be called from anywhere."""
        self._stopped = True

    def run(self, rows: DraftedRows) -> bool:
        """Submit rows to their end; return False where it was stopped before.

        Raises what the rows raise where the file cannot be read on, and Conflict where the batch is cancelled: what was
        stored by then stays.
        """
        with for_very_many(), ThreadPoolExecutor(1, "store") as storer:
            storing: Future[_Stored] | None = None
            try:
                for chunk in self._chunks(rows):
                    before, storing = storing, None
                    self._settle(before)
                    storing = storer.submit(_store, self._db, self._order, chunk)
            finally:
                self._settle(storing)
        return not self._stopped

    def _chunks(self, rows: DraftedRows) -> Iterator[list[_Ready]]:
        """Yield what is to be stored in one transaction each."""
        chunk: list[_Ready] = []
        size, most = 0, self._db.dialect.rows_at_once
        for portion, planned in self._planned(portions(rows, most)):
            if self._stopped:
                return
            if len(chunk) + len(portion) > most:
                yield chunk
                chunk, size = [], 0
            ready = self._ready(portion, planned)
            size += sum([len(each.row.payload) + len(each.cells) for each in ready])
            chunk += ready
            if size >= CHUNK_CHARS:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _planned(self, read: Iterator[_RowPortion]) -> Iterator[tuple[_RowPortion, list[Planned]]]:
        """Yield portions with what their drafts come to; while the database is asked for one, the next one is read."""
        before: tuple[_RowPortion, Future[list[Planned]]] | None = None
        with ThreadPoolExecutor(1, "plan") as planner:
            for portion in read:
                fitting = list(map(self._order.fitting, portion))
                drafts = [row.draft for row in fitting if isinstance(row, RowDraft)]
                self._looks -= 1
                planning_it = planner.submit(
                    plans, self._db, drafts, self._order, self._lines, likely_new=self._looks < 0
                )
                if before is not None:
                    yield before[0], before[1].result()
                before = fitting, planning_it
            if before is not None:
                yield before[0], before[1].result()

    def _ready(self, rows: _RowPortion, planned: Sequence[Planned]) -> list[_Ready]:
        """Return what is to be stored of some rows, and tell what the others came to."""
        rest = iter(planned)
        ready: list[_Ready] = []
        for row in rows:
            came_to = row if isinstance(row, BadRow) else next(rest)
            if isinstance(came_to, Plan):
                kept = _packed(row.cells)
                stands = self._using.verdict(came_to) if came_to.may_be_stopped else None
                ready.append(_Ready(came_to.key, came_to.row, came_to.template, came_to.files, row.line, kept, stands))
            else:
                self._count(came_to, row.line, row.cells, row.identity)
        self.tally.read += len(rows)
        self._watch(self.tally)
        return ready

    def _settle(self, storing: Future[_Stored] | None) -> None:
        """Wait for a chunk, and count what became of it."""
        if storing is None:
            return
        for row, became in storing.result():
            if isinstance(became, _Ready):
                self.tally.accepted += 1
                if row.stands is not None:
                    self.tally.stop(row.stands)
            else:
                self._count(became, row.line, _unpacked(row.cells), row.key)
        self._settled += 1
        if self._settled % COLLECTED_EVERY == 0:
            gc.collect(0)
        self._watch(self.tally)

    def _count(self, came_to: Former | NotifyctlError | BadRow, line: int, cells: Cells, identity: str) -> None:
        if isinstance(came_to, Former):
            self.tally.deduplicated += 1
            self._looks = LOOKED_FOR
            return
        if isinstance(came_to, NotifyctlError):
            self.tally.refusal = self.tally.refusal or came_to.refusal
            came_to = BadRow(line, reason_of(came_to), cells, identity)
        self.tally.reject(came_to.reason)
        self._tell(came_to)


class _Ready(NamedTuple):
    """A row of a file that is to be stored: of its plan what `planning.Storable` is, its line, its cells as JSON.

    `stands` is what would stop it now.
    """

    key: str
    row: New
    template: Template | None
    files: Mapping[str, str]
    line: int
    cells: bytes | Cells
    stands: Verdict = None


_Stored = list[tuple[_Ready, _Ready | Former | NotifyctlError]]


def begin(db: Database, name: str | None) -> tuple[BatchRow, bool]:
    """Return the batch of that name (or whole id), and whether it is there: one that is not is made with its first row.

    Raises Conflict where it is cancelled.
    """
    with db.read() as tx:
        batch, is_there = batches.seed(tx, name, BatchSource.FILE)
    if batch.cancelled_at is not None:
        raise batches.is_cancelled(batch)
    return batch, is_there


def times(
    db: Database, batch: BatchRow, interval_ms: float, send_at: int | None, delay_ms: int | None
) -> Iterator[int]:
    """Return when each new one of a batch is for, so far from each other, behind those that are there.

    The first is for now, for `send_at` or in `delay_ms`.
    """
    with db.read() as tx:
        last = batches.last_time(tx, batch.id)
        first = tx.now + (delay_ms or 0) if send_at is None else send_at
    return moments(first if last is None else max(first, last + round(interval_ms)), interval_ms)


def plans(
    db: Database, drafts: Sequence[Draft], order: ImportOrder, lines: DueLines, *, likely_new: bool = False
) -> list[Planned]:
    """Return what each draft comes to, behind what is due before it.

    Those that are `likely_new` are looked for when they are stored.
    """
    if order.times is not None:
        drafts = _spread(db, drafts, order.times, order.terms)
    # Of a canary the first that are new go: which they are must be known before.
    likely_new = likely_new and order.canary is None
    ids = _new_ids(len(drafts))
    asked = partial(planning.plan_all, drafts=drafts, ids=ids, terms=order.terms, batch_id=order.batch.id)
    return db.consult(lambda tx: lines.behind(tx, asked(tx, likely_new=likely_new)))


def portions(rows: DraftedRows, most: int = PORTION) -> Iterator[_RowPortion]:
    """Yield rows as many at a time as are planned with one look at the database, or `most`; fewer of long ones."""
    portion: _RowPortion = []
    size = 0
    for row in rows:
        portion.append(row)
        size += _size(row)
        if len(portion) >= min(most, PORTION) or size >= PORTION_CHARS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


# Helpers


def _size(row: RowDraft | BadRow) -> int:
    """Return about how long a row is, and what it says, with what options say for all."""
    cells = row.cells
    own = sum(map(len, cells)) if isinstance(cells, list) else len(str(cells))
    return own if isinstance(row, BadRow) else own + len(row.draft.written or "")


def _packed(cells: Cells) -> bytes | Cells:
    """Return the cells as JSON, which takes a third of the memory: hardly ever they are needed again."""
    flat = isinstance(cells, list) or (isinstance(cells, dict) and _FLAT.issuperset(map(type, cells.values())))
    try:
        # A copy: what orjson returns keeps the room that it was written in.
        return memoryview(orjson.dumps(cells)).tobytes() if flat else cells
    except orjson.JSONEncodeError:
        return cells


_FLAT = frozenset({str, int, bool, type(None)})


def _unpacked(cells: bytes | Cells) -> Cells:
    found: Cells = orjson.loads(cells) if isinstance(cells, bytes) else cells
    return found


def _new_ids(count: int) -> list[str]:
    """Return random ids, as `uuid.uuid4` makes them (RFC 9562, version 4), in a fifth of the time."""
    digits = os.urandom(16 * count).hex()
    each = (digits[at : at + 32] for at in range(0, len(digits), 32))
    return [f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANT[d[16]]}{d[17:20]}-{d[20:]}" for d in each]


_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def _spread(db: Database, drafts: Sequence[Draft], moment: Iterator[int], terms: SubmissionTerms) -> list[Draft]:
    """Return the drafts with a time for each that is not there yet; one that is over by now is now."""
    now, known = db.consult(lambda tx: (tx.now, submissions.known(tx, drafts, terms.policy)))
    return [
        _timed(draft, next(moment), now) if each.former is None else draft
        for draft, each in zip(drafts, known, strict=True)
    ]


def _timed(draft: Draft, moment: int, now: int) -> Draft:
    if moment > now + _SOON_MS:
        return draft._replace(send_at=moment)
    return draft._replace(delay_ms=max(0, moment - now))  # by the time it is planned it may be over


_SOON_MS = 60_000


def _store(db: Database, order: ImportOrder, chunk: Sequence[_Ready]) -> _Stored:
    """Store a chunk in one transaction; return what became of each row, in their order."""
    gone: dict[str, NotifyctlError] = {}
    for _ in range(TRIES):
        left = [each for each in chunk if each.row.id not in gone]
        try:
            became = db.write(partial(_stored, order=order, chunk=left))
        except CommitUnknown:
            became = db.consult(partial(_committed, chunk=left))
            if not became:
                continue
        except IntegrityError:
            if not (found := db.consult(partial(_without_user, chunk=left))):
                raise
            gone |= found
            continue
        became |= gone
        return [(each, became[each.row.id]) for each in chunk]
    raise Conflict("the users of these rows are being deleted", "repeat the command")


def _stored(tx: Tx, order: ImportOrder, chunk: Sequence[_Ready]) -> dict[str, _Ready | Former | NotifyctlError]:
    if chunk:
        order.require_canary()
    batch = batches.joined(tx, order.batch, None if order.canary is None else BatchHold.CANARY)
    if batch.hold != BatchHold.CANARY:
        return planning.store_all(tx, chunk)
    most = order.canary or 0
    first = max(0, most - batches.let_go(tx, batch.id, most))
    parked = [each._replace(row=each.row._replace(parked_at=tx.now)) for each in chunk[first:]]
    return planning.store_all(tx, [*chunk[:first], *parked])


def _committed(tx: Tx, chunk: Sequence[_Ready]) -> dict[str, _Ready | Former | NotifyctlError]:
    """Return what became of a chunk of whose COMMIT nothing is known; nothing where it was not committed."""
    found = submissions.formers(tx, [each.row.idempotency_key for each in chunk])
    by_id = {each.row.id: found.get(each.row.idempotency_key) for each in chunk}
    if not any(former is not None and former.id == id_ for id_, former in by_id.items()):
        return {}
    return {each.row.id: planning.became(each, by_id[each.row.id]) for each in chunk}


def _without_user(tx: Tx, chunk: Sequence[_Ready]) -> dict[str, NotifyctlError]:
    """Return which rows are of nobody any more."""
    there = users.existing(tx, {each.row.user_id for each in chunk})
    lost = NotFound("the user was deleted at this moment", "notifyctl users list")
    return {each.row.id: lost for each in chunk if each.row.user_id not in there}
