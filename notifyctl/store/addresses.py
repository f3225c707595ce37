"""Which address of a user a notification goes to.

The newest contact point of the channel that is not suppressed; for e-mail the user's own address stands behind the
contact points. When all are suppressed one of them is returned all the same, so that the gate can say why.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, case, exists, func, select

from notifyctl.core.model import Channel
from notifyctl.store.schema.tables import contact_points, suppressions


def best_address(
    user_id: ColumnElement[str], channel: ColumnElement[str], email: ColumnElement[str]
) -> ColumnElement[str]:
    """Return the address as an expression over the columns of the notification and its user (`email`); may be NULL."""
    own = case((channel == Channel.EMAIL.value, email))
    return func.coalesce(_newest(user_id, channel, suppressed=False), own, _newest(user_id, channel, suppressed=True))


def _newest(user_id: ColumnElement[str], channel: ColumnElement[str], *, suppressed: bool) -> ScalarSelect[Any]:
    point = contact_points.alias()
    dead = exists().where(suppressions.c.channel == point.c.channel, suppressions.c.address == point.c.address)
    return (
        select(point.c.address)
        .where(point.c.user_id == user_id, point.c.channel == channel, dead if suppressed else ~dead)
        .order_by(point.c.created_at.desc(), point.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
