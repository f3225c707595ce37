"""Whether a run that ends with what is due now has anything to claim.

Asked plainly, before the claims are compiled: that takes longer than all else such a run does where nothing is due. A
dispatcher that stays compiles them at its beginning, so that nobody waits for it later.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, String, bindparam, literal_column, select

from notifyctl.core.provider import ProviderConfig
from notifyctl.store import providers
from notifyctl.store.db.hot import only
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import IN_QUEUE
from notifyctl.store.schema.tables import notifications, webhook_deliveries

_n, _d = notifications.c, webhook_deliveries.c


def nothing_is_due(tx: Tx, provider: str, moment: int) -> bool:
    """Return whether a provider may send without further ado, and nothing is due for it at a moment."""
    found = next((each for each in providers.load_active(tx) if each.provider_name == provider), None)
    if found is None or not _sends_freely(found, tx.now):
        return False
    return not tx.rows(_DUE, {"of_provider": provider, "moment": moment})


def nothing_is_owed(tx: Tx) -> bool:
    """Return whether no delivery to a webhook is owed, now or later."""
    return not tx.rows(_OWED, {})


def _sends_freely(config: ProviderConfig, now: int) -> bool:
    slowed = config.health.ceiling is not None or config.health.held_senders
    return not config.rate_limit and config.hold(now) is None and not slowed


_ONE: ColumnElement[int] = literal_column("1")
_OF_PROVIDER = _n.provider == bindparam("of_provider", type_=String(20))
_BY_THEN = _n.due_at <= bindparam("moment", type_=BigInteger)
_DUE = only(lambda _: select(_n.id).where(_OF_PROVIDER, IN_QUEUE, _BY_THEN).limit(_ONE))
_OWED = only(lambda _: select(_d.id).where(_d.next_retry_at.is_not(None)).limit(_ONE))
