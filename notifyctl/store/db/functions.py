"""Functions of SQL that are spelled differently on PostgreSQL and SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger

SERVER_CLOCK_MS = "(extract(epoch from clock_timestamp()) * 1000)::bigint"


class epoch_ms(FunctionElement[int]):
    """The database's own clock: milliseconds since the epoch, UTC, advancing within a transaction."""

    type = BigInteger()
    inherit_cache = True


@compiles(epoch_ms, "postgresql")
def _postgresql_epoch_ms(element: epoch_ms, compiler: SQLCompiler, **_: Any) -> str:
    return SERVER_CLOCK_MS


@compiles(epoch_ms, "sqlite")
def _sqlite_epoch_ms(element: epoch_ms, compiler: SQLCompiler, **_: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42; the Julian day has millisecond precision since 3.0.
    return "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))"


class folded(FunctionElement[str]):
    """An address in the form by which it is compared, where it is plain ASCII; see `core.address.fold`."""

    type = String()
    inherit_cache = True


@compiles(folded, "postgresql")
def _postgresql_folded(element: folded, compiler: SQLCompiler, **kwargs: Any) -> str:
    # By the collation "C": a Turkish one would make another letter of an I. The comparison goes by the usual one, as
    # indexes do.
    return f"""(lower({compiler.process(element.clauses, **kwargs)} COLLATE "C") COLLATE "default")"""


@compiles(folded, "sqlite")
def _sqlite_folded(element: folded, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kwargs)})"


class octets(FunctionElement[int]):
    """How many bytes a text has. On PostgreSQL it is known without reading a long one."""

    type = BigInteger()
    inherit_cache = True


@compiles(octets, "postgresql")
def _postgresql_octets(element: octets, compiler: SQLCompiler, **kw: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **kw)})"


@compiles(octets, "sqlite")
def _sqlite_octets(element: octets, compiler: SQLCompiler, **kw: Any) -> str:
    # octet_length() needs SQLite 3.43.
    return f"length(CAST({compiler.process(element.clauses, **kw)} AS BLOB))"
