"""The stored list of attempts that did not succeed (`retry_history`)."""

from __future__ import annotations

import json
from typing import Any

from notifyctl.core import json_codec

KEPT_ENTRIES = 50


def parse(history: str | None) -> list[dict[str, Any]]:
    """Return the entries, oldest first; a damaged or absent history is an empty one."""
    entries: list[Any] = json_codec.stored(history, [])
    return [entry for entry in entries if isinstance(entry, dict)]


def append(history: str | None, entry: dict[str, Any]) -> str:
    """Return the history with `entry` at its end; only the newest `KEPT_ENTRIES` are kept, so that it cannot grow."""
    return json.dumps([*parse(history), entry][-KEPT_ENTRIES:], separators=(",", ":"), ensure_ascii=False)


def in_a_row(history: str | None, outcome: str) -> int:
    """Return how many attempts ended so, one after the other, up to the latest."""
    times = 0
    for entry in reversed(parse(history)):
        if entry.get("outcome") != outcome:
            break
        times += 1
    return times
