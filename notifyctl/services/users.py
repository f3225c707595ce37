"""Creating, changing and deleting users."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from notifyctl.core import address, names
from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.model import Actor
from notifyctl.store import audit, metrics
from notifyctl.store import users as store
from notifyctl.store.engine import Database
from notifyctl.store.page import Cursor
from notifyctl.store.users import Footprint, User


@dataclass(frozen=True, slots=True)
class CreatedUser(User):
    """A user, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """A user and what its deletion would take with it."""

    user: User
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class RemovedUser:
    """A user that is gone, with so many notifications, API keys and webhooks."""

    id: str
    username: str
    notifications: int
    api_keys: int
    webhooks: int


def create(db: Database, actor: Actor, username: str, email: str, language: str | None = None) -> CreatedUser:
    """Create a user. Raises UsageError for malformed values, Conflict when the name or the address is taken."""
    return _create(db, actor, _checked(username, email, language), keep=False)


def ensure(db: Database, actor: Actor, username: str, email: str, language: str | None = None) -> CreatedUser:
    """Create a user unless there is one with these values; a language that is not given is not compared.

    Raises UsageError for malformed values, Conflict when the name or the address belongs to a user with others.
    """
    return _create(db, actor, _checked(username, email, language), keep=True)


def get(db: Database, ref: str) -> User:
    """Return the user that an id, a username or an e-mail address means. Raises NotFound, UsageError."""
    with db.read() as conn:
        return store.find(conn, db.dialect, ref)


def listed(db: Database, after: Cursor | None, limit: int) -> list[User]:
    """Return at most `limit` users after the cursor, newest first."""
    with db.read() as conn:
        return store.page(conn, after, limit)


def count(db: Database) -> int:
    """Return how many users there are."""
    with db.read() as conn:
        return store.count(conn)


def update(
    db: Database,
    actor: Actor,
    ref: str,
    *,
    username: str | None = None,
    email: str | None = None,
    language: str | None = None,
) -> User:
    """Change what is given; an empty language removes it. Raises UsageError, NotFound, Conflict."""
    if username is None and email is None and language is None:
        raise UsageError("nothing to change was given", "--username, --email or --language")
    values: dict[str, str | None] = {}
    if username is not None:
        values["username"] = names.username(username)
    if email is not None:
        values["email"] = address.email(email)
    if language is not None:
        values["language"] = names.language(language) if language else None

    def work(conn: Connection) -> User:
        old = store.lock(conn, db.dialect, store.find(conn, db.dialect, ref).id)
        changes = {key: [getattr(old, key), new] for key, new in values.items() if getattr(old, key) != new}
        if not changes:
            return old
        now = db.now(conn)
        new = replace(old, updated_at=now, **values)  # type: ignore[arg-type]
        _refuse_taken(conn, new)
        store.replace(conn, new)
        audit.record(conn, actor, "update", "user", [(new.id, changes)], now)
        return new

    try:
        return db.write(work)
    except IntegrityError as error:  # somebody else took it between the look and the change
        raise Conflict("the username or the e-mail address is taken", "notifyctl users list") from error


def removal(db: Database, ref: str) -> Removal:
    """Return what deleting a user would take with it. Raises NotFound."""
    with db.read() as conn:
        user = store.find(conn, db.dialect, ref)
        return Removal(user, store.footprint(conn, user.id, db.now(conn)))


def refuse_removal(plan: Removal, *, cancel_pending: bool, reassign: bool) -> None:
    """Raise Conflict when something stands against deleting the user that was not agreed to."""
    name, found = plan.user.username, plan.footprint
    if found.pending and not cancel_pending:
        raise Conflict(f"{name} has {found.pending:,} pending notifications", "--cancel-pending gives them up")
    if found.leased_until is not None:
        raise Conflict(f"a notification to {name} is being sent right now", "repeat it in a minute")
    if found.templates and not reassign:
        raise Conflict(f"{name} created {found.templates:,} templates", "--reassign-templates-to USER")


def delete(
    db: Database, actor: Actor, user_id: str, *, cancel_pending: bool = False, reassign_to: str | None = None
) -> RemovedUser:
    """Delete a user with everything that belongs to it; what was sent stays in the metrics.

    `reassign_to` names the user who takes over the templates. Raises NotFound, Conflict (`refuse_removal`).
    """

    def work(conn: Connection) -> RemovedUser:
        user = store.lock(conn, db.dialect, user_id)
        now = db.now(conn)
        found = store.footprint(conn, user.id, now)
        refuse_removal(Removal(user, found), cancel_pending=cancel_pending, reassign=reassign_to is not None)
        if reassign_to is not None:
            _reassign(db, conn, actor, user, reassign_to, now)
        gone = RemovedUser(user.id, user.username, found.notifications, found.api_keys, found.webhooks)
        changes = {"username": [user.username, None], "notifications": gone.notifications, "cancelled": found.pending}
        # Before the deletion: the actor may be the user, whom the row could not name afterwards.
        audit.record(conn, actor, "delete", "user", [(user.id, changes)], now)
        metrics.keep_erased(conn, db.dialect, user.id, now)
        store.remove(conn, user.id)
        return gone

    return db.write(work)


def _create(db: Database, actor: Actor, wanted: User, *, keep: bool) -> CreatedUser:
    def work(conn: Connection) -> CreatedUser:
        now = db.now(conn)
        user = replace(wanted, id=str(uuid.uuid4()), created_at=now, updated_at=now)
        if store.create(conn, db.dialect, user):
            changes = {key: [None, getattr(user, key)] for key in ("username", "email", "language")}
            audit.record(conn, actor, "create", "user", [(user.id, changes)], now)
            return CreatedUser(**asdict(user), created=True)
        present = store.taken_by(conn, user.username, user.email)[0]
        if keep and _same(present, user):
            return CreatedUser(**asdict(present), created=False)
        raise _taken(present, user)

    return db.write(work)


def _checked(username: str, email: str, language: str | None) -> User:
    return User(
        id="",
        username=names.username(username),
        email=address.email(email),
        language=names.language(language) if language else None,
        created_at=0,
        updated_at=0,
    )


def _same(present: User, wanted: User) -> bool:
    return (
        present.username == wanted.username
        and present.email == wanted.email
        and wanted.language in (None, present.language)
    )


def _refuse_taken(conn: Connection, user: User) -> None:
    for other in store.taken_by(conn, user.username, user.email):
        if other.id != user.id:
            raise _taken(other, user)


def _taken(present: User, wanted: User) -> Conflict:
    if present.username == wanted.username:
        other = [what for what in ("email", "language") if getattr(wanted, what) not in (None, getattr(present, what))]
        values = f", with another {' and another '.join(other)}" if other else ""
        return Conflict(
            f"there is a user {present.username} already{values}", f"notifyctl users show {present.username}"
        )
    return Conflict(
        f"{wanted.email} belongs to the user {present.username}", f"notifyctl users show {present.username}"
    )


def _reassign(db: Database, conn: Connection, actor: Actor, user: User, ref: str, now: int) -> None:
    heir = store.find(conn, db.dialect, ref)
    if heir.id == user.id:
        raise UsageError(f"{user.username} is the user to be deleted", "--reassign-templates-to another user")
    moved = store.hand_over_templates(conn, user.id, heir.id)
    change = {"created_by": [user.id, heir.id]}
    audit.record(conn, actor, "update", "template", [(template, change) for template in moved], now)
