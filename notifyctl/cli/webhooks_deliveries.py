"""`webhooks deliveries` and `redeliver`: what webhooks were told, what their receivers said, and once more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind, escaped_lines, iso
from notifyctl.cli.selection import Ids, Many, agreement, choose, finish, read_ids
from notifyctl.cli.types import interval, parse_since, parse_until
from notifyctl.cli.webhooks_fields import EventWords
from notifyctl.core.duration import age, show_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.json_codec import lenient
from notifyctl.core.text import one_line
from notifyctl.core.webhook.attempt import past
from notifyctl.core.webhook.event import PREFIX
from notifyctl.core.webhook.standing import DeliveryStanding
from notifyctl.services import deliveries as service
from notifyctl.services import redelivering
from notifyctl.services.deliveries import DeliveryQuery, DeliveryReport
from notifyctl.services.redelivering import Redelivery, RedeliveryQuery

SHORT = 18
"""Of an id: it begins with the moment, and those of one moment differ behind that only."""


def filters(
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="WEBHOOK", help="To this webhook: name, USER/NAME or id.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Of this user's notifications.")] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="E", parser=EventWords(), help="Of this event, such as sent.")
    ] = None,
    state: Annotated[
        DeliveryStanding | None,
        typer.Option("--state", metavar="S", parser=one_of(DeliveryStanding), help=", ".join(DeliveryStanding)),
    ] = None,
    notification: Annotated[
        str | None, typer.Option("--notification", metavar="ID", help="Of this notification.")
    ] = None,
    since: Annotated[
        Any,
        typer.Option(
            "--since",
            metavar="T",
            parser=parse_since,
            help="Happened at or after: 2030-10-25, 2030-10-25T09:00 (local) or 2h ago.",
        ),
    ] = None,
    until: Annotated[
        Any, typer.Option("--until", metavar="T", parser=parse_until, help="Happened before: the same.")
    ] = None,
) -> None:
    """Declare which deliveries."""


def _which(
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="WEBHOOK", help="Of this webhook: name, USER/NAME or id.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="What did not arrive: given up, disabled, or waiting for another try.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="What it would have been told, had it listened: since it was made, or T.")
    ] = False,
    since: Annotated[
        Any, typer.Option("--since", metavar="T", parser=parse_since, help="Happened at or after.")
    ] = None,
    until: Annotated[Any, typer.Option("--until", metavar="T", parser=parse_until, help="Before then.")] = None,
) -> None:
    """Declare which deliveries are made again."""


LISTING = taking(filters)
REDELIVERING = taking(_which, agreement)


def deliveries(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", help="Show these whole, with every attempt; - for ids on stdin."),
    ] = None,
    limit: listing.Limit = None,
    everything: listing.All = False,
    cursor: listing.After = None,
) -> None:
    """List what webhooks were told, newest first; with ids, show it whole: the body, every attempt, the answer."""
    with invocation(ctx) as run:
        rows, db = listing.Paging(limit, everything, cursor), run.system.db
        if ids:
            _show(run, ids, narrowed=bool(given(ctx)) or rows != listing.Paging())
            return
        wanted = service.ask(db, DeliveryQuery(**given(ctx)))
        listing.show(
            run,
            rows,
            lambda after, most: [as_row(each) for each in service.page(db, wanted, after, most)],
            listed(db.moment()),
            count=partial(service.count, db, wanted),
        )


def redeliver(
    ctx: typer.Context,
    ids: Ids = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N/s", parser=interval, help="So many a second: 50/s, 100/m.  [no limit]"),
    ] = None,
) -> None:
    """Make deliveries again, behind what is new. Each keeps its id, by which receivers know it.

    --missing makes those that a webhook did not have because it did not listen then: that something was created, sent,
    failed, cancelled, suppressed, delivered or bounced; none twice.
    """
    with invocation(ctx) as run:
        act = Redelivery(rate or 0.0)
        many = Many(
            "redeliver",
            redelivering.resolve,
            redelivering.survey,
            act.select,
            RedeliveryQuery,
            one="delivery",
            several="deliveries",
            short_id=SHORT,
        )
        chosen = choose(run, ctx, ids, many)
        finish(run, chosen, act.act(chosen.db, chosen.ids, by_filter=chosen.by_filter), to_send=True)


def _show(run: Invocation, words: Sequence[str], *, narrowed: bool) -> None:
    if narrowed:
        raise UsageError("ids and a filter exclude each other", "name ids, or list with a filter such as --webhook")
    several, texts = len(words) > 1 or list(words) == ["-"], read_ids(words)
    rows = [as_row(each) for each in service.show(run.system.db, texts)]
    if run.out.form == "table" and run.out.fields is None:
        for row in rows:
            _show_one(run, row)
    elif not several:
        run.out.record(rows[0], WHOLE)
    else:
        run.out.records(rows, WHOLE)


def _show_one(run: Invocation, row: Any) -> None:
    filled = [each for each in WHOLE if each.kind is not FieldKind.JSON and getattr(row, each.name) not in (None, "")]
    run.out.record(row, filled)
    run.out.write(f"\n{escaped_lines(_indented(row.payload))}\n")
    for entry in row.tries:
        _write_try(run, entry)
    if row.tries:
        run.out.write("")


def _write_try(run: Invocation, entry: dict[str, Any]) -> None:
    at, took = entry.get("at"), entry.get("ms")
    when = run.out.time(at) if isinstance(at, int) else "-"
    lasted = show_ms(took) if isinstance(took, int) else "-"
    run.out.hanging(f"{when}  {lasted:>6}  ", _said(entry))


def _said(entry: dict[str, Any]) -> str:
    return f"HTTP {entry['status']}" if "status" in entry else one_line(str(entry.get("problem") or "-"))


def _indented(payload: str) -> str:
    content = lenient(payload)
    return payload if content is None else json.dumps(content, ensure_ascii=False, indent=2)


def as_row(found: DeliveryReport) -> SimpleNamespace:
    """Return a delivery as it is printed: its attempts with their moments in ISO 8601; `tries` as they are stored."""
    tries = past(found.attempts)
    shown = [{**each, "at": iso(each["at"])} if isinstance(each.get("at"), int) else each for each in tries]
    return SimpleNamespace(**{**{name: getattr(found, name) for name in _NAMES}, "attempts": shown, "tries": tries})


def listed(now: int) -> tuple[Field, ...]:
    """Return what lists show of deliveries."""
    return (
        Field("id", FieldKind.ID, "ID", lambda row: str(row.id)[:SHORT]),
        Field("created_at", FieldKind.TIME, "AGE", lambda row: age(now - row.created_at)),
        Field("webhook_id", FieldKind.ID),
        Field("webhook", title="WEBHOOK", show=lambda row: row.webhook.partition("/")[2]),
        Field("host"),
        Field("event_type", title="EVENT", show=lambda row: row.event_type.removeprefix(PREFIX)),
        Field("notification_id", FieldKind.ID, "ABOUT"),
        Field("username"),
        Field("state", title="STATE", show=_state),
        Field("attempt_count", FieldKind.NUMBER),
        Field("response_status", FieldKind.NUMBER),
        Field("attempts", FieldKind.JSON, "ANSWER", _answer),
        Field("delivered", FieldKind.BOOL),
        Field("delivered_at", FieldKind.TIME),
        Field("next_retry_at", FieldKind.TIME),
        Field("ended"),
        Field("is_replay", FieldKind.BOOL),
    )


def _state(row: Any) -> str:
    """Return the state for the table, and after how many attempts."""
    return f"{row.state} {row.attempt_count}" if row.attempt_count > 1 or not row.delivered else row.state


def _answer(row: Any) -> str:
    """Return for the table what came of the last attempt: the status, or why there is none."""
    return _said(row.tries[-1]).removeprefix("HTTP ").removeprefix(f"{row.host}: ") if row.tries else "-"


_NAMES = tuple(each.name for each in fields(DeliveryReport))
LISTED = listed(0)
WHOLE = (*LISTED, Field("response_body"), Field("payload", FieldKind.JSON))
