"""`users`: people who receive notifications."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import contacts, enrolling, exporting, listing
from notifyctl.cli.exportforms import columns
from notifyctl.cli.exporting import ExportLeaf
from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import Confirm, IfNotExists, UserArgument, Yes
from notifyctl.core.scope import Scope
from notifyctl.services import admission, users
from notifyctl.services import exporting as exports
from notifyctl.services.users import Removal

app = Noun("People who receive notifications, and their contact points.")
app.add_typer(contacts.app, name="contacts")

FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("username", title="USERNAME"),
    Field("email", title="EMAIL"),
    Field("language", title="LANG"),
    Field("created_at", FieldKind.TIME, "CREATED"),
    Field("updated_at", FieldKind.TIME),
)
EXPORTED = (
    *(field for field in FIELDS if field.kind is not FieldKind.TIME),
    Field("addresses", FieldKind.WORDS),
    Field("phones", FieldKind.WORDS),
    Field("tokens", FieldKind.WORDS),
    *(field for field in FIELDS if field.kind is FieldKind.TIME),
)
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))
_REMOVED = (
    Field("id", FieldKind.ID, "ID"),
    Field("username", title="USERNAME"),
    Field("notifications", FieldKind.NUMBER, "NOTIFICATIONS"),
    Field("api_keys", FieldKind.NUMBER, "KEYS"),
    Field("webhooks", FieldKind.NUMBER, "WEBHOOKS"),
    Field("suppressions", FieldKind.NUMBER, "SUPPRESSIONS LEFT"),
)

_Language = Annotated[str | None, typer.Option("--language", metavar="L", help="A language tag: en, de-AT.")]


@app.command(scope=Scope.USERS_WRITE, shows=_CREATED)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The username; no @, no blanks.")],
    email: Annotated[str, typer.Option("--email", metavar="E", help="The e-mail address.")],
    language: _Language = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Create a user."""
    with invocation(ctx) as run:
        act = users.ensure if if_not_exists else users.create
        made = act(run.system.opened(admission.founds_user), name, email, language)
        did = "created" if made.created else "is there already"
        run.out.record(made, _CREATED, told=f"user {made.username} {did}: {made.id}")


@app.command("list", scope=Scope.USERS_LIST, shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List users, newest first."""
    with invocation(ctx) as run:
        wanted, db = listing.Paging(limit, everything, cursor), run.system.db
        listing.show(run, wanted, partial(users.listed, db), FIELDS, count=partial(users.count, db))


@app.command(scope=Scope.USERS_LIST, cls=ExportLeaf, shows=EXPORTED)
def export(ctx: typer.Context, target: exporting.Target = None) -> None:
    """Export users with all their contact points, as they are at one moment, newest first: CSV, NDJSON or Parquet.

    What `users import` reads: contact points of a channel stand in one cell of CSV, newest first, with blanks between
    them. A cell that a spreadsheet would run begins with an apostrophe; --raw leaves that out.
    """
    with invocation(ctx) as run:
        exporting.export(run, target, columns(EXPORTED), partial(exports.users, run.system.db))


@app.command(scope=Scope.USERS_LIST, shows=FIELDS)
def show(ctx: typer.Context, user: UserArgument) -> None:
    """Show a user."""
    with invocation(ctx) as run:
        run.out.record(users.get(run.system.db, user), FIELDS)


@app.command(scope=Scope.USERS_WRITE, shows=FIELDS)
def update(
    ctx: typer.Context,
    user: UserArgument,
    username: Annotated[str | None, typer.Option("--username", metavar="NAME", help="Another username.")] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="E", help="Another e-mail address.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="L", help="Another language tag; empty removes it.")
    ] = None,
) -> None:
    """Change a user's name, address or language."""
    with invocation(ctx) as run:
        db = run.system.db
        changed = users.update(db, user, username=username, email=email, language=language)
        run.out.record(changed, FIELDS, told=f"user {changed.username} updated: {changed.id}")


@app.command(scope=Scope.USERS_WRITE, shows=_REMOVED)
def delete(
    ctx: typer.Context,
    user: UserArgument,
    cancel_pending: Annotated[
        bool, typer.Option("--cancel-pending", help="Give up notifications that are not sent yet.")
    ] = False,
    reassign_templates_to: Annotated[
        str | None, typer.Option("--reassign-templates-to", metavar="USER", help="Who takes over the user's templates.")
    ] = None,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Delete a user with notifications, contact points, API keys and webhooks; what was sent stays in the metrics."""
    with invocation(ctx) as run:
        db = run.system.db
        plan = users.removal(db, user)
        users.refuse_removal(plan, cancel_pending=cancel_pending, reassign=reassign_templates_to is not None)
        run.confirm(_question(plan), yes=yes, confirm=confirm, bulk=plan.footprint.notifications > 0)
        gone = users.delete(db, plan.user.id, cancel_pending=cancel_pending, reassign_to=reassign_templates_to)
        run.out.record(gone, _REMOVED, told=f"user {gone.username} deleted: {gone.id}")
        run.out.say(_stays(gone.suppressions))


app.command("import", scope=Scope.USERS_WRITE, cls=enrolling.OPTIONS, shows=enrolling.FIELDS)(enrolling.import_)


def _stays(suppressions: int) -> str:
    stay = f"{suppressions:,} suppressed {'address stays' if suppressions == 1 else 'addresses stay'} suppressed"
    whose = f"{stay}; " if suppressions else ""
    return f"{whose}what was sent stays in the metrics, what was done in the audit trail, without addresses"


def _question(plan: Removal) -> str:
    found = plan.footprint
    parts = [
        f"{number:,} {what if number == 1 else f'{what}s'}{more}"
        for number, what, more in (
            (found.notifications, "notification", f" ({found.pending:,} pending)"),
            (found.api_keys, "API key", ""),
            (found.webhooks, "webhook", ""),
        )
        if number
    ]
    extent = f" with {', '.join(parts)}" if parts else ""
    return f"Delete user {plan.user.username} ({plan.user.id}){extent}? {_stays(plan.suppressed).capitalize()}."
