"""`dlq`: dead letters: look, retry, resolve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import attempts, exporting, listing, selection, whole
from notifyctl.cli.exportforms import ExportColumn, columns
from notifyctl.cli.exporting import ExportLeaf
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.selection import Ids, Many, agreement, choose, filters, finish, read_ids
from notifyctl.cli.types import interval, parse_since, parse_until
from notifyctl.core import history
from notifyctl.core.cursor import Cursor
from notifyctl.core.deadletter import DeadLetter
from notifyctl.core.duration import age
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Category, Channel
from notifyctl.core.scope import Scope
from notifyctl.core.text import one_line, word
from notifyctl.services import dlq as service
from notifyctl.services import exporting as exports
from notifyctl.services.bulk import Selection
from notifyctl.services.dlq import DeadLetterQuery, Retried

app = Noun("Dead letters: look, retry, resolve. ID is the entry's or the notification's.")

MOST_RETRIES = 1_000
SHOWN_WARNINGS = 5


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
    template: Annotated[
        str | None, typer.Option("--template", metavar="T", help="Rendered from this template.")
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Submitted with this batch.")] = None,
    since: Annotated[
        Any,
        typer.Option(
            "--since",
            metavar="T",
            parser=parse_since,
            help="Dead at or after: 2030-10-25, 2030-10-25T09:00 (local) or 2h ago.",
        ),
    ] = None,
    until: Annotated[
        Any, typer.Option("--until", metavar="T", parser=parse_until, help="Dead before: the same.")
    ] = None,
) -> None:
    """Declare which dead letters."""


def _also_resolved(
    resolved: Annotated[bool, typer.Option("--resolved", help="The resolved ones instead.")] = False,
) -> None:
    """Declare that resolved ones can be asked for."""


_LIST = taking(_filters, _also_resolved)
_RETRY = taking(_filters, _also_resolved, agreement)
_ACT = taking(_filters, agreement)
_EXPORT = taking(_filters, _also_resolved, kind=ExportLeaf)


@app.command("list", scope=Scope.DLQ_READ, cls=_LIST, shows=lambda: _listed(0))
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List unresolved dead letters, the latest first."""
    with invocation(ctx) as run:
        rows, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = service.ask(db, DeadLetterQuery(**given(ctx)))
        listing.show(
            run,
            rows,
            partial(service.page, db, wanted),
            _listed(db.moment()),
            count=partial(service.count, db, wanted),
            position=lambda row: Cursor(row.moved_to_dlq_at, row.id),
            id_name="notification_id",
        )


@app.command(scope=Scope.DLQ_READ, shows=lambda: _SHOWN)
def show(
    ctx: typer.Context,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Ids of entries or notifications; - for ids on stdin.")
    ],
) -> None:
    """Show dead letters whole, with every attempt; as JSON an object for one ID, an array for several and for -."""
    with invocation(ctx) as run:
        several, ids = len(ids) > 1 or ids == ["-"], read_ids(ids)
        rows = [
            SimpleNamespace(**asdict(row), attempts=attempts.past(row.history or row.retry_history))
            for row in service.show(run.system.db, ids)
        ]
        whole.show(run, rows, _SHOWN, id_name="notification_id", several=several)


@app.command(scope=Scope.DLQ_READ, cls=_EXPORT, shows=lambda: _EXPORTED)
def export(ctx: typer.Context, target: exporting.Target = None) -> None:
    """Export unresolved dead letters, each with its notification, as they are at one moment, the latest first.

    CSV, NDJSON or Parquet. Files that are attached are named and not contained. CSV cells that a spreadsheet would run
    begin with an apostrophe; --raw leaves that out.
    """
    with invocation(ctx) as run:
        query = DeadLetterQuery(**given(ctx))
        exporting.export(run, target, _columns(), partial(exports.dead_letters, run.system.db, query))


@app.command(scope=Scope.DLQ_WRITE, cls=_RETRY, shows=selection.FIELDS)
def retry(
    ctx: typer.Context,
    ids: Ids = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N/s", parser=interval, help="Not all at once: so many a second (5/s, 100/m).  [no limit]"
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", min=1, max=MOST_RETRIES, help="Attempts after the next one.")
    ] = service.RETRIES,
    force: Annotated[bool, typer.Option("--force", help="Resolved ones as well.")] = False,
    latest_template: Annotated[
        bool, typer.Option("--latest-template", help="From what their templates say now, not from what they said then.")
    ] = False,
) -> None:
    """Send the notifications of dead letters once more."""
    with invocation(ctx) as run:
        if filters(ctx).get("resolved") and not force:
            raise UsageError("--resolved: a resolved dead letter is retried only with --force")
        chosen = choose(run, ctx, ids, _many("retry", caution=lambda found: _twice(found.split["reason"])))
        done = service.retry(
            chosen.db,
            chosen.ids,
            retries=retries,
            interval_ms=rate or 0.0,
            force=force,
            latest_template=latest_template,
            by_filter=chosen.by_filter,
            policy=run.settings.policy,
        )
        _warn(run, done, dry=chosen.dry)
        finish(run, chosen, done.acted, to_send=True)


@app.command(scope=Scope.DLQ_WRITE, cls=_ACT, shows=selection.FIELDS)
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
        chosen = choose(run, ctx, ids, _many("resolve"))
        acted = service.resolve(chosen.db, chosen.ids, by=who, note=note, by_filter=chosen.by_filter)
        finish(run, chosen, acted)


@app.command(scope=Scope.DLQ_WRITE, cls=_ACT, shows=selection.FIELDS)
def reopen(ctx: typer.Context, ids: Ids = None) -> None:
    """Mark resolved dead letters as unresolved again."""
    with invocation(ctx) as run:
        chosen = choose(run, ctx, ids, _many("reopen", partial(DeadLetterQuery, resolved=True)))
        acted = service.reopen(chosen.db, chosen.ids, by_filter=chosen.by_filter)
        finish(run, chosen, acted)


def _many(
    verb: str,
    query: Callable[..., DeadLetterQuery] = DeadLetterQuery,
    caution: Callable[[Selection], str | None] = lambda _: None,
) -> Many[DeadLetterQuery]:
    return Many(verb, service.resolve_ids, service.survey, service.select, query, caution)


# Retrying


def _twice(reasons: Mapping[str, int]) -> str | None:
    count = reasons.get(Category.OUTCOME_UNKNOWN, 0)
    what = "1 of them was perhaps sent: it" if count == 1 else f"{count:,} of them were perhaps sent: they"
    return f"warning: nobody knows what became of the last attempt; {what} may arrive twice" if count else None


def _warn(run: Invocation, done: Retried, *, dry: bool) -> None:
    if not dry and (twice := _twice(done.reasons)):  # with --dry-run it was said with what was shown
        run.out.say(twice)
    for address in done.suppressed[:SHOWN_WARNINGS]:
        run.out.say(
            f"warning: {address.address} is still suppressed ({address.reason}): nothing is sent there\n"
            f"hint: notifyctl users contacts unsuppress {word(address.user)} {address.channel} {word(address.address)}"
        )
    if (more := len(done.suppressed) - SHOWN_WARNINGS) > 0:
        run.out.say(f"warning: {more:,} more addresses are still suppressed")
    if done.expired:
        run.out.say(f"warning: {done.expired:,} of them have expired; they will be cancelled instead of sent")


# Showing


def _listed(now: int) -> tuple[Field, ...]:
    return (
        Field("notification_id", FieldKind.ID, "ID"),
        Field("id", FieldKind.ID),
        Field("moved_to_dlq_at", FieldKind.TIME, "AGE", lambda row: age(now - row.moved_to_dlq_at)),
        Field("user_id", FieldKind.ID),
        Field("username", title="USER"),
        Field("message_type", title="CH"),
        Field("provider", title="PROVIDER"),
        Field("failure_reason", title="REASON"),
        Field("attempt_count", FieldKind.NUMBER, "TRIES", lambda row: f"{row.attempt_count}/{row.max_retries + 1}"),
        Field("max_retries", FieldKind.NUMBER),
        Field("error_message", title="ANSWER", show=_answer),
        Field("resolved", FieldKind.BOOL),
        Field("resolved_at", FieldKind.TIME),
        Field("resolved_by", FieldKind.ID),
        Field("note"),
        Field("template_id", FieldKind.ID),
    )


def _answer(row: DeadLetter) -> str:
    """Return the shortest thing the provider said: its code, the HTTP status, else the message's beginning."""
    entries = history.parse(row.retry_history)
    last = entries[-1] if entries else {}
    said = last.get("code") or last.get("http_status") or row.error_message
    return one_line(str(said), 24) if said else "-"


def _columns() -> list[ExportColumn]:
    """Return the columns of an export, whose rows are the entry and its notification."""
    own = {field.name for field in _SHOWN}
    values = {each.name: _of(each.name, 0 if each.name in own else 1) for each in _EXPORTED}
    return columns(_EXPORTED, {**values, "address": lambda row: attempts.address_of(row[1])})


def _of(name: str, place: int) -> Callable[[Any], Any]:
    value = attrgetter(name)
    return lambda row: value(row[place])


_SHOWN: tuple[Field, ...] = (
    *_listed(0),
    Field("resolver"),
    Field("created_at", FieldKind.TIME),
    Field("send_at", FieldKind.TIME),
    Field("expires_at", FieldKind.TIME),
    Field("payload", FieldKind.JSON),
    Field("retry_history", FieldKind.JSON),
    Field("attempts", FieldKind.JSON),
)
_EXPORTED: tuple[Field, ...] = (
    *(field for field in _SHOWN if field.name != "attempts"),
    Field("category"),
    Field("is_critical", FieldKind.BOOL),
    Field("batch"),
    Field("batch_id", FieldKind.ID),
    Field("template"),
    Field("template_version", FieldKind.NUMBER),
    Field("address"),
    Field("last_attempted", FieldKind.TIME),
    Field("failed_at", FieldKind.TIME),
    Field("provider_message_id"),
    Field("provider_response"),
    Field("resent_from", FieldKind.ID),
    Field("idempotency_key"),
    Field("content_hash"),
)
