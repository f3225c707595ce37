"""What is shown of webhooks, and the options that say what one is like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.noun import SECRET
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.secretfile import read_secret
from notifyctl.cli.types import seconds
from notifyctl.core.duration import age
from notifyctl.core.webhook.event import EVERYTHING, PREFIX, WebhookEvent
from notifyctl.core.webhook.schedule import LONGEST_TIMEOUT_S, MOST_RETRIES, RETRIES, TIMEOUT_S
from notifyctl.core.webhook.signing import secret_of
from notifyctl.services.hookchanges import RotatedWebhook
from notifyctl.services.webhooks import NewWebhook, WebhookReport


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
CREATED = (*FIELDS, Field("created", FieldKind.BOOL))
WITH_SECRET = (*CREATED, Field("secret"))

EventsOption = typer.Option(
    "--event", metavar="E", parser=EventWords(), help="An event, such as sent (see webhooks events), or *; repeatable."
)
UrlArgument = Annotated[
    str, typer.Argument(metavar="URL", help="https://..., or - or @FILE (stdin, a file) where it is a secret itself.")
]
RetriesOption = typer.Option(
    "--retries", metavar="N", min=0, max=MOST_RETRIES, help=f"Attempts after the first one.  [{RETRIES}]"
)
TimeoutOption = typer.Option(
    "--timeout",
    metavar="D",
    parser=seconds("--timeout", LONGEST_TIMEOUT_S),
    help=f"Most time for a whole attempt.  [{TIMEOUT_S}s]",
)
WebhookArgument = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Its name, USER/NAME, its id, or a unique beginning of that.")
]
OwnSecret = Annotated[
    str | None,
    typer.Option(
        "--secret", metavar="-|@FILE", help="A secret of your own: whsec_ and base64 of 24 bytes.  [a new one]"
    ),
]


def own_secret(source: str | None) -> bytes | None:
    """Return the secret that an option gives, of stdin or a file; None without one."""
    return None if source is None else secret_of(read_secret(source, "--secret"))


def url_of(text: str) -> str:
    """Return the URL that an argument means: itself, or what stands on stdin or in a file."""
    return read_secret(text, "URL") if text == "-" or text.startswith("@") else text.strip()


def split(events: list[str]) -> list[str]:
    """Return the events of options, each of which may name several."""
    return [name for each in events for name in each.split(",")]


def hand_over(
    run: Invocation, made: NewWebhook | RotatedWebhook, did: str, shown: Sequence[Field], secret_file: str | None
) -> None:
    """Show what was made (`did`, in words), with its secret where that is new and was not written to a file."""
    if run.out.form == SECRET:
        if made.secret is not None:  # who gave it has it
            run.out.write(made.secret)
    elif secret_file is not None or made.secret is None:
        run.out.record(made, shown, told=did)
        if secret_file is not None:
            run.out.say(f"wrote the secret to {secret_file}; it is not shown again")
    else:
        run.out.record(made, (*shown, Field("secret")), told=f"{did}, with the secret {made.secret}")
        run.out.say("this is the only time the secret is shown")
