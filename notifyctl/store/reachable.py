"""Users with all by which they can be reached, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import Integer, literal_column, select

from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.store import lookups
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import contact_points, users
from notifyctl.store.streams import RowStream, streamed

_USUAL_BYTES = 1_000
"""What a user has with a few contact points."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """A user with the contact points of each channel, newest first; the own `email` is not among `addresses`.

    Times are milliseconds since the epoch.
    """

    id: str
    username: str
    email: str
    language: str | None
    created_at: int
    updated_at: int
    addresses: tuple[str, ...]
    phones: tuple[str, ...]
    tokens: tuple[str, ...]


def stream(tx: Tx) -> RowStream[Reachable]:
    """Yield all users, newest first."""
    ordered = select(users.c.id, literal_column(str(_USUAL_BYTES), Integer))
    return streamed(tx, ordered.order_by(users.c.created_at.desc(), users.c.id.desc()), partial(_reachable, tx))


def _reachable(tx: Tx, ids: Sequence[str]) -> Iterator[Reachable]:
    c, u, points = contact_points.c, users.c, defaultdict[tuple[str, str], list[str]](list)
    theirs = select(c.user_id, c.channel, c.address).where(tx.dialect.is_any(c.user_id, ids))
    for user_id, channel, address in tx.execute(theirs.order_by(c.created_at.desc(), c.id.desc())):
        points[user_id, channel].append(lookups.shown(tx, user_id, channel, address))
    asked = select(u.id, u.username, u.email, u.language, u.created_at, u.updated_at)
    found = {row.id: row for row in tx.execute(asked.where(tx.dialect.is_any(u.id, ids)))}
    for id_ in ids:
        addresses, phones, tokens = (tuple(points[id_, channel.value]) for channel in Channel)
        yield Reachable(*found[id_], addresses=addresses, phones=phones, tokens=tokens)
