"""`webhooks`: who is told what became of notifications."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing, selection, webhooks_changed, webhooks_deliveries, webhooks_shown, webhooks_tried
from notifyctl.cli.hooks_receiving import CHECKED, HEARD, ListenLeaf, listen, verify
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import SECRET, Noun, SecretLeaf
from notifyctl.cli.once import refuse_losing
from notifyctl.cli.prompt import kept
from notifyctl.cli.types import IfNotExists, SecretFile, UserArgument
from notifyctl.cli.webhooks_fields import (
    CREATED,
    FIELDS,
    WITH_SECRET,
    EventsOption,
    OwnSecret,
    RetriesOption,
    TimeoutOption,
    UrlArgument,
    fields,
    hand_over,
    own_secret,
    split,
    url_of,
)
from notifyctl.core.scope import OPEN, Scope
from notifyctl.core.webhook.signing import secret_text
from notifyctl.services import webhooks
from notifyctl.services.webhooks import NewWebhook, Setup

app = Noun("Who is told what became of notifications: signed, retried, replayable.")


@app.command(scope=Scope.WEBHOOKS_WRITE, cls=SecretLeaf, shows=WITH_SECRET)
def create(
    ctx: typer.Context,
    user: UserArgument,
    url: UrlArgument,
    events: Annotated[list[str], EventsOption],
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="What it is called.  [the host]")] = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Events of everybody's notifications, not of this user's alone.")
    ] = False,
    retries: Annotated[int | None, RetriesOption] = None,
    timeout: Annotated[int | None, TimeoutOption] = None,
    secret: OwnSecret = None,
    secret_file: SecretFile = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Tell a URL what becomes of a user's notifications. Its secret, which signs, is shown once: now.

    With the usual retries a receiver may be down for a day and a half. With --if-not-exists one that is there with the
    same values is left as it is, and its secret not shown.
    """
    with invocation(ctx) as run:
        where, given = url_of(url), own_secret(secret)
        if given is None:
            refuse_losing(run, "secret", secret_file)
        db, keyring, reach = run.system.db, run.system.keyring, run.settings.webhook_reach
        setup = Setup(where, split(events), name, all_users or None, retries, timeout)
        found = webhooks.present(db, keyring, user, setup, given, reach) if if_not_exists else None
        if found is not None:
            _leave(run, found)
            return
        new = given or webhooks.new_secret()
        with kept(secret_file, secret_text(new)):
            made = webhooks.create(db, keyring, user, setup, new, reach, is_new=given is None)
        did = f"webhook {made.name} of {made.username} to {made.host} created"
        hand_over(run, made, did, CREATED, secret_file)


@app.command("list", scope=Scope.WEBHOOKS_READ, shows=FIELDS)
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="This user's only.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Those whose receivers fail.")] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Those that are disabled.")] = False,
    limit: listing.Limit = None,
    everything: listing.All = False,
    cursor: listing.After = None,
) -> None:
    """List webhooks, newest first, each with how many deliveries did not arrive."""
    with invocation(ctx) as run:
        rows, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = webhooks.ask(db, user, failing=failing, disabled=disabled)
        listing.show(
            run,
            rows,
            partial(webhooks.listed, db, wanted),
            fields(db.moment()),
            count=partial(webhooks.count, db, wanted),
        )


app.command(scope=Scope.WEBHOOKS_READ, shows=webhooks_shown.SHOWN)(webhooks_shown.show)
app.command(scope=Scope.WEBHOOKS_WRITE, shows=FIELDS)(webhooks_changed.update)
app.command(scope=Scope.WEBHOOKS_WRITE, shows=webhooks_changed.ENABLED)(webhooks_changed.enable)
app.command(scope=Scope.WEBHOOKS_WRITE, shows=FIELDS)(webhooks_changed.disable)
app.command(scope=Scope.WEBHOOKS_WRITE, shows=FIELDS)(webhooks_changed.delete)
app.command(scope=Scope.WEBHOOKS_WRITE, shows=webhooks_tried.TRIED)(webhooks_tried.test)
app.command("rotate-secret", scope=Scope.WEBHOOKS_WRITE, cls=SecretLeaf, shows=webhooks_changed.ROTATED)(
    webhooks_changed.rotate_secret
)
app.command(scope=Scope.WEBHOOKS_READ, cls=webhooks_deliveries.LISTING, shows=webhooks_deliveries.WHOLE)(
    webhooks_deliveries.deliveries
)
app.command(scope=Scope.WEBHOOKS_WRITE, cls=webhooks_deliveries.REDELIVERING, shows=selection.FIELDS)(
    webhooks_deliveries.redeliver
)
app.command(scope=OPEN, cls=webhooks_shown.EventsLeaf, shows=webhooks_shown.EVENTS)(webhooks_shown.events)
app.command(scope=OPEN, shows=CHECKED)(verify)
app.command(scope=OPEN, cls=ListenLeaf, shows=HEARD)(listen)


def _leave(run: Invocation, present: NewWebhook) -> None:
    if run.out.form != SECRET:
        run.out.record(present, CREATED)
    run.out.say(f"there is a webhook {present.name} of {present.username}; a secret is shown only when it is made")
