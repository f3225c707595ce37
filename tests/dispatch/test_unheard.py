"""What a queue of notifications remembers of claims of which nothing was heard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest
from sqlalchemy import event, text

from notifyctl.core.errors import SchemaMismatch
from notifyctl.core.presence import Watch
from notifyctl.dispatch.host import Host
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.queues.notifications import ClaimTerms, Notifications, Surroundings
from notifyctl.dispatch.roster import Roster
from notifyctl.dispatch.run import Run
from notifyctl.dispatch.tally import ProviderTally
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from tests.support import seed


class Nobody:
    """No provider, and no way."""

    def names(self) -> Iterable[str]:
        """Return none."""
        return ()

    async def leads_to(self, provider: str) -> bool | None:
        """Return that it cannot be tried."""
        return None


def test_claims_that_failed_leave_nothing_to_give_back(database: Database) -> None:
    """Only of a COMMIT it may be unknown what became of it: hours of refused statements are not asked about later."""
    seed.pending(database, seed.user(database))
    seed.provider(database)
    host = Host(Nobody(), lambda _: None, once=False)
    around = Surroundings(lambda _: (), lambda: None, lambda *_: None, lambda _: None, host)
    terms = ClaimTerms("00000000-0000-0000-0000-000000000000", 65_000, Run(DispatchOptions()), Watch("me"))
    queue = Notifications("sendgrid", terms, cast("Roster", None), around, ProviderTally())
    asked: list[str] = []

    def failing(tx: Tx) -> None:
        tx.execute(text("ALTER TABLE provider_states RENAME TO elsewhere"))
        queue.take(tx, 1)

    for _ in range(3):
        with pytest.raises(SchemaMismatch):
            database.write(failing)
    event.listen(database._engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    assert len(database.write(lambda tx: queue.take(tx, 1)).items) == 1
    assert asked == []
