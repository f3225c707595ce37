"""`limits`: how much each user may have in a minute."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import one_of
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import UserArgument
from notifyctl.core.scope import Scope
from notifyctl.core.userlimit import LimitType
from notifyctl.services import limits
from notifyctl.services.limits import LimitInForce

app = Noun("How many notifications a minute each user may have.")

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
        found = limits.in_force(run.system.db, user, run.settings.policy.notification_limit)
        run.out.records(found, _IN_FORCE, id_name="user_id")


@app.command("set", scope=Scope.LIMITS_WRITE, shows=_CHANGED)
def set_(
    ctx: typer.Context,
    user: UserArgument,
    per_minute: Annotated[
        str, typer.Option("--per-minute", metavar="N|none", help="At most so many a minute; none: as the profile says.")
    ],
    limit_type: Annotated[
        LimitType, typer.Option("--type", metavar="TYPE", parser=one_of(LimitType), help="Of what: notification.")
    ] = LimitType.NOTIFICATION,
) -> None:
    """Limit what a user gets in a minute; what is over it waits."""
    with invocation(ctx) as run:
        default = run.settings.policy.notification_limit
        done = limits.change(run.system.db, user, limit_type, per_minute, default)
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


def _in_words(limit: LimitInForce) -> str:
    if limit.per_minute is None:
        return "no limit"
    what = limit.limit_type if limit.per_minute == 1 else f"{limit.limit_type}s"
    whose = ", as the profile says" if limit.source == "profile" else ""
    return f"at most {limit.per_minute:,} {what} a minute{whose}"
