"""`suppressions`: addresses that must not be written to, whoever has them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import exporting, files, listing
from notifyctl.cli.exportforms import columns
from notifyctl.cli.exporting import ExportLeaf
from notifyctl.cli.invocation import invocation
from notifyctl.cli.lifting import agree_to_lift
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import ChannelArgument, Confirm, IfNotExists, Yes, parse_since, parse_until
from notifyctl.core.duration import age
from notifyctl.core.errors import Conflict, NotFound, PartlyDone
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.suppression import SuppressionCause
from notifyctl.core.text import word
from notifyctl.services import exporting as exports
from notifyctl.services import suppressions as service

app = Noun("Addresses that must not be written to, whoever has them.")

SHOWN_REJECTS = 5

_CAUSES = ", ".join(SuppressionCause)


def _completed_reasons(incomplete: str) -> list[str]:
    return [cause for cause in SuppressionCause if cause.startswith(incomplete)]


def _filters(
    address: Annotated[
        str | None, typer.Option("--address", metavar="A", help="This address, however it is written.")
    ] = None,
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help=", ".join(Channel))
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="R",
            autocompletion=_completed_reasons,
            help=f"For this cause ({_CAUSES}), or with this in the reason.",
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="ID", help="Who left this group of mails (SendGrid's group id).")
    ] = None,
    since: Annotated[
        Any,
        typer.Option(
            "--since", metavar="T", parser=parse_since, help="Said at or after: a time, or 2h for two hours ago."
        ),
    ] = None,
    until: Annotated[
        Any, typer.Option("--until", metavar="T", parser=parse_until, help="Said before: the same.")
    ] = None,
) -> None:
    """Declare which suppressions."""


_WHICH = taking(_filters)
_Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="E-mail address, number with +, or push token.")]
_Channel = Annotated[
    Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help=", ".join(Channel))
]


def fields(now: int = 0) -> tuple[Field, ...]:
    """Return the fields of a suppression; ages are those at the moment `now`."""
    return (
        Field("id", FieldKind.ID, "ID"),
        Field("created_at", FieldKind.TIME, "AGE", lambda row: age(now - row.created_at)),
        Field("channel", title="CH"),
        Field("address", title="ADDRESS"),
        Field("cause", title="CAUSE"),
        Field("group_id", title="GROUP", show=lambda row: row.group_id or "-"),
        Field("reason", title="REASON"),
        Field("notification_id", FieldKind.ID),
    )


FIELDS = fields()
_ADDED = (*FIELDS, Field("created", FieldKind.BOOL))
_PORTABLE = (
    *(Field(name) for name in ("channel", "address", "cause", "group_id", "reason")),
    Field("created_at", FieldKind.TIME),
)
_PULLED = (
    Field("name", title="LIST"),
    Field("read", FieldKind.NUMBER, "READ"),
    Field("suppressed", FieldKind.NUMBER, "SUPPRESSED"),
    Field("only_shown", FieldKind.BOOL),
    Field("problem", title="PROBLEM"),
)
_IMPORTED = (
    Field("read", FieldKind.NUMBER),
    Field("added", FieldKind.NUMBER),
    Field("known", FieldKind.NUMBER),
    Field("rejected", FieldKind.NUMBER),
)


@app.command("list", scope=Scope.SUPPRESSIONS_READ, cls=_WHICH, shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List suppressed addresses, the latest first.

    Each stands there once for each cause, and once for each group of mails that the person left.
    """
    with invocation(ctx) as run:
        paging, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = service.wanted(db, **given(ctx))
        found, count = partial(service.page, db, wanted), partial(service.count, db, wanted)
        listing.show(run, paging, found, fields(db.moment()), count=count)


@app.command(scope=Scope.SUPPRESSIONS_READ, shows=FIELDS)
def show(ctx: typer.Context, address: _Address, channel: _Channel = None) -> None:
    """Show all that stands against an address, however it is written; exit 3 where nothing does."""
    with invocation(ctx) as run:
        db = run.system.db
        found = service.of_address(db, channel, address)
        if not found:
            raise NotFound(f"nothing stands against {address}", "notifyctl suppressions list")
        run.out.records(found, fields(db.moment()))


@app.command(scope=Scope.SUPPRESSIONS_WRITE, shows=_ADDED)
def add(
    ctx: typer.Context,
    channel: ChannelArgument,
    address: _Address,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="Why nobody shall write there.")],
    cause: Annotated[
        SuppressionCause,
        typer.Option("--cause", metavar="CAUSE", parser=one_of(SuppressionCause), help=f"One of {_CAUSES}."),
    ] = SuppressionCause.OPERATOR,
    group: Annotated[
        str, typer.Option("--group", metavar="ID", help="Only mails of this group (SendGrid's group id).")
    ] = "",
    if_not_exists: IfNotExists = False,
) -> None:
    """Write to an address no more, whoever has it; an opt-out (--cause opt_out) is lifted only after asking."""
    with invocation(ctx) as run:
        added = service.add(run.system.db, channel, address, reason, cause, group)
        if not added.created and not added.mended and not if_not_exists:
            hint = f"notifyctl suppressions show {word(added.address)}"
            raise Conflict(f"{added.address} is suppressed already: {added.reason}", hint)
        kept = "is suppressed as before, and written anew" if added.mended else "is suppressed already"
        did = "suppressed" if added.created else kept
        run.out.record(added, _ADDED, told=f"{added.channel} {added.address} {did}: {added.id}")


@app.command(scope=Scope.SUPPRESSIONS_WRITE, shows=FIELDS)
def remove(
    ctx: typer.Context, channel: ChannelArgument, address: _Address, yes: Yes = False, confirm: Confirm = None
) -> None:
    """Let an address be written to again, whatever stood against it; that of a person who said no after asking."""
    with invocation(ctx) as run:
        db = run.system.db
        held = service.of_address(db, channel, address)
        if not held:
            raise NotFound(f"{address} is not suppressed on {channel}", "notifyctl suppressions list")
        agree_to_lift(run, held, yes=yes, confirm=confirm)
        lifted = service.lift(db, channel, address)
        run.out.records(lifted, fields(db.moment()))
        run.out.say(f"{len(lifted):,} lifted: {address} may be written to again")


@app.command("import", scope=Scope.SUPPRESSIONS_WRITE, shows=_IMPORTED)
def import_(
    ctx: typer.Context,
    file: Annotated[str, typer.Option("-f", "--file", metavar="F", help="CSV or NDJSON; - is stdin.")],
    channel: _Channel = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="R", help="The reason, where the file has none.")
    ] = None,
    cause: Annotated[
        SuppressionCause,
        typer.Option(
            "--cause",
            metavar="CAUSE",
            parser=one_of(SuppressionCause),
            help=f"The cause, where the file has none: {_CAUSES}.",
        ),
    ] = SuppressionCause.OPERATOR,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would come to, and write nothing.")] = False,
) -> None:
    """Suppress the addresses of a file: what `export` wrote, a provider's own list, or an address a line.

    Columns: address (or email, phone), and if they are there channel, cause, group_id, reason, created_at (or created).
    Without a channel an address with @ is e-mail and a number with + is sms. Rows that cannot be meant are named, and
    the exit code is 6.
    """
    with invocation(ctx) as run:
        text = files.text(file, "-f")
        db = run.system.db.rehearsal() if dry_run else run.system.db
        done = service.take_in(db, text, channel=channel, cause=cause, reason=reason)
        run.out.record(SimpleNamespace(**asdict(done)), _IMPORTED, id_name="added")
        for reject in done.rejects[:SHOWN_REJECTS]:
            run.out.say(reject)
        others = "nothing was written" if dry_run else "the others are written"
        if done.rejected:
            raise PartlyDone(f"{done.rejected:,} of {done.read:,} rows were rejected, {others}", None)
        if dry_run:
            run.out.say(others)


@app.command(scope=Scope.SUPPRESSIONS_WRITE, shows=_PULLED)
def pull(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Whose lists: sendgrid.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the lists and write nothing.")] = False,
) -> None:
    """Suppress who is on a provider's own lists: bounces, invalid addresses, spam reports and unsubscribes.

    Blocks are shown and never suppressed. What was lifted here since stays lifted. Exit 6 where a list cannot be read
    to its end; what was read of it is written.
    """
    with invocation(ctx) as run:
        from notifyctl.services import pulling

        db, keyring, urls = run.system.db, run.system.keyring, run.settings.provider_urls
        done = pulling.pull(db, keyring, urls, provider, dry_run=dry_run)
        run.out.records(done, _PULLED, id_name="name")
        for each in (one for of in done if of.only_shown for one in of.samples):
            run.out.say(f"not suppressed: {each.address} ({each.reason})")
        failed = [each for each in done if each.problem is not None]
        if failed:
            said = "; ".join(f"{each.name}: {each.problem}" for each in failed)
            raise PartlyDone(f"{said}; the others are complete", f"notifyctl providers test {provider}")


@app.command(scope=Scope.SUPPRESSIONS_READ, cls=taking(_filters, kind=ExportLeaf), shows=_PORTABLE)
def export(ctx: typer.Context, target: exporting.Target = None) -> None:
    """Export suppressed addresses as they are at one moment, the latest first, for `suppressions import` elsewhere.

    CSV, NDJSON or Parquet. CSV cells that a spreadsheet would run begin with an apostrophe; --raw leaves that out.
    """
    with invocation(ctx) as run:
        db = run.system.db
        wanted = service.wanted(db, **given(ctx))
        exporting.export(run, target, columns(_PORTABLE), partial(exports.suppressions, db, wanted))
