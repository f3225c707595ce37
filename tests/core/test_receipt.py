"""What a receipt changes: the same in whatever order and however often they come."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import receipt as receipts
from notifyctl.core.receipt import DeliveryState, Receipt, Stage, next_question, settle
from notifyctl.core.weigh import reason_to_pause

NOW = 1_767_218_400_000
HOUR = 3_600_000
TEXTS = {
    Stage.UNDERWAY: ["queued", "sending", "sent", "processed", "deferred 421 busy"],
    Stage.DELIVERED: ["delivered", "read"],
    Stage.BOUNCED: ["undelivered 30005 Unknown destination handset", "bounce 550 5.1.1 no such user"],
}
DEAD = "bounce 550 5.1.1 no such user"
TEXTS_AND_TIMES = st.sampled_from(list(Stage)).flatmap(
    lambda stage: st.tuples(st.just(stage), st.sampled_from(TEXTS[stage]), st.none() | st.integers(0, NOW))
)
SOME = TEXTS_AND_TIMES.map(lambda facts: Receipt(*facts, dead=facts[1] == DEAD))


def after(receipts: list[Receipt]) -> DeliveryState:
    """Return what is known after these receipts, in this order."""
    known = DeliveryState()
    for each in receipts:
        known = settle(known, each, NOW)
    return known


@given(st.lists(SOME, max_size=8), st.randoms(use_true_random=False))
def test_the_order_decides_nothing(some: list[Receipt], chance: random.Random) -> None:
    """Out of order, a message ends as far as its furthest receipt says, and in one of the stages only."""
    shuffled = chance.sample(some, len(some))
    assert after(some).stage is after(shuffled).stage
    assert after(some).stage == max((each.stage for each in some), default=None)
    assert after(some).delivered_at is None or after(some).bounced_at is None


@given(st.lists(SOME, max_size=8))
def test_nothing_changes_the_second_time(some: list[Receipt]) -> None:
    """The same receipts again, all of them, change nothing at all."""
    known = after(some)
    assert [settle(known, each, NOW) for each in some] == [known] * len(some)


def test_what_is_kept() -> None:
    """The words of the way are followed forwards, a delivery or a bounce ends them, at the time that it gives."""
    way = [Receipt(Stage.UNDERWAY, text) for text in ("queued", "sent", "queued")]
    assert after(way) == DeliveryState(receipt="sent")
    delivered = Receipt(Stage.DELIVERED, "delivered", at=NOW - 5)
    assert after([delivered, *way]) == DeliveryState(delivered_at=NOW - 5, receipt="delivered")
    bounced = Receipt(Stage.BOUNCED, "bounce 550")
    assert (
        after([delivered, bounced])
        == after([bounced, delivered])
        == DeliveryState(bounced_at=NOW, receipt="bounce 550")
    )


def test_why_it_came_back() -> None:
    """Whoever told of the bounce first may not have known that the address is dead: that is kept, the time is not."""
    bare = Receipt(Stage.BOUNCED, "not_delivered", at=NOW - 9)
    dead = Receipt(Stage.BOUNCED, DEAD, at=NOW - 5, dead=True)
    busy = Receipt(Stage.BOUNCED, "blocked 421 busy", at=NOW - 1)
    assert (
        after([bare, dead]) == after([bare, dead, busy, dead, bare]) == DeliveryState(bounced_at=NOW - 9, receipt=DEAD)
    )
    assert after([bare, busy]) == DeliveryState(bounced_at=NOW - 9, receipt="not_delivered")


def test_no_receipt_is_from_the_future() -> None:
    """A provider's clock that is fast does not date a delivery later than now."""
    assert after([Receipt(Stage.DELIVERED, "delivered", at=NOW + HOUR)]).delivered_at == NOW


@given(st.integers(0, 10 * 24 * HOUR), st.booleans(), st.integers(0, 2 * HOUR))
def test_questions_are_put_off_and_end(age: int, answered: bool, wait: int) -> None:
    """Each question is at least ten seconds and at most six hours (or the provider's wish) later; there is a last."""
    due = next_question(NOW - age, NOW, answered=answered, wait_ms=wait)
    if age >= receipts.GIVEN_UP_MS or (answered and age >= receipts.LAST_QUESTION_MS):
        assert due is None
        return
    assert due is not None
    last = NOW - age + receipts.LAST_QUESTION_MS
    assert due == last or due >= NOW + 10_000
    assert NOW < due <= NOW + max(6 * HOUR, wait)


def test_the_waits_double() -> None:
    """A message that stays under way is asked about some twenty times in three days, the last time at their end."""
    asked, at = [], NOW + receipts.FIRST_QUESTION_MS
    while True:
        asked.append(at - NOW)
        following = next_question(NOW, at, answered=True)
        if following is None:
            break
        at = following
    assert asked[:4] == [10_000, 20_000, 40_000, 80_000]
    assert asked[-1] == 72 * HOUR
    assert len(asked) < 30


def test_only_a_fresh_complaint_pauses() -> None:
    """That the account is suspended counts if nothing was changed since the message was sent, for an hour."""
    complaint = Receipt(Stage.BOUNCED, "failed 30002", at=NOW - 1, pause="30002 Account suspended")
    assert complaint.still_pauses(NOW - 10, NOW - 5, NOW)
    assert not complaint.still_pauses(NOW - 3, NOW - 5, NOW)
    assert not complaint.still_pauses(NOW - 10, NOW - 5, NOW + 2 * HOUR)
    assert not Receipt(Stage.BOUNCED, "failed").still_pauses(0, NOW, NOW)


def test_the_first_complaint_that_counts_is_the_reason() -> None:
    """Of several complaints one from before the configuration was changed does not hide those that came since."""
    old, new = (Receipt(Stage.BOUNCED, "failed", at=NOW - 1, pause=reason) for reason in ("old", "new"))
    assert reason_to_pause([(old, NOW - 9), (new, NOW - 5)], NOW - 7, NOW) == "new"
    assert reason_to_pause([(old, NOW - 9)], NOW - 7, NOW) is None
