"""Deliveries to webhooks as a queue: an item is what one receiver is to be told of one notification, in its order.

All receivers are one queue, with places of its own: nothing of it takes a place from sending. How many of them one
receiver gets goes by how it answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from notifyctl.core.errors import NotAllowed
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Fault
from notifyctl.core.sealing import Keyring
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.attempt import Delivery, HookCall, HookReply
from notifyctl.core.webhook.offer import Offer
from notifyctl.core.webhook.share import FIRST, Share
from notifyctl.core.webhook.target import host_of
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.run import Run
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import deliveries
from notifyctl.store.queue.deliveries import Attempted, Delivered
from notifyctl.store.queue.due_deliveries import DeliveryRequest, claim

if TYPE_CHECKING:
    from notifyctl.providers.hookwire import HookAnswer, HookWire

log = logging.getLogger(__name__)

NAME = "webhooks"
PLACES = 256
OPENED = 1_024
"""Of so many webhooks the secrets are kept as they were opened."""
LOCKED_MS = 60_000
"""For how long a webhook is left alone whose secrets do not open here: then it may have others."""
HOST_MS = 1_000
"""For how long a receiver is, which this machine could not call for reasons of its own."""
HERE = "this machine"


class HookResults(NamedTuple):
    """What came of an item: one result for each of its deliveries."""

    results: tuple[Attempted, ...]


@dataclass(frozen=True, slots=True)
class HookTerms:
    """How deliveries are made. `holder` is the dispatcher's id, `run` says what counts as due in it.

    `wire` makes the way out, in the loop that uses it. `tell` says what people should know.
    """

    holder: str
    lease_ms: int
    run: Run
    keyring: Keyring
    wire: Callable[[], HookWire]
    tell: Callable[[str], None]
    places: int = PLACES


class Webhooks:
    """All deliveries, as a lane works them off."""

    provider = NAME

    def __init__(self, terms: HookTerms) -> None:
        self._terms = terms
        self._shares: dict[str, Share] = {}
        self._told: dict[str, str] = {}
        self._wire: HookWire | None = None
        self._new_by = 0
        self._made = True
        self._hears = False
        self.offered: Offer | None = None
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        # Each delivery brings them sealed, and they are nearly always the same.
        self._opened = lru_cache(OPENED)(partial(keeping.opened, terms.keyring))

    def places(self) -> int:
        """Return how many receivers may be called at once."""
        return self._terms.places

    def made(self, moment: int) -> None:
        """Take note that what this run sent made deliveries at a moment: they belong to it, too."""
        self._new_by = max(self._new_by, moment)
        self._made = self._hears = True

    def takes_many(self) -> bool:
        """Return whether somebody who is called now may be told of as many things as are under way, or nobody is."""
        busy = [each for each in self._shares.values() if each.in_flight]
        return not busy or any(2 * each.in_flight <= each.most for each in busy)

    def has_more(self) -> bool:
        """Return whether there is something new, or there was more than somebody had room for, who has room by now."""
        return self._made or any(each.has_more and each.in_flight < each.most for each in self._shares.values())

    def goes_on(self) -> bool:
        """Return True: nothing is taken ahead."""
        return True

    def looks(self) -> None:
        """Take note that a look begins."""
        self._made = False

    def offer(self, places: int) -> None:
        """Offer to take at once what the next transaction makes, for at most so many items.

        Of a receiver that answers well more than it may be called for at once: they wait here until it is their turn.
        Nothing of one for which more is known to wait elsewhere: what happened first goes first.
        """
        self.offered = None
        if self._hears and places > 0:
            now, terms = _now(), self._terms
            half = max(1, places // 2)
            rooms = {id_: min(each.spare(now), half) for id_, each in self._shares.items()}
            usual = min(FIRST, half)
            lease_id = str(uuid.uuid4())
            self.offered = Offer(terms.holder, lease_id, terms.lease_ms, usual, rooms, places, time.monotonic())

    def handed(self) -> tuple[Portion[Sequence[Delivery]], Lease] | None:
        """End the offer, and return what was taken; None where there was none."""
        offer, self.offered = self.offered, None
        if offer is None:
            return None
        self._made = self._made or offer.left
        items = _items(offer.taken)
        for item in items:
            self._share(item[0].webhook_id).began()
        now = max((each.created_at for each in offer.taken), default=0)
        lease_ms = min((each.lease_ms for each in offer.taken), default=0)
        return Portion(items, now=now, lease_ms=lease_ms), Lease(now, offer.began, lease_ms)

    def take(self, tx: Tx, room: int) -> Portion[Sequence[Delivery]]:
        """Claim what is due. No receiver gets more than half of the places that are free."""
        now, half = _now(), max(1, room // 2)
        shares = list(self._shares.items())
        due_by = self._terms.run.due_by
        order = DeliveryRequest(
            holder=self._terms.holder,
            lease_id=str(uuid.uuid4()),
            most=room,
            lease_ms=self._terms.lease_ms,
            usual=min(FIRST, half),
            room={id_: min(share.room(now), half) for id_, share in shares},
            due_by=due_by,
            new_by=None if due_by is None else max(due_by, self._new_by),
        )
        found = claim(tx, order)
        rests = [share.rests_until - now for _, share in shares if share.rests(now)]
        return Portion(
            _items(found),
            now=tx.now,
            lease_ms=min((each.lease_ms for each in found), default=0),
            wait_ms=min(rests) if rests and self._terms.run.once else None,
            crowded=self._terms.run.once and any(share.in_flight for _, share in shares),
            detail=len(found) >= room,
        )

    def noted(self, portion: Portion[Sequence[Delivery]]) -> None:
        """Take note of the calls that begin and of who has more; who is not called and as everybody is forgotten."""
        for item in portion.items:
            self._share(item[0].webhook_id).began()
        called = {item[0].webhook_id for item in portion.items}
        more = {each.webhook_id for item in portion.items for each in item if each.more}
        for id_, share in self._shares.items():
            if id_ in called or not share.in_flight:  # of one that has no room nothing new is known
                share.has_more = id_ in more
        self._made = self._made or bool(portion.detail)
        if portion.in_vain:
            self._shares = {id_: each for id_, each in self._shares.items() if each != Share()}

    async def ready(self, portion: Portion[Sequence[Delivery]]) -> bool:
        """Make the way out when it is needed first."""
        self._wire = self._wire or self._terms.wire()
        return True

    async def attempt(self, item: Sequence[Delivery], lease: Lease) -> HookResults:
        """Deliver one after another; what there is no time for any more is given back."""
        webhook_id = item[0].webhook_id
        share = self._share(webhook_id)
        if share.calls < share.most and webhook_id not in self._turns:
            share.calls += 1
        else:
            try:
                await self._turn(webhook_id, share)
            except asyncio.CancelledError:
                return self.release(item)
        results = list[Attempted]()
        try:
            for delivery in item:
                results.append(Attempted(delivery, await self._tried(delivery, lease, share)))
        except asyncio.CancelledError:  # at shutdown: it may have arrived, and is sent once more
            results += [Attempted(delivery, None) for delivery in item[len(results) :]]
        share.ended()
        self._over(webhook_id, share)
        return HookResults(tuple(results))

    def release(self, item: Sequence[Delivery]) -> HookResults:
        """Return that nothing was begun."""
        self._share(item[0].webhook_id).ended()
        return HookResults(tuple(Attempted(delivery, None) for delivery in item))

    def gave_back(self) -> bool:
        """Return that nothing is worth another look: what was given back rests."""
        return False

    def left(self) -> Sequence[HookResults]:
        """Return nothing: what is claimed is begun."""
        return ()

    def unheard(self) -> None:
        """Return nothing: what waits for its lease to end loses nothing by that but time."""

    async def aclose(self) -> None:
        """Close the way out."""
        if self._wire is not None:
            await self._wire.aclose()

    async def _turn(self, webhook_id: str, share: Share) -> None:
        """Wait until a receiver may be called once more: more of its deliveries may have been taken than that."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.setdefault(webhook_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come
                self._over(webhook_id, share)
            raise

    def _over(self, webhook_id: str, share: Share) -> None:
        """Take note that a turn is over, and let those who wait have theirs."""
        share.calls -= 1
        if (waiting := self._turns.get(webhook_id)) is None:
            return
        while waiting and share.calls < share.most:
            turn = waiting.popleft()
            if not turn.done():
                share.calls += 1
                turn.set_result(None)
        if not waiting:
            del self._turns[webhook_id]

    async def _tried(self, delivery: Delivery, lease: Lease, share: Share) -> HookReply | None:
        """Make one attempt; None where it was not begun."""
        own = Lease(lease.now, lease.began, delivery.lease_ms, delivery.timeout_seconds * 1_000)
        at, began = own.moment(), _now()
        if self._wire is None or share.rests(began) or not own.allows_a_call():
            return None
        if (secrets := self._secrets(delivery, at)) is None:
            return None
        try:
            body = delivery.payload.encode()
            call = HookCall(delivery.url, delivery.id, body, secrets, at // 1_000, delivery.timeout_seconds)
            answer = await self._wire.post(call)
        except Exception as error:  # a defect: it must not cost the place in flight
            log.exception("a delivery to a webhook failed")
            problem = f"the attempt failed: {type(error).__name__}"
            reply = HookReply(at, _now() - began, problem=problem, probe=delivery.probe)
        else:
            if answer.fault is Fault.HOST:
                share.leave_alone(_now(), HOST_MS)
                self._say_once(HERE, f"webhooks wait: {(answer.problem or '').partition(': ')[2]}")
                return None
            reply = _reply(delivery, answer, at)
        self._told.pop(HERE, None)
        share.heard(reply, began, _now())
        return reply

    def _secrets(self, delivery: Delivery, now: int) -> tuple[bytes, ...] | None:
        """Return what signs; None, and the webhook is left alone for a while, where it does not open here."""
        try:
            previous = keeping.signing(delivery.previous_secret, delivery.previous_secret_ends, now)
            found = self._opened(delivery.webhook_id, delivery.secret_key, previous)
        except NotAllowed as error:
            self._share(delivery.webhook_id).leave_alone(_now(), LOCKED_MS)
            text = f"webhook to {host_of(delivery.url)}: {error.message}; this dispatcher leaves it alone"
            self._say_once(delivery.webhook_id, text)
            return None
        self._told.pop(delivery.webhook_id, None)
        return found

    def _say_once(self, whose: str, text: str) -> None:
        if self._told.get(whose) != text:
            self._told[whose] = text
            self._terms.tell(text)

    def _share(self, webhook_id: str) -> Share:
        found = self._shares.get(webhook_id)
        if found is None:
            found = self._shares[webhook_id] = Share()
        return found


def settle(tx: Tx, results: Sequence[HookResults]) -> Delivered:
    """Write what came of some items."""
    return deliveries.record(tx, [each for result in results for each in result.results])


def bare(result: HookResults) -> HookResults:
    """Return a result without what may keep it from being stored."""
    return HookResults(tuple(deliveries.bare(each) for each in result.results))


def hold(tx: Tx, results: Sequence[HookResults]) -> None:
    """Keep the claims of results that could not be recorded."""
    deliveries.hold(tx, [each for result in results for each in result.results])


def _items(found: Iterable[Delivery]) -> list[Sequence[Delivery]]:
    """Return what each receiver is told of each notification, in the order in which it happened."""
    of = attrgetter("webhook_id", "notification_id")
    return [tuple(some) for _, some in groupby(sorted(found, key=of), of)]  # sorting keeps their order


def _reply(delivery: Delivery, answer: HookAnswer, at: int) -> HookReply:
    return HookReply(
        at,
        answer.ms,
        answer.status,
        answer.body or None,
        answer.retry_after_ms,
        answer.problem,
        delivery.probe,
        answer.fault is not Fault.PROXY,
    )


def _now() -> int:
    return int(time.monotonic() * 1_000)
