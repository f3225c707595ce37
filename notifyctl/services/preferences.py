"""What people want on each channel, and which categories they left."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import time
from typing import Any

from notifyctl.core import quiet, zones
from notifyctl.core.amount import NONE, number_or_none
from notifyctl.core.audit.words import Action
from notifyctl.core.category import OptOutSource
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.sealing import Keyring
from notifyctl.core.unsubscribe import PURPOSE, read
from notifyctl.core.whereabouts import whereabouts
from notifyctl.store import categories, signing, standings, users
from notifyctl.store import preferences as store
from notifyctl.store.categories import LeftCategory
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.preferences import NamedPreference, Preference, PreferenceFilter
from notifyctl.store.queue.wake import wake_all, wake_of_categories
from notifyctl.store.users import User

_WISHES = ("enabled", "frequency_cap", "quiet_hours_start", "quiet_hours_end", "timezone")


@dataclass(frozen=True, slots=True)
class Wish:
    """What `prefs set` asks for: what is given; a text may be `NONE`."""

    enabled: bool | None = None
    cap: str | None = None
    quiet: str | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelWishes:
    """What holds for a user on a channel. `id` is None where nobody said anything.

    `quiet_hours` is like `22:00-07:00`, `unread_hours` what is stored as such and is none; `timezone` is None where
    nobody set one, `unread_zone` is what is stored as one and is none. `left_categories` is for all channels.
    """

    id: str | None
    user_id: str
    username: str
    channel: str
    enabled: bool
    frequency_cap: int | None
    quiet_hours: str | None
    timezone: str | None
    created_at: int | None
    updated_at: int | None
    left_categories: tuple[str, ...] = ()
    woken: int = 0
    unread_hours: str | None = None
    unread_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """That a user left a category or came back.

    `changed`: whether it was otherwise before; `woken`: how many are due again.
    """

    user_id: str
    username: str
    category: str
    left: bool
    changed: bool
    woken: int = 0


def of_user(db: Database, ref: str) -> list[ChannelWishes]:
    """Return what a user wants, on every channel. Raises NotFound, UsageError."""
    with db.read() as tx:
        user = users.find(tx, ref)
        left = tuple(each.category for each in categories.opt_outs(tx, user.id))
        said = {each.channel: each for each in store.of_user(tx, user.id)}
    return [_shown(user, channel, said.get(channel.value), left) for channel in Channel]


def page(db: Database, wanted: PreferenceFilter, after: Cursor | None, limit: int) -> list[ChannelWishes]:
    """Return at most `limit` of what users said about channels, newest first."""
    with db.read() as tx:
        return [_listed(each) for each in store.page(tx, wanted, after, limit)]


def count(db: Database, wanted: PreferenceFilter) -> int:
    """Return how many there are."""
    with db.read() as tx:
        return store.count(tx, wanted)


def wanted(db: Database, user: str | None, channel: Channel | None, enabled: bool | None) -> PreferenceFilter:
    """Return the filter that the options mean. Raises NotFound for the user."""
    with db.read() as tx:
        return PreferenceFilter(None if user is None else users.find(tx, user).id, channel, enabled)


def change(db: Database, ref: str, channel: Channel, wish: Wish) -> ChannelWishes:
    """Write what a user wants on a channel; what that rule put off is due again at once.

    Raises UsageError for what cannot be meant and where nothing is given, NotFound.
    """
    values = _values(wish)

    def work(tx: Tx) -> ChannelWishes:
        user = users.lock(tx, users.find(tx, ref).id)
        old = store.lock(tx, user.id, channel)
        fresh = Preference(str(uuid.uuid4()), user.id, channel.value, True, None, None, None, zones.UNSET, tx.now, 0)
        new = replace(old or fresh, updated_at=tx.now, **values)
        changes = _changes(old, new)
        if not changes:
            return _of(tx, user, channel, old)
        woken = put(tx, [(old, new)])
        return replace(_of(tx, user, channel, new), woken=woken)

    return db.write(work)


def put(tx: Tx, said: Sequence[tuple[Preference | None, Preference]]) -> int:
    """Write what users want on channels in the place of what they wanted; return how many notifications are due again.

    The users' rows are locked.
    """
    new, changed = [each for old, each in said if old is None], [each for old, each in said if old is not None]
    store.write(tx, new, changed)
    return _obey(tx, "update", [(each, _changes(old, each)) for old, each in said])


def forget(tx: Tx, said: Sequence[Preference]) -> int:
    """Forget what users want on channels; return how many are due again. The users' rows are locked."""
    store.remove(tx, [each.id for each in said])
    gone = [(each, {name: [_plain(getattr(each, name)), None] for name in _WISHES}) for each in said]
    return _obey(tx, "delete", gone)


def _obey(tx: Tx, action: Action, done: Sequence[tuple[Preference, Mapping[str, Any]]]) -> int:
    whose = [(each.user_id, each.channel) for each, _ in done]
    standings.forget_counts_of(tx, whose)
    facts = [(each.id, {"user_id": each.user_id, "channel": each.channel, **changes}) for each, changes in done]
    tx.audit(action, "preference", facts)
    return wake_all(tx, whose)


def clear(db: Database, ref: str, channel: Channel | None) -> list[ChannelWishes]:
    """Forget what a user wants, on a channel or all; categories that were left stay so. Raises NotFound."""

    def work(tx: Tx) -> list[ChannelWishes]:
        user = users.lock(tx, users.find(tx, ref).id)
        asked = list(Channel) if channel is None else [channel]
        said = {each: found for each in asked if (found := store.lock(tx, user.id, each)) is not None}
        return [
            replace(_of(tx, user, each, None), woken=forget(tx, [said[each]]) if each in said else 0) for each in asked
        ]

    return db.write(work)


def leave(db: Database, ref: str, category: str) -> Left:
    """Write down that a user leaves a category: nothing of it is sent any more. Raises NotFound."""

    def work(tx: Tx) -> Left:
        user = users.lock(tx, users.find(tx, ref).id)
        return _left(tx, user, categories.find(tx, category).name, OptOutSource.OPERATOR)

    return db.write(work)


def unsubscribe(db: Database, keyring: Keyring, token: str) -> Left:
    """Do what the link in a mail is for: the person leaves the category, though that be deleted; again, nothing.

    Raises UsageError for what is no token, AnswerIsNo for one that is not good, NotFound for a user who is gone.
    """

    def work(tx: Tx) -> Left:
        asked = read(token, signing.find(tx, keyring, PURPOSE), tx.now)
        return _left(tx, users.lock(tx, asked.user_id), asked.category, OptOutSource.ONE_CLICK)

    return db.write(work)


def come_back(db: Database, ref: str, category: str) -> Left:
    """Take back that a user left a category; one that is deleted meanwhile, too. Raises NotFound."""

    def work(tx: Tx) -> Left:
        user = users.lock(tx, users.find(tx, ref).id)
        name = category.strip()
        row_id = categories.come_back(tx, user.id, name)
        if row_id is None:
            categories.find(tx, name)
            return Left(user.id, user.username, name, left=False, changed=False)
        tx.audit("opt_in", "category", [(row_id, {"user_id": user.id, "category": name})])
        woken = wake_of_categories(tx, [(user.id, name)])
        return Left(user.id, user.username, name, left=False, changed=True, woken=woken)

    return db.write(work)


# Helpers


def leave_all(tx: Tx, said: Sequence[LeftCategory]) -> int:
    """Write down that users leave categories that they have not left; return how many are due again, to be cancelled.

    The users' rows are locked.
    """
    categories.leave_all(tx, said)
    return _left_now(tx, said)


def _left_now(tx: Tx, said: Sequence[LeftCategory]) -> int:
    tx.audit("opt_out", "category", [_leaving(each) for each in said])
    return wake_of_categories(tx, [(each.user_id, each.category) for each in said])


def _leaving(row: LeftCategory) -> tuple[str, dict[str, str]]:
    return row.id, {"user_id": row.user_id, "category": row.category, "source": row.source}


def _left(tx: Tx, user: User, name: str, source: OptOutSource) -> Left:
    row = LeftCategory(str(uuid.uuid4()), user.id, name, source.value)
    changed = categories.leave(tx, row.id, user.id, name, source)
    return Left(user.id, user.username, name, left=True, changed=changed, woken=_left_now(tx, [row]) if changed else 0)


def _values(wish: Wish) -> dict[str, Any]:
    if all(getattr(wish, each.name) is None for each in fields(Wish)):
        raise UsageError("nothing to change was given", "--enable, --disable, --cap, --quiet or --timezone")
    values: dict[str, Any] = {} if wish.enabled is None else {"enabled": wish.enabled}
    if wish.cap is not None:
        values["frequency_cap"] = number_or_none(wish.cap, "--cap", "a day", "; --disable sends nothing at all")
    if wish.quiet is not None:
        is_none = wish.quiet.strip() == NONE
        start, end = (None, None) if is_none else quiet.parse(wish.quiet, "--quiet").times()
        values |= {"quiet_hours_start": start, "quiet_hours_end": end, "unread_hours": None}
    if wish.timezone is not None:
        is_none = wish.timezone.strip() == NONE
        values["timezone"] = zones.UNSET if is_none else zones.parse(wish.timezone, "--timezone")
    return values


def _changes(old: Preference | None, new: Preference) -> dict[str, Any]:
    found = {
        name: [None if old is None else _plain(getattr(old, name)), _plain(getattr(new, name))] for name in _WISHES
    }
    if old is not None and old.unread_hours != new.unread_hours:
        found["unread_hours"] = [old.unread_hours, new.unread_hours]
    return {name: values for name, values in found.items() if values[0] != values[1]}


def _plain(value: Any) -> Any:
    return value.isoformat("minutes") if isinstance(value, time) else value


def _of(tx: Tx, user: User, channel: Channel, said: Preference | None) -> ChannelWishes:
    left = tuple(each.category for each in categories.opt_outs(tx, user.id))
    return _shown(user, channel, said, left)


def _shown(user: User, channel: Channel, said: Preference | None, left: Sequence[str]) -> ChannelWishes:
    if said is None:
        return ChannelWishes(
            None, user.id, user.username, channel.value, True, None, None, None, None, None, tuple(left)
        )
    return replace(_wishes(said, user.username), left_categories=tuple(left))


def _listed(said: NamedPreference) -> ChannelWishes:
    return _wishes(said, said.username)


def _wishes(said: Preference, username: str) -> ChannelWishes:
    where = whereabouts(said.timezone, None)
    return ChannelWishes(
        id=said.id,
        user_id=said.user_id,
        username=username,
        channel=said.channel,
        enabled=said.enabled,
        frequency_cap=said.frequency_cap,
        quiet_hours=_hours(said),
        timezone=where.own or where.unreadable,
        created_at=said.created_at,
        updated_at=said.updated_at,
        unread_hours=said.unread_hours,
        unread_zone=where.unreadable,
    )


def _hours(said: Preference) -> str | None:
    hours = quiet.stored(said.quiet_hours_start, said.quiet_hours_end)
    return None if hours is None else str(hours)
