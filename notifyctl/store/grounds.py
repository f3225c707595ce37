"""On what depends whether notifications go: the provider, template and batch of each, counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import func, select

from notifyctl.core.model import Status
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notification_templates, notifications

n, t = notifications.c, notification_templates.c


class Ground(NamedTuple):
    """So many notifications have these in common."""

    provider: str
    message_type: str
    template_id: str | None
    template: str | None
    batch_id: str | None
    is_parked: bool
    fails_over: bool
    number: int


def of(tx: Tx, ids: Iterable[str]) -> list[Ground]:
    """Return what those of these have in common that were not sent."""
    common = (
        *(n.provider, n.message_type, n.template_id, t.name, n.batch_id),
        *(n.parked_at.is_not(None), n.fails_over),
    )
    joined = notifications.outerjoin(notification_templates, n.template_id == t.id)
    rows = tx.execute(
        select(*common, func.count())
        .select_from(joined)
        .where(tx.dialect.is_any(n.id, ids), n.status != Status.SENT)
        .group_by(*common)
    )
    return [Ground(*row) for row in rows]
