"""Ids that sort by when they were made: RFC 9562, 5.7."""

from __future__ import annotations

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.timeordered import earliest_id, ordered_id, ordered_ids


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_version_7_uuid_of_its_moment(now: int) -> None:
    """In the usual form, with the milliseconds in its first 48 bits, and the variant of the RFC."""
    text = ordered_id(now)
    found = uuid.UUID(text)
    assert str(found) == text
    assert (found.version, found.variant, found.int >> 80) == (7, uuid.RFC_4122, now)
    assert text > earliest_id(now)


@given(st.integers(0, 2**48 - 1))
def test_of_one_moment_the_later_sorts_later(now: int) -> None:
    """But where the counter of 12 bits begins anew."""
    made = [ordered_id(now) for _ in range(3)]
    steps = [(uuid.UUID(each).int >> 64) & 0xFFF for each in made]
    assert made == sorted(made) or steps != sorted(steps)
    assert len(set(made)) == 3


@given(st.integers(0, 2**48 - 1), st.integers(0, 40))
def test_many_are_as_one_after_the_other(now: int, count: int) -> None:
    """Version, variant and moment of each, and each counts on; what chance gives is not the same in any two."""
    made = [uuid.UUID(each) for each in ordered_ids(now, count)]
    assert len(made) == count
    assert all((each.version, each.variant, each.int >> 80) == (7, uuid.RFC_4122, now) for each in made)
    steps = [(each.int >> 64) & 0xFFF for each in made]
    assert all(after == (before + 1) % 4096 for before, after in itertools.pairwise(steps))
    assert len({each.int & (1 << 62) - 1 for each in made}) == count
