"""From a row to a person: a username, the own e-mail address, a language and contact points, each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from notifyctl.core import names, spreadsheet
from notifyctl.core.address import email, meant
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.rowfile.columns import Columns, by_key, by_target
from notifyctl.core.rowfile.identity import TEXT, UNCORRECTED
from notifyctl.core.rowfile.rows import BadRow, Cells, FileRow
from notifyctl.core.template.source import described

MOST_POINTS = 20
"""Contact points of one channel in a row: more of them are somebody else's."""
PASSED_OVER = ("id", "created_at", "updated_at")
"""Columns of `users export` that say nothing to another database."""
SEVERAL: Mapping[str, Channel] = {"addresses": Channel.EMAIL, "phones": Channel.SMS, "tokens": Channel.PUSH}
"""Contact points with blanks between them, of JSON a list, the one that is used first."""
SINGLE: Mapping[str, Channel] = {"address": Channel.EMAIL, "phone": Channel.SMS, "token": Channel.PUSH}

_PLAIN = ("username", "email", "language")


class Enrollee(NamedTuple):
    """A person as a row has it. Of `points` of a channel the first is to be used."""

    line: int
    cells: Cells
    username: str
    email: str
    language: str | None
    points: tuple[tuple[Channel, str], ...]


def columns(maps: Sequence[str] = ()) -> Columns:
    """Return what the columns of a file of users may be. Raises UsageError for a `--map` that cannot be meant."""
    return Columns([*_PLAIN, *SEVERAL, *SINGLE, *PASSED_OVER], maps)


class Enroller:
    """Reads rows as people. Raises UsageError for a header that cannot be meant; of a row it says why it is refused."""

    def __init__(self, header: Sequence[str] | None, known: Columns) -> None:
        self._columns = known
        self._targets = None if header is None else known.of_header(header)
        missing = [] if self._targets is None else [each for each in _PLAIN[:2] if each not in self._targets]
        if missing:
            raise UsageError(f"the header: no column is {' or '.join(missing)}", f"--map COLUMN={missing[0]}")

    def __call__(self, row: FileRow | BadRow) -> Enrollee | BadRow:
        """Return who a row is, or why it is nobody."""
        if isinstance(row, BadRow):
            return row
        line, cells = row
        try:
            return self._person(line, cells, self._said(cells))
        except UsageError as error:
            return BadRow(line, error.message, cells)

    def _said(self, cells: Any) -> Mapping[str, Any]:
        if self._targets is None:
            return by_key(self._columns, cells)
        return {target: spreadsheet.meant(cell) for target, cell in by_target(self._targets, cells).items()}

    def _person(self, line: int, cells: Cells, said: Mapping[str, Any]) -> Enrollee:
        if TEXT in said:
            raise UsageError(UNCORRECTED)
        for name in _PLAIN[:2]:
            if not said.get(name):
                raise UsageError(f"{name}: is missing")
        language = said.get("language")
        return Enrollee(
            line,
            cells,
            names.username(_text("username", said["username"])),
            email(_text("email", said["email"])),
            names.language(_text("language", language)) if language else None,
            tuple(dict.fromkeys(_points(said))),
        )


def _points(said: Mapping[str, Any]) -> list[tuple[Channel, str]]:
    found = []
    for name, value in said.items():
        if name in SINGLE:
            found.append((SINGLE[name], meant(SINGLE[name], _text(name, value))))
        elif name in SEVERAL:
            several = _list(name, value)
            if len(several) > MOST_POINTS:
                raise UsageError(f"{name}: has {len(several)}, at most {MOST_POINTS} are taken")
            found += [(SEVERAL[name], meant(SEVERAL[name], each)) for each in several]
    return found


def _list(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list):
        raise UsageError(f"{name}: is {described(value)}, not a list of texts")
    return [_text(name, each) for each in value]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}: is {described(value)}, not text")
    return value
