"""`metrics`: what was sent, by provider, channel, hour and day."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from notifyctl.cli.bars import bar, short_time, sparkline
from notifyctl.cli.exposition import WRITERS, Exposition
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun, TextLeaf
from notifyctl.cli.output import Field, FieldKind, escaped
from notifyctl.cli.types import duration, parse_since, parse_until
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.when import written
from notifyctl.services import metrics, receivers
from notifyctl.services.metrics import By, MetricsQuery, MetricsReport, Totals
from notifyctl.services.receivers import ReceiversReport

app = Noun("What was sent, by provider, channel, hour and day.")

HOUR_MS = 3_600_000
SPARKS = 24
_LEAST_SPARKS = 8

_NUMBERS = (
    Field("total_sent", FieldKind.NUMBER),
    Field("total_failed", FieldKind.NUMBER),
    Field("total_pending", FieldKind.NUMBER),
    Field("ok_percent", FieldKind.NUMBER),
    Field("avg_delivery_ms", FieldKind.NUMBER),
    Field("total_delivered", FieldKind.NUMBER),
    Field("total_bounced", FieldKind.NUMBER),
)
_FIELDS = {
    By.PROVIDER: (Field("provider"), Field("message_type"), *_NUMBERS),
    By.CHANNEL: (Field("message_type"), *_NUMBERS),
    By.HOUR: (Field("start", FieldKind.TIME), Field("date"), Field("hour", FieldKind.NUMBER), *_NUMBERS),
    By.DAY: (Field("start", FieldKind.TIME), Field("date"), *_NUMBERS),
}
_ID = {By.PROVIDER: "provider", By.CHANNEL: "message_type", By.HOUR: "start", By.DAY: "date"}
_RECEIVERS = (
    Field("webhook_id", FieldKind.ID),
    Field("username", title="RECEIVER", show=lambda row: f"{row.username}/{row.name}"),
    Field("name"),
    Field("host"),
    Field("state", title="STATE"),
    Field("total_delivered", FieldKind.NUMBER, "DELIVERED"),
    Field("total_given_up", FieldKind.NUMBER, "GIVEN UP"),
    Field("total_not_tried", FieldKind.NUMBER),
    Field("waiting", FieldKind.NUMBER, "WAITING"),
    Field("oldest_undelivered_at", FieldKind.TIME, "OLDEST"),
    Field("ok_percent", FieldKind.NUMBER, "OK %"),
    Field("p50_ms", FieldKind.NUMBER, "P50", lambda row: short_time(row.p50_ms)),
    Field("p95_ms", FieldKind.NUMBER, "P95", lambda row: short_time(row.p95_ms)),
)
_ROLLED_UP = (Field("hours", FieldKind.NUMBER), Field("recounted", FieldKind.NUMBER), Field("until", FieldKind.TIME))

_Heads = tuple[tuple[str, Callable[[Totals], str]], ...]
_LABELS: dict[By, _Heads] = {
    By.PROVIDER: (("PROVIDER", lambda row: row.provider or "total"), ("CHANNEL", lambda row: row.message_type or "")),
    By.CHANNEL: (("CHANNEL", lambda row: row.message_type or "total"),),
    By.HOUR: (("HOUR, UTC", lambda row: f"{row.date} {row.hour:02}:00" if row.date else "total"),),
    By.DAY: (("DAY, UTC", lambda row: row.date or "total"),),
}
_COUNTS: _Heads = (
    ("SENT", lambda row: f"{row.total_sent:,}"),
    ("FAILED", lambda row: f"{row.total_failed:,}"),
    ("PENDING", lambda row: f"{row.total_pending:,}"),
    ("OK %", lambda row: "-" if row.ok_percent is None else f"{row.ok_percent:.1f}"),
    ("AVG", lambda row: short_time(row.avg_delivery_ms)),
)
_RECEIPTS: _Heads = (
    ("DELIVERED", lambda row: f"{row.total_delivered:,}"),
    ("BOUNCED", lambda row: f"{row.total_bounced:,}"),
)


_CountedSince = Annotated[
    Any, typer.Option("--since", metavar="TIME", parser=parse_since, help="Count everything again from then on.")
]


@app.command(scope=Scope.METRICS_READ, shows=[*_RECEIVERS, *(field for fields in _FIELDS.values() for field in fields)])
def show(
    ctx: typer.Context,
    by: Annotated[By | None, typer.Option("--by", help="What to group by.  [provider]")] = None,
    since: Annotated[
        Any,
        typer.Option(
            "--since",
            metavar="TIME",
            parser=parse_since,
            help="From then on: 2030-10-25, 2030-10-25T09:00 (local) or 2h ago.",
        ),
    ] = None,
    until: Annotated[Any, typer.Option("--until", metavar="TIME", parser=parse_until, help="Up to then.")] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="DURATION", parser=duration, help="The last hours.  [24h; by day: 7d]"),
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="P", help="Of one provider.")] = None,
    channel: Annotated[Channel | None, typer.Option("--channel", help="Of one channel.")] = None,
    webhooks: Annotated[
        bool, typer.Option("--webhooks", help="Instead: how webhooks were told, by receiver, and how fast.")
    ] = False,
) -> None:
    """Show what was sent, failed and is pending, over whole hours.

    A notification counts in the hour it was for. The running hour is counted as well; in the numbers are those whose
    user was deleted since.
    """
    if webhooks and (by or provider or channel):
        raise UsageError("--webhooks is by receiver: it goes with no --by, --provider or --channel")
    with invocation(ctx) as run:
        query = MetricsQuery(by or By.PROVIDER, since, until, last, provider, channel)
        (_show_receivers if webhooks else _show_sent)(run, query)


@app.command(scope=Scope.METRICS_WRITE, shows=_ROLLED_UP)
def rollup(ctx: typer.Context, since: _CountedSince = None) -> None:
    """Count the hours that have finished, and those in which something changed.

    The dispatcher does it by itself. Doing it again changes nothing.
    """
    with invocation(ctx) as run:
        done = metrics.rollup(run.system.db, since)
        if run.out.asked_form is not None:
            run.out.record(done, _ROLLED_UP, id_name="until")
        if run.given.verbose or run.out.on_terminal:
            until = "" if done.until is None else f"; counted up to {written(done.until)}"
            run.out.say(f"{done.hours:,} hours counted, {done.recounted:,} again{until}")


@app.command(scope=Scope.METRICS_READ, cls=TextLeaf)
def export(
    ctx: typer.Context,
    form: Annotated[Exposition | None, typer.Option("--format", help="For which program.  [prometheus]")] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="FILE", help="Write this file, whole or not at all: for a collector of files."
        ),
    ] = None,
) -> None:
    """Export what monitoring asks for: counts since the first day, what waits, providers, problems, at this moment."""
    with invocation(ctx) as run:
        from notifyctl.cli import status
        from notifyctl.cli.exporting import write_text

        text = WRITERS[form or Exposition.PROMETHEUS](status.read(run), metrics.ever(run.system.db))
        path = write_text(target, text)
        if path is not None and (run.given.verbose or run.out.on_terminal):
            run.out.say(f"written to {path}")


def _show_sent(run: Invocation, query: MetricsQuery) -> None:
    report = metrics.show(run.system.db, query)
    if run.out.form == "table" and run.out.fields is None:
        _picture(run, query.by, report)
    else:
        run.out.records(report.rows, _FIELDS[query.by], id_name=_ID[query.by])


def _show_receivers(run: Invocation, query: MetricsQuery) -> None:
    report = receivers.show(run.system.db, query)
    if run.out.form == "table" and run.out.fields is None:
        run.out.write(_window(By.HOUR, report))
    run.out.records(report.rows, _RECEIVERS, id_name="webhook_id")


def _picture(run: Invocation, by: By, report: MetricsReport) -> None:
    run.out.write(_window(by, report))
    if not report.rows:
        run.out.say("nothing was sent, failed or is pending")
        return
    rows = [*report.rows, report.total] if len(report.rows) > 1 else report.rows
    received = report.total.total_delivered or report.total.total_bounced
    heads = (*_LABELS[by], *_COUNTS, *(_RECEIPTS if received else ()))
    cells = [[escaped(text(row)) for _, text in heads] for row in rows]
    widths = [max(len(head), *(len(line[column]) for line in cells)) for column, (head, _) in enumerate(heads)]
    room = shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths)
    title, drawings = _drawings(by, report, min(room, SPARKS))
    left = len(_LABELS[by])
    lines = [
        _line(texts, widths, left, drawing)
        for texts, drawing in zip([[head for head, _ in heads], *cells], [title, *drawings, ""], strict=False)
    ]
    lines[0].stylize("bold")
    run.out.rich(Text("\n").join(lines))


def _line(cells: Sequence[str], widths: Sequence[int], left: int, drawing: str) -> Text:
    placed = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return Text("  ".join([*placed, drawing]).rstrip())


def _window(by: By, report: MetricsReport | ReceiversReport) -> str:
    end = written(min(report.until, report.now))
    if by is By.DAY:
        return f"{-(-(report.until - report.since) // (24 * HOUR_MS))} days to {end[:10]} {end[11:16]} UTC"
    return f"{(report.until - report.since) // HOUR_MS:,} h to {end[:10]} {end[11:16]} UTC"


def _drawings(by: By, report: MetricsReport, cells: int) -> tuple[str, Sequence[str]]:
    if cells < _LEAST_SPARKS:
        return "", ["" for _ in report.rows]
    if by in (By.HOUR, By.DAY):
        top = max(row.total_sent for row in report.rows)
        return "SENT", [bar(row.total_sent, top, cells) for row in report.rows]
    hours = (report.until - report.since) // HOUR_MS
    title = "PER HOUR" if hours <= cells else "OVER TIME"
    return title, [sparkline(row.per_hour, cells) for row in report.rows]
