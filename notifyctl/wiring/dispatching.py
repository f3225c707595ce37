"""A dispatcher, put together: each part is made here and given what it works with.

Apart from the rest of the wiring because every command imports that, and few dispatch.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from notifyctl.config import outside_environment
from notifyctl.core.frozen import dataclass
from notifyctl.core.policy import digest
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.adopting import Adopting
from notifyctl.dispatch.books import Books, HookBooks, ReceiptBooks
from notifyctl.dispatch.budget import Budget
from notifyctl.dispatch.chores import Chore, Chores, regularly
from notifyctl.dispatch.dispatcher import Dispatcher, Parts
from notifyctl.dispatch.early import EarlyReceipts
from notifyctl.dispatch.host import Host, room_for_connections
from notifyctl.dispatch.lane import Lane, LaneOptions
from notifyctl.dispatch.lanes import HookLane, HookLanes, Lanes, NotificationLane, NotificationLanes
from notifyctl.dispatch.notices import Notice, Notices
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.presence import Presence
from notifyctl.dispatch.queues import notifications, questions, webhooks
from notifyctl.dispatch.queues.notifications import ClaimTerms, Notifications, Surroundings
from notifyctl.dispatch.queues.questions import Asked, Question, Questions, QuestionTerms
from notifyctl.dispatch.queues.webhooks import HookResults, HookTerms, Webhooks
from notifyctl.dispatch.recorder import Recorder, Settling
from notifyctl.dispatch.returning import Returning
from notifyctl.dispatch.roster import Roster
from notifyctl.dispatch.run import Run
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import ProviderTally, Tally
from notifyctl.dispatch.trailkeeping import SEAL_S, TrailKeeper
from notifyctl.dispatch.wakeup import hear, prepare_when_busy
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire
from notifyctl.store import attachments, calls, dispatchers, metrics
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.record import AttemptResult, Recorded, hold, record

if TYPE_CHECKING:
    from notifyctl.dispatch.watching import Watching
    from notifyctl.providers.hookwire import HookWire

log = logging.getLogger(__name__)

Round = tuple[float, Callable[[], Awaitable[None]]]
"""How often to look for something, in seconds, and how."""

ASK_S = 5.0
ONCE_ASKING_S = 2.0
ONCE_QUESTIONS = 50
"""For how long, and about how many messages of each provider, a run with `once` asks: what is left waits for the next
one, or for `receipts poll`."""

ONCE_RESTING_S = 2.0
"""For how long a run with `once` waits, altogether, for receivers that are left alone for a moment."""

HEARTBEAT_S = dispatchers.HEARTBEAT_MS / 1_000
ROLLUP_S = 60.0
EARLY_S = 1.0
HELD_S = 2.0
"""How often to look for what another policy put off, and for what templates and batches hold back no more."""
SWEEP_S = 600.0
"""How often files are looked for that nothing refers to any more: others may have deleted notifications."""


WAKING = (
    "notifyctl.core.rendering",
    "notifyctl.core.template.render",
    "notifyctl.dispatch.watching",
    "notifyctl.providers.hookwire",
    "notifyctl.providers.http.client",
    "notifyctl.store.template_sources",
)
"""What a run with `once` loads when it first needs it. Who runs on loads it at the beginning: later there may be no
file left to open, or another version's files."""


def load_all() -> None:
    """Load what is loaded later otherwise."""
    for name in WAKING:
        __import__(name)


def assemble(db: Database, keyring: Keyring, options: DispatchOptions, notify: Callable[[Notice], None]) -> Dispatcher:
    """Return a dispatcher over a database; `notify` says what people should know."""
    run, threads, wire, tokens, tally = Run(options), StoreThreads(db), Wire(), TokenSource(), Tally()
    notices, news, policy = Notices(tally, notify), asyncio.Event(), digest(options.policy)
    presence = Presence(str(uuid.uuid4()), tally, policy, keyring)
    adopting, room = Adopting(threads, run, policy, notices.say), room_for_connections()
    one_click, budget = OneClick(threads, keyring, options.unsubscribe_url), Budget(options.limit)
    roster = Roster(threads, keyring, options.channels, options.provider_urls, wire, tokens, room, one_click)
    shared = _Shared(options, run, threads, wire, roster, tally, notices, news)
    telling = _telling(shared, presence.id, keyring, room)
    (lanes, recorder), (asking, asked) = _sending(shared, presence, budget, telling), _asking(shared)
    early, watching, returning = EarlyReceipts(threads, notices.say), _watching(shared), Returning(threads, run)
    trail = TrailKeeper(threads, keyring, options.anchors, outside_environment(), notices.say)
    looks = ((EARLY_S, early.look), (HELD_S, adopting.wake), (HELD_S, returning.look))
    return Dispatcher(
        Parts(
            options=options,
            run=run,
            threads=threads,
            wire=wire,
            tokens=tokens,
            roster=roster,
            lanes=lanes,
            questions=asking,
            webhooks=telling.lanes,
            hook_queue=telling.queue,
            recorders=(recorder, asked, telling.recorder),
            chores=Chores([*_chores(db, shared, presence, lanes), *_looking(run, looks, trail, watching)]),
            early=early,
            watching=watching,
            presence=presence,
            adopting=adopting,
            returning=returning,
            trail=trail,
            budget=budget,
            tally=tally,
            notices=notices,
            news=news,
        )
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the lanes of all queues work with."""

    options: DispatchOptions
    run: Run
    threads: StoreThreads
    wire: Wire
    roster: Roster
    tally: Tally
    notices: Notices
    news: asyncio.Event


def _sending(
    shared: _Shared, presence: Presence, budget: Budget, telling: _Telling
) -> tuple[NotificationLanes, Recorder[AttemptResult]]:
    """Return the lanes that send, and the recorder of their results; `telling` learns when webhooks may be told."""
    options, roster, tally, notices = shared.options, shared.roster, shared.tally, shared.notices
    lease_ms = int(options.lease_s * 1_000)
    bounds = (options.concurrency, options.bytes_in_flight)
    claim_terms = ClaimTerms(
        presence.id, lease_ms, shared.run, presence.watch, *bounds, options.on_unknown, options.policy
    )
    lane_terms = LaneOptions(options.once, options.poll_s, options.batch_size, ahead=True)

    host = Host(roster, notices.say, once=options.once)

    def refused(provider: str, version: int, why: str) -> None:
        notices.say(f"{provider}: {why}; this dispatcher leaves it alone")
        lanes.refuse(provider, version)

    def make_lane(provider: str) -> NotificationLane:
        counts = tally.of(provider)
        around = Surroundings(lanes.stand_ins, shared.news.set, refused, telling.heard, host)
        queue = Notifications(provider, claim_terms, roster, around, counts)
        return Lane(queue, lane_terms, shared.threads, recorder, budget, counts)

    lanes = NotificationLanes(roster, make_lane, once=options.once)
    books = Books(tally, notices, shared.news, lanes.settled, telling.recorded)
    settling = Settling(telling.record, notifications.bare, hold, books.free, books.note, telling.begins)
    recorder = Recorder(shared.threads, settling, notices.say)
    return lanes, recorder


def _asking(shared: _Shared) -> tuple[Lanes[Question, Asked], Recorder[Asked]]:
    """Return the lanes that ask after receipts, and the recorder of what they are told."""
    options, roster, notices = shared.options, shared.roster, shared.notices
    terms = QuestionTerms(
        wire=shared.wire,
        config=roster.polled,
        open=roster.open,
        due_by=lambda: shared.run.due_by,
        tell=log.info if options.once else notices.say,  # cron would mail it each time
        longest_s=ONCE_ASKING_S if options.once else math.inf,
        limit=ONCE_QUESTIONS if options.once else None,
    )
    lane_terms = LaneOptions(options.once, ASK_S, questions.PLACES, ONCE_ASKING_S)

    def make_lane(provider: str) -> Lane[Question, Asked]:
        # Their budget and counts are their own: nothing of it takes a place from sending.
        queue, counts = Questions(provider, terms), ProviderTally()
        return Lane(queue, lane_terms, shared.threads, recorder, Budget(), counts)

    lanes = Lanes(lambda: filter(roster.polled, roster.configs), make_lane)
    books = ReceiptBooks(notices, shared.news, lanes.settled)
    recorder = Recorder(
        shared.threads, Settling(questions.settle, questions.bare, None, books.free, books.note), notices.say
    )
    return lanes, recorder


@dataclass(frozen=True, slots=True)
class _Telling:
    """What tells webhooks."""

    queue: Webhooks
    lanes: HookLanes
    recorder: Recorder[HookResults]

    def heard(self, moment: int) -> None:
        """Take note that at a moment there were webhooks that may have been told of something."""
        self.queue.made(moment)
        self.lanes.hint()

    def begins(self) -> None:
        """Offer to take at once what webhooks are told of the next batch."""
        self.queue.offer(self.lanes.room)

    def record(self, tx: Tx, results: Sequence[AttemptResult]) -> Recorded:
        """Write a batch of results, and of what webhooks are told let the offer have what it takes."""
        return record(tx.offering(self.queue.offered), results)

    def recorded(self, moment: int | None) -> None:
        """Take what the offer has; at that moment, if any, there were webhooks that may have been told of a batch."""
        given = self.queue.handed()
        if given is not None:
            self.lanes.give(*given)
        if moment is not None and (given is None or self.queue.has_more()):
            self.heard(moment)


def _telling(shared: _Shared, holder: str, keyring: Keyring, connections: int) -> _Telling:
    """Return what delivers to webhooks; its places and its recorder are its own."""
    options, notices = shared.options, shared.notices

    def way_out() -> HookWire:
        from notifyctl.wiring.hooks import hook_wire  # loaded with the first delivery

        return hook_wire(options.webhook_reach, options.webhook_proxy, options.webhook_proxy_login_file)

    places = max(1, min(webhooks.PLACES, connections // 4))
    lease_ms = int(options.lease_s * 1_000)
    queue = Webhooks(HookTerms(holder, lease_ms, shared.run, keyring, way_out, notices.say, places))
    lane_terms = LaneOptions(options.once, options.poll_s, places, ONCE_RESTING_S)

    def make_lane(_: str) -> HookLane:
        return Lane(queue, lane_terms, shared.threads, recorder, Budget(), ProviderTally())

    lanes = HookLanes(make_lane, once=options.once)
    books = HookBooks(shared.tally.webhooks, notices, lanes.settled, lanes.hint)
    settling = Settling(webhooks.settle, webhooks.bare, webhooks.hold, books.free, books.note)
    recorder = Recorder(shared.threads, settling, notices.say)
    return _Telling(queue, lanes, recorder)


def _watching(shared: _Shared) -> Watching | None:
    """Return who tells people what begins and ends, where they want it."""
    command = shared.options.on_change
    if command is None:
        return None
    from notifyctl.dispatch.watching import Watching  # loaded where somebody is to be told

    return Watching(shared.threads, command, shared.notices.say)


def _looking(run: Run, looks: Iterable[Round], trail: TrailKeeper, watching: Watching | None) -> list[Chore]:
    """Return the chores that look again at what could not be done at once, after the audit trail, and for people."""
    looking: list[Chore] = [partial(regularly, seconds, look) for seconds, look in looks]
    if not run.once:
        looking.append(lambda: regularly(SEAL_S, trail.tend))
    if watching is not None:  # a run with `once` also looks at its end
        from notifyctl.dispatch.watching import LOOK_S

        looking.append(lambda: regularly(LOOK_S, watching.look, at_once=not run.once))
    return looking


def _chores(db: Database, shared: _Shared, presence: Presence, lanes: NotificationLanes) -> list[Chore]:
    threads, roster, run, tally = shared.threads, shared.roster, shared.run, shared.tally

    async def heard(provider: str | None) -> None:
        if provider is not None and not lanes.has(provider) and roster.is_ours(provider):
            await roster.refresh()
            if not run.is_told:
                lanes.open()
            return
        lanes.hint(provider)

    chores: list[Chore] = [lambda: regularly(HEARTBEAT_S, lambda: threads.write(presence.beat))]
    if not run.once:
        chores.append(lambda: regularly(ROLLUP_S, lambda: threads.apart(metrics.rollup)))
        chores.append(lambda: regularly(SWEEP_S, lambda: threads.write(attachments.drop_unused)))
        chores.append(lambda: regularly(SWEEP_S, lambda: threads.write(calls.drop_forgotten)))
    if db.dialect.hints and run.once:
        chores.append(lambda: prepare_when_busy(threads, presence.id, lambda: tally.attempts + tally.webhooks.attempts))
    elif db.dialect.hints:
        chores.append(lambda: hear(threads, presence.id, heard))
    return chores
