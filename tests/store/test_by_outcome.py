"""Which notifications had an attempt that ended so: above all those that may have gone out twice."""

from __future__ import annotations

import uuid

from notifyctl.core import history
from notifyctl.core.model import Status
from notifyctl.core.outcome import Kind
from notifyctl.store.db.database import Database
from notifyctl.store.notifications import NotificationFilter
from tests.store.test_notifications import NOW, ids
from tests.support import letters, seed


def test_by_outcome(database: Database) -> None:
    """Also where a later attempt ended well; what a provider says is no outcome."""
    anna = seed.user(database)
    unknown = history.append(None, {"attempt": 1, "outcome": "unknown"})
    words = history.append(None, {"attempt": 1, "outcome": "transient", "message": '"outcome":"unknown"'})
    sent = letters.ended(database, anna, "sent", retry_history=unknown)
    [again] = seed.pending(
        database, anna, retry_history=history.append(unknown, {"attempt": 2, "outcome": "transient"})
    )
    [lost] = seed.pending(database, anna, lease_id=str(uuid.uuid4()), leased_until=NOW - 1)
    [other] = seed.pending(database, anna, retry_history=words)
    assert ids(database, NotificationFilter(outcome=Kind.UNKNOWN)) == {sent, again, lost}
    assert ids(database, NotificationFilter(outcome=Kind.TRANSIENT)) == {again, other}
    assert ids(database, NotificationFilter(outcome=Kind.ACCEPTED)) == {sent}
    assert ids(database, NotificationFilter(outcome=Kind.UNKNOWN, status=Status.SENT)) == {sent}
