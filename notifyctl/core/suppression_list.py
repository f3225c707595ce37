"""Lists of addresses that must not be written to, as they are kept in files: our own, a provider's, a plain list."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from notifyctl.core import when
from notifyctl.core.address import meant
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.spreadsheet import meant as meant_by
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.core.text import one_line

# Our names for a column, and those in providers' own lists.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "address": ("address", "email", "phone", "phone_number", "to", "token"),
    "channel": ("channel", "message_type"),
    "cause": ("cause",),
    "group": ("group_id", "group", "asm_group_id"),
    "reason": ("reason", "description"),
    "at": ("created_at", "created", "date"),
}
_EPOCH_SECONDS_MOST = 10**11


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for rows that do not say it themselves; without a channel it is told by the address."""

    channel: Channel | None
    cause: SuppressionCause
    reason: str


class ListedAddress(NamedTuple):
    """A row that can be taken."""

    channel: Channel
    refusal: Refusal


def parsed(text: str, defaults: Defaults) -> Iterator[ListedAddress | str]:
    """Yield what the rows say, in their order; for one that cannot be meant why, with its line.

    Raises UsageError for a table without a column of addresses.
    """
    for line, row in _rows(text.removeprefix("\ufeff")):
        try:
            yield _taken(row, defaults)
        except UsageError as problem:
            yield f"line {line}: {problem.message}"


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    stripped = text.lstrip()
    if stripped.startswith("{"):
        lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
        yield from ((number, _object(line)) for number, line in lines)
    elif stripped.startswith("["):
        yield from _array(stripped)
    else:
        yield from _table(text)


def _object(line: str) -> Mapping[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return _named(value) if isinstance(value, dict) else line


def _named(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {str(name).lower(): found for name, found in value.items()}


def _array(text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("it begins like a JSON array and is none") from error
    for number, value in enumerate(values, 1):
        yield (
            number,
            {str(name).lower(): found for name, found in value.items()} if isinstance(value, dict) else str(value),
        )


def _table(text: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip().lower().replace(" ", "_") for cell in cells]
                if set(header) & set(_COLUMNS["address"]):
                    continue
                if not _is_address(cells[0]):
                    raise UsageError(
                        f"no column is called address: {', '.join(header)[:80]}", "name one of them address"
                    )
                header = ["address"]
            yield reader.line_num, dict(zip(header, map(meant_by, cells), strict=False))
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num}: it is no CSV: {error}") from error


def _is_address(cell: str) -> bool:
    return "@" in cell or meant_by(cell.strip()).startswith("+")


def _taken(row: Mapping[str, Any] | str, defaults: Defaults) -> ListedAddress:
    if isinstance(row, str):
        row = {"address": row}
    said = {name: _text(row, names) for name, names in _COLUMNS.items()}
    if not said["address"]:
        raise UsageError("it has no address")
    channel = _channel(said, defaults)
    cause = _cause(said["cause"], defaults.cause)
    group = said["group"] if cause is SuppressionCause.OPT_OUT else ""
    reason = one_line(said["reason"]) or defaults.reason
    address = meant(channel, said["address"])
    return ListedAddress(channel, Refusal(address, cause, reason, group, _moment(said["at"])))


def _text(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    values = (row.get(name) for name in names)
    return next((str(value).strip() for value in values if value not in (None, "")), "")


def _channel(said: Mapping[str, str], defaults: Defaults) -> Channel:
    if said["channel"]:
        try:
            return Channel(said["channel"].lower())
        except ValueError:
            raise UsageError(f"{said['channel']!r} is no channel") from None
    if defaults.channel is not None:
        return defaults.channel
    if "@" in said["address"]:
        return Channel.EMAIL
    if said["address"].startswith("+"):
        return Channel.SMS
    raise UsageError(f"of which channel {said['address'][:40]!r} is, nothing says")


def _cause(text: str, otherwise: SuppressionCause) -> SuppressionCause:
    if not text:
        return otherwise
    try:
        return SuppressionCause(text.lower().replace("-", "_"))
    except ValueError:
        raise UsageError(f"{text[:40]!r} is none of {', '.join(SuppressionCause)}") from None


def _moment(text: str) -> int | None:
    """Return a moment as ISO 8601 or as seconds or milliseconds since the epoch; None for none."""
    if not text:
        return None
    if text.isdecimal() and text.isascii() and len(text) <= 15:
        return int(text) * (1_000 if int(text) < _EPOCH_SECONDS_MOST else 1)
    return when.moment(text, "created_at")
