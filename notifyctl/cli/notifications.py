"""`notifications`: look at them, cancel, reschedule, resend."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Annotated, Any

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, Kind, iso
from notifyctl.cli.selection import COPIES, Ids, agreement, choose, filters, finish
from notifyctl.cli.types import duration
from notifyctl.core import history, when
from notifyctl.core.model import Channel, Status
from notifyctl.services import notifications as service
from notifyctl.services.notifications import Query
from notifyctl.store.notifications import Notification
from notifyctl.store.states import State

app = Noun("Look at, cancel, reschedule and resend notifications.")


def _tries(row: Any) -> str:
    return f"{row.attempt_count}/{row.max_retries + 1}"


LISTED = (
    Field("id", Kind.ID, "ID"),
    Field("created_at", Kind.TIME, "CREATED"),
    Field("user_id", Kind.ID),
    Field("username", title="USER"),
    Field("message_type", title="CH"),
    Field("provider", title="PROVIDER"),
    Field("status"),
    Field("state", title="STATE"),
    Field("attempt_count", Kind.NUMBER, "TRIES", _tries),
    Field("max_retries", Kind.NUMBER),
    Field("send_at", Kind.TIME),
    Field("due_at", Kind.TIME),
    Field("expires_at", Kind.TIME),
    Field("last_attempted", Kind.TIME),
    Field("sent_at", Kind.TIME),
    Field("failed_at", Kind.TIME),
    Field("error_message", title="ERROR"),
    Field("provider_message_id"),
    Field("resent_from", Kind.ID),
)
SHOWN = (
    *LISTED,
    Field("idempotency_key"),
    Field("content_hash"),
    Field("is_critical", Kind.BOOL),
    Field("lease_id", Kind.ID),
    Field("leased_by", Kind.ID),
    Field("payload", Kind.JSON),
    Field("provider_response"),
    Field("retry_history", Kind.JSON),
)
"""""" 


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
    address: Annotated[str | None, typer.Option("--address", metavar="A", help="To this address.")] = None,
    provider_message_id: Annotated[
        str | None, typer.Option("--provider-id", metavar="ID", help="With this id at the provider.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Created at or after: a time, or 2h for two hours ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="T", help="Created before: the same.")] = None,
    stuck_ms: Annotated[
        int | None, typer.Option("--stuck", metavar="D", parser=duration, help="Pending for longer than this.")
    ] = None,
) -> None:
    """Declare which notifications."""


_Listing = taking(_filters)
_Acting = taking(_filters, agreement)


@app.command("list", cls=_Listing)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List notifications, newest first."""
    with invocation(ctx) as run:
        wanted, query = listing.Wanted(limit, everything, cursor), _query(ctx)
        db = run.system.db
        asked = service.ask(db, query)
        listing.show(
            run, wanted, partial(service.page, db, asked), LISTED, count=partial(service.count, db, asked)
        )


@app.command()
def show(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or their first 8 characters or more.")],
) -> None:
    """Show notifications whole, with every attempt; JSON is an object for one id, an array for several."""
    with invocation(ctx) as run:
        found = service.show(run.system.db, ids)
        if run.out.form == "table":
            for row in found:
                _show_one(run, row)
        elif len(ids) == 1:
            run.out.record(_Whole(found[0]), _WHOLE)
        else:
            run.out.records([_Whole(row) for row in found], _WHOLE)
"""""" 
