"""After results were recorded: count them, tell people, and give their places in flight back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from notifyctl.core.change import Release
from notifyctl.core.outcome import describe
from notifyctl.dispatch.notices import Notices
from notifyctl.dispatch.queues.questions import Asked
from notifyctl.dispatch.tally import Tally
from notifyctl.store.queue.record import AttemptResult, Recorded
from notifyctl.store.receipts import RecordedReceipts

log = logging.getLogger(__name__)

_BECAME = {"bury": "dead", "retry": "to be retried", "release": "given back"}


class Books:
    """Takes note of results that were recorded; `settled` is told of how many of a provider's."""

    def __init__(
        self, tally: Tally, notices: Notices, news: asyncio.Event, settled: Callable[[str, int], None]
    ) -> None:
        self._tally = tally
        self._notices = notices
        self._news = news
        self._settled = settled

    def note(self, results: Sequence[AttemptResult], recorded: Recorded) -> None:
        """Take note of a batch."""
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
