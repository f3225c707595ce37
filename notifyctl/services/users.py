"""Creating, changing and deleting users."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy.exc import IntegrityError

from notifyctl.core import address, names
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.text import word
from notifyctl.store import contacts
from notifyctl.store import users as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.users import Footprint, User


@dataclass(frozen=True, slots=True)
class CreatedUser(User):
    """A user, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """A user and what its deletion would take with it; `suppressed` of its addresses stay so."""

    user: User
    footprint: Footprint
    suppressed: int


@dataclass(frozen=True, slots=True)
class RemovedUser:
    """A user that is gone, with so many notifications, API keys and webhooks; so many suppressions stay."""

    id: str
    username: str
    notifications: int
    api_keys: int
    webhooks: int
    suppressions: int


def create(db: Database, username: str, email: str, language: str | None = None) -> CreatedUser:
    """Create a user. Raises UsageError for malformed values, Conflict when the name or the address is taken."""
    return _create(db, _checked(username, email, language), keep=False)


def ensure(db: Database, username: str, email: str, language: str | None = None) -> CreatedUser:
    """Create a user unless there is one with these values; a language that is not given is not compared.

    Raises UsageError for malformed values, Conflict when the name or the address belongs to a user with others.
    """
    return _create(db, _checked(username, email, language), keep=True)


def get(db: Database, ref: str) -> User:
    """Return the user that an id, a username or an e-mail address means. Raises NotFound, UsageError."""
    with db.read() as tx:
        return store.find(tx, ref)


def listed(db: Database, after: Cursor | None, limit: int) -> list[User]:
    """Return at most `limit` users after the cursor, newest first."""
    with db.read() as tx:
        return store.page(tx, after, limit)


def count(db: Database) -> int:
    """Return how many users there are."""
    with db.read() as tx:
        return store.count(tx)


def update(
    db: Database, ref: str, *, username: str | None = None, email: str | None = None, language: str | None = None
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

    def work(tx: Tx) -> User:
        old = store.lock(tx, store.find(tx, ref).id)
        new = replace(old, updated_at=tx.now, **values)  # type: ignore[arg-type]
        if not _changes(old, new):
            return old
        _refuse_taken(tx, new)
        put(tx, [], [(old, new)])
        return new

    try:
        return db.write(work)
    except IntegrityError as error:  # somebody else took it between the look and the change
        raise Conflict("the username or the e-mail address is taken", "notifyctl users list") from error


def put(tx: Tx, new: Sequence[User], changed: Sequence[tuple[User, User]]) -> None:
    """Write new users, and others in the place of what they were. Raises IntegrityError for what is taken."""
    store.replace_all(tx, [each for _, each in changed])
    store.create_all(tx, new)
    tx.audit("create", "user", [(each.id, _facts(each)) for each in new])
    tx.audit("update", "user", [(each.id, _changes(old, each)) for old, each in changed])


def removal(db: Database, ref: str) -> Removal:
    """Return what deleting a user would take with it. Raises NotFound."""
    with db.read() as tx:
        user = store.find(tx, ref)
        return _removal(tx, user)


def refuse_removal(plan: Removal, *, cancel_pending: bool, reassign: bool) -> None:
    """Raise Conflict when something stands against deleting the user that was not agreed to."""
    name, found = plan.user.username, plan.footprint
    if found.pending and not cancel_pending:
        pending = "1 pending notification" if found.pending == 1 else f"{found.pending:,} pending notifications"
        raise Conflict(f"{name} has {pending}", "--cancel-pending gives up what is pending")
    if found.leased_until is not None:
        raise Conflict(f"a notification to {name} is being sent right now", "repeat it in a minute")
    if found.templates and not reassign:
        templates = "1 template" if found.templates == 1 else f"{found.templates:,} templates"
        raise Conflict(f"{name} created {templates}", "--reassign-templates-to USER")


def delete(db: Database, user_id: str, *, cancel_pending: bool = False, reassign_to: str | None = None) -> RemovedUser:
    """Delete a user with everything that belongs to it; what was sent stays in the metrics.

    The audit trail, which never had an address, stays as it is; receipts that wait are forgotten; suppressions stay.

    `reassign_to` names the user who takes over the templates. Raises NotFound, Conflict (`refuse_removal`).
    """

    def work(tx: Tx) -> RemovedUser:
        user = store.lock_alone(tx, user_id)
        plan = _removal(tx, user)
        refuse_removal(plan, cancel_pending=cancel_pending, reassign=reassign_to is not None)
        if reassign_to is not None:
            _reassign(tx, user, reassign_to)
        return _remove(tx, plan)

    return db.write(work)


def remove(tx: Tx, user_id: str) -> RemovedUser:
    """Delete a user as `delete` does, with nothing agreed to. Raises NotFound, Conflict (`refuse_removal`)."""
    plan = _removal(tx, store.lock(tx, user_id))
    refuse_removal(plan, cancel_pending=False, reassign=False)
    return _remove(tx, plan)


def _remove(tx: Tx, plan: Removal) -> RemovedUser:
    from notifyctl.store import attachments, early, metrics  # loaded where somebody goes

    user, gone = plan.user, _gone(plan)
    changes = {
        "username": [user.username, None],
        "notifications": gone.notifications,
        "cancelled": plan.footprint.pending,
    }
    points = contacts.listed(tx, user)
    early.forget_person(tx, user.id, {address.fold(Channel(point.channel), point.address) for point in points})
    # Before the deletion: the actor may be the user, whom the row could not name afterwards.
    tx.audit("delete", "user", [(user.id, changes)])
    metrics.keep_erased(tx, user.id)
    files = attachments.of_user(tx, user.id)
    store.remove(tx, user.id)
    attachments.drop_unused(tx, files)
    return gone


def _removal(tx: Tx, user: User) -> Removal:
    suppressed = sum(point.suppressed for point in contacts.listed(tx, user))
    return Removal(user, store.footprint(tx, user.id), suppressed)


def _gone(plan: Removal) -> RemovedUser:
    user, found = plan.user, plan.footprint
    return RemovedUser(user.id, user.username, found.notifications, found.api_keys, found.webhooks, plan.suppressed)


def _create(db: Database, wanted: User, *, keep: bool) -> CreatedUser:
    def work(tx: Tx) -> CreatedUser:
        user = replace(wanted, id=str(uuid.uuid4()), created_at=tx.now, updated_at=tx.now)
        if store.create(tx, user):
            tx.audit("create", "user", [(user.id, _facts(user))])
            return CreatedUser(**asdict(user), created=True)
        present = store.taken_by(tx, user.username, user.email)[0]
        if keep and _same(present, user):
            return CreatedUser(**asdict(present), created=False)
        raise _taken(present, user)

    return db.write(work)


_SAID = ("username", "email", "language")


def _facts(user: User) -> dict[str, list[str | None]]:
    return {name: [None, getattr(user, name)] for name in _SAID}


def _changes(old: User, new: User) -> dict[str, list[str | None]]:
    pairs = {name: [getattr(old, name), getattr(new, name)] for name in _SAID}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


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


def _refuse_taken(tx: Tx, user: User) -> None:
    for other in store.taken_by(tx, user.username, user.email):
        if other.id != user.id:
            raise _taken(other, user)


def _taken(present: User, wanted: User) -> Conflict:
    if present.username == wanted.username:
        other = [what for what in ("email", "language") if getattr(wanted, what) not in (None, getattr(present, what))]
        values = f", with another {' and another '.join(other)}" if other else ""
        return Conflict(
            f"there is a user {present.username} already{values}", f"notifyctl users show {word(present.username)}"
        )
    return Conflict(
        f"{wanted.email} belongs to the user {present.username}", f"notifyctl users show {word(present.username)}"
    )


def _reassign(tx: Tx, user: User, ref: str) -> None:
    heir = store.find(tx, ref)
    if heir.id == user.id:
        raise UsageError(f"{user.username} is the user to be deleted", "--reassign-templates-to another user")
    moved = store.hand_over_templates(tx, user.id, heir.id)
    change = {"created_by": [user.id, heir.id]}
    tx.audit("update", "template", [(template, change) for template in moved])
