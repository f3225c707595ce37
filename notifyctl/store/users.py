"""Users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, case, delete, func, insert, or_, select, update

from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotFound, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.store import ids
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.queue.states import lease_running
from notifyctl.store.schema.tables import (
    api_keys,
    notification_templates,
    notification_webhooks,
    notifications,
    users,
)


@dataclass(frozen=True, slots=True)
class User:
    """One user. Times are milliseconds since the epoch, `language` a BCP 47 tag."""

    id: str
    username: str
    email: str
    language: str | None
    created_at: int
    updated_at: int


_LIST = "notifyctl users list"
_COLUMNS = (users.c.id, users.c.username, users.c.email, users.c.language, users.c.created_at, users.c.updated_at)


def find(tx: Tx, ref: str) -> User:
    """Return the user that `ref` means: an id, a unique beginning of one, a username or an e-mail address.

    Raises NotFound, and UsageError when it means several: one user's name may be the beginning of another's id.
    """
    text = ref.strip()
    if not text.isprintable():  # neither a name nor an address; a NUL could not even be asked for
        raise NotFound(f"there is no user {ids.shown(ref)}", _LIST)
    means = [users.c.username == text, users.c.email.in_((text, with_plain_domain(text)))]
    if len(text) >= ids.PREFIX_MIN and ids.bounds(text):
        means.append(ids.begins(users.c.id, text))
    found = _many(tx, select(*_COLUMNS).where(or_(*means)).limit(ids.SHOWN_CANDIDATES + 1))
    if (problem := unclear(ref, [user.id for user in found])) is not None:
        raise problem
    return found[0]


def unclear(ref: str, found: Sequence[str]) -> NotifyctlError | None:
    """Return what is wrong with a reference by which these ids were found: none, or more than one."""
    if not found:
        return NotFound(f"there is no user {ids.shown(ref)}", _LIST)
    if len(found) > 1:
        return UsageError(f"{ids.shown(ref)} means more than one user", ids.candidates(found))
    return None


def with_plain_domain(email: str) -> str:
    """Return the address with its domain in lower case, as it is stored."""
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def existing(tx: Tx, user_ids: Iterable[str]) -> set[str]:
    """Return those of these ids that are users'."""
    return set(tx.execute(select(users.c.id).where(tx.dialect.is_any(users.c.id, user_ids))).scalars())


def page(tx: Tx, after: Cursor | None, limit: int) -> list[User]:
    """Return at most `limit` users after the cursor, newest first."""
    return _many(tx, newest_first(select(*_COLUMNS), users.c.created_at, users.c.id, after, limit))


def count(tx: Tx) -> int:
    """Return how many users there are."""
    return tx.execute(select(func.count()).select_from(users)).scalar_one()


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a user has, which a deletion would take along.

    `leased_until` is the end of the longest lease that runs on a pending notification.
    """

    notifications: int
    pending: int
    leased_until: int | None
    templates: int
    api_keys: int
    webhooks: int


def footprint(tx: Tx, user_id: str) -> Footprint:
    """Return what a deletion would take with it, or be stopped by."""
    n = notifications.c
    unfinished = n.status == "pending"
    leased = case((unfinished & lease_running(tx.now), n.leased_until))
    everything, pending, leased_until = tx.execute(
        select(func.count(), func.count(case((unfinished, 1))), func.max(leased)).where(n.user_id == user_id)
    ).one()
    return Footprint(
        notifications=everything,
        pending=pending,
        leased_until=leased_until,
        templates=_how_many(tx, notification_templates.c.created_by, user_id),
        api_keys=_how_many(tx, api_keys.c.user_id, user_id),
        webhooks=_how_many(tx, notification_webhooks.c.user_id, user_id),
    )


def taken_by(tx: Tx, username: str, email: str) -> list[User]:
    """Return the users that have this name or this address, the one with the name first."""
    same_name = users.c.username == username
    statement = select(*_COLUMNS).where(or_(same_name, users.c.email == email))
    return _many(tx, statement.order_by(case((same_name, 0), else_=1)))


def named(tx: Tx, usernames: Iterable[str]) -> dict[str, User]:
    """Return the users of these names, by name."""
    return {each.username: each for each in _among(tx, users.c.username, 100, usernames)}


def with_emails(tx: Tx, emails: Iterable[str]) -> dict[str, User]:
    """Return the users whose own addresses these are, by address."""
    return {each.email: each for each in _among(tx, users.c.email, 255, emails)}


def by_ids(tx: Tx, ids: Iterable[str]) -> list[User]:
    """Return the users with these ids."""
    return _many(tx, select(*_COLUMNS).where(tx.dialect.is_any(users.c.id, list(ids))))


def everybody(tx: Tx) -> list[User]:
    """Return all users, by name in the order of its characters."""
    return sorted(_many(tx, select(*_COLUMNS)), key=lambda each: each.username)


def create_all(tx: Tx, new: Sequence[User]) -> None:
    """Store new users. Raises IntegrityError when a name or an address is taken."""
    if new:
        tx.execute(insert(users), [asdict(each) for each in new])


def replace_all(tx: Tx, changed: Sequence[User]) -> None:
    """Store users' values anew; they may pass addresses among each other. Raises IntegrityError for one of others.

    Where addresses are sealed, so is the one that a user had until now, wherever notifications went there.
    """
    if not changed:
        return
    before = {each.id: each.email for each in by_ids(tx, [each.id for each in changed])}
    release_emails(tx, [each.id for each in changed])
    new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("username", "email", "language", "updated_at")}
    rows = [{"row": each.id, **{f"new_{name}": getattr(each, name) for name in new}} for each in changed]
    tx.execute(update(users).where(users.c.id == bindparam("row")).values(new), rows)
    if moved := [each.id for each in changed if each.email != before.get(each.id)]:
        from notifyctl.store import moving  # who lists people needs no addresses

        moving.seal_former(tx, moved)


def release_emails(tx: Tx, ids: Sequence[str]) -> None:
    """Take users' own addresses from them, so that others may have them; to be followed by what they have then.

    An address is unique at any moment, also between two rows of one statement.
    """
    tx.execute(update(users).where(tx.dialect.is_any(users.c.id, ids)).values(email=users.c.id))


def create(tx: Tx, user: User) -> bool:
    """Store a new user; return False when the name or the address is taken."""
    statement = tx.dialect.insert(users).values(asdict(user)).on_conflict_do_nothing().returning(users.c.id)
    return tx.execute(statement).first() is not None


def lock(tx: Tx, user_id: str) -> User:
    """Return the user, whom nobody else changes until the transaction ends. Raises NotFound.

    Rows that refer to the user may be added meanwhile: an application may have done so in a transaction that lasts.
    """
    return _locked(user_id, _many(tx, tx.dialect.lock_gently(select(*_COLUMNS).where(users.c.id == user_id))))


def lock_all(tx: Tx, ids: Iterable[str]) -> list[User]:
    """Return the users with these ids, whom nobody else changes until the transaction ends, as `lock` does."""
    theirs = select(*_COLUMNS).where(tx.dialect.is_any(users.c.id, list(ids))).order_by(users.c.id)
    return _many(tx, tx.dialect.lock_gently(theirs))


def lock_alone(tx: Tx, user_id: str) -> User:
    """The same, and nobody can add a row that refers to the user."""
    return _locked(user_id, _many(tx, tx.dialect.lock_row(select(*_COLUMNS).where(users.c.id == user_id))))


def _locked(user_id: str, found: Sequence[User]) -> User:
    if not found:
        raise NotFound(f"there is no user {user_id!r}", _LIST)
    return found[0]


def remove(tx: Tx, user_id: str) -> None:
    """Delete a user and all that belongs to it; the audit trail and suppressed addresses stay."""
    tx.execute(delete(users).where(users.c.id == user_id))


def hand_over_templates(tx: Tx, from_id: str, to_id: str) -> list[str]:
    """Make another user the creator of all templates of one; return their ids."""
    created_by = notification_templates.c.created_by
    moved = tx.execute(
        update(notification_templates)
        .where(created_by == from_id)
        .values(created_by=to_id)
        .returning(notification_templates.c.id)
    )
    return list(moved.scalars())


def _how_many(tx: Tx, col: ColumnElement[str], user_id: str) -> int:
    return tx.execute(select(func.count()).where(col == user_id)).scalar_one()


def _among(tx: Tx, col: ColumnElement[str], chars: int, wanted: Iterable[str]) -> list[User]:
    asked = [(each,) for each in sorted(set(wanted))]
    if not asked:
        return []
    v = tx.dialect.rowset("v", {"wanted": String(chars)}, asked)
    return _many(tx, select(*_COLUMNS).join_from(users, v, col == v.c.wanted))


def _many(tx: Tx, statement: Select[Any]) -> list[User]:
    return [User(*row) for row in tx.execute(statement)]
