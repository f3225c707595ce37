"""Lists a page at a time, newest first, by key: no cursor of the database stays open between two pages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, literal, tuple_

from notifyctl.core.cursor import Cursor
from notifyctl.store.db.dialect import ID


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
