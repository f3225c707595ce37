"""Categories: what notifications are about. People leave those of marketing one by one."""

from __future__ import annotations

import uuid
from collections.abc import Container, Sequence
from dataclasses import asdict, replace

from notifyctl.core import names
from notifyctl.core.category import CategoryKind
from notifyctl.core.category import provider_group as group_id
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.text import word
from notifyctl.store import adopting, templates
from notifyctl.store import categories as store
from notifyctl.store.categories import CategoryRow, ListedCategory
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx


@dataclass(frozen=True, slots=True)
class CreatedCategory(CategoryRow):
    """A category, and whether it is new."""

    created: bool


def create(
    db: Database, name: str, kind: CategoryKind, description: str | None, provider_group: str | None, *, keep: bool
) -> CreatedCategory:
    """Create a category; one that is there with these values is left as it is where `keep` says so.

    Raises UsageError for a malformed name, Conflict when there is one.
    """
    wanted = CategoryRow(
        "", names.category(name), kind.value, description or None, group_id(provider_group or ""), 0, 0
    )

    def work(tx: Tx) -> CreatedCategory:
        row = replace(wanted, id=str(uuid.uuid4()), created_at=tx.now, updated_at=tx.now)
        if store.create(tx, row):
            _told_its_kind(tx, [row])
            tx.audit("create", "category", [(row.id, _facts(row))])
            return CreatedCategory(**asdict(row), created=True)
        present = store.find(tx, row.name)
        if keep and _says(present) == _says(row):
            return CreatedCategory(**asdict(present), created=False)
        other = " with other values" if keep else ""
        raise Conflict(f"there is a category {row.name} already{other}", f"notifyctl categories show {row.name}")

    return db.write(work)


def get(db: Database, name: str) -> ListedCategory:
    """Return the category of that name. Raises NotFound."""
    with db.read() as tx:
        return store.listed(tx, name)


def listed(db: Database, after: Cursor | None, limit: int) -> list[ListedCategory]:
    """Return at most `limit` categories after the cursor, newest first."""
    with db.read() as tx:
        return store.page(tx, after, limit)


def count(db: Database) -> int:
    """Return how many categories there are."""
    with db.read() as tx:
        return store.count(tx)


def update(
    db: Database, name: str, *, kind: CategoryKind | None, description: str | None, provider_group: str | None
) -> CategoryRow:
    """Change what is given; an empty text removes it. Raises UsageError, NotFound.

    Of another kind, what rules put off is judged anew: whether contact windows hold, and whether it counts for caps.
    """
    if kind is None and description is None and provider_group is None:
        raise UsageError("nothing to change was given", "--kind, --description or --provider-group")

    def work(tx: Tx) -> CategoryRow:
        old = store.lock(tx, name)
        new = replace(
            old,
            kind=old.kind if kind is None else kind.value,
            description=old.description if description is None else description or None,
            provider_group=old.provider_group if provider_group is None else group_id(provider_group),
        )
        if not _changes(old, new):
            return old
        new = replace(new, updated_at=tx.now)
        put(tx, [], [(old, new)])
        return new

    return db.write(work)


def put(tx: Tx, new: Sequence[CategoryRow], changed: Sequence[tuple[CategoryRow, CategoryRow]]) -> None:
    """Write new categories, of names that none has, and others in the place of what they were, as `update` does."""
    store.create_all(tx, new)
    _told_its_kind(tx, new)
    tx.audit("create", "category", [(each.id, _facts(each)) for each in new])
    store.replace_all(tx, [each for _, each in changed])
    if any(old.kind != each.kind for old, each in changed):
        adopting.judge_anew(tx)
    tx.audit("update", "category", [(each.id, _changes(old, each)) for old, each in changed])


def _told_its_kind(tx: Tx, new: Sequence[CategoryRow]) -> None:
    """Let what is pending of these names be judged anew where it is no marketing, for which it was taken."""
    names = [each.name for each in new if each.kind != CategoryKind.MARKETING]
    if names and store.are_pending(tx, names):
        adopting.judge_anew(tx)


def delete(db: Database, name: str) -> ListedCategory:
    """Delete a category; who left it stays known.

    Raises NotFound, and Conflict while something of it is pending or to be made of a template.
    """

    def work(tx: Tx) -> ListedCategory:
        require_no_template(tx, store.lock(tx, name).name)
        return remove(tx, name)

    return db.write(work)


def require_no_template(tx: Tx, name: str, leaving: Container[str] = (), others: Container[str] = ()) -> None:
    """Raise Conflict where templates are of the category: nothing could be sent by them any more.

    Those whose ids are `leaving` do not count, nor those with the names of `others`.
    """
    of_it = templates.of_category(tx, name)
    found = [each for id_, each in of_it if id_ not in leaving and each not in others]
    if not found:
        return
    first, more = found[0], len(found) - 1
    said = f"templates {first} and {more:,} more are" if more else f"template {first} is"
    raise Conflict(f"{said} of the category {name}", f"notifyctl templates update {word(first)} --category ''")


def remove(tx: Tx, name: str) -> ListedCategory:
    """Delete a category as `delete` does, of which no template stays."""
    row = store.lock(tx, name)
    if store.are_pending(tx, [row.name]):
        hint = f"notifyctl notifications cancel --category {row.name}"
        raise Conflict(f"notifications of the category {row.name} are still to be sent", hint)
    gone = store.listed(tx, name)
    store.remove(tx, row.id)
    tx.audit("delete", "category", [(row.id, {"name": [row.name, None], "left_by": gone.left_by})])
    return gone


_SAID = ("name", "kind", "description", "provider_group")


def _facts(row: CategoryRow) -> dict[str, list[str | None]]:
    return {name: [None, getattr(row, name)] for name in _SAID}


def _changes(old: CategoryRow, new: CategoryRow) -> dict[str, list[str | None]]:
    pairs = {name: [getattr(old, name), getattr(new, name)] for name in _SAID}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _says(row: CategoryRow) -> tuple[str | None, ...]:
    return row.kind, row.description, row.provider_group
