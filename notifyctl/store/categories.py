"""Categories, and who left them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, exists, func, insert, select, update

from notifyctl.core.category import CategoryKind, OptOutSource
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotFound
from notifyctl.core.frozen import dataclass
from notifyctl.store import ids
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.queue.states import PENDING
from notifyctl.store.schema.tables import categories, category_opt_outs, notifications, users

_c, _o = categories.c, category_opt_outs.c


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A category as it is stored. `provider_group` is the group of mails at SendGrid that is the same."""

    id: str
    name: str
    kind: str
    description: str | None
    provider_group: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class ListedCategory(CategoryRow):
    """A category, and how many people left it."""

    left_by: int


@dataclass(frozen=True, slots=True)
class OptOut:
    """That somebody left a category. Times are milliseconds since the epoch."""

    id: str
    user_id: str
    username: str
    category: str
    source: str
    created_at: int


class LeftCategory(NamedTuple):
    """That a user left a category, as it is stored."""

    id: str
    user_id: str
    category: str
    source: str


def create(tx: Tx, row: CategoryRow) -> bool:
    """Store a category; return False when there is one of that name."""
    made = tx.dialect.insert(categories).values(asdict(row)).on_conflict_do_nothing().returning(_c.id)
    return tx.execute(made).first() is not None


def find(tx: Tx, name: str) -> CategoryRow:
    """Return the category of that name. Raises NotFound."""
    row = tx.execute(select(*_COLUMNS).where(_c.name == name.strip())).first()
    if row is None:
        raise missing(name)
    return CategoryRow(*row)


def known(tx: Tx, name: str) -> str:
    """Return the name of a category; one that is deleted is known while notifications have it. Raises NotFound."""
    try:
        return find(tx, name).name
    except NotFound:
        if not tx.execute(select(exists().where(notifications.c.category == name.strip()))).scalar():
            raise
        return name.strip()


def is_marketing(tx: Tx, name: str) -> bool:
    """Return whether the rules of marketing hold for a category: those that are gone are judged so, too."""
    return tx.execute(select(_c.kind).where(_c.name == name)).scalar() in (None, CategoryKind.MARKETING)


def missing(name: str) -> NotFound:
    """Return that there is no such category."""
    return NotFound(f"there is no category {ids.shown(name)}", "notifyctl categories list")


def groups(tx: Tx, names: Sequence[str]) -> dict[str, str]:
    """Return which of these categories there are, each with its group of mails; empty for none."""
    if not names:
        return {}
    found = tx.execute(select(_c.name, _c.provider_group).where(_c.name.in_(sorted(set(names)))))
    return {name: group or "" for name, group in found}


def lock(tx: Tx, name: str) -> CategoryRow:
    """Return the category of that name, locked until the transaction ends. Raises NotFound."""
    found = find(tx, name)
    tx.execute(tx.dialect.lock_row(select(_c.id).where(_c.id == found.id)))
    return find(tx, name)


def listed(tx: Tx, name: str) -> ListedCategory:
    """Return the category of that name with how many left it. Raises NotFound."""
    return ListedCategory(*tx.execute(_listing().where(_c.id == find(tx, name).id)).one())


def page(tx: Tx, after: Cursor | None, limit: int) -> list[ListedCategory]:
    """Return at most `limit` categories after the cursor, newest first."""
    found = tx.execute(newest_first(_listing(), _c.created_at, _c.id, after, limit))
    return [ListedCategory(*row) for row in found]


def count(tx: Tx) -> int:
    """Return how many categories there are."""
    return tx.execute(select(func.count()).select_from(categories)).scalar_one()


def create_all(tx: Tx, new: Sequence[CategoryRow]) -> None:
    """Store categories. Raises IntegrityError where there is one of that name."""
    if new:
        tx.execute(insert(categories), [asdict(each) for each in new])


def replace_all(tx: Tx, changed: Sequence[CategoryRow]) -> None:
    """Store categories' values anew; their names stay."""
    if not changed:
        return
    values: dict[str, Any] = {
        name: bindparam(f"new_{name}") for name in ("kind", "description", "provider_group", "updated_at")
    }
    rows = [{"row": each.id, **{f"new_{name}": getattr(each, name) for name in values}} for each in changed]
    tx.execute(update(categories).where(_c.id == bindparam("row")).values(values), rows)


def everything(tx: Tx) -> list[CategoryRow]:
    """Return all categories."""
    return [CategoryRow(*row) for row in tx.execute(select(*_COLUMNS))]


def remove(tx: Tx, id_: str) -> None:
    """Delete a category; who left it stays known."""
    tx.execute(delete(categories).where(_c.id == id_))


def are_pending(tx: Tx, names: Sequence[str]) -> bool:
    """Return whether something of these categories is still to be sent."""
    return bool(tx.execute(select(exists().where(PENDING, notifications.c.category.in_(names)))).scalar())


def leave(tx: Tx, row_id: str, user_id: str, name: str, source: OptOutSource) -> bool:
    """Write down that a user left a category; return False where that is so already."""
    made = tx.dialect.insert(category_opt_outs).values(
        id=row_id, user_id=user_id, category=name, source=source.value, created_at=tx.now
    )
    return tx.execute(made.on_conflict_do_nothing().returning(_o.id)).first() is not None


def leave_all(tx: Tx, said: Sequence[LeftCategory]) -> None:
    """Write down that users left categories. Raises IntegrityError where that is so already."""
    if said:
        tx.execute(insert(category_opt_outs), [{**each._asdict(), "created_at": tx.now} for each in said])


def left_by(tx: Tx, user_ids: Iterable[str] | None) -> list[LeftCategory]:
    """Return what these users left, or what anybody did."""
    found = select(_o.id, _o.user_id, _o.category, _o.source)
    if user_ids is not None:
        found = found.where(tx.dialect.is_any(_o.user_id, list(user_ids)))
    return [LeftCategory(*row) for row in tx.execute(found)]


def come_back(tx: Tx, user_id: str, name: str) -> str | None:
    """Forget that a user left a category and return the opt-out's id; None where the user had not."""
    theirs = (_o.user_id == user_id, _o.category == name)
    return tx.execute(delete(category_opt_outs).where(*theirs).returning(_o.id)).scalar()


def opt_outs(tx: Tx, user_id: str) -> list[OptOut]:
    """Return which categories a user left, the latest first."""
    found = select(_o.id, _o.user_id, users.c.username, _o.category, _o.source, _o.created_at)
    found = found.join_from(category_opt_outs, users, users.c.id == _o.user_id).where(_o.user_id == user_id)
    return [OptOut(*row) for row in tx.execute(found.order_by(_o.created_at.desc(), _o.id))]


_COLUMNS = (_c.id, _c.name, _c.kind, _c.description, _c.provider_group, _c.created_at, _c.updated_at)


def _listing() -> Select[Any]:
    left = select(func.count()).select_from(category_opt_outs).where(_o.category == _c.name).correlate(categories)
    return select(*_COLUMNS, left.scalar_subquery().label("left_by"))
