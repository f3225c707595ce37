"""`migrate`: create and upgrade the database's schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun, TextLeaf
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import Confirm, Yes, duration
from notifyctl.core.errors import SchemaMismatch, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.migration import SchemaStatus
from notifyctl.core.scope import OPEN, Scope
from notifyctl.services import migrations
from notifyctl.services.migrations import Comparison, Migrated

app = Noun("Create and upgrade the database's schema.")

LOCK_TIMEOUT_MS = 5_000
_LONGEST_LOCK_MS = 24 * 86_400_000
"""PostgreSQL keeps the time in milliseconds, in 31 bits."""

_REVISIONS = (Field("id", title="REVISION"), Field("previous", title="AFTER"), Field("summary", title="WHAT"))
_DIFFERENCES = (Field("what", title="WHAT"), Field("how", title="HOW"))
_STATUS = (
    Field("database"),
    Field("state"),
    Field("current"),
    Field("head"),
    Field("pending", FieldKind.JSON),
)
_ROLES = (
    Field("name", title="ROLE"),
    Field("kind"),
    Field("state", title="STATE"),
    Field("about", title="WHAT FOR"),
    Field("problems", FieldKind.JSON),
)
_ROLES_HINT = "notifyctl migrate roles --print | psql DATABASE, as a superuser or the database's owner"
SHOWN_PROBLEMS = 3


def _lock_timeout(text: str) -> int:
    milliseconds = duration(text)
    if milliseconds > _LONGEST_LOCK_MS:
        raise UsageError(f"{text!r} is too long: PostgreSQL waits at most 24d for a lock")
    return milliseconds


_LockTimeout = Annotated[
    int | None,
    typer.Option(
        "--lock-timeout",
        metavar="DURATION",
        parser=_lock_timeout,
        help="PostgreSQL: give up when a table in use is not free after that time.  [5s]",
    ),
]


@app.command(scope=Scope.MIGRATE_WRITE, shows=_REVISIONS)
def up(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="[REV]", help="Up to that revision.")] = "head",
    lock_timeout: _LockTimeout = None,
) -> None:
    """Create the database's tables or bring them to this program's version; all of it or nothing."""
    from notifyctl.services import admission

    with invocation(ctx) as run:
        database = run.system.admitted(admission.founds_schema)
        done = migrations.up(database, revision, lock_timeout or LOCK_TIMEOUT_MS)
        _tell(run, done)
        if outdated := [each for each in migrations.roles(database) if each.problems]:
            names = ", ".join(f"{each.name} ({_few(each.problems)})" for each in outdated)
            run.out.say(f"the rights of roles are out of date: {names}; notifyctl migrate roles --print has the SQL")


@app.command(scope=Scope.MIGRATE_WRITE, shows=_REVISIONS)
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
    with invocation(ctx) as run:
        database = run.system.admitted()
        going = migrations.taken_back(database, revision)
        if going:
            ids = ", ".join(found.id for found in going)
            question = f"Take back {ids} of {database.label}, and lose the data in what they made?"
            run.confirm(question, yes=yes, confirm=confirm)
        done = migrations.down(database, revision, lock_timeout or LOCK_TIMEOUT_MS)
        _tell(run, done)


@app.command(scope=Scope.MIGRATE_READ, shows=_STATUS)
def status(ctx: typer.Context) -> None:
    """Show where the database stands; exits 0 whatever that is."""
    with invocation(ctx) as run:
        found = migrations.status(run.system.admitted())
        pending = [revision.id for revision in found.pending]
        run.out.record(
            _Shown(found.database, _state(found), found.current, found.head, pending), _STATUS, id_name="current"
        )


@app.command(scope=OPEN, shows=_REVISIONS)
def history(ctx: typer.Context) -> None:
    """List all migrations, newest first."""
    with invocation(ctx) as run:
        run.out.records(migrations.history(), _REVISIONS)


@app.command(scope=OPEN, cls=TextLeaf)
def sql(
    ctx: typer.Context,
    revision: Annotated[
        str, typer.Argument(metavar="[REV]", help="Up to that revision, or FROM:TO; from an empty database otherwise.")
    ] = "head",
) -> None:
    """Print the SQL of `up` for somebody else to run; does not connect."""
    with invocation(ctx) as run:
        run.out.write(migrations.sql(run.system.unchecked, revision).rstrip("\n"))


@app.command(scope=Scope.MIGRATE_READ, shows=_DIFFERENCES)
def check(ctx: typer.Context) -> None:
    """Compare the database with the tables this program knows; exits 8 when they differ."""
    with invocation(ctx) as run:
        database = run.system.admitted()
        found = migrations.compare(database)
        if found.differences or run.out.asked_form is not None:
            run.out.records(found.differences, _DIFFERENCES)
        if found.differences:
            raise _mismatch(database.label, found)
        run.out.say(f"{database.label} is as it should be")


@app.command(scope=Scope.MIGRATE_READ, shows=_ROLES)
def roles(
    ctx: typer.Context,
    print_: Annotated[
        bool, typer.Option("--print", help="Print the SQL that makes the roles and gives them their rights.")
    ] = False,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="NAME", help="With what the roles' names begin.")
    ] = "notifyctl",
) -> None:
    """Show PostgreSQL's roles with the least rights; exits 8 where their rights are out of date.

    They are owner, dispatch, submit, operate and read; one is known by its comment. --print does not connect.
    """
    with invocation(ctx) as run:
        if print_:
            run.out.write(migrations.roles_sql(prefix))
            return
        found = migrations.roles(run.system.admitted())
        run.out.records(found, _ROLES, id_name="name")
        if not found:
            run.out.say("there are none here: notifyctl migrate roles --print | psql DATABASE")
        if outdated := [each.name for each in found if each.problems]:
            raise SchemaMismatch(f"the rights of {', '.join(outdated)} are out of date", _ROLES_HINT)


def _few(problems: Sequence[str]) -> str:
    more = len(problems) - SHOWN_PROBLEMS
    return "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; {more} more" if more > 0 else "")


def _mismatch(label: str, found: Comparison) -> SchemaMismatch:
    many = "1 difference" if len(found.differences) == 1 else f"{len(found.differences)} differences"
    hint = "notifyctl migrate up" if found.behind else "notifyctl migrate sql shows how it should be"
    return SchemaMismatch(f"{label} has {many} from what this program knows", hint)


@dataclass(frozen=True, slots=True)
class _Shown:
    database: str
    state: str
    current: str | None
    head: str
    pending: list[str]


def _state(found: SchemaStatus) -> str:
    if found.is_current:
        return "current"
    if not found.known:
        return "newer"
    if found.current is None:
        return "empty" if found.exists else "missing"
    return "behind"


def _tell(run: Invocation, done: Migrated) -> None:
    # Quiet where nothing was done, but for those who asked for a format.
    if done.ran or run.out.asked_form is not None:
        run.out.records(done.ran, _REVISIONS)
    outcome = f"{run.system.unchecked.label} is at {done.current or 'no revision'}"
    run.out.say(outcome if done.ran else f"{outcome}; nothing to do")
