"""UUIDs that sort by when they were made: version 7 (RFC 9562, 5.7, with a counter as of 6.2)."""

from __future__ import annotations

import itertools
import os
import uuid

_COUNT = itertools.count()
_DIGITS = 16
"""Of each id behind the moment, the version and the counter: two of their bits are the variant's."""
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def ordered_id(now: int) -> str:
    """Return an id made at `now`, in milliseconds since the epoch.

    Of one moment, those that this process makes later sort later, up to as many as its counter of 12 bits has.
    """
    return ordered_ids(now, 1)[0]


def ordered_ids(now: int, count: int) -> list[str]:
    """Return so many, each later than the one before."""
    # The system is asked once, and uuid.UUID would take three times as long.
    chance = os.urandom(_DIGITS // 2 * count).hex()
    moment = f"{now & (1 << 48) - 1:012x}"
    begins = f"{moment[:8]}-{moment[8:]}-7"
    return [
        f"{begins}{next(_COUNT) & 0xFFF:03x}-{_VARIANT[chance[at]]}{chance[at + 1 : at + 4]}-{chance[at + 4 : at + 16]}"
        for at in range(0, _DIGITS * count, _DIGITS)
    ]


def earliest_id(at: int) -> str:
    """Return the id below which none was made at that moment or later."""
    return str(uuid.UUID(int=(max(at, 0) & (1 << 48) - 1) << 80))
