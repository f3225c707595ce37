"""`users contacts`: where users can be reached, and where they must not be."""

from __future__ import annotations

from typing import Annotated

import typer

from notifyctl.cli.invocation import invocation
from notifyctl.cli.lifting import agree_to_lift
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import ChannelArgument, Confirm, IfNotExists, UserArgument, Yes
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.services import contacts

app = Noun("Where users can be reached, and where they must not be.")

_ADDRESS = Field("address", title="ADDRESS")
_CHANNEL = Field("channel", title="CH")
FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("user_id", FieldKind.ID),
    Field("username"),
    _CHANNEL,
    _ADDRESS,
    Field("source"),
    Field("used", FieldKind.BOOL, "USED"),
    Field("suppressed", FieldKind.BOOL),
    Field("suppressed_reason", title="SUPPRESSED"),
    Field("suppressed_at", FieldKind.TIME, "SINCE"),
    Field("created_at", FieldKind.TIME),
)
_ADDED = (*FIELDS, Field("created", FieldKind.BOOL))
_SUPPRESSED = (
    Field("id", FieldKind.ID),
    _CHANNEL,
    _ADDRESS,
    Field("reason"),
    Field("created_at", FieldKind.TIME),
    Field("created", FieldKind.BOOL),
)
_LIFTED = (_CHANNEL, _ADDRESS, Field("reason"))

_Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="E-mail address, number with +, or push token.")]


@app.command(scope=Scope.USERS_WRITE, shows=_ADDED)
def add(
    ctx: typer.Context,
    user: UserArgument,
    channel: ChannelArgument,
    address: _Address,
    if_not_exists: IfNotExists = False,
) -> None:
    """Add an address to a user; the newest one of a channel that is not suppressed is used."""
    with invocation(ctx) as run:
        act = contacts.ensure if if_not_exists else contacts.add
        point = act(run.system.db, user, channel, address)
        did = "added to" if point.created else "is there already, of"
        run.out.record(point, _ADDED, told=f"{point.channel} {point.address} {did} {point.username}: {point.id}")
        if point.suppressed:
            run.out.say(f"{point.address} is suppressed: {point.suppressed_reason}")


@app.command("list", scope=Scope.USERS_LIST, shows=FIELDS)
def list_(
    ctx: typer.Context,
    user: UserArgument,
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="CHANNEL", help="email, sms or push only.")
    ] = None,
) -> None:
    """List a user's addresses, the user's own e-mail address too."""
    with invocation(ctx) as run:
        points = contacts.listed(run.system.db, user, channel)
        # The user's own address has no id to print.
        run.out.records([point for point in points if point.id or run.out.form != "id"], FIELDS)


@app.command(scope=Scope.USERS_WRITE, shows=FIELDS)
def remove(ctx: typer.Context, user: UserArgument, channel: ChannelArgument, address: _Address) -> None:
    """Remove an address from a user; if it is suppressed it stays so."""
    with invocation(ctx) as run:
        run.out.record(contacts.remove(run.system.db, user, channel, address), FIELDS)


@app.command(scope=Scope.SUPPRESSIONS_WRITE, shows=_SUPPRESSED)
def suppress(
    ctx: typer.Context,
    user: UserArgument,
    channel: ChannelArgument,
    address: _Address,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="Why nobody shall write there.")],
) -> None:
    """Write to an address no more, whoever has it and even if it is added again."""
    with invocation(ctx) as run:
        done = contacts.suppress(run.system.db, user, channel, address, reason)
        run.out.record(done, _SUPPRESSED)
        if not done.created:
            run.out.say(f"{done.address} was suppressed already: {done.reason}")
        if not done.theirs:
            run.out.say(f"{done.address} is no {done.channel} address of {user}; it is suppressed all the same")


@app.command(scope=Scope.SUPPRESSIONS_WRITE, shows=_LIFTED)
def unsuppress(
    ctx: typer.Context,
    user: UserArgument,
    channel: ChannelArgument,
    address: _Address,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Let an address be written to again; that of a person who said no only after asking."""
    with invocation(ctx) as run:
        agree_to_lift(run, contacts.suppressing(run.system.db, user, channel, address), yes=yes, confirm=confirm)
        lifted = contacts.unsuppress(run.system.db, user, channel, address)
        run.out.record(lifted, _LIFTED, id_name="address")
        if lifted.reason is None:
            run.out.say(f"{lifted.address} was not suppressed")
