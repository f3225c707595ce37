"""The dead letter of a notification comes and goes with its status."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache

from sqlalchemy import Executable, delete

from notifyctl.core.change import Bury, Change, ConfirmFailed, Requeue
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notification_dlq


def keep(tx: Tx, done: Sequence[Change]) -> None:
    """Write the letters of what was buried, delete those of what was taken out."""
    buried = [change for change in done if isinstance(change, Bury)]
    if buried:
        tx.execute(_entering(tx.dialect), [_letter(change) for change in buried])
    left = [change.of.id for change in done if isinstance(change, (Requeue, ConfirmFailed))]
    if left:
        tx.execute(delete(notification_dlq).where(tx.dialect.is_any(notification_dlq.c.notification_id, left)))


def _letter(change: Bury) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "notification_id": change.of.id,
        "failure_reason": change.category.value,
        "retry_history": change.retry_history,
        "moved_to_dlq_at": change.failed_at,
    }


@cache
def _entering(dialect: Dialect) -> Executable:
    """Return the statement; a letter that is there, as only other programs leave it, is renewed."""
    letter = dialect.insert(notification_dlq)
    anew = {name: letter.excluded[name] for name in ("failure_reason", "retry_history", "moved_to_dlq_at")}
    open_again = {"resolved": False, "resolved_at": None, "resolved_by": None, "note": None}
    return letter.on_conflict_do_update(index_elements=["notification_id"], set_={**anew, **open_again})
