"""`webhooks update`, `enable`, `disable`, `delete` and `rotate-secret`."""

from __future__ import annotations

from typing import Annotated

import typer

from notifyctl.cli.invocation import invocation
from notifyctl.cli.once import refuse_losing
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.prompt import kept
from notifyctl.cli.types import Confirm, SecretFile, Yes, duration, interval
from notifyctl.cli.webhooks_fields import (
    FIELDS,
    EventsOption,
    OwnSecret,
    RetriesOption,
    TimeoutOption,
    WebhookArgument,
    hand_over,
    own_secret,
    split,
    url_of,
)
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.text import word
from notifyctl.core.webhook.schedule import GRACE_MS, LONGEST_GRACE_MS
from notifyctl.core.webhook.signing import secret_text
from notifyctl.services import hookchanges, webhooks
from notifyctl.services.webhooks import Setup, WebhookReport

ROTATED = (*FIELDS, Field("dropped", FieldKind.BOOL), Field("secret"))
ENABLED = (*FIELDS, Field("queued", FieldKind.NUMBER))
_NO_GRACE = ("0", "0s", "0m", "0h", "0d")


def _grace(text: str) -> int:
    """Return the milliseconds of a grace: a duration, or none at all."""
    found = 0 if text.strip() in _NO_GRACE else duration(text)
    if found > LONGEST_GRACE_MS:
        raise UsageError(f"--grace: {text!r} is too long", f"at most {show_ms(LONGEST_GRACE_MS)}")
    return found


def update(
    ctx: typer.Context,
    webhook: WebhookArgument,
    url: Annotated[str | None, typer.Option("--url", metavar="URL|-|@FILE", help="Another URL.")] = None,
    events: Annotated[list[str] | None, EventsOption] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="Another name.")] = None,
    all_users: Annotated[
        bool | None,
        typer.Option("--all-users/--own-only", help="Whose notifications it is told of.", show_default=False),
    ] = None,
    retries: Annotated[int | None, RetriesOption] = None,
    timeout: Annotated[int | None, TimeoutOption] = None,
) -> None:
    """Change a webhook; the events that are named take the place of the old ones.

    Of what happened before it was told of more, redeliver --missing makes the deliveries.
    """
    with invocation(ctx) as run:
        where, heard = None if url is None else url_of(url), None if events is None else split(events)
        setup = Setup(where, heard, name, all_users, retries, timeout)
        done = hookchanges.update(run.system.db, webhook, setup, run.settings.webhook_reach)
        run.out.record(done, FIELDS, told=_in_words(done, "updated"))
        if where is not None and done.undelivered:
            run.out.say(f"{done.undelivered:,} did not arrive yet: {_to_redeliver(done)}")


def enable(
    ctx: typer.Context,
    webhook: WebhookArgument,
    redeliver: Annotated[
        bool, typer.Option("--redeliver", help="Send as well what was not delivered since the failures began.")
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N/s", parser=interval, help="So many of these a second: 50/s, 100/m.  [no limit]"
        ),
    ] = None,
    confirm: Confirm = None,
) -> None:
    """Tell a webhook again what becomes of notifications; what failed before counts no more.

    What is sent again stands behind what is new; on a protected profile that is to be confirmed.
    """
    with invocation(ctx) as run:
        if rate is not None and not redeliver:
            raise UsageError("--rate goes with --redeliver")
        if redeliver and run.settings.protected:
            found = hookchanges.find(run.system.db, webhook)
            question = (
                f"Enable webhook {_called(found)}, and send again of the {found.undelivered:,} that did not arrive?"
            )
            run.confirm(question, yes=False, confirm=confirm, bulk=True)
        done = hookchanges.enable(run.system.db, webhook, redeliver=redeliver, interval_ms=rate or 0.0)
        run.out.record(done, ENABLED, told=_in_words(done, "enabled"))
        if redeliver:
            run.out.say(f"{done.queued:,} {'delivery is' if done.queued == 1 else 'deliveries are'} queued again")
        elif done.undelivered:
            run.out.say(f"{done.undelivered:,} did not arrive: {_to_redeliver(done)}")
        if done.queued:
            run.say_who_sends()


def disable(
    ctx: typer.Context,
    webhook: WebhookArgument,
    reason: Annotated[str | None, typer.Option("--reason", metavar="R", help="Why, for the audit trail.")] = None,
) -> None:
    """Tell a webhook nothing until it is enabled; what happens meanwhile is kept, and can be sent then."""
    with invocation(ctx) as run:
        done = hookchanges.disable(run.system.db, webhook, reason)
        run.out.record(done, FIELDS, told=_in_words(done, "disabled"))


def delete(ctx: typer.Context, webhook: WebhookArgument, yes: Yes = False, confirm: Confirm = None) -> None:
    """Delete a webhook, its secret and its deliveries: nothing of it can be sent again."""
    with invocation(ctx) as run:
        doomed = hookchanges.find(run.system.db, webhook)
        lost = f"; {doomed.undelivered:,} of them did not arrive" if doomed.undelivered else ""
        question = f"Delete webhook {_called(doomed)} to {doomed.host} and its deliveries{lost}?"
        run.confirm(question, yes=yes, confirm=confirm, bulk=doomed.undelivered > 0)
        done = hookchanges.remove(run.system.db, doomed.id)
        run.out.record(done, FIELDS, told=_in_words(done, "deleted"))


def rotate_secret(
    ctx: typer.Context,
    webhook: WebhookArgument,
    grace: Annotated[
        int | None,
        typer.Option(
            "--grace", metavar="DURATION", parser=_grace, help="How long the old one signs as well: 0 to 7d.  [24h]"
        ),
    ] = None,
    secret: OwnSecret = None,
    secret_file: SecretFile = None,
) -> None:
    """Give a webhook another secret, which is shown once: now. For the grace each delivery is signed by both.

    --grace 0 is for one that leaked: it signs no more at once.
    """
    with invocation(ctx) as run:
        given = own_secret(secret)
        if given is None:
            refuse_losing(run, "secret", secret_file)
        db, keyring, new = run.system.db, run.system.keyring, given or webhooks.new_secret()
        with kept(secret_file, secret_text(new)):
            lasts = GRACE_MS if grace is None else grace
            done = hookchanges.rotate(db, keyring, webhook, new, lasts, is_new=given is None)
        hand_over(run, done, f"the secret of webhook {_called(done)} is another", ROTATED[:-1], secret_file)
        if done.previous_secret_ends is not None:
            run.out.say(f"the old one signs as well until {run.out.time(done.previous_secret_ends)}")
        if done.dropped:
            run.out.say("warning: the one before that, which signed until now, signs no more")


def _to_redeliver(row: WebhookReport) -> str:
    return f"notifyctl webhooks redeliver --webhook {word(_called(row))} --failed"


def _called(row: WebhookReport) -> str:
    return f"{row.username}/{row.name}"


def _in_words(row: WebhookReport, did: str) -> str:
    state = "" if row.state == did else f", {row.state}"
    return f"webhook {_called(row)} to {row.host} {did}{state}"
