"""`notifications`: look at them, cancel, reschedule, resend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import attempts, explain, exportforms, exporting, hearers, listing, selection, whole
from notifyctl.cli.exporting import ExportLeaf
from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.selection import COPIES, Ids, Many, agreement, choose, finish, read_ids
from notifyctl.cli.types import duration, parse_since, parse_until
from notifyctl.core import when
from notifyctl.core.duration import age
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import Notification, State
from notifyctl.core.outcome import Kind as OutcomeKind
from notifyctl.core.scope import Scope
from notifyctl.core.webhook.hearer import Hearer
from notifyctl.services import exporting as exports
from notifyctl.services import hearing
from notifyctl.services import notifications as service
from notifyctl.services.bulk import PAST, PERHAPS_SENT, Selection
from notifyctl.services.notifications import NotificationQuery

app = Noun("Look at, cancel, restore, reschedule and resend notifications.")


def _tries(row: Any) -> str:
    return f"{row.attempt_count}/{row.max_retries + 1}"


def _trouble(row: Any) -> str:
    return (row.receipt if row.bounced_at is not None else row.error_message) or "-"


def listed(now: int) -> tuple[Field, ...]:
    """Return the fields of a list; ages are counted up to `now`."""
    return (
        Field("id", FieldKind.ID, "ID"),
        Field("created_at", FieldKind.TIME, "AGE", lambda row: age(now - row.created_at)),
        Field("user_id", FieldKind.ID),
        Field("username", title="USER"),
        Field("message_type", title="CH"),
        Field("provider", title="PROVIDER"),
        Field("status"),
        Field("state", title="STATE"),
        Field("attempt_count", FieldKind.NUMBER, "TRIES", _tries),
        Field("max_retries", FieldKind.NUMBER),
        Field("send_at", FieldKind.TIME),
        Field("due_at", FieldKind.TIME, "DUE"),
        Field("expires_at", FieldKind.TIME),
        Field("last_attempted", FieldKind.TIME),
        Field("sent_at", FieldKind.TIME),
        Field("failed_at", FieldKind.TIME),
        Field("error_message", title="ERROR", show=_trouble),
        Field("provider_message_id"),
        Field("delivered_at", FieldKind.TIME),
        Field("bounced_at", FieldKind.TIME),
        Field("receipt"),
        Field("resent_from", FieldKind.ID),
        Field("category"),
        Field("is_critical", FieldKind.BOOL),
        Field("deferred_by"),
        Field("template"),
        Field("template_id", FieldKind.ID),
        Field("template_version", FieldKind.NUMBER),
        Field("batch"),
        Field("batch_id", FieldKind.ID),
    )


SHOWN = (
    *listed(0),
    Field("idempotency_key"),
    Field("content_hash"),
    Field("lease_id", FieldKind.ID),
    Field("leased_by", FieldKind.ID),
    Field("leased_until", FieldKind.TIME),
    Field("receipt_due_at", FieldKind.TIME),
    Field("address"),
    Field("payload", FieldKind.JSON),
    Field("provider_response"),
    Field("retry_history", FieldKind.JSON),
    Field("attempts", FieldKind.JSON),
    Field("webhooks", FieldKind.JSON),
)


EXPORTED = tuple({field.name: field for field in SHOWN if field.name not in ("attempts", "webhooks")}.values())


_ProviderId = Annotated[str | None, typer.Option("--provider-id", metavar="ID", help="With this id at the provider.")]
_Outcome = Annotated[
    OutcomeKind | None,
    typer.Option(
        "--outcome",
        metavar="O",
        parser=one_of(OutcomeKind),
        help=f"With an attempt that ended so: {', '.join(OutcomeKind)}; beside another filter.",
    ),
]
_Stuck = Annotated[
    int | None, typer.Option("--stuck", metavar="D", parser=duration, help="Pending for longer than this.")
]
_Category = Annotated[str | None, typer.Option("--category", metavar="CATEGORY", help="Of this category.")]
_Batch = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Submitted with this batch.")]
_Template = Annotated[str | None, typer.Option("--template", metavar="T", help="Rendered from this template.")]
_TemplateVersion = Annotated[
    int | None, typer.Option("--template-version", metavar="N", min=1, help="From this version of it.")
]


def _filters(
    status: Annotated[
        Status | None, typer.Option("--status", metavar="S", parser=one_of(Status), help=", ".join(Status))
    ] = None,
    state: Annotated[
        State | None, typer.Option("--state", metavar="S", parser=one_of(State), help=", ".join(State))
    ] = None,
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help=", ".join(Channel))
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="P", help="Of this provider.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="To this user.")] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="A", help="That went to this address; beside another filter.")
    ] = None,
    contains: Annotated[
        str | None, typer.Option("--contains", metavar="TEXT", help="With this in what it says; beside another filter.")
    ] = None,
    outcome: _Outcome = None,
    provider_message_id: _ProviderId = None,
    template: _Template = None,
    template_version: _TemplateVersion = None,
    category: _Category = None,
    batch: _Batch = None,
    since: Annotated[
        Any,
        typer.Option(
            "--since",
            metavar="T",
            parser=parse_since,
            help="Created at or after: 2030-10-25, 2030-10-25T09:00 (local) or 2h ago.",
        ),
    ] = None,
    until: Annotated[
        Any, typer.Option("--until", metavar="T", parser=parse_until, help="Created before: the same.")
    ] = None,
    stuck_ms: _Stuck = None,
) -> None:
    """Declare which notifications."""


_Listing = taking(_filters)
_Acting = taking(_filters, agreement)
_Exporting = taking(_filters, kind=ExportLeaf)


@app.command("list", scope=Scope.NOTIFICATIONS_READ, cls=_Listing, shows=listed(0))
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List notifications, newest first."""
    with invocation(ctx) as run:
        wanted, db = listing.Paging(limit, everything, cursor), run.system.db
        asked = service.ask(db, NotificationQuery(**given(ctx)))
        listing.show(
            run,
            wanted,
            partial(service.page, db, asked),
            listed(db.moment()),
            count=partial(service.count, db, asked),
        )


@app.command(scope=Scope.NOTIFICATIONS_READ, shows=SHOWN)
def show(
    ctx: typer.Context,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Ids, or their first 8 characters or more; - for stdin.")
    ],
) -> None:
    """Show notifications whole, with every attempt; as JSON an object for one ID, an array for several and for -."""
    with invocation(ctx) as run:
        several, ids = len(ids) > 1 or ids == ["-"], read_ids(ids)
        found = service.show(run.system.db, ids)
        told = hearing.told(run.system.db, [row.id for row in found])
        rows = [_whole(row, told.get(row.id, [])) for row in found]
        whole.show(run, rows, SHOWN, id_name="id", several=several)


@app.command(scope=Scope.NOTIFICATIONS_READ, cls=_Exporting, shows=EXPORTED)
def export(ctx: typer.Context, target: exporting.Target = None) -> None:
    """Export notifications with what they say, as they are at one moment, newest first: CSV, NDJSON or Parquet.

    Files that are attached are named and not contained. CSV cells that a spreadsheet would run begin with an
    apostrophe; --raw leaves that out.
    """
    with invocation(ctx) as run:
        query, columns = (
            NotificationQuery(**given(ctx)),
            exportforms.columns(EXPORTED, {"address": attempts.address_of}),
        )
        exporting.export(run, target, columns, partial(exports.notifications, run.system.db, query))


app.command("explain", scope=Scope.NOTIFICATIONS_READ, shows=explain.SHOWN)(explain.explain)


@app.command(scope=Scope.NOTIFICATIONS_WRITE, cls=_Acting, shows=selection.FIELDS)
def cancel(ctx: typer.Context, ids: Ids = None) -> None:
    """Cancel pending notifications; one that is being sent right now cannot be cancelled."""
    with invocation(ctx) as run:
        chosen = choose(run, ctx, ids, _many("cancel", service.select_pending))
        acted = service.cancel(chosen.db, chosen.ids, by_filter=chosen.by_filter)
        finish(run, chosen, acted)


@app.command(scope=Scope.NOTIFICATIONS_WRITE, cls=_Acting, shows=selection.FIELDS)
def reschedule(
    ctx: typer.Context,
    at: Annotated[str, typer.Option("--at", metavar="TIME|now", help=f"The new time: {when.EXAMPLE}, or now.")],
    critical: Annotated[
        bool, typer.Option("--critical", help="Also in quiet hours and over the user's cap, and before others.")
    ] = False,
    ids: Ids = None,
) -> None:
    """Move pending notifications to another time; one that is being sent right now cannot be moved."""
    with invocation(ctx) as run:
        moment = when.moment_or_now(at, "--at")
        chosen = choose(run, ctx, ids, _many("reschedule", service.select_pending))
        by_filter, policy = chosen.by_filter, run.settings.policy
        acted = service.reschedule(chosen.db, chosen.ids, moment, critical=critical, by_filter=by_filter, policy=policy)
        finish(run, chosen, acted, to_send=True)


@app.command(scope=Scope.NOTIFICATIONS_WRITE, cls=_Acting, shows=selection.FIELDS)
def restore(ctx: typer.Context, ids: Ids = None) -> None:
    """Take back what an operator cancelled: it is due when it was. Where that moment is past, it is asked first."""
    with invocation(ctx) as run:
        many = Many(
            "restore",
            service.resolve,
            service.survey_cancelled,
            service.select_cancelled,
            NotificationQuery,
            caution=_soon,
            asks=lambda found: _soon(found) is not None,
        )
        chosen = choose(run, ctx, ids, many)
        by_filter, policy = chosen.by_filter, run.settings.policy
        finish(run, chosen, service.restore(chosen.db, chosen.ids, by_filter=by_filter, policy=policy), to_send=True)


@app.command(scope=Scope.NOTIFICATIONS_SUBMIT, cls=_Acting, shows=COPIES)
def resend(
    ctx: typer.Context,
    ids: Ids = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=f"Not before: {when.EXAMPLE}.")] = None,
    in_: Annotated[
        int | None, typer.Option("--in", metavar="D", parser=duration, help="Not before so long from now.")
    ] = None,
) -> None:
    """Submit copies of notifications that have ended, linked to the first; -o id prints the copies' ids."""
    with invocation(ctx) as run:
        if at is not None and in_ is not None:
            raise UsageError("--at and --in exclude each other")
        send_at = None if at is None else when.moment(at, "--at")
        chosen = choose(run, ctx, ids, _many("resend", service.select_ended))
        by_filter, policy = chosen.by_filter, run.settings.policy
        acted = service.resend(chosen.db, chosen.ids, send_at=send_at, delay_ms=in_, by_filter=by_filter, policy=policy)
        finish(run, chosen, acted, COPIES, id_name="new_id", to_send=True)


def _soon(found: Selection) -> str | None:
    """Return a warning of what goes out at once when it is restored, and of what perhaps went out before."""
    times = found.split["time"]
    past, perhaps = times.get(PAST, 0), times.get(PERHAPS_SENT, 0)
    lines = [f"warning: the time of {past:,} of them is past: due at once"] if past else []
    lines += [f"warning: {perhaps:,} of them may have been sent before: they may arrive twice"] if perhaps else []
    return "\n".join(lines) or None


def _many(verb: str, select: Callable[[Any, NotificationQuery], Selection]) -> Many[NotificationQuery]:
    return Many(verb, service.resolve, service.survey, select, NotificationQuery)


def _whole(row: Notification, told: list[Hearer]) -> SimpleNamespace:
    more = {"attempts": attempts.of(row), "webhooks": hearers.document(told), "told": told}
    return SimpleNamespace(**asdict(row), address=attempts.address_of(row), **more)
