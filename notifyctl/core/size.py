"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern

MOST_BYTES = 1 << 50
_WRITTEN = pattern(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> int:
    """Return the bytes, at least 1, of `64MB` (powers of 1000), `64MiB` (of 1024) or a bare number.

    Raises UsageError for what is no size, for nothing at all and for more than any machine has.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise _refused(text, "is no size")
    unit: int = (1024 if found[3] else 1000) ** _POWERS[found[2].lower()]
    number = round(float(found[1]) * unit)
    if not 1 <= number <= MOST_BYTES:
        raise _refused(text, "is nothing at all" if number < 1 else "is more than any machine has")
    return number


def _refused(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} {why}", "a size is like 64MB, 64MiB or 500kB; a bare number is bytes")
