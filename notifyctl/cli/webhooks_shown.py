"""`webhooks show` and `events`: one webhook whole, and what can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import timeline
from notifyctl.cli.invocation import Invocation, invocation, unconfigured
from notifyctl.cli.noun import FORMATS, Leaf
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.webhooks_deliveries import LISTED, as_row, listed
from notifyctl.cli.webhooks_fields import FIELDS, WebhookArgument
from notifyctl.core.audit.entry import AuditEntry
from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.event import PREFIX, WebhookEvent
from notifyctl.services import deliveries, hookchanges
from notifyctl.services.deliveries import DeliveryReport

SHOWN = (
    *FIELDS,
    Field("url"),
    Field("delivered_24h", FieldKind.NUMBER),
    Field("given_up_24h", FieldKind.NUMBER),
    Field("success", FieldKind.NUMBER),
    Field("latency_ms", FieldKind.NUMBER),
    Field("waiting", FieldKind.NUMBER),
    Field("next_retry_at", FieldKind.TIME),
    Field("deliveries", FieldKind.JSON),
    Field("timeline", FieldKind.JSON),
)
EVENTS = (Field("event"), Field("short", title="EVENT"), Field("about", title="TELLS THAT"))


class EventsLeaf(Leaf):
    """A verb that can show what is told as a JSON Schema."""

    formats = (*FORMATS, "jsonschema")


def show(
    ctx: typer.Context,
    webhook: WebhookArgument,
    reveal_url: Annotated[
        bool, typer.Option("--reveal-url", help="The whole URL, which may be a secret; a key needs webhooks:write.")
    ] = False,
) -> None:
    """Show a webhook: how its receiver behaves, what it was sent lately, what was done to it."""
    with invocation(ctx) as run:
        db = run.system.db
        found = hookchanges.find(db, webhook)
        url = hookchanges.url_of(db, found.id) if reveal_url else None
        figures, latest = deliveries.figures(db, found.id), deliveries.latest(db, found.id)
        events = hookchanges.timeline(db, found.id)
        row = {**asdict(found), **asdict(figures), "url": url}
        if run.out.form == "table" and run.out.fields is None:
            _show(run, SimpleNamespace(**row), latest, events)
            return
        sent = [run.out.as_json(as_row(each), LISTED) for each in latest]
        run.out.record(SimpleNamespace(**row, deliveries=sent, timeline=[*map(timeline.entry, events)]), SHOWN)


def _show(run: Invocation, row: Any, latest: Sequence[DeliveryReport], events: Sequence[AuditEntry]) -> None:
    filled = [each for each in SHOWN if getattr(row, each.name, None) not in (None, "")]
    run.out.record(row, filled)
    run.out.write("")
    if latest:
        run.out.records([as_row(each) for each in latest], listed(run.system.db.moment()))
        run.out.write("")
    timeline.write(run, events)


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event that can be subscribed to."""

    event: str
    short: str
    about: str


def events(ctx: typer.Context) -> None:
    """List the events that webhooks can be told of; -o jsonschema says what exactly each is told."""
    run = unconfigured(ctx)
    if run.out.form == "jsonschema":
        from notifyctl.core.webhook.payload import payload_schema

        run.out.document(payload_schema())
        return
    rows = [ToldEvent(each.value, each.removeprefix(PREFIX), each.about) for each in WebhookEvent]
    run.out.records(rows, EVENTS, id_name="event")
