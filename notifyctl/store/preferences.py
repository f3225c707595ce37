"""What people want on each channel: whether, how often, when not, and where they live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import time
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, cast, delete, func, insert, select, update

from notifyctl.core import quiet
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import notification_preferences, users

_p = notification_preferences.c


@dataclass(frozen=True, slots=True)
class Preference:
    """What a user wants on a channel. Quiet hours are local times, `timezone` may be `core.zones.UNSET`.

    `unread_hours` are stored as quiet hours, and are none; they stay where others are not written.
    """

    id: str
    user_id: str
    channel: str
    enabled: bool
    frequency_cap: int | None
    quiet_hours_start: time | None
    quiet_hours_end: time | None
    timezone: str
    created_at: int
    updated_at: int
    unread_hours: str | None = None


@dataclass(frozen=True, slots=True)
class NamedPreference(Preference):
    """The same with whose it is."""

    username: str = ""


@dataclass(frozen=True, slots=True)
class PreferenceFilter:
    """Which preferences; None narrows nothing."""

    user_id: str | None = None
    channel: Channel | None = None
    enabled: bool | None = None


def of_user(tx: Tx, user_id: str) -> list[Preference]:
    """Return what a user wants, on those channels about which something was said."""
    return _many(tx, _select().where(_p.user_id == user_id))


def of_users(tx: Tx, user_ids: Iterable[str]) -> list[Preference]:
    """Return all that these users want."""
    return _many(tx, _select().where(tx.dialect.is_any(_p.user_id, list(user_ids))))


def by_ids(tx: Tx, ids: Iterable[str]) -> list[Preference]:
    """Return the preferences with these ids."""
    return _many(tx, _select().where(tx.dialect.is_any(_p.id, list(ids))))


def lock(tx: Tx, user_id: str, channel: Channel) -> Preference | None:
    """Return what a user wants on a channel, locked until the transaction ends; None where nothing was said."""
    theirs = (_p.user_id == user_id, _p.channel == channel.value)
    tx.execute(tx.dialect.lock_row(select(_p.id).where(*theirs)))
    return next(iter(_many(tx, _select().where(*theirs))), None)


def write(tx: Tx, new: Sequence[Preference], changed: Sequence[Preference]) -> None:
    """Store what users want on channels, for the first time or anew."""
    if new:
        tx.execute(
            insert(notification_preferences), [{each.name: getattr(row, each.name) for each in _p} for row in new]
        )
    _rewrite(tx, [row for row in changed if row.unread_hours is None], _FIXED)
    _rewrite(tx, [row for row in changed if row.unread_hours is not None], (*_FIXED, *_HOURS))


_FIXED = ("id", "user_id", "channel")
_HOURS = ("quiet_hours_start", "quiet_hours_end")


def _rewrite(tx: Tx, changed: Sequence[Preference], kept: Sequence[str]) -> None:
    if not changed:
        return
    values: dict[str, Any] = {each.name: bindparam(f"new_{each.name}") for each in _p if each.name not in kept}
    rows = [{"row": each.id, **{f"new_{name}": getattr(each, name) for name in values}} for each in changed]
    tx.execute(update(notification_preferences).where(_p.id == bindparam("row")).values(values), rows)


def remove(tx: Tx, ids: Sequence[str]) -> None:
    """Forget preferences."""
    tx.execute(delete(notification_preferences).where(tx.dialect.is_any(_p.id, ids)))


def page(tx: Tx, wanted: PreferenceFilter, after: Cursor | None, limit: int) -> list[NamedPreference]:
    """Return at most `limit` preferences after the cursor, newest first."""
    found = _named().where(*_conditions(wanted))
    rows = tx.execute(newest_first(found, _p.created_at, _p.id, after, limit))
    return [NamedPreference(*_read(row)) for row in rows]


def count(tx: Tx, wanted: PreferenceFilter) -> int:
    """Return how many preferences a filter matches."""
    found = select(func.count()).select_from(notification_preferences).where(*_conditions(wanted))
    return tx.execute(found).scalar_one()


_COLUMNS = (
    _p.id,
    _p.user_id,
    _p.channel,
    _p.enabled,
    _p.frequency_cap,
    cast(_p.quiet_hours_start, Text),  # PostgreSQL stores 24:00, which Python has no time for
    cast(_p.quiet_hours_end, Text),
    _p.timezone,
    _p.created_at,
    _p.updated_at,
)


_COLUMNS_BEFORE_HOURS = 5


def _select() -> Select[Any]:
    return select(*_COLUMNS)


def _many(tx: Tx, statement: Select[Any]) -> list[Preference]:
    return [Preference(*_read(row)) for row in tx.execute(statement)]


def _read(row: Sequence[Any]) -> Sequence[Any]:
    """Return a row with its quiet hours as times, and as they are written where they are none."""
    before, hours, last = _COLUMNS_BEFORE_HOURS, _COLUMNS_BEFORE_HOURS + 2, len(_COLUMNS)
    start, end = row[before:hours]
    return (*row[:before], quiet.read(start), quiet.read(end), *row[hours:last], quiet.unread(start, end), *row[last:])


def _named() -> Select[Any]:
    return select(*_COLUMNS, users.c.username).join_from(notification_preferences, users, users.c.id == _p.user_id)


def _conditions(wanted: PreferenceFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.user_id is not None:
        found.append(_p.user_id == wanted.user_id)
    if wanted.channel is not None:
        found.append(_p.channel == wanted.channel.value)
    if wanted.enabled is not None:
        found.append(_p.enabled.is_(wanted.enabled))
    return found
