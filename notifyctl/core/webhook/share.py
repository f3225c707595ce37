"""How many calls at once a receiver gets of a dispatcher: more as it answers, fewer as it does not.

Receivers are strangers, and one that hangs must not take the places of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from notifyctl.core.webhook.attempt import HookReply

FIRST, MOST = 16, 64
SLOW_MS = 5_000
LEAST_OF_SLOW = 4
"""One that answers, and takes its time, gets so many all the same."""
FIRST_REST_MS, LONGEST_REST_MS = 100, 10_000


@dataclass(slots=True)
class Share:
    """One receiver's share. Times are milliseconds of any one clock. Not frozen: every call is noted.

    `in_flight` are those that were taken, `calls` those of them that have their turn. `has_more`: at the last look more
    was due than there was room for.
    """

    most: int = FIRST
    in_flight: int = 0
    calls: int = 0
    misses: int = 0
    missed_at: int = -1
    rests_until: int = 0
    has_more: bool = False

    def room(self, now: int) -> int:
        """Return how many calls may begin now."""
        return 0 if self.rests(now) else max(0, self.most - self.in_flight)

    def spare(self, now: int) -> int:
        """Return how many may be taken, of which some may wait here for their turn: none, where others wait elsewhere.

        As many again as may be called at once wait here, if it has answered well: they do not wait long.
        """
        waiting = self.most if self.most > FIRST else 0
        return 0 if self.has_more or self.rests(now) else max(0, self.most + waiting - self.in_flight)

    def rests(self, now: int) -> bool:
        """Return whether nothing is to begin now."""
        return now < self.rests_until

    def began(self) -> None:
        """Take note that a call begins."""
        self.in_flight += 1

    def ended(self) -> None:
        """Take note that a call has ended, whatever it was."""
        self.in_flight -= 1

    def heard(self, reply: HookReply, began: int, now: int) -> None:
        """Take note of what came of a call that began then."""
        if reply.status is None or reply.asks_for_less:
            self._missed(began, now)
        elif reply.is_success:
            self.misses = 0
            slow = reply.ms > SLOW_MS
            self.most = max(LEAST_OF_SLOW, self.most // 2) if slow else min(MOST, self.most + 1)

    def leave_alone(self, now: int, for_ms: int) -> None:
        """Let nothing begin for a while."""
        self.rests_until = max(self.rests_until, now + for_ms)

    def _missed(self, began: int, now: int) -> None:
        self.most = max(1, self.most // 2)
        if began < self.missed_at:  # calls that ran at once fail for one reason
            return
        self.misses, self.missed_at = self.misses + 1, now
        self.leave_alone(now, min(FIRST_REST_MS * 2 ** min(self.misses - 1, 16), LONGEST_REST_MS))
