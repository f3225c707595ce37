"""When the queue of deliveries is worth a look: each is a statement that costs as much as sending some."""

from __future__ import annotations

from notifyctl.core.sealing import Keyring
from notifyctl.core.webhook.attempt import Delivery
from notifyctl.core.webhook.share import FIRST
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.queues.webhooks import HookTerms, Webhooks
from notifyctl.dispatch.run import Run
from tests.support.receiver import RING

ONE, OTHER = "1" * 36, "2" * 36
Items = list[tuple[Delivery]]


def queue(keyring: Keyring = RING) -> Webhooks:
    """Return a queue that was never looked at."""
    return Webhooks(HookTerms("h" * 36, 65_000, Run(DispatchOptions()), keyring, lambda: None, lambda _: None))  # type: ignore[arg-type, return-value]


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
