"""Who lives, by what one dispatcher sees of the others' counters: whatever the wall clocks do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.presence import LOOK_S, STILL_S, Sign, Watch


def _signs(**beats: int) -> list[Sign]:
    return [Sign(id_, "here", 1, count) for id_, count in beats.items()]


@given(st.lists(st.floats(0, LOOK_S), min_size=1, max_size=20))
def test_who_beats_at_every_look_is_never_lost(waits: list[float]) -> None:
    """However long the looks are apart, one that counted on lives."""
    watch, now = Watch("me"), 0.0
    for beats, wait in enumerate(waits):
        now += wait
        watch.saw(_signs(other=beats), (), now)
        assert watch.lost == frozenset()


@given(st.lists(st.floats(0.01, 1_000), min_size=1, max_size=60))
def test_who_stands_still_is_lost_when_it_was_watched_for_long_enough(waits: list[float]) -> None:
    """Not before the limit, by the watcher's own clock; and a long look away does not count as watching."""
    watch, now, watched = Watch("me"), 0.0, 0.0
    watch.saw(_signs(other=7), (), now)
    for wait in waits:
        now += wait
        watched += min(wait, LOOK_S)
        watch.saw(_signs(other=7), (), now)
        if abs(watched - STILL_S) > 1e-6:
            assert ("other" in watch.lost) == (watched >= STILL_S)
            assert ("other" in watch.undecided) == (watched < STILL_S)


def test_who_is_gone_is_lost_at_once() -> None:
    """A process that ended on this machine needs no waiting for."""
    watch = Watch("me")
    watch.saw(_signs(dead=3, alive=3), {"dead"}, 0.0)
    assert (watch.lost, watch.undecided) == ({"dead"}, {"alive"})


def test_who_moved_once_is_decided() -> None:
    """A run with `once` waits for those of whom nothing can be said yet, never for those who live."""
    watch = Watch("me")
    watch.saw(_signs(other=1), (), 0.0)
    watch.saw(_signs(other=2), (), 5.0)
    assert (watch.lost, watch.undecided) == (set(), set())
    for look in range(1, 5):
        watch.saw(_signs(other=2), (), 5.0 + look * LOOK_S)
    assert watch.lost == {"other"}
    watch.saw(_signs(other=3), (), 60.0)  # it was only slow
    assert watch.lost == set()


def test_nobody_watches_itself() -> None:
    """Its own counter stands still between two beats, of course; and who left is no longer there."""
    watch = Watch("me")
    for look in range(6):
        watch.saw(_signs(me=1, other=1), (), look * LOOK_S)
    assert watch.lost == {"other"}
    watch.saw(_signs(me=2), (), 100.0)
    assert watch.lost == set()
