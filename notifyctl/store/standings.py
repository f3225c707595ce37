"""What rules know of people: their wishes, what they left, how much they had today, and their limits.

A user's row is the lock of all that is counted for the user: whoever counts, or changes a rule, holds it.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    and_,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from notifyctl.core import quiet
from notifyctl.core.category import CategoryKind
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Person
from notifyctl.core.localtime import local_day
from notifyctl.core.model import Channel
from notifyctl.core.policy import Policy
from notifyctl.core.userlimit import SLOTS, LimitType, Slot
from notifyctl.core.whereabouts import whereabouts
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot, only
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import anybody_wishes, is_limited
from notifyctl.store.schema.tables import (
    cap_usage,
    categories,
    category_opt_outs,
    notification_preferences,
    notifications,
    rate_limits,
    user_limits,
    users,
)

_SECOND_MS = 1_000
_SLOT_MS = SLOTS * _SECOND_MS


class Whom(NamedTuple):
    """Of whom rules are asked, on which channel, and for what."""

    user_id: str
    channel: str
    category: str | None


class Day(NamedTuple):
    """The present day of a user on a channel: when it began, in milliseconds since the epoch."""

    user_id: str
    channel: str
    began: int


@dataclass(frozen=True, slots=True)
class Standings:
    """What rules know of some people; `days` are those of who has a cap."""

    persons: Mapping[Whom, Person]
    days: Mapping[Whom, Day]

    def person(self, whom: Whom, *, critical: bool, counted_at: int | None = None) -> Person | None:
        """Return what rules know for one notification, which counts already where it was `counted_at` today.

        That an attempt of today may have gone out is what the next one repeats.
        """
        person, day = self.persons.get(whom), self.days.get(whom)
        if person is None:
            return None
        return person._replace(critical=critical, used=person.used - int(counts_in(counted_at, day)))


def counts_in(counted_at: int | None, day: Day | None) -> bool:
    """Return whether what was counted then counts on that day."""
    return day is not None and counted_at is not None and counted_at >= day.began


def lock(tx: Tx, user_ids: Iterable[str]) -> None:
    """Let nobody else count for these users until the transaction ends; always in the same order."""
    ids = sorted(set(user_ids))
    if ids:
        tx.rows(_LOCKING, tx.dialect.bind("v", _ID, [(id_,) for id_ in ids]))


def of(tx: Tx, wanted: Iterable[Whom], policy: Policy, not_of: str | None = None) -> Standings:
    """Return what rules know of these people at the transaction's moment.

    `not_of` is a lease whose notifications do not count yet.
    """
    asked = sorted(set(wanted), key=lambda each: (each.user_id, each.channel, each.category or ""))
    if not asked:
        return Standings({}, {})
    found = tx.rows(_STANDING, tx.dialect.bind("v", _WHOM, asked))
    persons = {whom: person(whom.channel, whom.category, told, policy) for whom, told in found}
    days = {
        whom: Day(whom.user_id, whom.channel, local_day(person.where.zone, tx.now).begins)
        for whom, person in persons.items()
        if person.cap is not None
    }
    used = _used(tx, set(days.values()), policy, not_of)
    sent = slots(tx, {whom.user_id for whom, person in persons.items() if person.limit is not None})
    return Standings(
        {
            whom: person._replace(
                used=used[days[whom]] if whom in days else 0,
                slots=sent.get(whom.user_id, ()) if person.limit is not None else (),
            )
            for whom, person in persons.items()
        },
        days,
    )


def then(tx: Tx, asked: Mapping[int, tuple[int, Whom]], policy: Policy) -> dict[int, Standings]:
    """Return for each of these (by place) what rules know at its moment."""
    spans: dict[int, tuple[int, dict[int, Whom]]] = {}
    for place, (moment, whom) in asked.items():
        spans.setdefault(moment // _SPAN_MS, (moment, {}))[1][place] = whom
    found: dict[int, Standings] = {}
    for moment, of_whom in spans.values():
        found |= dict.fromkeys(of_whom, of(tx.at(moment), of_whom.values(), policy))
    return found


_SPAN_MS = 15 * 60_000
"""Days begin at the quarters of an hour, whatever the zone: within one everybody's day is the same."""


def slots(tx: Tx, user_ids: set[str]) -> dict[str, tuple[Slot, ...]]:
    """Return how many went to these users in which second, of those that may still count."""
    if not user_ids:
        return {}
    found = select(_r.user_id, _r.window_start, _r.request_count).where(
        tx.dialect.is_any(_r.user_id, sorted(user_ids)),
        _r.limit_type == LimitType.NOTIFICATION.value,
        _r.window_start >= tx.now - _SLOT_MS - _SECOND_MS,
    )
    sent: dict[str, tuple[Slot, ...]] = {}
    for user_id, at, number in tx.execute(found):
        sent[user_id] = (*sent.get(user_id, ()), (at // _SECOND_MS, number))
    return sent


def count(tx: Tx, used: Mapping[Day, int], sent: Mapping[str, int]) -> None:
    """Write how much counts for whose cap today, and how many more go to whom in this second."""
    if used:
        rows = [{"user_id": d.user_id, "channel": d.channel, "day_began": d.began, "used": n} for d, n in used.items()]
        made = tx.dialect.insert(cap_usage).values(rows)
        new = {"day_began": made.excluded.day_began, "used": made.excluded.used}
        tx.execute(made.on_conflict_do_update(index_elements=[_u.user_id, _u.channel], set_=new))
    if sent:
        _count_slots(tx, sent)


class Counted(NamedTuple):
    """A notification that its claim, at that moment, counted for its user's cap."""

    id: str
    user_id: str
    channel: str
    at: int


def give_back(tx: Tx, counted: Sequence[Counted]) -> None:
    """Take back what was counted and did not go out."""
    if not counted:
        return
    lock(tx, [each.user_id for each in counted])
    tx.execute(
        update(notifications).where(tx.dialect.is_any(_n.id, [each.id for each in counted])).values(counted_at=None)
    )
    for (user_id, channel, at), number in Counter(each[1:] for each in counted).items():
        theirs = (_u.user_id == user_id, _u.channel == channel, _u.day_began <= at, _u.used >= number)
        tx.execute(update(cap_usage).where(*theirs).values(used=_u.used - number))


def let_count(tx: Tx, perhaps_sent: Sequence[Counted]) -> None:
    """Let count, should the user set a cap today, what may have gone out while there was none."""
    moments: dict[int, list[str]] = {}
    for each in perhaps_sent:
        moments.setdefault(each.at, []).append(each.id)
    for at, ids in moments.items():
        uncounted = (tx.dialect.is_any(_n.id, ids), _n.counted_at.is_(None))
        tx.execute(update(notifications).where(*uncounted).values(counted_at=at))


def forget_counts(tx: Tx) -> None:
    """Let what counts for everybody's caps be counted again."""
    tx.execute(delete(cap_usage))


def forget_counts_of(tx: Tx, whose: Iterable[tuple[str, str]]) -> None:
    """Let what counts for the caps of users on channels be counted again."""
    rows = sorted(set(whose))
    if rows:
        v = tx.dialect.rowset("v", {"user_id": ID, "channel": String(20)}, rows)
        theirs = exists().where(v.c.user_id == _u.user_id, v.c.channel == _u.channel)
        tx.execute(delete(cap_usage).where(theirs))


# Helpers

_n, _u, _r = notifications.c, cap_usage.c, rate_limits.c
_WHOM: Mapping[str, TypeEngine[Any]] = {"user_id": ID, "channel": String(20), "category": String(50)}
_ID: Mapping[str, TypeEngine[Any]] = {"id": ID}
_DAY: Mapping[str, TypeEngine[Any]] = {"user_id": ID, "channel": String(20), "began": BigInteger()}


def standing_if_any(
    dialect: Dialect, user_id: ColumnElement[str], channel: ColumnElement[str], category: ColumnElement[str]
) -> ColumnElement[str]:
    """Return what `standing` does, NULL where there is nothing; of who has but wishes, as nearly all, these alone."""
    p = notification_preferences.c
    wishes = select(dialect.json_array(*_WISHES)).where(p.user_id == user_id, p.channel == channel).scalar_subquery()
    more = or_(category.is_not(None), is_limited(user_id))
    return case((more, standing(dialect, user_id, channel, category)), (anybody_wishes(), wishes))


def standing(
    dialect: Dialect, user_id: ColumnElement[str], channel: ColumnElement[str], category: ColumnElement[str]
) -> ColumnElement[str]:
    """Return what is stored of somebody for one notification, as the text that `person` reads."""
    p, c = notification_preferences.c, categories.c
    o, u = category_opt_outs.c, user_limits.c
    opted_out: Select[Any] = select(literal_column("1")).where(o.user_id == user_id, o.category == category)
    left = exists(opted_out.correlate_except(category_opt_outs))
    joined = (
        select(literal_column("1").label("one"))
        .subquery("nobody")
        .outerjoin(notification_preferences, and_(p.user_id == user_id, p.channel == channel))
        .outerjoin(categories, c.name == category)
        .outerjoin(user_limits, and_(u.user_id == user_id, u.limit_type == LimitType.NOTIFICATION.value))
    )
    told = dialect.json_array(*_WISHES, c.kind, c.provider_group, left, u.per_minute)
    return select(told).select_from(joined).scalar_subquery()


def person(channel: str, category: str | None, told: str | None, policy: Policy) -> Person:
    """Return what rules know of somebody of whom `standing` told that; None where nothing was asked for."""
    said: list[Any] = [] if told is None else json.loads(told)
    enabled, cap, start, end, timezone, kind, group, left, limit = (said + _NOTHING)[: len(_NOTHING)]
    declared = category is None or kind is not None
    return Person(
        channel=Channel(channel),
        where=whereabouts(timezone, policy.default_timezone),
        policy=policy,
        enabled=enabled is None or bool(enabled),
        quiet=quiet.stored(quiet.read(start), quiet.read(end)),
        cap=cap if isinstance(cap, int) else None,
        category=category,
        marketing=kind == CategoryKind.MARKETING or not declared,
        left=bool(left),
        group=group or "",
        unread_hours=quiet.unread(start, end),
        limit=limit if limit is not None else policy.notification_limit,
        declared=declared,
    )


_p = notification_preferences.c
_WISHES = (_p.enabled, _p.frequency_cap, _p.quiet_hours_start, _p.quiet_hours_end, _p.timezone)
_NOTHING: list[Any] = [None] * 9


def _standing(dialect: Dialect) -> Select[Any]:
    v = dialect.rowset("v", _WHOM)
    return select(*v.c, standing(dialect, v.c.user_id, v.c.channel, v.c.category).label("standing"))


_STANDING = Hot(_standing, lambda row: (Whom(row[0], row[1], row[2]), row[3]))


def _locking(dialect: Dialect) -> Select[Any]:
    v = dialect.rowset("v", _ID)
    asked = select(users.c.id).join_from(v, users, users.c.id == v.c.id).order_by(users.c.id)
    return dialect.lock_gently(asked, users)


_LOCKING = only(_locking)


def _used(tx: Tx, days: set[Day], policy: Policy, not_of: str | None) -> dict[Day, int]:
    if not days:
        return {}
    cached = select(_u.user_id, _u.channel, _u.day_began, _u.used)
    found = {
        Day(user_id, channel, began): used
        for user_id, channel, began, used in tx.execute(
            cached.where(tx.dialect.is_any(_u.user_id, sorted({each.user_id for each in days})))
        )
    }
    known = {day: found[day] for day in days if day in found}
    return known | _counted(tx, sorted(days - set(known)), policy, not_of)


def _counted(tx: Tx, days: Sequence[Day], policy: Policy, not_of: str | None) -> dict[Day, int]:
    """Return how much went to users since their days began: what was sent, is in flight, or may have gone out."""
    if not days:
        return {}
    v = tx.dialect.rowset("v", _DAY, days)
    since = v.c.began
    counts = or_(
        _n.counted_at >= since,
        and_(_n.counted_at.is_(None), _n.status == "sent", _n.sent_at >= since),
        and_(
            _n.counted_at.is_(None),
            _n.status == "pending",
            _n.lease_id.is_not(None),
            _n.last_attempted >= since,
            _n.lease_id != (not_of or ""),
        ),
    )
    theirs = and_(_n.user_id == v.c.user_id, _n.message_type == v.c.channel, counts)
    joined = v.join(notifications, theirs).outerjoin(categories, categories.c.name == _n.category)
    found = select(v.c.user_id, v.c.channel, v.c.began, func.count()).select_from(joined)
    if not policy.cap_counts_transactional:
        is_gone = and_(_n.category.is_not(None), categories.c.kind.is_(None))
        found = found.where(or_(categories.c.kind == CategoryKind.MARKETING.value, is_gone))
    rows = tx.execute(found.group_by(v.c.user_id, v.c.channel, v.c.began))
    return {**dict.fromkeys(days, 0), **{Day(row[0], row[1], row[2]): row[3] for row in rows}}


def _count_slots(tx: Tx, sent: Mapping[str, int]) -> None:
    start = tx.now // _SECOND_MS * _SECOND_MS
    rows = [
        {
            "id": str(uuid.uuid4()),
            "user_id": user_id,
            "window_start": start,
            "request_count": number,
            "limit_type": LimitType.NOTIFICATION.value,
            "created_at": tx.now,
            "updated_at": tx.now,
        }
        for user_id, number in sorted(sent.items())
    ]
    made = tx.dialect.insert(rate_limits).values(rows)
    more = {"request_count": _r.request_count + made.excluded.request_count, "updated_at": tx.now}
    tx.execute(made.on_conflict_do_update(index_elements=[_r.user_id, _r.window_start, _r.limit_type], set_=more))
    past = (_r.limit_type == LimitType.NOTIFICATION.value, _r.window_start < start - 2 * _SLOT_MS)
    tx.execute(delete(rate_limits).where(tx.dialect.is_any(_r.user_id, sorted(sent)), *past))
