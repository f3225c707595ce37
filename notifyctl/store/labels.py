"""Whose things are that fixtures made: their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select

from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import fixture_labels

_f = fixture_labels.c


def owned(tx: Tx, label: str) -> dict[str, list[str]]:
    """Return the ids of what a label's fixtures made, by kind; some may be gone since."""
    found: dict[str, list[str]] = {}
    for kind, id_ in tx.execute(select(_f.kind, _f.resource_id).where(_f.label == label)):
        found.setdefault(kind, []).append(id_)
    return found


def own(tx: Tx, label: str, kind: str, ids: Sequence[str]) -> None:
    """Write down that a label's fixture made these."""
    if ids:
        made = tx.dialect.insert(fixture_labels).on_conflict_do_nothing()
        tx.execute(made, [{"kind": kind, "resource_id": id_, "label": label} for id_ in ids])


def disown(tx: Tx, kind: str, ids: Iterable[str]) -> None:
    """Forget whose these were: they are gone."""
    tx.execute(delete(fixture_labels).where(_f.kind == kind, tx.dialect.is_any(_f.resource_id, ids)))
