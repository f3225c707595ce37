"""`webhooks`: who is told what became of notifications."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from notifyctl.cli import listing
from notifyctl.cli.hooks_receiving import CHECKED, HEARD, ListenLeaf, listen, verify
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import SECRET, Noun, SecretLeaf
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.prompt import kept
from notifyctl.cli.secretfile import read_secret
from notifyctl.cli.types import IfNotExists, SecretFile, UserArgument
from notifyctl.core.duration import age
from notifyctl.core.errors import UsageError
from notifyctl.core.scope import OPEN, Scope
from notifyctl.core.webhook.event import EVERYTHING, PREFIX, WebhookEvent
from notifyctl.core.webhook.schedule import LONGEST_TIMEOUT_S, MOST_RETRIES, RETRIES, TIMEOUT_S
from notifyctl.core.webhook.signing import secret_of, secret_text
from notifyctl.services import webhooks
from notifyctl.services.webhooks import NewWebhook, Setup, WebhookReport

app = Noun("Who is told what became of notifications: signed, retried, replayable.")


class EventWords:
    """A parser that leaves the judgement to the core; completion offers the words."""

    def __init__(self) -> None:
        self.words = [*(each.removeprefix(PREFIX) for each in WebhookEvent), EVERYTHING]
        self.__name__ = "event"

    def __call__(self, text: str) -> str:
        """Return what was typed."""
        return text


def fields(now: int) -> tuple[Field, ...]:
    """Return what is shown of webhooks."""
    return (
        Field("id", FieldKind.ID, "ID"),
        Field("user_id", FieldKind.ID),
        Field("name", title="NAME"),
        Field("username", title="USER"),
        Field("host", title="HOST"),
        Field("events", FieldKind.JSON, "EVENTS", _short_events),
        Field("all_users", FieldKind.BOOL),
        Field("state", title="STATE", show=lambda row: _state(row, now)),
        Field("is_active", FieldKind.BOOL),
        Field("failing_since", FieldKind.TIME),
        Field("undelivered", FieldKind.NUMBER, "BEHIND"),
        Field("oldest_undelivered_at", FieldKind.TIME),
        Field("retry_count", FieldKind.NUMBER),
        Field("timeout_seconds", FieldKind.NUMBER),
        Field("rests_until", FieldKind.TIME),
        Field("disabled_at", FieldKind.TIME),
        Field("disabled_because"),
        Field("previous_secret_ends", FieldKind.TIME),
        Field("created_at", FieldKind.TIME),
        Field("updated_at", FieldKind.TIME),
    )


def _short_events(row: WebhookReport) -> str:
    names = ",".join(each.removeprefix(PREFIX) for each in row.events)
    return f"{names} of all" if row.all_users else names


def _state(row: WebhookReport, now: int) -> str:
    """Return the state for the table, and for how long it has been so."""
    since = {"failing": row.failing_since, "disabled": row.disabled_at}.get(row.state)
    return row.state if since is None else f"{row.state} {age(now - since)}"


FIELDS = fields(0)
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))
_WITH_SECRET = (*_CREATED, Field("secret"))

_Events = typer.Option(
    "--event", metavar="E", parser=EventWords(), help="An event, such as sent (see webhooks events), or *; repeatable."
)
_Url = Annotated[
    str, typer.Argument(metavar="URL", help="https://..., or - or @FILE (stdin, a file) where it is a secret itself.")
]
_Retries = typer.Option(
    "--retries", metavar="N", min=0, max=MOST_RETRIES, help=f"Attempts after the first one.  [{RETRIES}]"
)
_Timeout = typer.Option(
    "--timeout", metavar="N", min=1, max=LONGEST_TIMEOUT_S, help=f"Seconds for a whole attempt.  [{TIMEOUT_S}]"
)
_Secret = Annotated[
    str | None,
    typer.Option(
        "--secret", metavar="-|@FILE", help="A secret of your own: whsec_ and base64 of 24 bytes.  [a new one]"
    ),
]


@app.command(scope=Scope.WEBHOOKS_WRITE, cls=SecretLeaf, shows=_WITH_SECRET)
def create(
    ctx: typer.Context,
    user: UserArgument,
    url: _Url,
    events: Annotated[list[str], _Events],
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="What it is called.  [the host]")] = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Events of everybody's notifications, not of this user's alone.")
    ] = False,
    retries: Annotated[int | None, _Retries] = None,
    timeout: Annotated[int | None, _Timeout] = None,
    secret: _Secret = None,
    secret_file: SecretFile = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Tell a URL what becomes of a user's notifications. Its secret, which signs, is shown once: now.

    With the usual retries a receiver may be down for a day and a half. With --if-not-exists one that is there with the
    same values is left as it is, and its secret not shown.
    """
    with invocation(ctx) as run:
        given = None if secret is None else secret_of(read_secret(secret, "--secret"))
        _refuse_losing_it(run, secret_file, is_new=given is None)
        db, keyring, loopback = run.system.db, run.system.keyring, False
        setup = Setup(_url(url), _split(events), name, all_users or None, retries, timeout)
        found = webhooks.present(db, keyring, user, setup, given, loopback=loopback) if if_not_exists else None
        if found is not None:
            _leave(run, found)
            return
        new = given or webhooks.new_secret()
        with kept(secret_file, secret_text(new)):
            made = webhooks.create(db, keyring, user, setup, new, loopback=loopback)
        did = f"webhook {made.name} of {made.username} to {made.host} created"
        _hand_over(run, made, did, secret_file, is_new=given is None)


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


def _url(text: str) -> str:
    return (read_secret(text, "URL") if text == "-" or text.startswith("@") else text).strip()


def _split(events: list[str]) -> list[str]:
    return [name for each in events for name in each.split(",")]


def _refuse_losing_it(run: Invocation, secret_file: str | None, *, is_new: bool) -> None:
    if is_new and run.out.form == "id" and secret_file is None:
        raise UsageError("-o id would lose the secret, which is shown only once", "add --secret-file F")


def _hand_over(run: Invocation, made: NewWebhook, did: str, secret_file: str | None, *, is_new: bool) -> None:
    """Show what was made, with its secret where that is new and was not written to a file."""
    if run.out.form == SECRET:
        run.out.write(str(made.secret))
    elif secret_file is not None or not is_new:
        run.out.record(made, _CREATED, told=did)
        if secret_file is not None:
            run.out.say(f"wrote the secret to {secret_file}; it is not shown again")
    else:
        run.out.record(made, _WITH_SECRET, told=f"{did}, with the secret {made.secret}")
        run.out.say("this is the only time the secret is shown")


def _leave(run: Invocation, present: NewWebhook) -> None:
    if run.out.form != SECRET:
        run.out.record(present, _CREATED)
    run.out.say(f"there is a webhook {present.name} of {present.username}; a secret is shown only when it is made")


app.command(scope=OPEN, shows=CHECKED)(verify)
app.command(scope=OPEN, cls=ListenLeaf, shows=HEARD)(listen)
