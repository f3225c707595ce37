"""The stored list of attempts that did not succeed (`retry_history`)."""

from __future__ import annotations

import json
from typing import Any

from notifyctl.core import json_codec
from notifyctl.core.patterns import pattern

KEPT_ENTRIES = 50
_HALF = pattern("[\ud800-\udfff]")
_SAME = ("attempt", "provider", "outcome", "code", "http_status")
_COSTING_NO_ATTEMPT = ("throttled", "config")


def parse(history: str | None) -> list[dict[str, Any]]:
    """Return the entries, oldest first; a damaged or absent history is an empty one."""
    entries: list[Any] = json_codec.stored(history, [])
    return [entry for entry in entries if isinstance(entry, dict)]


def append(history: str | None, entry: dict[str, Any]) -> str:
    """Return the history with `entry` at its end.

    It cannot grow without end: answers that used up no attempt are one entry while they are the same, and of the others
    only the newest `KEPT_ENTRIES` are kept. What later decisions rest on stays: the attempts of which nobody knows what
    came (each used up an attempt), and the changes of the provider (each is to another one).
    """
    entries = parse(history)
    if entries and _is_the_same_again(entries[-1], entry):
        entries[-1] = {
            **entries[-1],
            **entry,
            "began_at": entries[-1].get("began_at"),
            "times": _times(entries[-1]) + 1,
        }
    else:
        entries.append(entry)
    return written(_kept(entries))


def plain(history: str | None) -> str:
    """Return the same in ASCII, which every database takes."""
    return json.dumps(parse(history), separators=(",", ":"))


def in_a_row(history: str | None, outcome: str) -> int:
    """Return how many attempts ended so, one after the other, up to the latest."""
    times = 0
    for entry in reversed(parse(history)):
        if entry.get("outcome") != outcome:
            break
        times += _times(entry)
    return times


def _is_the_same_again(last: dict[str, Any], entry: dict[str, Any]) -> bool:
    alike = all(last.get(key) == entry.get(key) for key in _SAME)
    return alike and entry.get("outcome") in _COSTING_NO_ATTEMPT


def _times(entry: dict[str, Any]) -> int:
    times = entry.get("times", 1)
    return times if isinstance(times, int) and times > 0 else 1


def _kept(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    surplus = len(entries) - KEPT_ENTRIES
    kept, last = [], entries.pop()
    for entry in entries:
        if surplus > 0 and entry.get("outcome") != "unknown" and entry.get("event") != "failover":
            surplus -= 1
        else:
            kept.append(entry)
    return [*kept, last]


def written(entries: list[dict[str, Any]]) -> str:
    """Return entries as they are stored."""
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    # Half a surrogate pair, which somebody else stored, is no character: only escaped can it be written again.
    return json.dumps(entries, separators=(",", ":")) if _HALF.search(text) else text
