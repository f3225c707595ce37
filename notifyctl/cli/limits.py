"""`limits`: how much each user may have in a minute."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import one_of
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import UserArgument
from notifyctl.core.scope import Scope
from notifyctl.core.userlimit import LimitType
from notifyctl.services import limits
from notifyctl.services.limits import DefaultLimits, LimitInForce

app = Noun("How much each user may have, and do, in a minute.")

FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("limit_type", title="OF"),
    Field("per_minute", FieldKind.NUMBER, "A MINUTE"),
    Field("created_at", FieldKind.TIME, "SET"),
    Field("updated_at", FieldKind.TIME),
)
_IN_FORCE = (
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("limit_type", title="OF"),
    Field("per_minute", FieldKind.NUMBER, "A MINUTE"),
    Field("source", title="SET BY"),
    Field("used", FieldKind.NUMBER, "USED"),
)
_CHANGED = (*_IN_FORCE, Field("woken", FieldKind.NUMBER))


@app.command(scope=Scope.LIMITS_READ, shows=_IN_FORCE)
def show(ctx: typer.Context, user: UserArgument) -> None:
    """Show what limits a user, who set it, and how much of it is used."""
    with invocation(ctx) as run:
        found = limits.in_force(run.system.db, user, _defaults(run))
        run.out.records(found, _IN_FORCE, id_name="user_id")


@app.command("set", scope=Scope.LIMITS_WRITE, shows=_CHANGED)
def set_(
    ctx: typer.Context,
    user: UserArgument,
    per_minute: Annotated[
        str, typer.Option("--per-minute", metavar="N|none", help="At most so many a minute; none: as the profile says.")
    ],
    limit_type: Annotated[
        LimitType,
        typer.Option("--type", metavar="TYPE", parser=one_of(LimitType), help="Of what: notification or api."),
    ] = LimitType.NOTIFICATION,
) -> None:
    """Limit what a user gets, or does with API keys, in a minute.

    Notifications over it wait; commands over it are refused with exit code 9.
    """
    with invocation(ctx) as run:
        done = limits.change(run.system.db, user, limit_type, per_minute, _defaults(run))
        run.out.record(done, _CHANGED, id_name="user_id", told=f"{done.username}: {_in_words(done)}")
        if done.woken:
            run.out.say(
                f"{done.woken:,} deferred {'notification is' if done.woken == 1 else 'notifications are'} due again"
            )


@app.command("list", scope=Scope.LIMITS_READ, shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List the limits that users have of their own, newest first."""
    with invocation(ctx) as run:
        wanted, db = listing.Paging(limit, everything, cursor), run.system.db
        listing.show(run, wanted, partial(limits.page, db), FIELDS, count=partial(limits.count, db))


def _defaults(run: Invocation) -> DefaultLimits:
    settings = run.settings
    return {LimitType.NOTIFICATION: settings.notification_limit, LimitType.API: settings.api_limit}


def _in_words(limit: LimitInForce) -> str:
    if limit.per_minute is None:
        return "no limit"
    one = "call" if limit.limit_type == LimitType.API else limit.limit_type
    what = one if limit.per_minute == 1 else f"{one}s"
    whose = ", as the profile says" if limit.source == "profile" else ""
    return f"at most {limit.per_minute:,} {what} a minute{whose}"
