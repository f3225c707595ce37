"""What completion offers of the database."""

from __future__ import annotations

from notifyctl.core.discretion import discreet_text
from notifyctl.core.duration import age
from notifyctl.store import beginnings as store
from notifyctl.store.db.database import Database

MOST = 50

_QUERIES = {
    "user": store.users_like,
    "provider": store.providers_like,
    "template": store.templates_like,
    "notification": store.notifications_like,
    "dead_letter": store.dead_letters_like,
    "key": store.keys_like,
    "category": store.categories_like,
    "batch": store.batches_like,
    "webhook": store.webhooks_like,
}


def find(db: Database, kind: str, beginning: str) -> list[tuple[str, str]]:
    """Return at most `MOST` values of a kind that begin so, the newest first, each with what it is.

    Kinds are those of `_QUERIES`; of any other there are none.
    """
    query = _QUERIES.get(kind)
    if query is None:
        return []
    with db.read() as tx:
        rows = tx.execute(query(beginning, MOST)).all()
        told = [(str(value), " ".join(filter(None, (*words, _ago(tx.now, at))))) for value, *words, at in rows]
    return told if db.actor.sees_addresses else [(value, discreet_text(words)) for value, words in told]


def _ago(now: int, moment: int | None) -> str:
    return "" if moment is None else f"{age(now - moment)} ago"
