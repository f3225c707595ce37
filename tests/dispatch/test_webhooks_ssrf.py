"""Webhooks that name what must not be called, however they got into the database: the dispatcher calls nobody."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from sqlalchemy import insert

from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.event import EVERYTHING
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_webhooks
from notifyctl.wiring import make_dispatcher
from tests.support import seed
from tests.support.counted import Listeners, watched
from tests.support.receiver import RING, SECRET
from tests.support.ssrf import HERE, urls

# What a column holds of them; names that this machine looks up itself are among them.
TARGETS = [url for url in dict.fromkeys((*urls(), *HERE)) if url and "\0" not in url]


@pytest.mark.slow
def test_3_no_connection_is_made(database: Database) -> None:
    """Each of more than 300 is tried, fails, and is told of by its host at most."""
    assert len(TARGETS) >= 300
    user = seed.user(database)
    note = seed.pending(database, user, status="sent")[0]
    for id_ in _webhooks(database, user):
        seed.owed(database, id_, note)
    with Listeners(443, 8443) as listeners, watched() as watch:
        dispatcher = make_dispatcher(database, RING, DispatchOptions(once=True))
        asyncio.run(dispatcher.run())
        assert (listeners.count, watch.dialled) == (0, [])
    rows = seed.deliveries(database)
    assert {row.attempt_count for row in rows} == {1}
    assert {(row.delivered, row.response_status) for row in rows} == {(False, None)}
    assert not any("latest/meta-data" in row.attempts for row in rows)


def _webhooks(db: Database, user: str) -> list[str]:
    """Write a webhook for each target, as somebody with the database's password might; return their ids."""
    ids = [str(uuid.uuid4()) for _ in TARGETS]
    rows = [
        {
            "id": id_,
            "user_id": user,
            "name": id_,
            "url": url,
            "events": f'["{EVERYTHING}"]',
            "secret_key": keeping.sealed(RING, SECRET, keeping.place(id_)),
            "created_at": 1_000,
            "updated_at": 1_000,
            "is_active": True,
            "all_users": False,
            "retry_count": 9,
            "timeout_seconds": 5,
            "failures_apart": 0,
            "slowed": 0,
        }
        for id_, url in zip(ids, TARGETS, strict=True)
    ]
    db.write(lambda tx: tx.execute(insert(notification_webhooks), rows))
    return ids
