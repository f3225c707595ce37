"""Senders whose queue is full: pure, so tested over everything there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import senders
from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.senders import MEANWHILE_MS, MOST, Gate, Held

FULL = Outcome(Kind.THROTTLED, "its queue is full", blames=Blame.SENDER)
FINE = Outcome(Kind.ACCEPTED)

names = st.sampled_from(["", "+15005550006", "MG" + "1" * 32])
holds = st.dictionaries(names, st.builds(Held, st.integers(0, 10**13), st.integers(1, 30), st.booleans()))
chances = st.floats(0, 1, exclude_max=True)


def message(sender: str) -> Message:
    """Return a message that names this sender; the configured one for an empty text."""
    return Message("id", Channel.SMS, "+14155552345", {"body": "x", **({"from": sender} if sender else {})})


@given(holds, st.none() | st.text())
def test_what_is_stored_is_read_again(held: dict[str, Held], damaged: str | None) -> None:
    """And whatever else stands there holds nobody, rather than everybody for ever."""
    assert senders.parse(senders.text(held)) == held
    assert all(isinstance(each, Held) for each in senders.parse(damaged).values())


@given(st.integers(0, 200))
def test_it_stays_small(number: int) -> None:
    """Whoever names thousands of senders does not make the row grow without end."""
    held = {f"sender-{each}": Held(each, 1) for each in range(number)}
    assert len(senders.parse(senders.text(held))) == min(number, MOST)


@given(holds, names, chances)
def test_only_who_goes_first_says_something_new(held: dict[str, Held], sender: str, chance: float) -> None:
    """Refused, it waits twice as long, up to 15 min and a quarter; taken, it is as before. No other changes."""
    known = held.get(sender)
    refused = senders.after(held, [(sender, FULL)], 1_000, chance)
    taken = senders.after(held, [(sender, FINE)], 1_000, chance)
    if known is not None and not known.asked:
        assert refused == taken == held
        return
    times = 1 if known is None else known.times + 1
    least = min(900_000, 2_000 * 2 ** (times - 1))
    assert least <= refused[sender].until - 1_000 <= 1.25 * least
    assert (refused[sender].times, refused[sender].asked) == (times, False)
    assert sender not in taken
    assert {name: each for name, each in refused.items() if name != sender} == {
        name: each for name, each in held.items() if name != sender
    }


@given(holds, st.integers(0, 10**13))
def test_nobody_is_remembered_for_ever(held: dict[str, Held], now: int) -> None:
    """An hour after its time a sender is as any other; until then it is known how often it was refused."""
    left = {name: each for name, each in held.items() if each.until > now - 3_600_000}
    assert senders.after(held, [], now, 0.0) == left


@given(holds, st.lists(names, max_size=20), st.integers(0, 10**13))
def test_at_a_claim_one_of_each_sender_goes_first(held: dict[str, Held], wanted: list[str], now: int) -> None:
    """Those of senders that are not held go all; the others look again soon, or when it may be over."""
    gate = Gate(held, now, lease_ms=65_000)
    went = [sender for sender in wanted if gate.waits_until(message(sender)) is None]
    for sender in set(wanted):
        known = held.get(sender)
        allowed = wanted.count(sender) if known is None else int(known.until <= now)
        assert went.count(sender) == allowed
        if known is not None:
            waits = gate.waits_until(message(sender)) or 0
            assert now < waits <= max(known.until, now + MEANWHILE_MS)
