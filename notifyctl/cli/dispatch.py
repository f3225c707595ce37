"""`dispatch`: send what is due."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.journal import DispatchLog, summary
from notifyctl.cli.loops import loop_factory
from notifyctl.cli.noun import single
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.speaker import Speaker
from notifyctl.cli.types import duration, size
from notifyctl.config import outside_environment
from notifyctl.core.audit.anchoring import AnchorTerms
from notifyctl.core.duration import parse_ms
from notifyctl.core.errors import PartlyDone, UsageError
from notifyctl.core.heed import heed
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.size import parse_bytes
from notifyctl.dispatch.dispatcher import Dispatcher
from notifyctl.dispatch.memory import look_for_garbage_less_often
from notifyctl.dispatch.notices import Notice, timed
from notifyctl.dispatch.options import ChangeCommand, DispatchOptions
from notifyctl.dispatch.tally import Tally
from notifyctl.wiring import make_dispatcher

if TYPE_CHECKING:
    from notifyctl.dispatch.supervisor import Supervisor

INTERRUPTED = 130
FASTEST_POLL_S = 0.01
MOST_PROCESSES = 256
WORKER = (sys.executable, "-P", "-m", "notifyctl.cli.worker")
"""Starts one of several dispatchers; -P: the folder where an operator happens to be holds none of its modules."""


FIELDS = (
    Field("provider", title="PROVIDER"),
    Field("accepted", FieldKind.NUMBER, title="ACCEPTED"),
    Field("retried", FieldKind.NUMBER, title="RETRIED"),
    Field("dead", FieldKind.NUMBER, title="DEAD"),
    Field("cancelled", FieldKind.NUMBER, title="CANCELLED"),
    Field("deferred", FieldKind.NUMBER, title="DEFERRED"),
    Field("stale", FieldKind.NUMBER),
    Field("held", title="HELD"),
)


_Once = Annotated[bool, typer.Option("--once", help="Work on what is due now, then exit: for cron.")]
_Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, max=10_000, help="Calls in flight per process and provider.  [64]"),
]
_BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, max=10_000, help="Most notifications of a claim.  [128]")
]
_BytesInFlight = Annotated[
    int | None,
    typer.Option(
        "--bytes-in-flight",
        metavar="SIZE",
        parser=size,
        help="Bytes of large messages in flight per process and provider; a larger one goes alone.  [64MB]",
    ),
]
_Lease = Annotated[
    int | None, typer.Option("--lease", metavar="D", parser=duration, help="Least lease of a claim.  [65s]")
]
_Poll = Annotated[int | None, typer.Option("--poll", metavar="D", parser=duration, help="Wait between looks.  [1s]")]
_Drain = Annotated[
    int | None,
    typer.Option("--drain", metavar="D", parser=duration, help="Most time for running calls at the end.  [30s]"),
]
_MaxTime = Annotated[
    int | None, typer.Option("--max-time", metavar="D", parser=duration, help="Stop after this time.  [none]")
]
_Attempts = Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many attempts.  [none]")]
_Channels = Annotated[list[Channel] | None, typer.Option("--channel", help="Only this channel; repeatable.  [all]")]
_Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, max=MOST_PROCESSES, help="Dispatchers, each a process: for more cores.  [1]"),
]
_FailOnDlq = Annotated[bool, typer.Option("--fail-on-dlq", help="Exit 6 if something was dead-lettered.")]


def dispatch(
    ctx: typer.Context,
    once: _Once = False,
    concurrency: _Concurrency = None,
    batch_size: _BatchSize = None,
    bytes_in_flight: _BytesInFlight = None,
    lease: _Lease = None,
    poll: _Poll = None,
    drain: _Drain = None,
    max_time: _MaxTime = None,
    limit: _Attempts = None,
    channel: _Channels = None,
    processes: _Processes = None,
    fail_on_dlq: _FailOnDlq = False,
) -> None:
    """Send what is due, until told to stop; SIGTERM and Ctrl-C drain, a second Ctrl-C leaves at once."""
    with invocation(ctx) as run:
        given = {
            "concurrency": concurrency,
            "batch_size": batch_size,
            "bytes_in_flight": bytes_in_flight,
            "processes": processes,
            "lease": lease,
            "poll": poll,
            "drain": drain,
        }
        chosen = {**run.settings.dispatch, **{key: value for key, value in given.items() if value is not None}}
        options = _options(run, chosen, once=once, max_time=max_time, limit=limit, channels=channel)
        number = _processes(chosen)
        speaker = Speaker(run.out.say)
        say, journal = _reporter(run, speaker, once=once)
        try:
            working = _dispatcher(run, options, say) if number == 1 else _supervisor(run, options, number, say)
            interrupted = _run(working, run, number, journal, say)
        finally:
            speaker.close()
        _report(working, run, summed_up=journal is not None)
        _judge(working.tally, interrupted=interrupted, fail_on_dlq=fail_on_dlq)


def _reporter(run: Invocation, speaker: Speaker, *, once: bool) -> tuple[Callable[[Notice], None], DispatchLog | None]:
    """Return what says notices, and the journal, if the run's life is told: not to who watches, nor by `--once`.

    Of that each change of state is a line, whatever the level: cron mails it.
    """
    if _is_watched(run):
        return lambda notice: speaker(timed(notice.text)), None
    log = DispatchLog(speaker, run.settings, lambda: run.system.keyring, whole=once)
    return log.note, None if once else log


def _judge(tally: Tally, *, interrupted: bool, fail_on_dlq: bool) -> None:
    """Raise what the exit code is to say of a run that came to its end."""
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if tally.unrecorded:
        raise PartlyDone(
            f"{tally.unrecorded} results could not be recorded",
            "when their leases have expired they are tried again: notifyctl notifications list --state unknown",
        )
    if fail_on_dlq and tally.dead:
        raise PartlyDone(f"{tally.dead} became dead letters", "notifyctl dlq list")


def _options(
    run: Invocation,
    chosen: dict[str, Any],
    *,
    once: bool,
    max_time: int | None,
    limit: int | None,
    channels: list[Channel] | None,
) -> DispatchOptions:
    """Return the options; `chosen` are those of the flags, else of the profile's `[dispatch]`."""
    counts: dict[str, Any] = {key: chosen[key] for key in ("concurrency", "batch_size") if key in chosen}
    if "bytes_in_flight" in chosen:
        given = chosen["bytes_in_flight"]
        counts["bytes_in_flight"] = given if isinstance(given, int) else parse_bytes(given)
    times: dict[str, Any] = {f"{key}_s": _seconds(chosen[key]) for key in ("lease", "poll", "drain") if key in chosen}
    if times.get("poll_s", FASTEST_POLL_S) < FASTEST_POLL_S:
        raise UsageError("--poll is too short: the database would do nothing else", "10ms at the least")
    return DispatchOptions(
        once=once,
        max_time_s=None if max_time is None else max_time / 1_000,
        limit=limit,
        channels=frozenset(channels or Channel),
        on_unknown=dict(run.settings.on_unknown),
        policy=run.settings.policy,
        provider_urls=dict(run.settings.provider_urls),
        unsubscribe_url=run.settings.unsubscribe_url,
        webhook_reach=run.settings.webhook_reach,
        webhook_proxy=run.settings.webhook_proxy,
        webhook_proxy_login_file=run.settings.webhook_proxy_login_file,
        anchors=run.settings.audit_anchor or AnchorTerms(),
        on_change=_on_change(run),
        **counts,
        **times,
    )


def _on_change(run: Invocation) -> ChangeCommand | None:
    argv = run.settings.on_change
    return None if argv is None else ChangeCommand(argv, run.settings.profile, outside_environment())


def _seconds(time: int | str) -> float:
    return (time if isinstance(time, int) else parse_ms(time)) / 1_000


def _processes(chosen: dict[str, Any]) -> int:
    number: int = chosen.get("processes", 1)
    if not 1 <= number <= MOST_PROCESSES:
        raise UsageError(f"dispatch.processes is {number}", f"1 to {MOST_PROCESSES} can be had")
    return number


def _dispatcher(run: Invocation, options: DispatchOptions, say: Callable[[Notice], None]) -> Dispatcher:
    system = run.system
    return make_dispatcher(system.db, system.keyring, options, operator=system.operator, notify=say)


def _supervisor(run: Invocation, options: DispatchOptions, processes: int, say: Callable[[Notice], None]) -> Supervisor:
    """Return several dispatchers as one; that the database is as it must be is looked at once, here."""
    from notifyctl.dispatch.supervisor import Supervisor, WorkerOrder

    system, settings = run.system, run.settings
    started = system.db.moment()
    system.db.close()  # the parent has no further use for a connection
    order = WorkerOrder(
        database_url=settings.database_url,
        keyring=system.keyring,
        operator=system.operator,
        options=replace(options, due_by=started),
        log_format=settings.log_format,
        log_level=settings.log_level,
        debug=run.given.debug,
        verbose=run.given.verbose,
    )
    return Supervisor(processes, order, WORKER, notice=say)


def _run(
    working: Dispatcher | Supervisor,
    run: Invocation,
    processes: int,
    journal: DispatchLog | None,
    say: Callable[[Notice], None],
) -> bool:
    """Run it to its end; return whether it was interrupted from the keyboard."""
    interrupts: list[int] = []

    def stop() -> None:
        if journal is not None:
            journal.inform("draining")
        working.stop()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        heed(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a terminal that closed; nohup does not care
            heed(signal.SIGHUP, stop)
        loop.add_signal_handler(signal.SIGINT, _interrupt, working, interrupts, say)
        telling = journal.summarize(lambda: working.tally) if journal is not None else _view(working, run, processes)
        beside = asyncio.create_task(telling)
        try:
            await working.run()
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)

    if journal is not None:
        journal.inform(f"started: {processes} {'process' if processes == 1 else 'processes'}, {_place(run)}")
    look_for_garbage_less_often()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
    if journal is not None:
        journal.inform(f"stopped: {summary(working.tally)}")
    return bool(interrupts)


def _interrupt(working: Dispatcher | Supervisor, interrupts: list[int], say: Callable[[Notice], None]) -> None:
    interrupts.append(1)
    if len(interrupts) > 1:
        # At once means at once: no exit handler may wait for a call. Leases expire by themselves.
        if not isinstance(working, Dispatcher):
            working.kill()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    say(Notice("draining; Ctrl-C again leaves at once"))
    working.stop()


def _is_watched(run: Invocation) -> bool:
    return run.out.on_terminal and not run.given.quiet and run.given.output is None


async def _view(working: Dispatcher | Supervisor, run: Invocation, processes: int) -> None:
    """Draw the running dispatcher on a terminal."""
    if _is_watched(run):
        from notifyctl.cli.live import watch

        await watch(working, _place(run), processes)


def _place(run: Invocation) -> str:
    """Return on what it works: the profile's name, or the database."""
    return run.settings.profile or str(run.system.db.label)


def _report(working: Dispatcher | Supervisor, run: Invocation, *, summed_up: bool) -> None:
    """Say what was done: records when they were asked for, a line with `-v`.

    A person who watched has seen it, and whoever reads the log has it there (`summed_up`), as each line is there.
    """
    tally = working.tally
    rows = [each for _, each in sorted(tally.providers.items())]
    if run.given.output in ("json", "yaml") and run.out.fields is None:
        totals = {"attempts": tally.attempts, "accepted": tally.accepted, "dead": tally.dead}
        providers = [{each.name: getattr(row, each.name) for each in FIELDS} for row in rows]
        run.out.document({**totals, "providers": providers, "webhooks": asdict(tally.webhooks)})
    elif run.given.output is not None:
        run.out.records(rows, FIELDS, id_name="provider")
    elif run.given.verbose and not summed_up and not _is_watched(run):
        run.out.say(summary(tally))


app = single("Send what is due.", dispatch, scope=Scope.DISPATCH_RUN, shows=FIELDS)
