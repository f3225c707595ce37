"""How long a claim holds, as the one who has it reckons."""

from __future__ import annotations

import time

import pytest

from notifyctl.dispatch.lease import MARGIN_MS, Lease

LENGTH_MS = 600_000


@pytest.mark.parametrize(
    ("deadline_ms", "allowed"),
    [(LENGTH_MS // 2, True), (LENGTH_MS - MARGIN_MS // 2, False), (LENGTH_MS, False)],
)
def test_a_call_that_might_outlast_the_lease_is_not_begun(deadline_ms: int, allowed: bool) -> None:
    """Nor one that would end within the last second of it: what it came to has to be known before another begins."""
    assert Lease(1_000, time.monotonic(), LENGTH_MS, deadline_ms).allows_a_call() is allowed


def test_calls_end_a_second_before_the_lease() -> None:
    """Whatever their own deadline is."""
    assert Lease(1_000, 5.0, LENGTH_MS).call_ends_by() == 5.0 + (LENGTH_MS - 1_000) / 1_000


def test_an_old_lease_holds_no_more() -> None:
    """It counts from before the claim, by the monotonic clock."""
    lease = Lease(1_000, time.monotonic() - LENGTH_MS / 1_000 - 1, LENGTH_MS)
    assert lease.left_ms() < 0
    assert lease.moment() > 1_000 + LENGTH_MS
