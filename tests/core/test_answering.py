"""When a provider that is asked after receipts is left alone, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.answering import LONGEST_REST_MS, REST_MS, Answering, wait_ms
from notifyctl.core.outcome import Kind

NOW = 5_000


def after(*kinds: Kind, start: Answering | None = None, together: int = 3, wait: int | None = None) -> Answering:
    """Return how a provider answers after these answers, all at one moment."""
    found = start or Answering()
    for number, kind in enumerate(kinds):
        found = found.after(kind, f"{kind} {number}", wait, together=together, now=NOW)
    return found


def test_silence_counts_in_a_row() -> None:
    """One that answers some of what it is asked is asked on; one that answers none of a round is left alone."""
    silent = [Kind.UNKNOWN] * 2
    assert after(*silent, Kind.ACCEPTED, *silent).problem is None
    assert after(*silent, Kind.PERMANENT, *silent).rests_until == 0
    found = after(*silent, Kind.UNKNOWN)
    assert (found.problem, found.refused, found.rests_until) == ("unknown 2", False, NOW + REST_MS)
    assert after(Kind.UNKNOWN, together=1).problem == "unknown 0"
    assert after(Kind.ACCEPTED, start=found) == Answering()


@pytest.mark.parametrize(("kind", "refused"), [(Kind.THROTTLED, False), (Kind.CONFIG, True)])
def test_it_is_taken_at_its_word(kind: Kind, refused: bool) -> None:
    """What says that the next question would be in vain is obeyed at once, whatever else is answered meanwhile."""
    found = after(Kind.ACCEPTED, kind, wait=7_000)
    assert (found.problem, found.refused, found.rests_until) == (f"{kind} 1", refused, NOW + 7_000)
    assert after(Kind.ACCEPTED, Kind.UNKNOWN, kind, start=found) == found
    assert found.after(Kind.ACCEPTED, "", None, together=1, now=NOW + 7_000) == Answering()


@given(st.sampled_from(list(Kind)), st.none() | st.integers(-1, 10**12))
def test_a_rest_has_bounds(kind: Kind, wait: int | None) -> None:
    """However long a provider wants to be left alone: it is a second at least and an hour at most."""
    found = after(kind, together=1, wait=wait)
    assert (found.problem is None) == (found.rests_until == 0)
    assert found.problem is None or 1_000 <= found.rests_until - NOW <= LONGEST_REST_MS
    assert wait_ms(kind, wait) in (0, found.rest_ms)
