"""How connections are opened, on each database; transactions are begun by its `Dialect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event

CONNECT_TIMEOUT_S = 5


def connect_args(url: URL) -> dict[str, Any]:
    """Return what psycopg is told for each connection, unless the URL says otherwise."""
    # No prepared statements and no `options`: PgBouncer in transaction mode loses or refuses both.
    # The keepalives notice within half a minute that the server's machine is gone.
    # The encoding is said here, or the environment's, the role's or the database's would hold.
    settings = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "notifyctl",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    wanted = {key: value for key, value in settings.items() if key not in url.query}
    return {"prepare_threshold": None, **wanted, "client_encoding": "UTF8"}


def postgresql(url: URL, pool_size: int) -> Engine:
    """Return an engine for PostgreSQL; each call of its connections has a limit."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # of the driver only: BEGIN is ours
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=False,
        hide_parameters=True,
        use_native_hstore=False,  # saves a query a connection
        connect_args=connect_args(url),
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: Any, options: Any) -> Any:
        from notifyctl.store.db.limited import LimitedConnection

        conn = LimitedConnection.connect(*args, **options)
        conn.name_statements_apart()
        return conn

    @event.listens_for(engine, "reset")
    def _limit_rollback(connection: Any, _record: Any, _state: Any) -> None:
        if connection is not None:
            connection.limit_s = type(connection).limit_s

    return engine


def sqlite(url: URL) -> Engine:
    """Return an engine for a SQLite file, which it never creates."""
    # To open a file must never create it.
    mode = "ro" if url.query.get("mode") == "ro" else "rw"
    name = f"file:{quote(str(Path(url.database or '').absolute()))}"
    engine = create_engine(
        url.set(database=name).update_query_dict({"mode": mode, "uri": "true"}),
        hide_parameters=True,
        connect_args={"check_same_thread": False, **({} if "timeout" in url.query else {"timeout": CONNECT_TIMEOUT_S})},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: an upgrade from read to write fails at once
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    return engine
