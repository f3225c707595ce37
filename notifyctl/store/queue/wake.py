"""Waking what a rule put off, when that rule is loosened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, String, exists, select

from notifyctl.core.change import Row, Wake
from notifyctl.core.gate import BY_RULES
from notifyctl.core.model import Channel
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import METRIC_AT
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.states import PENDING
from notifyctl.store.schema.tables import notifications

n = notifications.c


def wake_all(tx: Tx, whose: Iterable[tuple[str, str]]) -> int:
    """Make due again what rules put off of users' on channels; return how many.

    The users' rows are locked by whoever changes a rule, and by a claim before it reads them: what a claim is about to
    judge is judged by the new rule, and what it has put off by the old one is there to be found.
    """
    return _wake(tx, n.message_type, whose)


def wake_of_categories(tx: Tx, whose: Iterable[tuple[str, str]]) -> int:
    """Make due again what rules put off of users' that is of categories, as `wake_all` does; return how many."""
    return _wake(tx, n.category, whose)


def _wake(tx: Tx, column: ColumnElement[Any], whose: Iterable[tuple[str, str]]) -> int:
    rows = sorted(set(whose))
    if not rows:
        return 0
    v = tx.dialect.rowset("v", {"user_id": ID, "of": String(50)}, rows)
    theirs = exists().where(v.c.user_id == n.user_id, v.c.of == column)
    # The ids by themselves as well: they are what an index is for.
    return _woken(tx, _deferred(tx, PENDING, tx.dialect.is_any(n.user_id, [id_ for id_, _ in rows]), theirs))


def _deferred(tx: Tx, *conditions: ColumnElement[bool]) -> Select[Any]:
    found: Select[Any] = select(n.id, n.provider, n.message_type, METRIC_AT)
    by_rules = (n.deferred_by.is_not(None), n.deferred_by.in_(BY_RULES))
    found = found.where(*conditions, *by_rules, n.lease_id.is_(None), n.due_at > tx.now)
    return tx.dialect.skip_locked(found.order_by(n.id), notifications)


def _woken(tx: Tx, found: Select[Any]) -> int:
    rows = [Row(id_, None, provider, Channel(kind), at) for id_, provider, kind, at in tx.execute(found)]
    return len(apply(tx, [Wake(row, due_at=tx.now) for row in rows]).changes)
