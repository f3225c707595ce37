"""A temporary database for what a run has to remember and memory shall not hold: a file without a name."""

from __future__ import annotations

import sqlite3

_CACHE_KIB = 8_192


def scratch(*schema: str) -> sqlite3.Connection:
    """Return a new one with these tables; it is gone when it is closed. Nothing in it outlives a crash."""
    file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for each in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
        file.execute(f"PRAGMA {each}")
    for each in (*schema, "BEGIN"):
        file.execute(each)
    return file
