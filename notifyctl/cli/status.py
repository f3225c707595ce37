"""`status`: the whole system at a glance."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from notifyctl.cli.bars import can_show, short_time
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Leaf, single
from notifyctl.cli.output import escaped, iso
from notifyctl.cli.tables import fitted, in_cells
from notifyctl.cli.types import duration
from notifyctl.core.conditions import KeptCondition
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.notification import State
from notifyctl.core.presence import Alive
from notifyctl.core.scope import Scope
from notifyctl.core.sealing import Keyring
from notifyctl.services import status
from notifyctl.services.receivers import ReceiverTotals
from notifyctl.services.status import InState, ProviderLine, SystemStatus

_LEFT = 22
_WORDS = {
    State.IN_FLIGHT: "in flight",
    State.DUE: "due",
    State.UNKNOWN: "unknown",
    State.RETRYING: "retrying",
    State.SCHEDULED: "scheduled",
    State.DEFERRED: "deferred",
    State.HELD: "held",
}
_PROVIDER = ("PROVIDER, 1 H", "STATE", "SENT", "FAILED", "/MIN", "P50")
_RECEIVER = ("RECEIVER, 1 H", "STATE", "DELIVERED", "GIVEN UP", "WAITING", "OLDEST", "P50")
_CONDITION = ("CONDITION", "OF", "SINCE")
_DISPATCHER = ("DISPATCHER", "UP", "HEARTBEAT", "/MIN", "IN FLIGHT")
_ALWAYS = (State.IN_FLIGHT, State.DUE, State.RETRYING, State.SCHEDULED, State.HELD)


def _status(
    ctx: typer.Context,
    watch: Annotated[
        int | None,
        typer.Option("--watch", metavar="DURATION", parser=duration, help="Again and again, so far apart: 5s.  [once]"),
    ] = None,
) -> None:
    """Show what runs, what waits, what is wrong and the command that helps."""
    with invocation(ctx) as run:
        if watch is None:
            _write(run, read(run))
        else:
            _watch(run, watch / 1_000)


class _DocumentLeaf(Leaf):
    """No list: a screen for people, a document for programs."""

    formats = ("table", "plain", "json", "yaml", "ndjson")


app = single("The whole system at a glance.", _status, _DocumentLeaf, scope=Scope.STATUS_READ)


def read(run: Invocation) -> SystemStatus:
    """Return the state of the system, its moments written as the form of the output writes them."""
    clock = run.out.clock if run.out.form in ("table", "plain") else _exact
    settings = run.settings
    return status.read(run.system.db, _keyring(run), settings.provider_urls, clock, settings.audit_anchor)


def _exact(moment: int, _now: int) -> str:
    return iso(moment)


def _keyring(run: Invocation) -> Keyring | NotifyctlError:
    """Return the keys, or why there are none: status shows that, and goes on."""
    try:
        keyring: Keyring = run.system.keyring
    except NotifyctlError as error:
        return error
    return keyring


def _write(run: Invocation, report: SystemStatus) -> None:
    if run.out.form in ("json", "yaml", "ndjson") or run.out.fields is not None:
        run.out.document(_document(run, report))
    elif run.out.form == "plain":
        run.out.write("\n".join(line.plain for line in _lines(run, report)))
    else:
        run.out.rich_lines(_lines(run, report))


def _watch(run: Invocation, seconds: float) -> None:
    """Draw again and again until somebody interrupts it."""
    pause = _until_interrupted()
    if run.out.form != "table" or run.out.fields is not None or not run.out.on_terminal:
        while True:
            _write(run, read(run))
            pause(seconds)
    from rich.live import Live

    with Live(auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            live.update(Text("\n").join(run.out.lines(_lines(run, read(run)))), refresh=True)
            pause(seconds)


def _until_interrupted() -> Callable[[float], None]:
    """Return a sleep that remembers Ctrl-C: Python loses what it raises while it collects garbage."""
    pressed: list[int] = []

    def press(number: int, _frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def pause(seconds: float) -> None:
        if pressed:
            raise KeyboardInterrupt
        time.sleep(seconds)

    signal.signal(signal.SIGINT, press)
    return pause


# For people


def _lines(run: Invocation, report: SystemStatus) -> Iterator[Text]:
    yield _head(run, report)
    room = Console().width if run.out.on_terminal else None
    mark = "✗" if can_show("✗") else "!"
    for problem in report.problems:
        yield Text()
        yield Text(f"{mark} {escaped(problem.message)}", style="red")
        yield Text(f"    {escaped(problem.hint)}", no_wrap=True)
    yield Text()
    left = ["LAST 24 H", *_counts(report)]
    right = ["PENDING NOW", *_pending(run, report)]
    for number, (one, other) in enumerate(zip_longest(left, right, fillvalue="")):
        yield Text(f"{one:<{_LEFT}} {other}".rstrip(), style="bold" if number == 0 else "")
    if report.providers:
        yield Text()
        yield from _grid(_PROVIDER, [_cells(line) for line in report.providers], room, left=2)
    if report.receivers.number:
        yield Text()
        yield from _grid(_RECEIVER, [_receiver(each, report.now) for each in report.receivers.lines], room, left=2)
        if (more := report.receivers.number - len(report.receivers.lines)) > 0:
            yield Text(f"and {more:,} more: notifyctl metrics show --webhooks")
    if report.conditions:
        yield Text()
        yield from _grid(_CONDITION, [_condition(each, report.now) for each in report.conditions], room, left=3)
    if report.dispatchers:
        yield Text()
        yield from _grid(_DISPATCHER, [_presence(each, report.now) for each in report.dispatchers], room, left=1)


def _head(run: Invocation, report: SystemStatus) -> Text:
    number = len(report.dispatchers)
    moment = datetime.fromtimestamp(report.now / 1_000, UTC)
    local = moment if run.out.utc else moment.astimezone()
    where = [run.settings.profile or "", _label(run) if run.system.db.path else _label(run).partition("?")[0]]
    how = [
        "schema ok",
        f"{number} dispatcher{'' if number == 1 else 's'}",
        local.strftime("%a %H:%M %Z"),
    ]
    place, state = escaped("  ".join(filter(None, where))), escaped("  ".join(how))
    # A path that leaves no room has a line of its own: what follows it is not broken in the middle.
    fits = not run.out.on_terminal or cell_len(f"{place}  {state}") <= Console().width
    return Text(f"{place}  {state}" if fits else f"{place}\n{state}", style="bold")


def _label(run: Invocation) -> str:
    label: str = run.system.db.label
    return label.replace("+psycopg", "")


def _counts(report: SystemStatus) -> list[str]:
    order = ("sent", "failed", "cancelled", "pending")
    bounced = report.afterwards.bounced
    counts = [f"{name:<9}{report.last_day[name]:>9,}" for name in order]
    return [*counts, f"{'bounced':<9}{bounced:>9,}"] if bounced else counts


def _pending(run: Invocation, report: SystemStatus) -> list[str]:
    shown = [state for state in _WORDS if state in _ALWAYS or report.pending[state].count]
    rows = [
        f"{_WORDS[state]:<10}{report.pending[state].count:>9,}   {_remark(run, state, report)}".rstrip()
        for state in shown
    ]
    return [*rows, f"{'over 1 h':<10}{report.over_an_hour:>9,}   unexplained {report.unexplained:,}"]


def _remark(run: Invocation, state: State, report: SystemStatus) -> str:
    found = report.pending[state]
    if found.first_due_at is None:
        return ""
    if state in (State.DUE, State.UNKNOWN):
        return f"oldest {show_ms(report.now - found.first_due_at)}"
    if state is State.RETRYING:
        return f"next in {show_ms(found.first_due_at - report.now)}"
    if state is State.SCHEDULED:
        return f"next {run.out.clock(found.first_due_at, report.now)}"
    if state is State.DEFERRED:
        return _split({rule.replace("_", " "): count for rule, count in found.by_rule.items()})
    return _split(found.by_provider) if state is State.HELD else ""


def _split(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    most = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name}" for name, count in most)


def _grid(heads: tuple[str, ...], lines: list[tuple[str, ...]], room: int | None, *, left: int) -> Iterator[Text]:
    """Yield a table; the first `left` columns give way where there is no room, the others are right-aligned."""
    rows = [heads, *lines]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(heads))]
    if room is not None:
        widths = fitted(widths, [column >= left for column in range(len(heads))], room - 3 * (len(heads) - 1))
    for number, row in enumerate(rows):
        cells = [
            in_cells(cell, width, right=column >= left)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield Text("   ".join(cells).rstrip(), style="bold" if number == 0 else "")


def _cells(line: ProviderLine) -> tuple[str, ...]:
    rate = f"{line.per_minute:,}" if line.state == "ok" else "-"
    # After a throttle it begins with one call at a time.
    slow = f", {line.ceiling:,} at once" if line.ceiling is not None and line.state == "ok" else ""
    return line.provider, f"{line.state}{slow}", f"{line.sent:,}", f"{line.failed:,}", rate, short_time(line.p50_ms)


def _receiver(line: ReceiverTotals, now: int) -> tuple[str, ...]:
    oldest = "-" if line.oldest_undelivered_at is None else show_ms(now - line.oldest_undelivered_at)
    numbers = (f"{count:,}" for count in (line.total_delivered, line.total_given_up, line.waiting))
    return escaped(line.called), line.state, *numbers, oldest, short_time(line.p50_ms)


def _condition(each: KeptCondition, now: int) -> tuple[str, ...]:
    return each.condition, escaped(each.subject) or "-", f"{show_ms(now - each.since)} ago"


def _presence(each: Alive, now: int) -> tuple[str, ...]:
    beat = f"{max(0, now - each.heartbeat_at) // 1_000}s ago"
    up = show_ms(now - each.started_at)
    return escaped(f"{each.host}:{each.pid}"), up, beat, f"{each.per_minute:,}", f"{each.in_flight:,}"


# For programs


def _document(run: Invocation, report: SystemStatus) -> dict[str, Any]:
    return {
        "profile": run.settings.profile,
        "database": _label(run),
        "schema_ok": True,
        "now": iso(report.now),
        "problems": [asdict(problem) for problem in report.problems],
        "dispatchers": [
            {**asdict(each), "started_at": iso(each.started_at), "heartbeat_at": iso(each.heartbeat_at)}
            for each in report.dispatchers
        ],
        "last_24h": dict(report.last_day),
        "receipts": {"bounced_24h": report.afterwards.bounced, "overdue": report.afterwards.overdue},
        "pending": {state.value.replace("-", "_"): _state_document(found) for state, found in report.pending.items()},
        "over_1h": {"count": report.over_an_hour, "unexplained": report.unexplained},
        "dlq": asdict(report.dead_letters),
        "providers_1h": [_provider_document(line) for line in report.providers],
        "receivers": report.receivers.number,
        "receivers_1h": [
            {**asdict(line), "oldest_undelivered_at": _moment(line.oldest_undelivered_at)}
            for line in report.receivers.lines
        ],
        "conditions": [
            {"condition": each.condition, "subject": each.subject or None, "since": iso(each.since), "text": each.text}
            for each in report.conditions
        ],
    }


def _provider_document(line: ProviderLine) -> dict[str, Any]:
    moments = ("paused_at", "paused_until", "probe_at", "throttled_until")
    held = {name: iso(until) for name, until in line.held_senders.items()}
    return {**asdict(line), **{key: _moment(getattr(line, key)) for key in moments}, "held_senders": held}


def _state_document(found: InState) -> dict[str, Any]:
    return {
        "count": found.count,
        "first_due_at": _moment(found.first_due_at),
        "by_provider": dict(found.by_provider),
        **({"by_rule": dict(found.by_rule)} if found.by_rule else {}),
    }


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(milliseconds)
