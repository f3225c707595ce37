"""`migrate`: create and upgrade the database's schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field, Kind
from notifyctl.cli.types import Confirm, Yes, duration
from notifyctl.core.errors import SchemaMismatch

if TYPE_CHECKING:  # Alembic takes half a second to load: help must not wait for it
    from notifyctl.store.schema import Revision, Status

app = Noun("Create and upgrade the database's schema.")

LOCK_TIMEOUT_MS = 5_000

_REVISIONS = (Field("id", title="REVISION"), Field("previous", title="AFTER"), Field("summary", title="WHAT"))
_DIFFERENCES = (Field("what", title="WHAT"), Field("how", title="HOW"))
_STATUS = (
    Field("database"),
    Field("state"),
    Field("current"),
    Field("head"),
    Field("pending", Kind.JSON),
)

_LockTimeout = Annotated[
    int | None,
    typer.Option(
        "--lock-timeout",
        metavar="DURATION",
        parser=duration,
        help="PostgreSQL: give up when a table in use is not free after that time. Default 5s.",
    ),
]


@app.command()
def up(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="[REV]", help="Up to that revision.")] = "head",
    lock_timeout: _LockTimeout = None,
) -> None:
    """Create the database's tables or bring them to this program's version; all of it or nothing."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        database = run.system.database
        ran = schema.up(database, revision, lock_timeout or LOCK_TIMEOUT_MS)
        _tell(run, ran, f"{database.label} is at {schema.status(database).current}")


@app.command()
def down(
    ctx: typer.Context,
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="Down to that revision; `base` takes all back, `-- -1` one.")
    ],
    lock_timeout: _LockTimeout = None,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Take migrations back, with the data in what they made; all of it or nothing."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        database = run.system.database
        going = schema.taken_back(database, revision)
        if going:
            ids = ", ".join(found.id for found in going)
            question = f"Take back {ids} of {database.label}, and lose the data in what they made?"
            run.confirm(question, yes=yes, confirm=confirm)
        ran = schema.down(database, revision, lock_timeout or LOCK_TIMEOUT_MS) if going else ()
        _tell(run, ran, f"{database.label} is at {schema.status(database).current or 'no revision'}")


@app.command()
def status(ctx: typer.Context) -> None:
    """Show where the database stands; exits 0 whatever that is."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        found = schema.status(run.system.database)
        pending = [revision.id for revision in found.pending]
        run.out.record(_Shown(found.database, _state(found), found.current, found.head, pending), _STATUS)


@app.command()
def history(ctx: typer.Context) -> None:
    """List all migrations, newest first."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        run.out.records(schema.history(), _REVISIONS)


@app.command()
def sql(
    ctx: typer.Context,
    revision: Annotated[
        str, typer.Argument(metavar="[REV]", help="Up to that revision, or FROM:TO; from an empty database otherwise.")
    ] = "head",
) -> None:
    """Print the SQL of `up` for somebody else to run; does not connect."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        run.out.write(schema.sql(run.system.database, revision).rstrip("\n"))


@app.command()
def check(ctx: typer.Context) -> None:
    """Compare the database with the tables this program knows; exits 8 when they differ."""
    from notifyctl.store import schema

    with invocation(ctx) as run:
        database = run.system.database
        differences = schema.check(database)
        if differences or run.out.asked_form is not None:
            run.out.records(differences, _DIFFERENCES)
        if not differences:
            run.out.say(f"{database.label} is as it should be")
            return
        many = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
        behind = bool(schema.status(database).pending)
        raise SchemaMismatch(
            f"{database.label} has {many} from what this program knows",
            "notifyctl migrate up" if behind else "notifyctl migrate sql shows how it should be",
        )


@dataclass(frozen=True, slots=True)
class _Shown:
    database: str
    state: str
    current: str | None
    head: str
    pending: list[str]


def _state(found: Status) -> str:
    if found.is_current:
        return "current"
    if not found.known:
        return "newer"
    if found.current is None:
        return "empty" if found.exists else "missing"
    return "behind"


def _tell(run: Invocation, ran: tuple[Revision, ...], outcome: str) -> None:
    # Quiet where nothing was done, but for those who asked for a format.
    if ran or run.out.asked_form is not None:
        run.out.records(ran, _REVISIONS)
    run.out.say(outcome if ran else f"{outcome}; nothing to do")
