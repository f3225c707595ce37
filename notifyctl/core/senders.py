"""Senders whose queue at the provider is full: each is left alone, while everything else goes on.

A sender is what a message names as `from`; without one it is the configured one, written as an empty text. As with a
provider that is throttled, each time in a row it waits twice as long, and then one message goes first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from notifyctl.core import json_codec
from notifyctl.core.backoff import growing_ms
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Message
from notifyctl.core.outcome import Blame, Kind, Outcome

MOST = 50
SHARE = 4
"""The jitter of a wait is its share: a quarter."""
MEANWHILE_MS = 5_000
"""While one goes first, the others look again after so long."""
REMEMBERED_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Held:
    """A sender is left alone until then (milliseconds since the epoch), `times` in a row; `asked`: one goes first."""

    until: int
    times: int
    asked: bool = False


Senders = Mapping[str, Held]


def sender_of(message: Message) -> str:
    """Return whom a message is from, as it says itself."""
    return str(message.content.get("from") or "")


def parse(stored: str | None) -> Senders:
    """Return the senders that are held, as they are stored; damaged text holds nobody."""
    found: dict[str, object] = json_codec.stored(stored, {})
    return {name: Held(*each) for name, each in found.items() if isinstance(each, list) and _is_held(each)}


def waiting(held: Senders, configured: str, now: int) -> dict[str, int]:
    """Return until when each sender is left alone, for people: by name, which of the configured one is `configured`."""
    found: dict[str, int] = {}
    for name, each in sorted(held.items(), key=lambda item: (item[1].until, item[0])):
        if each.until > now:
            found[name or configured] = each.until
    return found


def text(held: Senders) -> str | None:
    """Return what is stored of them; None where nobody is held."""
    last = dict(sorted(held.items(), key=lambda each: each[1].until)[-MOST:])
    stored = {name: [each.until, each.times, each.asked] for name, each in last.items()}
    return json.dumps(stored, separators=(",", ":"), ensure_ascii=False) if stored else None


def put_back(stored: str | None, by_ms: int) -> str | None:
    """Return the same, written that much earlier."""
    return text({name: replace(each, until=each.until - by_ms) for name, each in parse(stored).items()})


def after(held: Senders, answers: Iterable[tuple[str, Outcome | None]], now: int, chance: float) -> Senders:
    """Return who is held after these answers, each with its message's sender. `chance` is a draw for the jitter.

    What was in flight when it began says nothing new; only the one that goes first does. One of whom nothing was heard
    for long after its time is forgotten: nothing may ever be from it again, and all others are looked at closer for it.
    """
    found = {name: each for name, each in held.items() if now - each.until < REMEMBERED_MS}
    for sender, outcome in answers:
        known = found.get(sender, Held(0, 0, asked=True))
        if known.asked and _is_full(outcome):
            found[sender] = Held(now + growing_ms(known.times + 1, chance / SHARE), known.times + 1)
        elif known.asked and outcome is not None and outcome.kind is Kind.ACCEPTED:
            found.pop(sender, None)
    return found


def _is_full(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.kind is Kind.THROTTLED and outcome.blames is Blame.SENDER


class Gate:
    """Lets messages of held senders wait at a claim, but for the one that goes first where it is time for it.

    `lease_ms` is how long that one may take.
    """

    def __init__(self, held: Senders, now: int, lease_ms: int) -> None:
        self.held = dict(held)
        self._now = now
        self._lease_ms = lease_ms

    def waits_until(self, message: Message) -> int | None:
        """Return until when a message of a held sender waits; None where it may go."""
        sender = sender_of(message)
        known = self.held.get(sender)
        if known is None:
            return None
        if known.until > self._now:
            return min(known.until, self._now + MEANWHILE_MS) if known.asked else known.until
        self.held[sender] = replace(known, until=self._now + self._lease_ms, asked=True)
        return None


def _is_held(each: list[object]) -> bool:
    return [type(part) for part in each] == [int, int, bool]
