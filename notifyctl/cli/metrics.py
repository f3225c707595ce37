"""`metrics`: what was sent, by provider, channel, hour and day."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from notifyctl.cli.bars import bar, short_time, sparkline
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field, FieldKind, escaped
from notifyctl.cli.types import duration, parse_since, parse_until
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.when import written
from notifyctl.services import metrics
from notifyctl.services.metrics import By, MetricsQuery, MetricsReport, Totals

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


@app.command(scope=Scope.METRICS_READ, shows=[field for fields in _FIELDS.values() for field in fields])
def show(
    ctx: typer.Context,
    by: Annotated[By, typer.Option("--by", help="What to group by.")] = By.PROVIDER,
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
) -> None:
    """Show what was sent, failed and is pending, over whole hours.

    A notification counts in the hour it was for. The running hour is counted as well; in the numbers are those whose
    user was deleted since.
    """
    with invocation(ctx) as run:
        query = MetricsQuery(
            by=by,
            since=since,
            until=until,
            last_ms=last,
            provider=provider,
            channel=channel,
        )
        report = metrics.show(run.system.db, query)
        if run.out.form == "table" and run.out.fields is None:
            _picture(run, by, report)
        else:
            run.out.records(report.rows, _FIELDS[by], id_name=_ID[by])


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


def _window(by: By, report: MetricsReport) -> str:
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
