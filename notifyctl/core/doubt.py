"""Whether a refusal that is not about the account is the configuration's fault all the same.

A sender that cannot be used for one destination is refused like one that cannot be used at all. What tells them apart:
the same refusal for different recipients while nothing goes out is the configuration's; a refusal while others go out
is the message's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

LASTS_MS = 24 * 3_600_000
"""For how long a first refusal is remembered: a second one for somebody else then makes it certain."""
RECENT_MS = 30_000


def digest(recipient: str | None) -> str:
    """Return what stands for a recipient where it is kept only to be told from others."""
    return sha256((recipient or "").encode(errors="replace")).hexdigest()[:16]


@dataclass(slots=True)
class Evidence:
    """What one dispatcher has seen of a provider's configured sender: when something went out, whom it refused since.

    Times are milliseconds of any one clock. Not frozen: every acceptance is noted.
    """

    accepted_at: int | None = None
    refused: set[str | None] = field(default_factory=set)

    def accepted(self, now: int) -> None:
        """Take note that something went out."""
        self.accepted_at = now
        if self.refused:
            self.refused.clear()

    def others_go(self, recipient: str | None, now: int) -> bool:
        """Take note that one was refused; return whether others go out, so that it alone is to blame.

        Not where somebody else was refused since: then it may have come to its end just now.
        """
        self.refused.add(recipient)
        return self.accepted_at is not None and now - self.accepted_at < RECENT_MS and self.refused == {recipient}
