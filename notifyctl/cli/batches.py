"""`batches`: what was submitted together."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing, selection
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import taking
from notifyctl.cli.output import SHORT_ID, Field, FieldKind
from notifyctl.cli.selection import Many, agreement, caught, finish
from notifyctl.core.batch import BatchState
from notifyctl.core.duration import age
from notifyctl.core.scope import Scope
from notifyctl.core.text import word
from notifyctl.services import batches
from notifyctl.services import notifications as service
from notifyctl.services.batches import BatchReport
from notifyctl.services.notifications import NotificationQuery

app = Noun("What was submitted together: follow, pause, resume and cancel it.")


def _called(row: BatchReport) -> str:
    return row.name or row.id[:SHORT_ID]


def fields(now: int) -> tuple[Field, ...]:
    """Return what is shown of batches; the table has room for those of millions."""
    return (
        Field("id", FieldKind.ID),
        Field("name", title="BATCH", show=_called),
        Field("source"),
        Field("state", title="STATE"),
        Field("created_at", FieldKind.TIME, "AGE", lambda row: age(now - row.created_at)),
        Field("held_at", FieldKind.TIME),
        Field("cancelled_at", FieldKind.TIME),
        Field("total", FieldKind.NUMBER, "TOTAL"),
        Field("pending", FieldKind.NUMBER, "PENDING"),
        Field("held", FieldKind.NUMBER, "HELD"),
        Field("sent", FieldKind.NUMBER, "SENT"),
        Field("failed", FieldKind.NUMBER, "FAILED"),
        Field("cancelled", FieldKind.NUMBER, "CANC"),
    )


FIELDS = fields(0)

_Batch = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's name or id.")]
_Acting = taking(agreement)


@app.command("list", scope=Scope.BATCHES_READ, shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List batches, newest first, with what became of their notifications."""
    with invocation(ctx) as run:
        wanted, db = listing.Paging(limit, everything, cursor), run.system.db
        listing.show(run, wanted, partial(batches.listed, db), fields(db.moment()), count=partial(batches.count, db))


@app.command(scope=Scope.BATCHES_READ, shows=FIELDS)
def show(ctx: typer.Context, batch: _Batch) -> None:
    """Show a batch, and what became of its notifications."""
    with invocation(ctx) as run:
        run.out.record(batches.get(run.system.db, batch), FIELDS)


@app.command(scope=Scope.BATCHES_WRITE, shows=FIELDS)
def pause(ctx: typer.Context, batch: _Batch) -> None:
    """Let nothing more of a batch go until it is resumed; what is being sent right now ends first."""
    with invocation(ctx) as run:
        before = batches.get(run.system.db, batch)
        paused = batches.pause(run.system.db, before.id)
        _tell(run, paused)
        if before.state == BatchState.CANARY and paused.state == BatchState.PAUSED and paused.pending:
            run.out.say(f"its canary ends with that: batches resume lets all {paused.pending:,} go that are pending")


@app.command(scope=Scope.BATCHES_WRITE, shows=FIELDS)
def resume(ctx: typer.Context, batch: _Batch) -> None:
    """Let a batch go on that was paused or waits behind its canary; open one again that was cancelled.

    What was cancelled of it stays so: `notifications restore --batch` brings that back.
    """
    with invocation(ctx) as run:
        before = batches.get(run.system.db, batch)
        again = batches.resume(run.system.db, before.id)
        _tell(run, again)
        if before.cancelled_at is not None and again.cancelled:
            back = f"notifyctl notifications restore --batch {word(again.name or again.id)}"
            run.out.say(f"{again.cancelled:,} stay cancelled; {back} brings back those that an operator cancelled")
        if again.pending:
            run.say_who_sends()


@app.command(scope=Scope.BATCHES_WRITE, cls=_Acting, shows=selection.FIELDS)
def cancel(ctx: typer.Context, batch: _Batch) -> None:
    """Cancel all of a batch that is pending, and let nothing be added to it."""
    with invocation(ctx) as run:
        found = batches.get(run.system.db, batch)
        many = Many("cancel", service.resolve, service.survey, service.select_pending, NotificationQuery)
        chosen = caught(run, ctx, NotificationQuery(batch=found.id), many)
        batches.close(chosen.db, found.id)
        finish(run, chosen, batches.cancel(chosen.db, chosen.ids))


def _tell(run: Invocation, row: BatchReport) -> None:
    left = f"{row.pending:,} of {row.total:,} pending, {row.held:,} held"
    run.out.record(row, FIELDS, told=f"batch {_called(row)} is {row.state}: {left}")
