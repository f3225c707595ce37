"""Lists a page at a time, newest first, by key: no cursor of the database stays open between two pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, literal, tuple_

from notifyctl.core.errors import UsageError
from notifyctl.store.dialect import ID

_WRITTEN = re.compile(r"(\d{1,18})_([0-9a-f-]{36})", re.ASCII)


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


def newest_first(
    statement: Select[Any],
    at: ColumnElement[int],
    row_id: ColumnElement[str],
    after: Cursor | None,
    limit: int | None,
) -> Select[Any]:
    """Return `statement` for one page: at most `limit` rows below `after`, by (`at`, `row_id`) descending.

    `at` must not be NULL.
    """
    if after is not None:
        bound = tuple_(literal(after.at, BigInteger), literal(after.id, ID))
        statement = statement.where(tuple_(at, row_id) < bound)
    return statement.order_by(at.desc(), row_id.desc()).limit(limit)
