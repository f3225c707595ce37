"""Moments as people write them, always with their zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from notifyctl.core.duration import parse_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern

EXAMPLE = "2030-10-25T09:00:00+01:00"
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999, the last that ISO 8601 writes with four digits."""
_EARLIEST_MS = -62_135_596_800_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = pattern(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s?([Zz]|[+-]\d{2}(:?\d{2})?)?")
_AGO = pattern(r"\s+ago\s*\Z", re.ASCII | re.IGNORECASE)
_LOCAL = pattern(r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?)?")
_ZONED = pattern(r"([Zz]|[+-]\d{2}(:?\d{2})?)$")
_MILLISECOND = timedelta(milliseconds=1)


def moment(text: str, option: str) -> int:
    """Return the moment `text` names (ISO 8601 with an offset or Z), in milliseconds since the epoch.

    Raises UsageError, naming `option`, for anything else; without an offset the moment is a guess and refused as well.
    """
    stripped = text.strip()
    hint = f"{option} {EXAMPLE} (or {_in_utc(EXAMPLE)})"
    if not _MOMENT.fullmatch(stripped):
        raise UsageError(f"{option}: {text!r} is no moment in ISO 8601", hint)
    if not _ZONED.search(stripped[10:]):
        raise UsageError(f"{option}: {text!r} has no offset, so it names no moment", hint)
    try:
        parsed = datetime.fromisoformat(stripped.upper().replace(",", ".").replace(" ", "T", 1).replace(" ", ""))
        milliseconds = (parsed - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: {text!r} is no moment in ISO 8601", hint) from None
    if not 0 <= milliseconds <= LATEST_MS:
        raise UsageError(f"{option}: {text!r} is out of range", hint)
    return milliseconds


def moment_or_now(text: str, option: str) -> int | None:
    """Return the moment `text` names, or None for `now`."""
    return None if text.strip().casefold() == "now" else moment(text, option)


@dataclass(frozen=True, slots=True)
class Ago:
    """A moment as its distance to now, in milliseconds; which moment it is, the database's clock says."""

    ms: int


Point = int | Ago


def point(text: str, option: str, zone: tzinfo | None = None) -> Point:
    """Return the moment or the distance that `--since` and `--until` take: ISO 8601, or a duration ago.

    Without an offset it is a time in `zone`, None being the host's; a date is its first moment there. Raises UsageError
    also for a time that the clocks there never or twice showed.
    """
    if re.match(r"\d{4}-", text.strip()):
        return _local(text, option, zone) if _LOCAL.fullmatch(text.strip()) else moment(text, option)
    try:
        return Ago(parse_ms(_AGO.sub("", text)))
    except UsageError:
        hint = f"{option} 2h (two hours ago), {option} 2030-10-25 or {option} {EXAMPLE}"
        raise UsageError(f"{option}: {text!r} is neither a moment nor a duration", hint) from None


def _local(text: str, option: str, zone: tzinfo | None) -> int:
    try:
        shown = datetime.fromisoformat(text.strip().upper().replace(",", ".").replace(" ", "T", 1))
        first, second = (_placed(shown.replace(fold=fold), zone) for fold in (0, 1))
        begun = first.astimezone(UTC)
        back = begun.astimezone(zone).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{option}: {text!r} is no moment in ISO 8601", f"{option} 2h or {option} {EXAMPLE}") from None
    if back != shown:
        raise UsageError(
            f"{option}: {text!r} was never: clocks were put forward then", f"{option} {second.isoformat()}"
        )
    if begun != second.astimezone(UTC):
        either = f"{first.isoformat()} or {second.isoformat()}"
        raise UsageError(f"{option}: {text!r} was twice: clocks were put back then", f"{option} {either}")
    milliseconds = (begun - _EPOCH) // _MILLISECOND
    if not 0 <= milliseconds <= LATEST_MS:
        raise UsageError(f"{option}: {text!r} is out of range", f"{option} {EXAMPLE}")
    return milliseconds


def _placed(shown: datetime, zone: tzinfo | None) -> datetime:
    return shown.astimezone() if zone is None else shown.replace(tzinfo=zone)


def at(point: Point | None, now: int) -> int | None:
    """Return the moment in milliseconds since the epoch."""
    return now - point.ms if isinstance(point, Ago) else point


def not_past(milliseconds: int, now: int, option: str) -> int:
    """Return `milliseconds`; raise UsageError when it lies before `now`."""
    if milliseconds < now:
        later = written(min(now - now % 60_000 + 3_600_000, LATEST_MS))
        raise UsageError(f"{option}: {written(milliseconds)} is past, now is {written(now)}", f"{option} {later}")
    return milliseconds


def after(now: int, duration_ms: int, option: str) -> int:
    """Return the moment `duration_ms` after `now`; raise UsageError when no calendar reaches that far."""
    if now + duration_ms > LATEST_MS:
        raise UsageError(f"{option}: that is after the year 9999")
    return now + duration_ms


def written(milliseconds: int) -> str:
    """Return a moment as it stands in messages: ISO 8601 in UTC, to the second; the calendar's ends for any beyond."""
    told = min(max(milliseconds, _EARLIEST_MS), LATEST_MS)
    return (_EPOCH + told * _MILLISECOND).isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat().replace("+00:00", "Z")
