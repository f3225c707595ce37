"""Questions after receipts as a queue: an item is one question, about as many messages as the provider takes at once.

Of mails that came back a provider may say more when it is asked about one alone: those are follow-ups, questions that
wait here for a permit. Their messages stay claimed meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from notifyctl.core import answering
from notifyctl.core.answering import Answering
from notifyctl.core.errors import NotAllowed
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Kind
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.receipt import Arrival, next_question
from notifyctl.dispatch.asker import Asker, traceable
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.queues import Portion
from notifyctl.providers.contract import Credentials, Trace
from notifyctl.providers.wire import Wire
from notifyctl.store import receipts
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import questions
from notifyctl.store.queue.questions import Claimed, QuestionRequest, SentMessage
from notifyctl.store.receipts import RecordedReceipts

PLACES = 8
SHORTEST_S = 0.05


@dataclass(frozen=True, slots=True)
class QuestionTerms:
    """How questions are asked. `config` returns a provider's configuration as long as it is to be asked.

    `open` raises NotAllowed for credentials that do not open. `due_by` bounds what counts as due (None: now). `tell`
    says what keeps receipts from coming. Each provider is asked for `longest_s` altogether, from the first question on,
    and about at most `limit` messages.
    """

    wire: Wire
    config: Callable[[str], ProviderConfig | None]
    open: Callable[[ProviderConfig], Credentials]
    due_by: Callable[[], int | None]
    tell: Callable[[str], None]
    longest_s: float = math.inf
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question about some messages; or a follow-up about one, of which one `mail` is asked about alone.

    That stands under the provider's full id, with what is known of it.
    """

    messages: tuple[SentMessage, ...]
    mail: tuple[str, Arrival] | None = None

    @property
    def ids(self) -> list[str]:
        """The provider's ids to ask about."""
        return [self.mail[0]] if self.mail else [each.message_id for each in self.messages if each.message_id]

    @property
    def known(self) -> tuple[Arrival, ...]:
        """What is known without an answer."""
        return (self.mail[1],) if self.mail else ()


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one message, which is not asked about again for `wait_ms`. Not `asked`: there was no time.

    `bare` tells less than the provider knows, and counts only where the message is not asked about again.
    """

    message: SentMessage
    answered: bool = False
    asked: bool = True
    wait_ms: int = 0
    bare: tuple[Arrival, ...] = ()

    def due(self, now: int) -> int | None:
        """Return when to ask again, None for never."""
        due = next_question(self.message.sent_at, now, answered=self.answered, wait_ms=self.wait_ms)
        return due if self.asked or due is None else now + self.wait_ms


@dataclass(frozen=True, slots=True)
class Asked:
    """The result of a question: its receipts, and for which of its messages it was the last for now (`said`)."""

    provider: str
    arrivals: tuple[Arrival, ...] = ()
    said: tuple[Said, ...] = ()


class Questions:
    """The questions to one provider, as a lane works them off; `claimed` is about how many messages they were."""

    def __init__(self, provider: str, terms: QuestionTerms) -> None:
        self.provider = provider
        self.answering = Answering()
        self.claimed = 0
        self._terms = terms
        self._follow_ups: list[Question] = []
        self._together = 1
        self._asker: Asker | None = None
        self._told: str | None = None
        self._began: float | None = None

    def places(self) -> int:
        """Return how many questions may be open at once."""
        return PLACES

    def most(self, room: int) -> int:
        """Return about how many messages so many questions may be."""
        adapter = traceable(self.provider)
        most = room * adapter.traced_at_once if adapter else 0
        return most if self._terms.limit is None else min(most, self._terms.limit - self.claimed)

    def rest_ms(self) -> int:
        """Return for how long nothing is asked after trouble, in milliseconds."""
        return max(0, self.answering.rests_until - _now())

    def _left_s(self) -> float:
        self._began = time.monotonic() if self._began is None else self._began
        return self._terms.longest_s - (time.monotonic() - self._began)

    def takes_many(self) -> bool:
        """Return True: how many is a matter of the places."""
        return True

    def has_more(self) -> bool:
        """Return True: only a look tells."""
        return True

    def goes_on(self) -> bool:
        """Return True: nothing is taken ahead."""
        return True

    def looks(self) -> None:
        """Nothing is known that a look would make stale."""

    def take(self, tx: Tx, room: int) -> Portion[Question]:
        """Claim what is due, and permits to ask."""
        config, adapter = self._terms.config(self.provider), traceable(self.provider)
        if config is None or adapter is None:
            return Portion(now=tx.now)
        if rest_ms := self.rest_ms():
            return Portion(now=tx.now, wait_ms=rest_ms)
        if (left_s := self._left_s()) < SHORTEST_S:
            return Portion(now=tx.now)
        due_by, size, waiting = self._terms.due_by(), adapter.traced_at_once, self._follow_ups[:room]
        order = QuestionRequest(
            provider=self.provider,
            moment=tx.now if due_by is None else min(tx.now, due_by),
            room=room,
            at_once=size,
            per_minute=adapter.traces_per_minute,
            most=self.most(room),
            follow_ups=len(waiting),
        )
        claimed = questions.claim(tx, order)
        starts = range(0, len(claimed.messages), size)
        items = waiting[: claimed.follow_ups] + [Question(claimed.messages[at : at + size]) for at in starts]
        timeout_s = min(config.timeout_seconds, left_s)
        return Portion(
            items,
            now=tx.now,
            lease_ms=questions.CLAIMED_MS,
            deadline_ms=int(timeout_s * 1_000),
            wait_ms=claimed.wait_ms,
            probes=bool(items),  # what follows from answers can be taken, too
            detail=(claimed, config, adapter),
        )

    def noted(self, portion: Portion[Question]) -> None:
        """Take note of what was claimed; where all was asked, what is said next is news again."""
        if portion.items:
            claimed: Claimed = portion.detail[0]
            del self._follow_ups[: claimed.follow_ups]  # new ones came behind them meanwhile
            self.claimed += len(claimed.messages)
            # What follows from answers is part of the round in which they came.
            self._together = len(portion.items) + (0 if claimed.messages else self._together)
        elif portion.wait_ms is None and self.answering.problem is None:
            self._told = None

    async def ready(self, portion: Portion[Question]) -> bool:
        """Return whether the provider's credentials open."""
        _, config, adapter = portion.detail
        try:
            credentials = self._terms.open(config)
        except NotAllowed as error:
            self._note(Trace(Kind.CONFIG, message=error.message))
            return False
        self._asker = Asker(self.provider, adapter, credentials, self._terms.wire, portion.deadline_ms / 1_000)
        return True

    async def attempt(self, item: Question, lease: Lease) -> Asked:
        """Put a question, and judge what is said of its messages."""
        # A follow-up was claimed earlier than what was taken with it.
        ends = min(each.claimed for each in item.messages)
        if self._asker is None or lease.moment() + lease.deadline_ms >= ends:
            return self.release(item)
        try:
            trace = await self._asker.ask(item.ids)
        except asyncio.CancelledError:
            return self.release(item)
        self._note(trace)
        return self._judged(item, trace)

    def release(self, item: Question) -> Asked:
        """Return that nothing was asked: it is due at once."""
        return _not_asked(self.provider, item, 0)

    def gave_back(self) -> bool:
        """Return that there was nothing: what is not answered is asked later."""
        return False

    def left(self) -> Sequence[Asked]:
        """Return what becomes of the follow-ups for which there is no time any more."""
        items, self._follow_ups = self._follow_ups, []
        return [_not_asked(self.provider, item, self.answering.rest_ms) for item in items]

    def unheard(self) -> None:
        """Return nothing: what waits for its lease to end loses nothing by that but time."""

    def _judged(self, item: Question, trace: Trace) -> Asked:
        """Return what was said of the messages; those of which more can be learned wait for it."""
        follow_ups = [] if item.mail else list(_follow_ups(item, trace))
        self._follow_ups += follow_ups
        waiting = {each.messages[0].id for each in follow_ups}
        wait_ms = answering.wait_ms(trace.kind, trace.retry_after_ms)
        answered = answering.is_answer(trace.kind)
        told, bare = (trace.arrivals or item.known, ()) if answered else (trace.arrivals, item.known)
        ended = (each for each in item.messages if each.id not in waiting)
        return Asked(self.provider, told, tuple(Said(each, answered, True, wait_ms, bare) for each in ended))

    def _note(self, trace: Trace) -> None:
        """Take note of how the provider answers, and tell what it does not, once as long as it stays the same."""
        self.answering = self.answering.after(
            trace.kind, trace.message, trace.retry_after_ms, together=self._together, now=_now()
        )
        problem = self.answering.problem
        if problem is not None and problem != self._told:
            self._told = problem
            self._terms.tell(f"{self.provider}: no receipts: {problem}")


def settle(tx: Tx, results: Sequence[Asked]) -> Mapping[str, RecordedReceipts]:
    """Write receipts and when to ask again; return what was recorded, by provider."""
    received = {}
    for provider, some in groupby(sorted(results, key=attrgetter("provider")), attrgetter("provider")):
        asked = list(some)
        later = [(each, each.due(tx.now)) for result in asked for each in result.said]
        bare = [arrival for each, due in later if due is None for arrival in each.bare]
        arrivals = [arrival for result in asked for arrival in result.arrivals]
        received[provider] = receipts.record(tx, provider, [*arrivals, *bare])
        questions.put_off(tx, [(each.message, due) for each, due in later])
    return received


def bare(result: Asked) -> Asked:
    """Return a result without what may keep it from being stored: only when to ask again."""
    return replace(result, arrivals=(), said=tuple(replace(each, bare=()) for each in result.said))


def _not_asked(provider: str, item: Question, wait_ms: int) -> Asked:
    said = (Said(each, asked=False, wait_ms=wait_ms, bare=item.known) for each in item.messages)
    return Asked(provider, said=tuple(said))


def _follow_ups(item: Question, trace: Trace) -> Iterator[Question]:
    """Yield a question for each mail of which the provider says more when it is asked about it alone."""
    for message in item.messages:
        for full_id, arrival in trace.unclear.items():
            if message.id == arrival.notification_id or message.message_id == arrival.provider_message_id:
                yield Question((message,), (full_id, arrival))


def _now() -> int:
    return int(time.monotonic() * 1_000)
