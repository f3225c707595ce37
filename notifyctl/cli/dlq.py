"""`dlq`: dead letters: look, retry, resolve."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import attempts, listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, Kind, escaped_lines
from notifyctl.cli.selection import Chosen, Ids, agreement, choose, filters, finish
from notifyctl.core import history, when
from notifyctl.core.duration import age
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Category, Channel
from notifyctl.core.text import one_line
from notifyctl.services import dlq as service
from notifyctl.services.dlq import Query, Retried
from notifyctl.store.dlq import DeadLetter
from notifyctl.store.page import Cursor

app = Noun("Dead letters: look, retry, resolve. ID is the entry's or the notification's.")

MOST_RETRIES = 1_000
SHOWN_WARNINGS = 5

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", re.ASCII)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}


def _filters(
    reason: Annotated[
        Category | None, typer.Option("--reason", metavar="R", parser=one_of(Category), help=", ".join(Category))
    ] = None,
    error: Annotated[str | None, typer.Option("--error", metavar="TEXT", help="With this in the last error.")] = None,
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help=", ".join(Channel))
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="P", help="Of this provider.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="To this user.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Dead at or after: a time, or 2h for two hours ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="T", help="Dead before: the same.")] = None,
) -> None:
    """Declare which dead letters."""


def _also_resolved(
    resolved: Annotated[bool, typer.Option("--resolved", help="The resolved ones instead.")] = False,
) -> None:
    """Declare that resolved ones can be asked for."""


_LIST = taking(_filters, _also_resolved)
_RETRY = taking(_filters, _also_resolved, agreement)
_ACT = taking(_filters, agreement)


@app.command("list", cls=_LIST)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List unresolved dead letters, the latest first."""
    with invocation(ctx) as run:
        rows, db = listing.Wanted(limit, everything, cursor), run.system.db
        wanted = service.ask(db, _query(given(ctx)))
        listing.show(
            run,
            rows,
            partial(service.page, db, wanted),
            _listed(db.moment()),
            count=partial(service.count, db, wanted),
            position=lambda row: Cursor(row.moved_to_dlq_at, row.id),
            id_name="notification_id",
        )


@app.command()
def show(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of entries or notifications.")],
) -> None:
    """Show dead letters whole, with every attempt; as JSON an object for one ID, an array for several."""
    with invocation(ctx) as run:
        rows = [
            SimpleNamespace(**asdict(row), attempts=attempts.past(row.history or row.retry_history))
            for row in service.show(run.system.db, ids)
        ]
        if run.out.form == "table":
            for row in rows:
                _show_one(run, row)
        elif len(ids) == 1:
            run.out.record(rows[0], _SHOWN, id_name="notification_id")
        else:
            run.out.records(rows, _SHOWN, id_name="notification_id")


@app.command(cls=_RETRY)
def retry(
    ctx: typer.Context,
    ids: Ids = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/s", help="Not all at once: so many a second (5/s, 100/m).")
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", min=1, max=MOST_RETRIES, help="Attempts after the next one.")
    ] = service.RETRIES,
    force: Annotated[bool, typer.Option("--force", help="Resolved ones as well.")] = False,
) -> None:
    """Send the notifications of dead letters once more."""
    with invocation(ctx) as run:
        interval = _interval_ms(rate)
        if filters(ctx).get("resolved") and not force:
            raise UsageError("--resolved: a resolved dead letter is retried only with --force")
        chosen = _choose(run, ctx, ids, "retry", _query)
        done = service.retry(
            run.system.db,
            run.system.actor,
            chosen.ids,
            retries=retries,
            interval_ms=interval,
            force=force,
            by_filter=chosen.by_filter,
        )
        _warn(run, done)
        finish(run, chosen, done.acted)


@app.command(cls=_ACT)
def resolve(
    ctx: typer.Context,
    ids: Ids = None,
    by: Annotated[str | None, typer.Option("--by", metavar="USER", help="Who dealt with it.")] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="N", help="What was done about it.")] = None,
) -> None:
    """Mark dead letters as dealt with; their notifications stay failed."""
    with invocation(ctx) as run:
        who = by or run.system.actor.user_id or run.settings.operator
        if who is None:
            raise UsageError("nobody is named who resolves it", '--by USER, or operator = "USER" in the profile')
        chosen = _choose(run, ctx, ids, "resolve", _query)
        acted = service.resolve(
            run.system.db, run.system.actor, chosen.ids, by=who, note=note, by_filter=chosen.by_filter
        )
        finish(run, chosen, acted)


@app.command(cls=_ACT)
def reopen(ctx: typer.Context, ids: Ids = None) -> None:
    """Mark resolved dead letters as unresolved again."""
    with invocation(ctx) as run:
        chosen = _choose(run, ctx, ids, "reopen", lambda options: _query({**options, "resolved": True}))
        acted = service.reopen(run.system.db, run.system.actor, chosen.ids, by_filter=chosen.by_filter)
        finish(run, chosen, acted)


# Choosing


def _choose(
    run: Invocation, ctx: typer.Context, ids: list[str] | None, verb: str, query: Callable[[dict[str, Any]], Query]
) -> Chosen:
    db = run.system.db
    return choose(
        run,
        ctx,
        ids,
        verb,
        resolve=partial(service.resolve_ids, db),
        select=lambda: service.select(db, query(filters(ctx))),
    )


def _query(options: dict[str, Any]) -> Query:
    moments: dict[str, Any] = {
        name: when.point(options[name], f"--{name}") for name in ("since", "until") if name in options
    }
    return Query(**{**options, **moments})


def _interval_ms(rate: str | None) -> float:
    """Return the milliseconds between two at `--rate`."""
    if rate is None:
        return 0.0
    written = _RATE.fullmatch(rate.strip())
    number = float(written[1]) if written else 0.0
    if not written or not number:
        raise UsageError(f"--rate: {rate!r} is no rate", "--rate 5/s, 100/m or 1000/h")
    return _UNIT_MS[written[2] or "s"] / number


def _warn(run: Invocation, done: Retried) -> None:
    for address in done.suppressed[:SHOWN_WARNINGS]:
        run.out.say(
            f"warning: {address.address} is still suppressed ({address.reason}): nothing is sent there\n"
            f"hint: notifyctl users contacts unsuppress {address.user} {address.channel} {address.address}"
        )
    if (more := len(done.suppressed) - SHOWN_WARNINGS) > 0:
        run.out.say(f"warning: {more:,} more addresses are still suppressed")
    if done.expired:
        run.out.say(f"warning: {done.expired:,} of them have expired; they will be cancelled instead of sent")


# Showing


def _listed(now: int) -> tuple[Field, ...]:
    return (
        Field("notification_id", Kind.ID, "ID"),
        Field("id", Kind.ID),
        Field("moved_to_dlq_at", Kind.TIME, "AGE", lambda row: age(now - row.moved_to_dlq_at)),
        Field("user_id", Kind.ID),
        Field("username", title="USER"),
        Field("message_type", title="CH"),
        Field("provider", title="PROVIDER"),
        Field("failure_reason", title="REASON"),
        Field("attempt_count", Kind.NUMBER, "TRIES", lambda row: f"{row.attempt_count}/{row.max_retries + 1}"),
        Field("max_retries", Kind.NUMBER),
        Field("error_message", title="ANSWER", show=_answer),
        Field("resolved", Kind.BOOL),
        Field("resolved_at", Kind.TIME),
        Field("resolved_by", Kind.ID),
        Field("note"),
    )


def _answer(row: DeadLetter) -> str:
    """Return the shortest thing the provider said: its code, the HTTP status, else the message's beginning."""
    entries = history.parse(row.retry_history)
    last = entries[-1] if entries else {}
    said = last.get("code") or last.get("http_status") or row.error_message
    return one_line(str(said), 24) if said else "-"


_SHOWN = (
    *_listed(0),
    Field("resolver"),
    Field("created_at", Kind.TIME),
    Field("send_at", Kind.TIME),
    Field("expires_at", Kind.TIME),
    Field("payload", Kind.JSON),
    Field("retry_history", Kind.JSON),
    Field("attempts", Kind.JSON),
)


def _show_one(run: Invocation, row: SimpleNamespace) -> None:
    told = [field for field in _SHOWN if field.kind is not Kind.JSON and getattr(row, field.name) not in (None, "")]
    run.out.record(row, told)
    run.out.write(f"\n{escaped_lines(attempts.pretty(row.payload))}\n")
    if row.attempts:
        attempts.write(run, row.attempts)
        run.out.write("")
