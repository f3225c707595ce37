"""Asking providers what became of messages that they took: by a dispatcher in the background, or in one pass.

Nothing of it takes a place from sending: questions go by connections of their own, a few at a time, and no more often
than the provider allows to all dispatchers together.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotFound, NotifyctlError, UsageError
from notifyctl.core.model import Actor
from notifyctl.core.outcome import Kind
from notifyctl.core.receipt import LAST_QUESTION_MS, Arrival, next_question
from notifyctl.core.text import one_line
from notifyctl.dispatch.crossing import Crossing
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure, Trace, Traceable
from notifyctl.providers.wire import Wire
from notifyctl.store import providers, receipts, traces
from notifyctl.store.engine import Database
from notifyctl.store.page import Cursor
from notifyctl.store.providers import ProviderConfig
from notifyctl.store.receipts import Counts, Report
from notifyctl.store.traces import Claimed, Pace, Question

log = logging.getLogger(__name__)

PLACES = 8
EVERY_S = 5.0
REST_MS = 60_000
LONGEST_REST_MS = 3_600_000
ONCE_PATIENCE_S = 25.0  # with some seconds for the answers, less than a dispatcher leaves to its calls at the end
ALONE_S = traces.CLAIMED_MS / 2_000
"""For how long messages are asked about alone, so that what is claimed meanwhile stays with who claimed it."""

_IN_VAIN = (Kind.THROTTLED, Kind.CONFIG)

Open = Callable[[ProviderConfig], Credentials]
"""Returns a provider's opened credentials; raises NotAllowed without the right key."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all questions have in common."""

    crossing: Crossing
    wire: Wire
    actor: Actor
    notice: Callable[[str], None]


@dataclass(slots=True)
class Findings:
    """What one pass over a provider's messages came to.

    `unanswered` are asked about again later. `problem` is why the pass ended early, `refused` that it is for somebody
    to solve; `rest_ms` is for how long to ask nothing then.
    """

    provider: str
    asked: int = 0
    unanswered: int = 0
    counts: Counts = field(default_factory=Counts)
    problem: str | None = None
    refused: bool = False
    rest_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said of a message: the answer (None: there was no time to ask), and bare receipts.

    Those tell less than the provider knows. They count only when the message is not asked about again.
    """

    question: Question
    trace: Trace | None
    bare: Sequence[Arrival] = ()


class Inquiry:
    """One pass over what is to be asked of one provider. `patience_s` is how long it waits for permits altogether.

    With `unasked` it then asks about messages of the last three days about which nobody was to ask.
    """

    def __init__(
        self,
        desk: Desk,
        config: ProviderConfig,
        credentials: Credentials,
        *,
        patience_s: float = math.inf,
        unasked: bool = False,
    ) -> None:
        self._desk, self._config, self._credentials = desk, config, credentials
        self._adapter = traceable(config.provider_name)
        self._patience_s = patience_s
        self._unasked, self._after = unasked, Cursor(0, "")
        self.findings = Findings(config.provider_name)

    async def run(self, limit: int | None = None) -> Findings:
        """Ask about what is due now, at most `limit` messages; stop early where the next question would be in vain."""
        if self._adapter is None:
            return self.findings
        pace = Pace(self._adapter.traced_at_once, self._adapter.traces_per_minute)
        moment = await self._desk.crossing.read(self._desk.crossing.db.now)
        if not self._unasked and not await self._is_due(moment):  # without writing anything
            return self.findings
        while limit is None or self.findings.asked < limit:
            most = PLACES * pace.at_once if limit is None else min(PLACES * pace.at_once, limit - self.findings.asked)
            claimed = await self._claim(pace, moment, most)
            if claimed.wait_ms is None and not claimed.questions:
                if not await self._added(moment, most):
                    break
                continue
            if claimed.wait_ms is not None:
                if not await self._waited(claimed.wait_ms):
                    break
                continue
            if not await self._put(self._adapter, pace, claimed.questions):
                break
        return self.findings

    async def _is_due(self, moment: int) -> bool:
        name = self._config.provider_name
        return await self._desk.crossing.read(lambda conn: traces.any_due(conn, name, moment))

    async def _added(self, moment: int, most: int) -> bool:
        """Make some of the messages due about which nobody was to ask; return whether there were any."""
        if not self._unasked:
            return False
        db, name, after = self._desk.crossing.db, self._config.provider_name, self._after
        found = await self._desk.crossing.read(
            lambda conn: traces.unasked(conn, name, moment - LAST_QUESTION_MS, after, most)
        )
        if found:
            self._after = found[-1]
            ids = [each.id for each in found]
            await self._desk.crossing.write(lambda conn: traces.ask_about(conn, db.dialect, ids, moment))
        return bool(found)

    async def _claim(self, pace: Pace, moment: int, most: int) -> Claimed:
        db, name = self._desk.crossing.db, self._config.provider_name

        def work(conn: Connection) -> Claimed:
            return traces.claim(conn, db.dialect, name, pace, moment=moment, most=most, now=db.now(conn))

        return await self._desk.crossing.write(work)

    async def _waited(self, wait_ms: int) -> bool:
        """Wait for a permit; return False without waiting where that takes more patience than is left."""
        wait_s = wait_ms / 1_000
        if wait_s > self._patience_s:
            return False
        self._patience_s -= wait_s
        await asyncio.sleep(wait_s)
        return True

    async def _put(self, adapter: Traceable, pace: Pace, questions: Sequence[Question]) -> bool:
        """Put questions, write the answers; return whether it makes sense to put more."""
        size = pace.at_once
        batches = [questions[start : start + size] for start in range(0, len(questions), size)]
        asked = [self._ask(adapter, [each.message_id for each in batch if each.message_id]) for batch in batches]
        answers = list(zip(batches, await asyncio.gather(*asked), strict=True))
        unclear = [(each, mails) for batch, trace in answers for each in batch if (mails := _unclear(trace, each))]
        waiting = {each.id for each, _ in unclear}
        said = [_Said(each, trace) for batch, trace in answers for each in batch if each.id not in waiting]
        await self._record([arrival for _, trace in answers for arrival in trace.arrivals], said)
        return self._goes_on([*(trace for _, trace in answers), *await self._put_alone(adapter, pace, unclear)])

    async def _put_alone(
        self, adapter: Traceable, pace: Pace, unclear: Sequence[tuple[Question, Mapping[str, Arrival]]]
    ) -> list[Trace]:
        """Ask about one mail after the other, of a pace they are all, and write each message's as it comes.

        Where that takes too long, or would be in vain, the others are put off. Returns the answers.
        """
        until, answers, left = time.monotonic() + ALONE_S, list[Trace](), list[_Said]()
        last: Trace | None = Trace(Kind.ACCEPTED)
        for question, mails in unclear:
            if last is None or last.kind in _IN_VAIN:
                left.append(_Said(question, last, tuple(mails.values())))
                continue
            said, told = _Said(question, Trace(Kind.ACCEPTED)), list[Arrival]()
            for full_id, arrival in mails.items():
                last = await self._detail(adapter, pace, full_id, until)
                answers += [] if last is None else [last]
                if last is not None and _is_answer(last):
                    told.append(last.arrivals[0] if last.arrivals else arrival)
                else:
                    said = _Said(question, last, (*said.bare, arrival))
            await self._record(told, [said])
        await self._record([], left)
        return answers

    async def _ask(self, adapter: Traceable, message_ids: Sequence[str]) -> Trace:
        """Put one question. Never raises but for being cancelled."""
        try:
            request = adapter.trace(message_ids, self._credentials)
        except Exception as error:  # a third party's adapter
            log.exception("provider %s: no question could be built", self._config.provider_name)
            return Trace(Kind.UNKNOWN, message=f"no question could be built: {type(error).__name__}")
        response = await self._desk.wire.send(request, self._config.timeout_seconds)
        if isinstance(response, Failure):
            return Trace(Kind.UNKNOWN, message=one_line(response.message))
        try:
            return adapter.read_trace(response, message_ids)
        except Exception as error:
            log.exception("provider %s: reading the answer failed", self._config.provider_name)
            return Trace(Kind.UNKNOWN, message=f"the answer could not be read: {type(error).__name__}")

    async def _detail(self, adapter: Traceable, pace: Pace, full_id: str, until: float) -> Trace | None:
        """Return what the provider says of one mail alone; None where no permit is to be had in time."""
        db, name = self._desk.crossing.db, self._config.provider_name

        def work(conn: Connection) -> int:
            return traces.permit(conn, db.dialect, name, pace, db.now(conn))

        while time.monotonic() < until:
            wait_ms = await self._desk.crossing.write(work)
            if not wait_ms:
                return await self._ask(adapter, [full_id])
            if not await self._waited(wait_ms):
                break
        return None

    async def _record(self, arrivals: Sequence[Arrival], said: Sequence[_Said]) -> None:
        if not said:
            return
        db, name = self._desk.crossing.db, self._config.provider_name

        def work(conn: Connection) -> Report:
            now = db.now(conn)
            later = [(each.question, _later(each, now)) for each in said]
            bare = [arrival for each, (_, due) in zip(said, later, strict=True) if due is None for arrival in each.bare]
            report = receipts.record(conn, db.dialect, name, [*arrivals, *bare], self._desk.actor, now)
            traces.put_off(conn, db.dialect, later)
            return report

        report = await self._desk.crossing.write(work)
        self.findings.counts.add(report.counts)
        self.findings.asked += len(said)
        self.findings.unanswered += sum(1 for each in said if each.trace is None or not _is_answer(each.trace))
        if report.paused is not None:
            self._desk.notice(f"{name} paused: {report.paused}")

    def _goes_on(self, answers: Sequence[Trace]) -> bool:
        vain = next((trace for trace in answers if trace.kind in _IN_VAIN), None)
        if vain is None and any(trace.kind is not Kind.UNKNOWN for trace in answers):
            return True
        worst = vain or answers[0]
        self.findings.problem = worst.message
        self.findings.refused = worst.kind is Kind.CONFIG
        self.findings.rest_ms = _rest_ms(worst)
        return False


class Inquirer:
    """Asks for a dispatcher, each provider in a task of its own."""

    def __init__(self, desk: Desk, open_credentials: Open) -> None:
        self._desk, self._open = desk, open_credentials
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._rests: dict[str, float] = {}
        self._said: dict[str, str] = {}

    async def run(self, configs: Callable[[], Iterable[ProviderConfig]]) -> None:
        """Ask what is due, again and again until cancelled; `configs` returns the providers there are now."""
        try:
            while True:
                for config in configs():
                    self._start(config)
                await asyncio.sleep(EVERY_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def once(self, configs: Iterable[ProviderConfig]) -> None:
        """Ask what is due, with little patience for permits; what hinders is logged: cron would mail it each time."""
        await asyncio.gather(*(self._pass(config, ONCE_PATIENCE_S, log.info) for config in configs if config.polled))

    def _start(self, config: ProviderConfig) -> None:
        name = config.provider_name
        running = name in self._tasks and not self._tasks[name].done()
        if config.polled and not running and time.monotonic() >= self._rests.get(name, 0.0):
            self._tasks[name] = asyncio.create_task(self._pass(config, math.inf, self._desk.notice))

    async def _pass(self, config: ProviderConfig, patience_s: float, say: Callable[[str], None]) -> None:
        try:
            credentials = self._open(config)
            findings = await Inquiry(self._desk, config, credentials, patience_s=patience_s).run()
        except (DatabaseUnavailable, CommitUnknown):  # whoever sends says so
            return
        except NotifyctlError as error:
            findings = Findings(config.provider_name, problem=error.message, rest_ms=REST_MS)
        except Exception as error:  # whatever it is, it must not keep asking at full speed
            log.exception("provider %s: asking for receipts failed", config.provider_name)
            findings = Findings(config.provider_name, problem=type(error).__name__, rest_ms=REST_MS)
        self._rests[config.provider_name] = time.monotonic() + findings.rest_ms / 1_000
        self._tell(findings, say)

    def _tell(self, findings: Findings, say: Callable[[str], None]) -> None:
        """Say what keeps receipts from coming, once as long as it stays the same."""
        if findings.problem is None:
            self._said.pop(findings.provider, None)
        elif self._said.get(findings.provider) != findings.problem:
            self._said[findings.provider] = findings.problem
            say(f"{findings.provider}: no receipts: {findings.problem}")


def to_ask(db: Database, provider: str | None) -> list[ProviderConfig]:
    """Return the providers to ask: the one given, whatever its settings say, else those that want to be asked.

    Raises NotFound for one that is not configured, UsageError for one that cannot be asked.
    """
    with db.read() as conn:
        if provider is None:
            return [config for config in providers.load_active(conn) if config.polled]
        config = providers.get(conn, provider)
    if config is None:
        raise NotFound(f"there is no provider {provider!r}", "notifyctl providers list")
    if traceable(provider) is None:
        raise UsageError(f"{provider} cannot be asked what became of messages", "sendgrid and twilio can")
    return [config]


async def ask(
    db: Database,
    actor: Actor,
    configs: Iterable[ProviderConfig],
    open_credentials: Open,
    limit: int | None,
    notice: Callable[[str], None],
    *,
    unasked: bool = False,
) -> list[Findings]:
    """Ask each provider once about all that is due, those that allow any number of questions first.

    With `unasked` also about what went out in the last three days without being to be asked about.
    """
    crossing, wire = Crossing(db), Wire()
    desk, found, left = Desk(crossing, wire, actor, notice), [], limit
    try:
        for config in sorted(configs, key=_is_slow):
            inquiry = Inquiry(desk, config, open_credentials(config), unasked=unasked)
            found.append(await inquiry.run(left))
            left = None if left is None else left - found[-1].asked
    finally:
        await wire.aclose()
        await asyncio.to_thread(crossing.close)
    return found


def traceable(provider: str) -> Traceable | None:
    """Return the provider's adapter, if it is one that can be asked what became of messages."""
    try:
        adapter = registry.get(provider)
    except NotifyctlError:
        return None
    return adapter if isinstance(adapter, Traceable) else None


def _is_slow(config: ProviderConfig) -> bool:
    adapter = traceable(config.provider_name)
    return adapter is not None and adapter.traces_per_minute is not None


def _is_answer(trace: Trace) -> bool:
    return trace.kind in (Kind.ACCEPTED, Kind.PERMANENT)


def _unclear(trace: Trace, question: Question) -> dict[str, Arrival]:
    """Return the mails of a message of which the provider says more when asked about them alone."""
    return {
        full_id: arrival
        for full_id, arrival in trace.unclear.items()
        if question.id == arrival.notification_id or question.message_id == arrival.provider_message_id
    }


def _later(said: _Said, now: int) -> int | None:
    trace = said.trace or Trace(Kind.UNKNOWN)
    wait_ms = _rest_ms(trace) if trace.kind in _IN_VAIN else 0
    due = next_question(said.question.sent_at, now, answered=_is_answer(trace), wait_ms=wait_ms)
    return now if due is not None and said.trace is None else due  # it was not asked: as soon as there is time


def _rest_ms(trace: Trace) -> int:
    return min(max(trace.retry_after_ms or REST_MS, 1_000), LONGEST_REST_MS)
