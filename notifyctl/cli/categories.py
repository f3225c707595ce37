"""`categories`: what notifications are about."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import one_of
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import Confirm, IfNotExists, Yes
from notifyctl.core.category import CategoryKind
from notifyctl.core.scope import Scope
from notifyctl.services import categories

app = Noun("What notifications are about; people leave categories one by one.")

FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("name", title="NAME"),
    Field("kind", title="KIND"),
    Field("description", title="DESCRIPTION"),
    Field("provider_group"),
    Field("created_at", FieldKind.TIME, "CREATED"),
    Field("updated_at", FieldKind.TIME),
)
_LISTED = (*FIELDS, Field("left_by", FieldKind.NUMBER, "LEFT BY"))
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))

_Name = Annotated[str, typer.Argument(metavar="CATEGORY", help="The category's name.")]
_Description = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is, for operators.")]
_Group = Annotated[
    str | None, typer.Option("--provider-group", metavar="ID", help="SendGrid's unsubscribe group that is the same.")
]
_KIND_HELP = "transactional, or marketing: that keeps to contact windows, and one click leaves it."


@app.command(scope=Scope.CATEGORIES_WRITE, shows=_CREATED)
def create(
    ctx: typer.Context,
    name: _Name,
    kind: Annotated[
        CategoryKind, typer.Option("--kind", metavar="KIND", parser=one_of(CategoryKind), help=_KIND_HELP)
    ] = CategoryKind.TRANSACTIONAL,
    description: _Description = None,
    provider_group: _Group = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Create a category."""
    with invocation(ctx) as run:
        made = categories.create(run.system.db, name, kind, description, provider_group, keep=if_not_exists)
        did = "created" if made.created else "is there already"
        run.out.record(made, _CREATED, told=f"category {made.name} ({made.kind}) {did}")


@app.command("list", scope=Scope.CATEGORIES_READ, shows=_LISTED)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List categories, newest first."""
    with invocation(ctx) as run:
        wanted, db = listing.Paging(limit, everything, cursor), run.system.db
        listing.show(run, wanted, partial(categories.listed, db), _LISTED, count=partial(categories.count, db))


@app.command(scope=Scope.CATEGORIES_READ, shows=_LISTED)
def show(ctx: typer.Context, name: _Name) -> None:
    """Show a category."""
    with invocation(ctx) as run:
        run.out.record(categories.get(run.system.db, name), _LISTED)


@app.command(scope=Scope.CATEGORIES_WRITE, shows=FIELDS)
def update(
    ctx: typer.Context,
    name: _Name,
    kind: Annotated[
        CategoryKind | None, typer.Option("--kind", metavar="KIND", parser=one_of(CategoryKind), help=_KIND_HELP)
    ] = None,
    description: _Description = None,
    provider_group: _Group = None,
) -> None:
    """Change a category; an empty text removes it."""
    with invocation(ctx) as run:
        changed = categories.update(
            run.system.db, name, kind=kind, description=description, provider_group=provider_group
        )
        run.out.record(changed, FIELDS, told=f"category {changed.name} updated")


@app.command(scope=Scope.CATEGORIES_WRITE, shows=_LISTED)
def delete(ctx: typer.Context, name: _Name, yes: Yes = False, confirm: Confirm = None) -> None:
    """Delete a category of which nothing is pending; who left it stays known, should it be made anew."""
    with invocation(ctx) as run:
        found = categories.get(run.system.db, name)
        run.confirm(f"Delete the category {found.name} ({found.kind})?", yes=yes, confirm=confirm)
        gone = categories.delete(run.system.db, name)
        run.out.record(gone, _LISTED, told=f"category {gone.name} deleted")
