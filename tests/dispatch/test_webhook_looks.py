"""When the queue of deliveries is worth a look: each is a statement that costs as much as sending some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.attempt import Delivery, HookReply
from notifyctl.core.webhook.share import FIRST
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.queues.webhooks import HookTerms, Webhooks
from notifyctl.dispatch.run import Run
from notifyctl.providers.hookwire import HookAnswer
from tests.support.receiver import RING

ONE, OTHER = "1" * 36, "2" * 36
Items = list[Sequence[Delivery]]


def queue(way: Busy | None = None) -> Webhooks:
    """Return a queue that was never looked at."""
    return Webhooks(HookTerms("h" * 36, 65_000, Run(DispatchOptions()), RING, lambda: way, lambda _: None))  # type: ignore[arg-type, return-value]


def some(webhook_id: str, count: int, *, more: bool = False) -> Items:
    """Return deliveries of one receiver as a claim takes them, each of another notification."""
    last = count - 1
    return [(_delivery(webhook_id, str(number), int(more and number == last)),) for number in range(count)]


def _delivery(webhook_id: str, number: str, more: int) -> Delivery:
    return Delivery(
        id=number,
        webhook_id=webhook_id,
        notification_id=number,
        payload="{}",
        attempts=None,
        attempt=1,
        due_at=0,
        created_at=0,
        url="https://hooks.example.org/",
        secret_key="",
        previous_secret=None,
        previous_secret_ends=None,
        retry_count=9,
        timeout_seconds=20,
        slowed=0,
        lease_id="l" * 36,
        lease_ms=65_000,
        more=more,
    )


def looked(webhooks: Webhooks, items: Items, *, all_places: bool = False) -> None:
    """Let it find these at a look."""
    webhooks.looks()
    webhooks.noted(Portion(items, detail=all_places))


def ended(webhooks: Webhooks, items: Items) -> None:
    """Let calls end."""
    for item in items:
        webhooks.release(item)


def test_the_first_look_is_worth_it() -> None:
    """What was made before this dispatcher began is not known to it."""
    webhooks = queue()
    assert (webhooks.takes_many(), webhooks.has_more()) == (True, True)


def test_what_was_made_during_a_look_may_have_been_missed() -> None:
    """A look clears what was made before it, and nothing that was made since it began."""
    webhooks = queue()
    webhooks.made(7)
    webhooks.looks()
    assert not webhooks.has_more()
    webhooks.made(8)
    webhooks.noted(Portion())
    assert webhooks.has_more()


def test_who_had_more_than_room_is_looked_at_when_there_is_room() -> None:
    """Not before: nothing of it would be taken."""
    webhooks = queue()
    first = some(ONE, FIRST, more=True)
    looked(webhooks, first)
    assert (webhooks.takes_many(), webhooks.has_more()) == (False, False)
    ended(webhooks, first[:1])
    assert (webhooks.takes_many(), webhooks.has_more()) == (False, True)
    ended(webhooks, first[1 : FIRST // 2])
    assert (webhooks.takes_many(), webhooks.has_more()) == (True, True)
    looked(webhooks, some(ONE, FIRST // 2))
    ended(webhooks, first[FIRST // 2 :])
    assert not webhooks.has_more()


def test_a_look_without_room_forgets_nobody_who_had_more() -> None:
    """It was not asked for that receiver's, and finding nothing says nothing of it."""
    webhooks = queue()
    first = some(ONE, FIRST, more=True)
    looked(webhooks, first)
    looked(webhooks, some(OTHER, 1))
    ended(webhooks, first)
    assert webhooks.has_more()
    looked(webhooks, [])
    assert not webhooks.has_more()


def test_one_that_hangs_makes_nobody_wait() -> None:
    """Many of another one's may be taken, whatever the one that hangs has under way."""
    webhooks = queue()
    looked(webhooks, some(ONE, FIRST))
    assert not webhooks.takes_many()
    looked(webhooks, some(OTHER, 2))
    assert webhooks.takes_many()


def test_where_places_were_short_anybody_may_have_more() -> None:
    """Those, too, of whom nothing was taken for that."""
    webhooks = queue()
    looked(webhooks, some(ONE, 3), all_places=True)
    assert webhooks.has_more()


# What is taken without a look


def taken(webhooks: Webhooks, places: int = 100) -> tuple[int, int] | None:
    """Return of how many of one receiver, and of another, an offer would take; None where there is none."""
    webhooks.offer(places)
    offer = webhooks.offered
    if offer is None:
        return None
    return sum(offer.takes(ONE) for _ in range(999)), sum(offer.takes(OTHER) for _ in range(999))


def test_nothing_is_offered_where_no_webhook_was_heard_of() -> None:
    """Who has none pays nothing for them."""
    webhooks = queue()
    assert taken(webhooks) is None
    assert webhooks.handed() is None
    webhooks.made(1)
    assert taken(webhooks) == (FIRST, FIRST)
    assert taken(webhooks, 0) is None


def test_of_one_that_answers_well_as_many_again_wait_here() -> None:
    """What is under way counts; where places are short, no receiver gets more than half of them."""
    webhooks = queue()
    looked(webhooks, some(ONE, FIRST))
    webhooks.made(1)
    assert taken(webhooks) == (0, FIRST)
    webhooks._share(ONE).heard(HookReply(1, 5, 204), 0, 5)
    assert taken(webhooks) == (2 * (FIRST + 1) - FIRST, FIRST)
    assert taken(webhooks, 20) == (10, 10)


def test_who_has_a_backlog_is_offered_nothing() -> None:
    """What happened first goes first. When a look finds no more of it, it is as before."""
    webhooks = queue()
    looked(webhooks, first := some(ONE, FIRST, more=True))
    webhooks.made(1)
    ended(webhooks, first)
    assert taken(webhooks) == (0, FIRST)
    looked(webhooks, some(ONE, 1))
    assert taken(webhooks) == (FIRST - 1, FIRST)


def test_who_rests_is_offered_nothing() -> None:
    """It does not answer, or has asked for less."""
    webhooks = queue()
    looked(webhooks, some(ONE, 1))
    webhooks.made(1)
    webhooks._share(ONE).leave_alone(int(time.monotonic() * 1_000), 60_000)
    assert taken(webhooks) == (0, FIRST)


def test_what_was_handed_is_under_way_at_once() -> None:
    """No look takes it for room; and where something was left, a look is worth it."""
    webhooks = queue()
    webhooks.made(1)
    looked(webhooks, [])
    for left in (False, True):
        webhooks.offer(100)
        assert webhooks.offered is not None
        webhooks.offered.taken += [item[0]._replace(created_at=7) for item in some(ONE, 3)]
        webhooks.offered.left = left
        given = webhooks.handed()
        assert given is not None
        portion, lease = given
        assert (len(portion.items), lease.now, lease.length_ms) == (3, 7, 65_000)
        assert webhooks.handed() is None
        assert webhooks.has_more() == left
    assert taken(webhooks) == (FIRST - 6, FIRST)


class Busy:
    """A way out that takes its time, and counts how many calls there are at once."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.now = self.most = self.calls = 0

    async def post(self, _: object) -> HookAnswer:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return HookAnswer(self.status, None if self.status == 204 else "no", 1)


def attempted(status: int, count: int, body: str = "{}") -> tuple[Busy, int, Webhooks]:
    """Attempt so many deliveries to one receiver at once; return who was called, and how many were given back."""
    way = Busy(status)
    webhooks = queue(way)
    key = keeping.sealed(RING, b"s" * 24, keeping.place(ONE))
    items: Items = [(item[0]._replace(secret_key=key, payload=body),) for item in some(ONE, count)]

    async def story() -> int:
        portion = Portion(items, now=1, lease_ms=65_000)
        await webhooks.ready(portion)
        webhooks.noted(portion)
        lease = Lease(1, time.monotonic(), 65_000)
        results = await asyncio.gather(*(webhooks.attempt(item, lease) for item in items))
        return sum(each.reply is None for result in results for each in result.results)

    return way, asyncio.run(story()), webhooks


def test_no_receiver_is_called_more_often_at_once_than_it_may_be() -> None:
    """However many were taken: the others wait for their turn, and each has it."""
    way, back, webhooks = attempted(400, 5 * FIRST)
    assert (way.calls, way.most, back) == (5 * FIRST, FIRST, 0)
    [share] = webhooks._shares.values()
    assert (share.in_flight, share.calls) == (0, 0)


def test_what_cannot_be_written_is_an_attempt_that_failed() -> None:
    """A body that is no UTF-8 costs neither the lane nor the receiver's turn."""
    way, back, webhooks = attempted(204, 1, body="\ud800")
    assert (way.calls, back) == (0, 0)
    [share] = webhooks._shares.values()
    assert (share.in_flight, share.calls) == (0, 0)


def test_who_asks_for_less_is_not_called_by_those_that_wait() -> None:
    """They are given back, for a look that comes when it has rested."""
    way, back, webhooks = attempted(503, 3 * FIRST)
    assert (way.calls, way.most, back) == (FIRST, FIRST, 2 * FIRST)
    [share] = webhooks._shares.values()
    assert (share.in_flight, share.calls) == (0, 0)
