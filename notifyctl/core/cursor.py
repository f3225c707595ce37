"""Where a list that was read a page at a time goes on."""

from __future__ import annotations

import re

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern

_WRITTEN = pattern(r"(\d{1,18})_([0-9a-f-]{36})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row seen: its moment in milliseconds and its id."""

    at: int
    id: str

    def __str__(self) -> str:
        return f"{self.at}_{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that was printed as `text`. Raises UsageError."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no cursor", "--cursor takes what the list before said")
        return cls(int(match[1]), match[2])
