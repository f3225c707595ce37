"""The database's schema: create, upgrade, take back, examine.

Alembic and SQLAlchemy take most of a second to load. The functions load them, so that `migrate --help` does not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notifyctl.core.frozen import dataclass
from notifyctl.core.migration import Difference, Revision, SchemaStatus

if TYPE_CHECKING:
    from notifyctl.store.db.database import Database
    from notifyctl.store.roles import RoleState


@dataclass(frozen=True, slots=True)
class Migrated:
    """The migrations that ran, in their order, and the revision at which the database is now (None: before all)."""

    ran: tuple[Revision, ...]
    current: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """In what a database differs from what this program knows; `behind`: migrations are pending."""

    differences: tuple[Difference, ...]
    behind: bool


def up(database: Database, revision: str, lock_timeout_ms: int) -> Migrated:
    """Migrate to `revision`; all of it or nothing. Raises as `store.schema.revisions.up` does."""
    from notifyctl.store.schema import revisions

    ran = revisions.up(database, revision, lock_timeout_ms)
    return Migrated(ran, revisions.status(database).current)


def taken_back(database: Database, revision: str) -> tuple[Revision, ...]:
    """Return what `down` would take back, newest first. Raises as `down` does."""
    from notifyctl.store.schema import revisions

    return revisions.taken_back(database, revision)


def down(database: Database, revision: str, lock_timeout_ms: int) -> Migrated:
    """Take back the migrations after `revision`; all of them or none. Raises as `store.schema.revisions.down` does."""
    from notifyctl.store.schema import revisions

    some = revisions.taken_back(database, revision)
    ran = revisions.down(database, revision, lock_timeout_ms) if some else ()
    return Migrated(ran, revisions.status(database).current)


def status(database: Database) -> SchemaStatus:
    """Return where the database stands. Changes and creates nothing."""
    from notifyctl.store.schema import revisions

    return revisions.status(database)


def history() -> tuple[Revision, ...]:
    """Return all migrations, newest first."""
    from notifyctl.store.schema import revisions

    return revisions.history()


def sql(database: Database, revision: str) -> str:
    """Return the SQL of `up` for somebody else to run. Does not connect."""
    from notifyctl.store.schema import revisions

    return revisions.sql(database, revision)


def compare(database: Database) -> Comparison:
    """Compare the database with the tables that this program knows. Raises SchemaMismatch where there is none."""
    from notifyctl.store.schema import revisions

    differences = revisions.check(database)
    return Comparison(differences, behind=bool(differences) and bool(revisions.status(database).pending))


def roles_sql(prefix: str) -> str:
    """Return the SQL for PostgreSQL's roles with the least rights. Does not connect."""
    from notifyctl.store import roles

    return roles.sql(prefix)


def roles(database: Database) -> list[RoleState]:
    """Return the roles that have rights in the database, and in what they differ from what they should have."""
    from notifyctl.store import roles

    with database.read() as tx:
        return roles.states(tx)
