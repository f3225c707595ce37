"""COPY: the quickest way in. Loads psycopg: imported where there is a PostgreSQL to write to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Cursor, sql

STAGED = sql.Identifier("pg_temp", "notifyctl_staged")


def copied(cursor: Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], unique: str) -> int:
    """Insert rows whose value of `unique` is not there yet, in one transaction; return how many.

    COPY knows no ON CONFLICT: they are copied into a table of this transaction's own, and inserted from there. Nothing
    of it outlives the transaction: behind a pooler the connection is somebody else's then.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    made = {"staged": STAGED, "into": sql.Identifier(table), "names": names, "unique": sql.Identifier(unique)}
    with cursor:
        cursor.execute(_MAKE.format(**made))
        with cursor.copy(_COPY.format(**made)) as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(_INSERT.format(**made))
        count = cursor.rowcount
        cursor.execute(_DROP.format(**made))  # there may be more to insert
    return count


_MAKE = sql.SQL("CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS SELECT {names} FROM {into} WITH NO DATA")
_COPY = sql.SQL("COPY {staged} ({names}) FROM STDIN")
_INSERT = sql.SQL("INSERT INTO {into} ({names}) SELECT {names} FROM {staged} ON CONFLICT ({unique}) DO NOTHING")
_DROP = sql.SQL("DROP TABLE {staged}")
