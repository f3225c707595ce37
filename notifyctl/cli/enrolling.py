"""`users import`: people from a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from notifyctl.cli import progress
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.rejecting import RejectedRows
from notifyctl.core.errors import NotifyctlError, PartlyDone
from notifyctl.core.frozen import dataclass
from notifyctl.core.rowfile.rows import RowForm
from notifyctl.services import admission

if TYPE_CHECKING:
    from notifyctl.services.enrolling import Enrolled

FIELDS = tuple(
    Field(name, FieldKind.NUMBER)
    for name in ("read", "created", "updated", "known", "rejected", "contacts", "suppressed")
)


def _options(
    form: Annotated[
        RowForm | None,
        typer.Option("--format", metavar="FORM", parser=one_of(RowForm), help="What the file is.  [by its name]"),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", metavar="C", help="What stands between CSV's cells.  [,]")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=NAME", help="What a column is, or nothing: COLUMN=. Repeatable."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Give users who are there what their rows say; nothing is removed.")
    ] = False,
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", metavar="FILE", help="Write the rows that are not taken there, with the reasons."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would come to, and write nothing.")] = False,
) -> None:
    """Declare how the file is read, and what is done with its rows."""


OPTIONS = taking(_options)


def import_(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Option("-f", "--file", metavar="F", help="CSV or NDJSON, also .gz, or XLSX; - is stdin.")
    ],
) -> None:
    """Create users, with their contact points, from a file: what `users export` wrote, or any with these columns.

    username, email, language, and contact points: address, phone, token, one each, or addresses, phones, tokens with
    blanks between them, the one to be used first. Empty cells say nothing. Whoever is there with the same values is
    counted as known, with others the row is rejected unless --update. What is suppressed stays suppressed.

    The file is looked through first: where its encoding, its quotes or its compression are broken, or its header
    cannot be meant, nothing is written. Rows that cannot be taken are named, and the exit code is 6.
    """
    with invocation(ctx) as run:
        run.out.require_fields(FIELDS)
        asked = _Asked(file, **given(ctx))
        done = _enrolled(run, asked)
        summary = _summary(done, dry_run=asked.dry_run)
        run.out.record(done, FIELDS, id_name="created", told=summary)
        if not run.out.tells:
            run.out.say(summary)
        if done.suppressed:
            run.out.say(f"{done.suppressed:,} of their addresses are suppressed, and stay so")
        if done.rejected:
            raise PartlyDone(*_partly(done, asked))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the options say."""

    file: str
    form: RowForm | None = None
    delimiter: str | None = None
    maps: Sequence[str] | None = None
    update: bool = False
    rejects: str | None = None
    dry_run: bool = False


def _enrolled(run: Invocation, asked: _Asked) -> Enrolled:
    from notifyctl.core.rowfile.people import Enroller, columns
    from notifyctl.services import enrolling
    from notifyctl.services.newcomers import Newcomers
    from notifyctl.services.rowfiles.opening import opened
    from notifyctl.services.rowfiles.rejects import Rejects

    known, db = columns(asked.maps or []), run.system.opened(admission.founds_user)
    stdin = None if sys.stdin is None else sys.stdin.buffer
    with ExitStack() as stack:
        rows = stack.enter_context(opened(asked.file, stdin, form=asked.form, delimiter=asked.delimiter))
        enroller = Enroller(rows.columns, known)
        written = None if asked.rejects is None else stack.enter_context(Rejects(asked.rejects, rows))
        newcomers = stack.enter_context(closing(Newcomers())) if asked.dry_run else None
        bad = RejectedRows(run, written)
        watch, done = stack.enter_context(progress.shown(run, rows)), enrolling.Enrolled()
        target, people = db.rehearsal() if asked.dry_run else db, map(enroller, rows.rows)
        try:
            enrolling.enrol(target, people, done, bad, watch, update=asked.update, newcomers=newcomers)
        except NotifyctlError as error:
            raise _cut_short(error, 0 if asked.dry_run else done.read) from error
        return done


def _cut_short(error: NotifyctlError, rows: int) -> NotifyctlError:
    """Return what ended it early, with what is stored by now: of a pipe nobody knows its end before it is there."""
    said = f"the first {rows:,} rows are done" if rows else "nothing was written"
    return type(error)(f"{error.message}; {said}", error.hint)


def _summary(done: Enrolled, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    parts = [
        f"{done.created:,} {would}created",
        f"{done.updated:,} {would}updated",
        f"{done.known:,} there already",
        f"{done.rejected:,} {would}rejected",
    ]
    return f"{', '.join(parts)}: {done.read:,} {'row' if done.read == 1 else 'rows'}"


def _partly(done: Enrolled, asked: _Asked) -> tuple[str, str]:
    others = "nothing was written" if asked.dry_run else "the others are stored"
    if asked.rejects is None:
        hint = "--rejects FILE writes them, ready to be corrected and imported again"
    else:
        hint = f"correct them, then: notifyctl users import -f {shlex.quote(asked.rejects)}"
    return f"{done.rejected:,} of {done.read:,} rows {'would be' if asked.dry_run else 'were'} rejected, {others}", hint
