"""Conditions that people are told of: what is seen of them, and what was told.

One dispatcher looks for all, each time another perhaps. Looks are numbered, and what came of one is written only as
long as it is the last: whoever stood still between looking and writing writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from sqlalchemy import and_, delete, func, or_, select, tuple_, update

from notifyctl.core import conditions as core
from notifyctl.core.conditions import LOOK_MS, STALLED_MS, ConditionNews, KeptCondition, SeenCondition, Turn
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.webhook.health import LIMIT_MS
from notifyctl.store import bursts, providers, webhooks
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import IN_QUEUE
from notifyctl.store.schema.tables import (
    condition_looks,
    conditions,
    notification_dlq,
    notification_webhooks,
    notifications,
    users,
    webhook_deliveries,
)

HOUR_MS = 3_600_000
FRESH_MS = 12 * LOOK_MS
"""What nobody looked at for longer is not said to be so."""
MOST_COUNTED = 20_000

c, look = conditions.c, condition_looks.c
n, w, d = notifications.c, notification_webhooks.c, webhook_deliveries.c
_COLUMNS = tuple(each.name for each in fields(KeptCondition))


def take_turn(tx: Tx, *, anyway: bool = False) -> int | None:
    """Return the number of the look that is due now, for whoever asks first; None where it is not, unless `anyway`."""
    first = tx.dialect.insert(condition_looks).values(id=1, number=0, looked_at=0)
    tx.execute(first.on_conflict_do_nothing())
    # A moment to come was told by a clock that was put back since.
    due = or_(look.looked_at <= tx.now - LOOK_MS, look.looked_at > tx.now)
    looks = update(condition_looks) if anyway else update(condition_looks).where(due)
    taken = looks.values(number=look.number + 1, looked_at=tx.now)
    return tx.execute(taken.returning(look.number)).scalar_one_or_none()


def seen(tx: Tx) -> list[SeenCondition]:
    """Return what is so now."""
    configs = providers.listed(tx)
    return [
        *core.of_providers(configs, tx.now),
        *core.of_dead_letters(_buried(tx)),
        *core.of_suppressions(bursts.suppressed(tx)),
        *core.of_heads(dict(_heads(tx, configs)), tx.now),
        *core.of_receivers(receivers(tx), tx.now),
    ]


def settle(tx: Tx, number: int, found: Sequence[SeenCondition]) -> list[ConditionNews]:
    """Write what a look comes to, and return what is to be told of it; nothing where another one came after it."""
    held = update(condition_looks).where(look.number == number).values(number=number).returning(look.id)
    if tx.execute(held).first() is None:
        return []
    judged = core.judge(kept(tx), found, tx.now)
    if judged.gone:
        tx.execute(delete(conditions).where(tuple_(c.condition, c.subject).in_(judged.gone)))
    if judged.kept:
        statement = tx.dialect.insert(conditions)
        new = {name: statement.excluded[name] for name in _COLUMNS[2:]}
        written = statement.on_conflict_do_update(index_elements=["condition", "subject"], set_=new)
        tx.execute(written, [asdict(each) for each in judged.kept])
    return [_explained(tx, each) for each in judged.news]


def kept(tx: Tx) -> list[KeptCondition]:
    """Return all that is kept, told or not yet."""
    return [KeptCondition(*row) for row in tx.execute(select(*(c[name] for name in _COLUMNS)))]


def in_force(tx: Tx) -> list[KeptCondition]:
    """Return what was told and is so still, the newest first; nothing where nobody looks any more."""
    fresh = select(look.id).where(look.looked_at > tx.now - FRESH_MS).exists()
    rows = tx.execute(select(*(c[name] for name in _COLUMNS)).where(c.has_begun, fresh).order_by(c.since.desc()))
    return [KeptCondition(*row) for row in rows]


def receivers(tx: Tx) -> list[webhooks.OwnedWebhook]:
    """Return the webhooks whose receivers fail for long, and those that were disabled for it."""
    failing = and_(w.is_active, w.failing_since <= tx.now - LIMIT_MS // 2)
    return webhooks.that(tx, or_(failing, and_(~w.is_active, w.disabled_because.is_not(None))))


def stalled_delivery(tx: Tx) -> tuple[str, int] | None:
    """Return the next delivery, of what is new, that is due for long, and since when; a receiver may rest."""
    resting = w.rests_until > tx.now
    listening = select(w.id).where(w.is_active, or_(w.rests_until.is_(None), ~resting)).subquery()
    due = and_(d.webhook_id == listening.c.id, ~d.is_replay, d.next_retry_at <= tx.now - STALLED_MS)
    row = tx.execute(select(d.id, d.next_retry_at).where(due).order_by(d.next_retry_at, d.id).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _explained(tx: Tx, news: ConditionNews) -> ConditionNews:
    """Return news as they are told: a receiver's end with why, where it is no recovery."""
    if news.turn is Turn.BEGAN or news.of.condition not in core.OF_RECEIVERS:
        return news
    found = webhooks.that(tx, users.c.username + "/" + w.name == news.of.subject)
    return ConditionNews(news.turn, core.without_recovery(news.of, found[0].webhook if found else None))


def _buried(tx: Tx) -> int:
    """Return how many dead letters of the last hour wait for somebody, of very many not all."""
    letter = notification_dlq.c
    recent = select(letter.id).where(~letter.resolved, letter.moved_to_dlq_at > tx.now - HOUR_MS).limit(MOST_COUNTED)
    return tx.execute(select(func.count()).select_from(recent.subquery())).scalar_one()


def _heads(tx: Tx, configs: Sequence[ProviderConfig]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the next of each queue where that is due for long: of providers that something is sent by, and webhooks."""
    for config in configs:
        if config.hold(tx.now) is None:
            heads = [each for critical in (True, False) if (each := _head(tx, config.provider_name, critical=critical))]
            if heads:
                yield config.provider_name, min(heads, key=lambda each: each[1])
    delivery = stalled_delivery(tx)
    if delivery is not None:
        yield core.WEBHOOKS, delivery


def _head(tx: Tx, provider: str, *, critical: bool) -> tuple[str, int] | None:
    is_critical = n.is_critical if critical else ~n.is_critical
    due = (IN_QUEUE, n.provider == provider, is_critical, n.due_at <= tx.now - STALLED_MS)
    row = tx.execute(select(n.id, n.due_at).where(*due).order_by(n.due_at, n.id).limit(1)).first()
    return None if row is None else (row[0], row[1])
