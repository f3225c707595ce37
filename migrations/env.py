"""What Alembic runs: one transaction for all migrations of a command, on a connection that the caller opened.

`notifyctl migrate` hands its connection over in the configuration's attributes. Run by `alembic` itself, the database
is the one in NOTIFYCTL_DATABASE_URL.
"""

import os

from alembic import context
from sqlalchemy import Connection

from notifyctl.store.db.database import Database
from notifyctl.store.schema import revisions as schema


def _run(connection: Connection) -> None:
    context.configure(connection=connection, **schema.OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def _database() -> Database:
    url = os.environ.get("NOTIFYCTL_DATABASE_URL")
    if not url:
        raise SystemExit("NOTIFYCTL_DATABASE_URL names the database to work on")
    return Database(url)


if context.is_offline_mode():
    name = context.config.attributes.get("dialect") or _database().dialect.name
    context.configure(dialect_name=name, literal_binds=True, **schema.OPTIONS)
    with context.begin_transaction():
        context.run_migrations()
elif (connection := context.config.attributes.get("connection")) is not None:
    _run(connection)
else:
    database = _database()
    database.alter(_run)
    database.close()
