"""A number of notifications, or of calls, on the command line."""

from __future__ import annotations

from notifyctl.core.errors import UsageError

NONE = "none"
"""The word that takes a wish or a limit back."""
MOST = 1_000_000


def number_or_none(text: str, option: str, per: str, more: str = "", what: str = "notifications") -> int | None:
    """Return what an option says of so many in a day or a minute (`per`), None for `NONE`.

    Raises UsageError, naming the option, for anything but 1 to `MOST`; `more` is added to its hint. `what` is counted.
    """
    if text.strip() == NONE:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MOST)) or not 1 <= int(text) <= MOST:
        hint = f"1 to {MOST:,} {per}, or {NONE}{more}"
        raise UsageError(f"{option}: {text[:20]!r} is no number of {what}", hint)
    return int(text)
