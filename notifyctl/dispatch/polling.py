"""Asking providers once about all that is due: the queue of questions without a dispatcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.receipt import LAST_QUESTION_MS
from notifyctl.core.weigh import Counts
from notifyctl.dispatch.asker import traceable
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.queues.questions import PLACES, Asked, Questions, QuestionTerms, settle
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.providers.contract import Credentials
from notifyctl.providers.wire import Wire
from notifyctl.store import providers, receipts
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import questions
from notifyctl.store.receipts import RecordedReceipts


@dataclass(slots=True)
class Findings:
    """The result of asking one provider about its messages once.

    `unanswered` are asked about again later. `problem` is why the pass ended early, `refused` that it is for somebody
    to solve.
    """

    provider: str
    asked: int = 0
    unanswered: int = 0
    counts: Counts = field(default_factory=Counts)
    problem: str | None = None
    refused: bool = False


Open = Callable[[ProviderConfig], Credentials]
"""Returns a provider's opened credentials; raises NotAllowed without the right key."""


async def poll(
    db: Database, open_credentials: Open, provider: str | None, limit: int | None, notice: Callable[[str], None]
) -> list[Findings]:
    """Ask one provider, whatever its settings say, or all that want to be asked, about `limit` messages at most.

    Those that allow any number of questions come first. The one is also asked about what went out in the last
    three days without being to be asked about. Raises NotFound for one that is not configured, UsageError for one that
    cannot be asked, NotAllowed for credentials that do not open.
    """
    threads, wire, found, left = StoreThreads(db), Wire(), list[Findings](), limit
    try:
        configs = await threads.read(lambda tx: _to_ask(tx, provider))
        for config in sorted(configs, key=_is_slow):
            moment = await threads.read(lambda tx: tx.now)
            terms = _terms(wire, config, open_credentials(config), moment, left)
            queue = Questions(config.provider_name, terms)
            found.append(await _Pass(threads, queue, moment, notice, unasked=provider is not None).run())
            left = None if left is None else left - found[-1].asked
    finally:
        await wire.aclose()
        await asyncio.to_thread(threads.close)
    return found


def _terms(
    wire: Wire, config: ProviderConfig, credentials: Credentials, moment: int, limit: int | None
) -> QuestionTerms:
    return QuestionTerms(
        wire=wire,
        config=lambda _: config,
        open=lambda _: credentials,
        due_by=lambda: moment,
        tell=lambda _: None,
        limit=limit,
    )


class _Pass:
    """One pass over what is to be asked of one provider; with `unasked` then about what nobody was to ask about."""

    def __init__(
        self, threads: StoreThreads, queue: Questions, moment: int, notice: Callable[[str], None], *, unasked: bool
    ) -> None:
        self._threads, self._queue, self._moment, self._notice = threads, queue, moment, notice
        self._unasked, self._after = unasked, Cursor(0, "")
        self._findings = Findings(queue.provider)
        self._unanswered = set[str]()

    async def run(self) -> Findings:
        """Ask until nothing is due, or the next question would be in vain."""
        queue, found = self._queue, self._findings
        while not queue.rest_ms():
            began = time.monotonic()
            portion = await self._threads.write(lambda tx: queue.take(tx, PLACES))
            queue.noted(portion)
            if portion.items and await queue.ready(portion):
                lease = Lease(portion.now, began, portion.lease_ms, portion.deadline_ms)
                await self._settle(await asyncio.gather(*(queue.attempt(item, lease) for item in portion.items)))
            elif portion.wait_ms is not None:
                await asyncio.sleep(portion.wait_ms / 1_000)
            elif not (self._unasked and await self._threads.write(self._has_more)):
                break
        await self._settle(queue.left())
        found.asked, found.unanswered = queue.claimed, len(self._unanswered)
        found.problem, found.refused = queue.answering.problem, queue.answering.refused
        return found

    def _has_more(self, tx: Tx) -> bool:
        """Make some of the messages due about which nobody was to ask; return whether there were any."""
        since, most = self._moment - LAST_QUESTION_MS, self._queue.most(PLACES)
        found = questions.unasked(tx, self._queue.provider, since, self._after, most) if most else []
        questions.ask_about(tx, [each.id for each in found], self._moment)
        self._after = found[-1] if found else self._after
        return bool(found)

    async def _settle(self, results: Sequence[Asked]) -> None:
        def work(tx: Tx) -> Mapping[str, RecordedReceipts]:
            received = settle(tx, results)
            receipts.account(tx, received)
            return received

        received = await self._threads.write(work) if results else {}
        for each in received.values():
            self._findings.counts.add(each.counts)
            if each.paused is not None:
                self._notice(f"{self._queue.provider} paused: {each.paused}")
        said = [each for result in results for each in result.said]
        self._unanswered |= {each.message.id for each in said if not each.answered}


def _to_ask(tx: Tx, provider: str | None) -> list[ProviderConfig]:
    if provider is None:
        return [config for config in providers.load_active(tx) if config.polled]
    config = providers.get(tx, provider)
    if config is None:
        raise NotFound(f"there is no provider {provider!r}", "notifyctl providers list")
    if traceable(provider) is None:
        raise UsageError(f"{provider} cannot be asked what became of messages", "sendgrid and twilio can")
    return [config]


def _is_slow(config: ProviderConfig) -> bool:
    adapter = traceable(config.provider_name)
    return adapter is not None and adapter.traces_per_minute is not None
