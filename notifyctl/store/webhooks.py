"""Webhooks: how they are set up, and how their receivers have behaved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, delete, func, or_, select, update

from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import encode, stored
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.store import ids
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import notification_webhooks, users, webhook_deliveries

w, d = notification_webhooks.c, webhook_deliveries.c
_COLUMNS = tuple(each.name for each in fields(Webhook))
_LIST = "notifyctl webhooks list"


class OwnedWebhook(NamedTuple):
    """A webhook, and whose it is."""

    webhook: Webhook
    username: str


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    """Which webhooks; None and False narrow nothing."""

    user_id: str | None = None
    failing: bool = False
    disabled: bool = False


class Backlog(NamedTuple):
    """How many deliveries of a webhook did not arrive, and when the oldest of them was written."""

    undelivered: int
    oldest_at: int


def create(tx: Tx, webhook: Webhook) -> bool:
    """Store a new webhook; return False where its user has one of that name."""
    statement = tx.dialect.insert(notification_webhooks).values(_stored(asdict(webhook)))
    made = statement.on_conflict_do_nothing(index_elements=["user_id", "name"]).returning(w.id)
    return tx.execute(made).first() is not None


def get(tx: Tx, webhook_id: str) -> Webhook | None:
    """Return the webhook of that id."""
    found = tx.execute(_select().where(w.id == webhook_id)).first()
    return None if found is None else of_row(found)


def lock(tx: Tx, webhook_id: str) -> Webhook | None:
    """Return the webhook of that id, locked until the transaction ends; deliveries may be added meanwhile."""
    found = tx.execute(tx.dialect.lock_gently(_select().where(w.id == webhook_id))).first()
    return None if found is None else of_row(found)


def lock_wholly(tx: Tx, webhook_id: str) -> Webhook | None:
    """The same, waiting for all who write deliveries for it, and letting none be added meanwhile."""
    found = tx.execute(tx.dialect.lock_row(_select().where(w.id == webhook_id))).first()
    return None if found is None else of_row(found)


def find(tx: Tx, ref: str) -> OwnedWebhook:
    """Return the webhook that `ref` means: its id, a unique beginning of one, its name, or USER/NAME.

    Raises NotFound, and UsageError, which names them, when it means several.
    """
    text = ref.strip()
    means = [w.name == text, users.c.username + "/" + w.name == text]
    if len(text) >= ids.PREFIX_MIN and ids.bounds(text):
        means.append(ids.begins(w.id, text))
    found = _owned(tx, _of_users().where(or_(*means)).limit(ids.SHOWN_CANDIDATES + 1)) if text.isprintable() else []
    if not found:
        raise NotFound(f"there is no webhook {ids.shown(ref)}", _LIST)
    if len(found) > 1:
        named = [f"{each.username}/{each.webhook.name}" for each in found]
        raise UsageError(f"{ids.shown(ref)} means more than one webhook", ids.candidates(sorted(named)))
    return found[0]


def named(tx: Tx, user_id: str, name: str) -> Webhook | None:
    """Return a user's webhook of that name."""
    found = tx.execute(_select().where(w.user_id == user_id, w.name == name)).first()
    return None if found is None else of_row(found)


def of_users(tx: Tx, user_ids: Sequence[str] | None) -> list[OwnedWebhook]:
    """Return the webhooks of these users, of all where none are named."""
    found = _of_users()
    return _owned(tx, found if user_ids is None else found.where(tx.dialect.is_any(w.user_id, user_ids)))


def that(tx: Tx, condition: ColumnElement[bool]) -> list[OwnedWebhook]:
    """Return the webhooks of which that is so, in the order of their names."""
    return _owned(tx, _of_users().where(condition).order_by(users.c.username, w.name))


def by_ids(tx: Tx, webhook_ids: Sequence[str]) -> list[OwnedWebhook]:
    """Return the webhooks of these ids that there are."""
    return _owned(tx, _of_users().where(tx.dialect.is_any(w.id, webhook_ids)))


def page(tx: Tx, wanted: WebhookFilter, after: Cursor | None, limit: int) -> list[OwnedWebhook]:
    """Return at most `limit` of those wanted after the cursor, newest first."""
    return _owned(tx, newest_first(_of_users(), w.created_at, w.id, after, limit).where(*_conditions(wanted)))


def count(tx: Tx, wanted: WebhookFilter) -> int:
    """Return how many match."""
    return tx.execute(select(func.count()).select_from(notification_webhooks).where(*_conditions(wanted))).scalar_one()


def backlogs(tx: Tx) -> dict[str, Backlog]:
    """Return what did not arrive, by webhook; those that have everything are missing."""
    counted = select(d.webhook_id, func.count(), func.min(d.created_at)).where(~d.delivered).group_by(d.webhook_id)
    return {row[0]: Backlog(row[1], row[2]) for row in tx.execute(counted)}


def inactive(tx: Tx, webhook_ids: Iterable[str]) -> set[str]:
    """Return which of these are told nothing."""
    return set(tx.execute(select(w.id).where(tx.dialect.is_any(w.id, webhook_ids), ~w.is_active)).scalars())


def change(tx: Tx, webhook_id: str, values: Mapping[str, Any]) -> None:
    """Write columns of a webhook."""
    tx.execute(update(notification_webhooks).where(w.id == webhook_id).values(_stored(values)))


def remove(tx: Tx, webhook_id: str) -> None:
    """Delete a webhook with its deliveries."""
    tx.execute(delete(notification_webhooks).where(w.id == webhook_id))


def of_row(row: Row[Any]) -> Webhook:
    """Return the webhook of a row with all its columns."""
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Webhook(
        **{**values, "events": tuple(each for each in stored(row.events, list[str]()) if isinstance(each, str))}
    )


def _select() -> Select[Any]:
    return select(*(w[name] for name in _COLUMNS))


def _of_users() -> Select[Any]:
    return _select().add_columns(users.c.username).join_from(notification_webhooks, users, users.c.id == w.user_id)


def _owned(tx: Tx, statement: Select[Any]) -> list[OwnedWebhook]:
    return [OwnedWebhook(of_row(row), row.username) for row in tx.execute(statement)]


def _conditions(wanted: WebhookFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.user_id is not None:
        found.append(w.user_id == wanted.user_id)
    if wanted.failing:
        found += [w.failing_since.is_not(None), w.is_active]
    if wanted.disabled:
        found.append(~w.is_active)
    return found


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    if "events" not in values:
        return dict(values)
    return {**values, "events": encode(list(values["events"])).decode()}
