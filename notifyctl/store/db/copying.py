"""COPY: the quickest way in. Loads psycopg: imported where there is a PostgreSQL to write to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Cursor, sql
from psycopg.errors import UniqueViolation

from notifyctl.store.db.literals import Value, copy_lines

STAGED = sql.Identifier("pg_temp", "notifyctl_staged")


def copied(
    cursor: Cursor[Any], table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]], unique: str
) -> int:
    """Insert rows whose value of `unique` is not there yet, in one transaction; return how many.

    Mostly none is there, and they are copied into the table. COPY knows no ON CONFLICT: where it meets one that is
    there, that much is taken back, and all are copied into a table of this transaction's own, and inserted from there.
    Nothing of it outlives the transaction: behind a pooler the connection is somebody else's then.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    into = {"into": sql.Identifier(table), "names": names}
    with cursor:
        cursor.execute(_BEGIN)
        try:
            count = _copy(cursor, into, rows)
        except UniqueViolation:
            cursor.execute(_TAKE_BACK)
            count = _staged(cursor, {**into, "staged": STAGED, "unique": sql.Identifier(unique)}, rows)
        cursor.execute(_END)
    return count


def _staged(cursor: Cursor[Any], made: Mapping[str, sql.Composable], rows: Sequence[Sequence[Value]]) -> int:
    cursor.execute(_MAKE.format(**made))
    _copy(cursor, {**made, "into": STAGED}, rows)
    cursor.execute(_INSERT.format(**made))
    count = cursor.rowcount
    cursor.execute(_DROP.format(**made))  # there may be more to insert
    return count


def _copy(cursor: Cursor[Any], made: Mapping[str, sql.Composable], rows: Sequence[Sequence[Value]]) -> int:
    with cursor.copy(_COPY.format(**made)) as copy:
        for lines in copy_lines(rows):
            copy.write(lines)
    return cursor.rowcount


_BEGIN = sql.SQL("SAVEPOINT notifyctl_copy")
_TAKE_BACK = sql.SQL("ROLLBACK TO SAVEPOINT notifyctl_copy")
_END = sql.SQL("RELEASE SAVEPOINT notifyctl_copy")
_MAKE = sql.SQL("CREATE TEMPORARY TABLE {staged} ON COMMIT DROP AS SELECT {names} FROM {into} WITH NO DATA")
_COPY = sql.SQL("COPY {into} ({names}) FROM STDIN")
_INSERT = sql.SQL("INSERT INTO {into} ({names}) SELECT {names} FROM {staged} ON CONFLICT ({unique}) DO NOTHING")
_DROP = sql.SQL("DROP TABLE {staged}")
