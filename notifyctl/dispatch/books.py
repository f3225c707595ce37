"""After results were recorded: count them, tell people, and give their places in flight back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from notifyctl.core.change import Release
from notifyctl.core.outcome import describe
from notifyctl.core.webhook.attempt import Delivery, HookReply
from notifyctl.core.webhook.schedule import is_given_up
from notifyctl.dispatch.notices import Notices
from notifyctl.dispatch.queues import webhooks
from notifyctl.dispatch.queues.questions import Asked
from notifyctl.dispatch.queues.webhooks import HookResults
from notifyctl.dispatch.tally import HookTally, Tally
from notifyctl.store.queue.deliveries import Delivered
from notifyctl.store.queue.record import AttemptResult, Recorded
from notifyctl.store.receipts import RecordedReceipts

log = logging.getLogger(__name__)

_BECAME = {"bury": "dead", "retry": "to be retried", "release": "given back"}


class Books:
    """Takes note of results that were recorded; `settled` is told of how many of a provider's.

    `heard` is told of each batch, and of the moment at which webhooks may have been told of it, if any.
    """

    def __init__(
        self,
        tally: Tally,
        notices: Notices,
        news: asyncio.Event,
        settled: Callable[[str, int], None],
        heard: Callable[[int | None], None],
    ) -> None:
        self._tally = tally
        self._notices = notices
        self._news = news
        self._settled = settled
        self._heard = heard

    def note(self, results: Sequence[AttemptResult], recorded: Recorded) -> None:
        """Take note of a batch."""
        self._heard(recorded.heard_at)
        for each in recorded.told:
            self._notices.say(f"{each.provider} {each.text}", each.good)
            self._news.set()
        if log.isEnabledFor(logging.DEBUG):
            _tell_each(results, recorded)
        for result in results:
            tally = self._tally.of(result.claim.provider)
            if result.claim.id in recorded.stale:
                tally.stale += 1
            elif type(result.change) is not Release:
                tally.count(result.change)

    def free(self, results: Sequence[AttemptResult]) -> None:
        """Give the places of a batch in flight back."""
        for provider, number in Counter(result.claim.provider for result in results).items():
            self._settled(provider, number)


def _tell_each(results: Sequence[AttemptResult], recorded: Recorded) -> None:
    for result in results:
        claim, what = result.claim, type(result.change).__name__.lower()
        became = "no longer ours" if claim.id in recorded.stale else _BECAME.get(what, what)
        said = "" if result.outcome is None else f": {describe(result.outcome)}"
        log.debug("%s %s attempt %d %s%s", claim.id, claim.provider, claim.attempt, became, said)


class ReceiptBooks:
    """Takes note of receipts that were recorded; `settled` is told of how many of a provider's questions."""

    def __init__(self, notices: Notices, news: asyncio.Event, settled: Callable[[str, int], None]) -> None:
        self._notices = notices
        self._news = news
        self._settled = settled

    def note(self, results: Sequence[Asked], received: Mapping[str, RecordedReceipts]) -> None:
        """Take note of a batch."""
        for provider, each in received.items():
            if each.paused is not None:
                self._notices.say(f"{provider} paused: {each.paused}")
                self._news.set()

    def free(self, results: Sequence[Asked]) -> None:
        """Give the places of a batch back."""
        for provider, number in Counter(result.provider for result in results).items():
            self._settled(provider, number)


class HookBooks:
    """Takes note of what came of deliveries; `settled` is told of how many items, `again` that more may go now."""

    def __init__(
        self, tally: HookTally, notices: Notices, settled: Callable[[str, int], None], again: Callable[[], None]
    ) -> None:
        self._tally = tally
        self._notices = notices
        self._settled = settled
        self._again = again

    def note(self, results: Sequence[HookResults], became: Delivered) -> None:
        """Take note of a batch."""
        for text in became.told:
            self._notices.say(text)
        for each in (attempted for result in results for attempted in result.results):
            if each.reply is not None and each.delivery.id not in became.stale:
                self._count(each.delivery, each.reply)
        self._again()

    def free(self, results: Sequence[HookResults]) -> None:
        """Give the places of a batch back."""
        self._settled(webhooks.NAME, len(results))

    def _count(self, delivery: Delivery, reply: HookReply) -> None:
        if reply.is_success:
            self._tally.delivered += 1
        elif is_given_up(delivery.attempt, delivery.retry_count):
            self._tally.given_up += 1
        else:
            self._tally.failed += 1
        if log.isEnabledFor(logging.DEBUG):
            said = reply.status if reply.status is not None else reply.problem
            log.debug("%s webhook %s attempt %d: %s", delivery.id, delivery.webhook_id, delivery.attempt, said)
