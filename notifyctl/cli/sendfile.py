"""`send -f`: submit the rows of a file."""

from __future__ import annotations

import shlex
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifyctl.cli import progress
from notifyctl.cli.invocation import Invocation
from notifyctl.cli.options import one_of
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.rejecting import TOLD, RejectedRows
from notifyctl.cli.stops import stopped
from notifyctl.cli.types import interval
from notifyctl.core.batch import BatchHold, batch_name
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import NotifyctlError, PartlyDone
from notifyctl.core.frozen import dataclass
from notifyctl.core.rowfile.drafting import RowDefaults
from notifyctl.core.rowfile.rows import BadRow, RowDraft, RowForm

if TYPE_CHECKING:
    from notifyctl.services.importing import BatchRow, ImportOrder
    from notifyctl.services.rowfiles.tallying import RowTally

FIELDS = (
    Field("batch", FieldKind.ID),
    Field("batch_name"),
    Field("rows", FieldKind.NUMBER),
    Field("accepted", FieldKind.NUMBER),
    Field("deduplicated", FieldKind.NUMBER),
    Field("rejected", FieldKind.NUMBER),
    Field("reasons", FieldKind.JSON),
    Field("held", FieldKind.NUMBER),
    Field("suppressed", FieldKind.JSON),
    Field("deferred", FieldKind.JSON),
    Field("dead_letters", FieldKind.JSON),
)
ESTIMATED = (
    *FIELDS,
    Field("segments", FieldKind.NUMBER),
    Field("last_at", FieldKind.TIME),
    Field("last_at_by_provider", FieldKind.TIMES),
)


_File = Annotated[
    str | None,
    typer.Option(
        "-f", "--file", metavar="FILE", help="One for each row of this CSV, NDJSON or XLSX (- is stdin), no USER."
    ),
]
_Format = Annotated[
    RowForm | None,
    typer.Option("--format", metavar="FORMAT", parser=one_of(RowForm), help="What the file is.  [by its name]"),
]
_Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="C", help="What stands between CSV's cells.  [,]")
]
_Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="COLUMN=OPTION", help="What a column is: an option, var.NAME, or nothing.  Repeatable."
    ),
]
_Rejects = Annotated[
    str | None,
    typer.Option("--rejects", metavar="FILE", help="Write the rows that are not taken there, with the reasons."),
]
_Batch = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar="NAME", parser=batch_name, help="What the rows belong to: the same again add nothing."
    ),
]
_Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="N/s", parser=interval, help="Not all at once: so many a second (50/s, 100/m).  [no limit]"
    ),
]
_Canary = Annotated[
    int | None,
    typer.Option("--canary", metavar="N", min=0, help="The first N go, the others with `batches resume`.  [all go]"),
]


def of_file(
    file: _File = None,
    format: _Format = None,
    delimiter: _Delimiter = None,
    map: _Map = None,
    rejects: _Rejects = None,
    batch: _Batch = None,
    rate: _Rate = None,
    canary: _Canary = None,
) -> None:
    """Declare the options for the rows of a file."""


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What was asked for: the file and how it is read, what holds for each row, and how they are submitted.

    With a `rate` (milliseconds from one to the next) `begin` says when: for that moment, or so long from now.
    """

    file: str
    defaults: RowDefaults
    dry_run: bool
    begin: tuple[int | None, int | None] = (None, None)
    format: RowForm | None = None
    delimiter: str | None = None
    map: Sequence[str] = ()
    rejects: str | None = None
    batch: str | None = None
    rate: float | None = None
    canary: int | None = None


def submit(run: Invocation, asked: FileOrder) -> None:
    """Submit the rows, and say what became of them. Raises PartlyDone where some were rejected."""
    from notifyctl.core.rowfile.drafting import Drafter, columns
    from notifyctl.services import importing
    from notifyctl.services.rowfiles.opening import opened
    from notifyctl.services.rowfiles.ordinals import Ordinals
    from notifyctl.services.rowfiles.rejects import Rejects

    known, db = columns(asked.map), run.system.db
    stdin = None if sys.stdin is None else sys.stdin.buffer
    with opened(asked.file, stdin, form=asked.format, delimiter=asked.delimiter) as file, ExitStack() as stack:
        batch, is_there = importing.begin(db, asked.batch)
        ordinals = stack.enter_context(closing(Ordinals()))
        # By its name: one that nothing was stored of has another id the next time.
        whose = batch.name or batch.id
        drafter = Drafter(file.columns, known, asked.defaults, whose, ordinals.next, lambda: str(uuid.uuid4()))
        rejects = None if asked.rejects is None else stack.enter_context(Rejects(asked.rejects, file))
        bad = RejectedRows(run, rejects)
        order = _order(run, asked, batch, was_open=is_there and batch.hold is None)
        shown = stack.enter_context(progress.shown(run, file))
        work = _Work(run, asked, order, is_there, bad, shown)
        (work.estimate if asked.dry_run else work.store)(map(drafter, file.rows))
    work.finish()


def _order(run: Invocation, asked: FileOrder, batch: BatchRow, *, was_open: bool) -> ImportOrder:
    from notifyctl.services import importing
    from notifyctl.services.planning import SubmissionTerms

    settings = run.settings
    terms = SubmissionTerms(settings.provider_urls, settings.policy, settings.unsubscribe_url)
    times = None
    if asked.rate is not None:
        times = importing.times(run.system.db, batch, asked.rate, *asked.begin)
    return importing.ImportOrder(batch, terms, times, asked.canary, was_open)


class _Work:
    """One file's way in, or what it would come to."""

    def __init__(
        self,
        run: Invocation,
        asked: FileOrder,
        order: ImportOrder,
        is_there: bool,
        bad: RejectedRows,
        watch: Callable[[RowTally], None],
    ) -> None:
        self._run, self._asked, self._order, self._bad, self._watch = run, asked, order, bad, watch
        self._is_there = is_there
        self._began = time.monotonic()
        self._tally: Any = None
        self._held = 0
        self._ended = True

    def store(self, rows: Iterator[RowDraft | BadRow]) -> None:
        """Submit rows. Raises what ends it early, with how to go on."""
        from notifyctl.services.importing import Importer
        from notifyctl.services.rowfiles.ordinals import Ordinals

        try:
            with closing(Ordinals()) as seen:
                importer = Importer(self._run.system.db, self._order, self._bad, self._watch, seen)
                self._tally = importer.tally
                with _interruptible(self._run, importer.stop):
                    self._ended = importer.run(rows)
        except NotifyctlError as error:
            raise self._cut_short(error) from error

    def estimate(self, rows: Iterator[RowDraft | BadRow]) -> None:
        """Look at all rows and store nothing."""
        from notifyctl.services.estimating import Look, estimate
        from notifyctl.services.rowfiles.ordinals import Ordinals

        with closing(Ordinals()) as keys, closing(Ordinals()) as same:
            look = Look(keys, same, self._watch)
            self._tally = estimate(self._run.system.db, rows, self._order, self._bad, look)
        if self._tally.accepted:
            self._order.require_canary()

    def finish(self) -> None:
        """Say what became of the rows. Raises PartlyDone where some were rejected, KeyboardInterrupt if stopped."""
        run, tally = self._run, self._tally
        self._held = self._held_back()
        first, *others = self._summary()
        run.out.record(self._record(), ESTIMATED if self._asked.dry_run else FIELDS, id_name="batch", told=first)
        run.out.say("\n".join(others if run.out.tells else [first, *others]))
        if not self._ended:
            run.out.say(f"stopped; {self._how_to_go_on()}")
            raise KeyboardInterrupt
        if tally.accepted and not self._asked.dry_run:
            run.say_who_sends()
        if tally.rejected:
            said = f"{tally.rejected:,} of {tally.read:,} rows {self._were} rejected"
            raise PartlyDone(said, self._how_to_mend()).noting(tally.refusal)

    def _held_back(self) -> int:
        """Return how many of those accepted wait, or would, until their batch is resumed."""
        asked, batch, db, added = self._asked, self._order.batch, self._run.system.db, self._tally.accepted
        hold = batch.hold if self._is_there or asked.canary is None else BatchHold.CANARY
        if hold is None or not added:
            return 0
        from notifyctl.services import batches  # few files have such a one

        if not asked.dry_run:
            return batches.held_back(db, batch.id, added)
        return batches.would_be_held(db, replace(batch, hold=hold), added, asked.canary)

    @property
    def _were(self) -> str:
        return "would be" if self._asked.dry_run else "were"

    def _cut_short(self, error: NotifyctlError) -> NotifyctlError:
        """Return the error, with what is stored by now, and how to go on."""
        stored = self._tally.accepted
        if not stored:
            return type(error)(f"{error.message}; nothing was stored", error.hint).noting(error.refusal)
        said = f"{error.message}; {stored:,} {'row was' if stored == 1 else 'rows were'} stored before"
        return type(error)(said, self._how_to_go_on())

    def _how_to_go_on(self) -> str:
        return f"the same again with --batch {shlex.quote(self._name)} adds only what is missing"

    def _how_to_mend(self) -> str:
        if self._asked.rejects is None:
            return "--rejects FILE writes them, ready to be corrected and sent again"
        sent = f"notifyctl send -f {shlex.quote(self._asked.rejects)}"
        return f"correct them, then: {sent} --batch {shlex.quote(self._name)}, with the same options"

    @property
    def _name(self) -> str:
        batch = self._order.batch
        return str(batch.name or batch.id)

    def _record(self) -> SimpleNamespace:
        tally, batch = self._tally, self._order.batch
        made = self._is_there or (tally.accepted > 0 and not self._asked.dry_run)
        said = {
            "batch": batch.id if made else None,
            "batch_name": batch.name,
            "rows": tally.read,
            "accepted": tally.accepted,
            "deduplicated": tally.deduplicated,
            "rejected": tally.rejected,
            "reasons": dict(tally.reasons.most_common()),
            "held": self._held,
            "suppressed": dict(tally.suppressed.most_common()),
            "deferred": dict(tally.deferred.most_common()),
            "dead_letters": dict(tally.dead.most_common()),
        }
        if self._asked.dry_run:
            said |= {
                "segments": tally.segments,
                "last_at": tally.last_at,
                "last_at_by_provider": tally.providers,
            }
        return SimpleNamespace(**said)

    def _summary(self) -> list[str]:
        tally, dry = self._tally, self._asked.dry_run
        if not tally.read:
            return [f"{self._asked.file} has no rows; nothing was stored"]
        took = show_ms(max(1, round((time.monotonic() - self._began) * 1_000)))
        would = "would be " if dry else ""
        parts = [f"{tally.accepted:,} {would}accepted", f"{tally.deduplicated:,} there already"]
        parts.append(f"{tally.rejected:,} {would}rejected")
        lines = [f"{', '.join(parts)}: {tally.read:,} {'row' if tally.read == 1 else 'rows'} in {took}"]
        lines += [f"  {number:,} rejected: {reason}" for reason, number in tally.reasons.most_common(TOLD)]
        if self._held:
            waits = f"{'would wait' if dry else 'waits' if self._held == 1 else 'wait'} until"
            lines.append(f"  {self._held:,} {waits}: notifyctl batches resume {shlex.quote(self._name)}")
        lines += [f"  {line}" for line in stopped(tally, dry=dry)]
        return [*lines, *(_outlook(self._run, tally) if dry else [])]


def _outlook(run: Invocation, tally: Any) -> list[str]:
    """Return when those that would be accepted would go out, in lines."""
    lines = []
    if tally.segments:
        lines.append(f"  {tally.segments:,} segments of SMS")
    if tally.last_at is not None:
        lines.append(f"  the last would go out at {run.out.time(tally.last_at)}, at the providers' limits")
    return lines


@contextmanager
def _interruptible(run: Invocation, stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C stop between two chunks; a second one ends it at once."""

    def interrupt(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run.out.say("stopping as soon as what is being stored is stored; Ctrl-C again: at once")
        stop()

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
