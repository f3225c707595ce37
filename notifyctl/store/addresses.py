"""Which address of a user a notification goes to, and whether anything may be sent there.

The newest contact point of the channel that is not suppressed; for e-mail the user's own address stands behind the
contact points. When all are suppressed one of them is returned all the same, so that the gate can say why.

Addresses are compared folded (`core.address.fold`). A database folds only plain ASCII: others have their folded form
stored beside them, or are looked up by themselves (`suppressions.reasons`). So are all where addresses are sealed
(`are_sealed`): what is stored beside a contact point, and with a suppression, is a hash then.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, ScalarSelect, and_, case, exists, func, literal_column, or_, select

from notifyctl.core.model import Channel
from notifyctl.store.db.functions import folded
from notifyctl.store.schema.tables import address_lookups, contact_points, suppressions


def best_address(
    user_id: ColumnElement[str], channel: ColumnElement[str], email: ColumnElement[str]
) -> ColumnElement[str]:
    """Return the address as an expression over the columns of the notification and its user (`email`); may be NULL."""
    own = case((channel == Channel.EMAIL.value, email))
    return func.coalesce(_newest(user_id, channel, suppressed=False), own, _newest(user_id, channel, suppressed=True))


def suppresses(channel: ColumnElement[str], address: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a row of `suppressions` is about whatever is sent to a folded address now."""
    s = suppressions.c
    return and_(s.channel == channel, s.address == address, s.group_id == "", s.lifted_at.is_(None))


def reason_of(channel: ColumnElement[str], address: ColumnElement[str]) -> ScalarSelect[str]:
    """Return why nothing may be sent to a folded address: what was said first; NULL where it may."""
    s = suppressions.c
    of_it = select(s.reason).where(suppresses(channel, address))
    return of_it.order_by(s.created_at, s.id).limit(1).scalar_subquery()


def are_sealed() -> ScalarSelect[Any]:
    """Return 1 where addresses are sealed, or were until now; else NULL. Of a statement it is found once."""
    return select(literal_column("1", Integer)).select_from(address_lookups).limit(1).scalar_subquery()


def _newest(user_id: ColumnElement[str], channel: ColumnElement[str], *, suppressed: bool) -> ScalarSelect[Any]:
    point = contact_points.alias()
    p, s = point.c, suppressions.c
    found_by = func.coalesce(p.folded, folded(p.address))
    # Of two rows one may be written anew already: then they meet in the way before.
    moved = (s.channel == p.channel, s.address_before == found_by, s.group_id == "", s.lifted_at.is_(None))
    dead = or_(
        exists().where(suppresses(p.channel, found_by)),
        and_(p.folded_before.is_not(None), exists().where(suppresses(p.channel, p.folded_before))),
        exists().where(*moved),
    )
    return (
        select(point.c.address)
        .where(point.c.user_id == user_id, point.c.channel == channel, dead if suppressed else ~dead)
        .order_by(point.c.created_at.desc(), point.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
