"""What became of a file's rows, counted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from notifyctl.core.gate import Objection, PutOff, Refuse, Suppress
from notifyctl.core.refusal import KeyRefusal


@dataclass(slots=True)
class StopTally:
    """How many that are accepted will be cancelled, put off or dead letters, by reason."""

    suppressed: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def stop(self, verdict: Objection) -> None:
        """Count one that is accepted, and will not go out at its time."""
        match verdict:
            case Suppress(reason):
                count(self.suppressed, reason.partition(": ")[0])
            case Refuse(category, reason):
                count(self.dead, f"{category}: {reason}")
            case PutOff(wait=wait):
                count(self.deferred, wait.replace("_", " "))


@dataclass(slots=True)
class RowTally(StopTally):
    """What became of rows so far. `read` counts all that were looked at, the others what is certain.

    `reasons` are why rows were rejected, without what is each one's own; `refusal` is what the API key was refused
    first.
    """

    read: int = 0
    accepted: int = 0
    deduplicated: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refusal: KeyRefusal | None = None

    def reject(self, reason: str) -> None:
        """Count a row that is not taken."""
        self.rejected += 1
        count(self.reasons, reason)


def count(kinds: Counter[str], reason: str) -> None:
    """Count a reason by its kind: without what stands in quotes, and numbers."""
    kind = _OWN.sub("…", reason)[:_KIND_CHARS]
    kinds[kind if kind in kinds or len(kinds) < _MOST_KINDS else _OTHERS] += 1


_OWN = re.compile(r"""'[^']*'|"[^"]*"|\S*[@\d]\S*""")
_KIND_CHARS, _MOST_KINDS, _OTHERS = 100, 50, "other reasons"
