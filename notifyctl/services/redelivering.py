"""Deliveries sent once more, and those made that a webhook would have had, had it listened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from operator import itemgetter

from notifyctl.core.errors import Conflict, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_hearing
from notifyctl.core.text import word
from notifyctl.core.timeordered import ordered_id
from notifyctl.core.webhook.event import PREFIX
from notifyctl.core.webhook.standing import DeliveryStanding
from notifyctl.core.webhook.target import host_of
from notifyctl.services import bulk, deliveries
from notifyctl.services.bulk import Acted, Selection
from notifyctl.services.deliveries import WHAT, DeliveryQuery, filter_of
from notifyctl.store import delivery_lists as store
from notifyctl.store import webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.delivery_lists import DeliveryFilter, DeliveryRow
from notifyctl.store.queue import redelivery, untold
from notifyctl.store.queue.untold import Untold
from notifyctl.store.selections import Pick

PORTION = 2_000
"""How many are queued in one transaction, so that others get a turn between."""
NEVER = "never told"


@dataclass(frozen=True, slots=True)
class RedeliveryQuery(DeliveryQuery):
    """Which deliveries: those that there are, unless only the ones that are `missing` are asked for."""

    missing: bool = False


@dataclass(slots=True)
class Redelivery:
    """One act: what it found missing is kept, so that just that is made."""

    interval_ms: float = 0.0
    untold: dict[str, Untold] = field(default_factory=dict)
    webhook_id: str = ""
    begun: int = 0

    def select(self, db: Database, query: RedeliveryQuery) -> Selection:
        """Return what a query means; of disabled webhooks nothing, unless one is named.

        Raises NotFound, UsageError for what is missing of no webhook, Conflict for a disabled one.
        """
        with db.read() as tx:
            wanted = replace(filter_of(tx, query), enabled=query.webhook is None)
            if query.webhook is not None:
                self._name(tx, query.webhook)
            there = store.picks(tx, wanted) if query.failed or not query.missing else []
            missing = self._missing(tx, query, wanted) if query.missing else []
            return _selection([*there, *missing])

    def act(self, db: Database, chosen: Sequence[str], *, by_filter: bool) -> list[Acted]:
        """Queue these; return the result for each, in their order."""
        acted = list[Acted]()
        for start in range(0, len(chosen), PORTION):
            some = dict(enumerate(chosen[start : start + PORTION], start))
            acted += db.write(partial(self._portion, some=some, by_filter=by_filter))
        return acted

    def _name(self, tx: Tx, ref: str) -> None:
        """Keep which webhook is meant."""
        owned = webhooks.find(tx, ref)
        self.webhook_id = owned.webhook.id
        if not owned.webhook.is_active:
            raise _is_disabled(f"{owned.username}/{owned.webhook.name}")

    def _missing(self, tx: Tx, query: RedeliveryQuery, wanted: DeliveryFilter) -> list[Pick]:
        if query.webhook is None:
            raise UsageError("--missing: nothing says of which webhook", "--webhook NAME")
        webhook = webhooks.find(tx, self.webhook_id).webhook
        since = webhook.created_at if wanted.since is None else wanted.since
        found = [each for each in untold.find(tx, webhook, since) if wanted.until is None or each[-1] < wanted.until]
        ordered = [Untold(ordered_id(tx.now), *each) for each in sorted(found, key=itemgetter(-1))]
        self.untold = {each.id: each for each in ordered}
        host = host_of(webhook.url)
        return [Pick(each.id, each.username, host, each.event.removeprefix(PREFIX), NEVER, each.at) for each in ordered]

    def _portion(self, tx: Tx, *, some: Mapping[int, str], by_filter: bool) -> list[Acted]:
        self.begun = self.begun or tx.now
        due = {id_: max(tx.now, self.begun + round(place * self.interval_ms)) for place, id_ in some.items()}
        there = [id_ for id_ in due if id_ not in self.untold]
        rows = store.get(tx, there)
        off = webhooks.inactive(tx, {row.webhook_id for row in rows.values()})
        may, others = bulk.split(there, rows, partial(_objection, off, tx.now), WHAT, by_filter=by_filter)
        done = redelivery.again(tx, [(row.id, due[row.id]) for row in may])
        for webhook_id, count in Counter(row.webhook_id for row in may if row.id in done).items():
            tx.audit("redeliver", "webhook", [(webhook_id, {"queued": count})])
        made = self._made(tx, [(self.untold[id_], due[id_]) for id_ in due if id_ in self.untold])
        told = {id_: Acted(id_, bulk.SKIPPED, "it was told meanwhile") for id_ in due if id_ in self.untold}
        news = {id_: Acted(id_, "made") for id_ in made}
        return bulk.in_order(list(due), done, "queued", {**others, **told, **news})

    def _made(self, tx: Tx, wanted: Sequence[tuple[Untold, int]]) -> set[str]:
        webhook = webhooks.lock(tx, self.webhook_id) if wanted else None
        if webhook is None:
            return set()
        if not webhook.is_active:
            raise _is_disabled(webhook.name)
        require_hearing(tx.actor.grant, webhook.user_id, all_users=webhook.all_users)
        made = untold.make(tx, webhook, wanted)
        if made:
            tx.audit("redeliver", "webhook", [(webhook.id, {"made": len(made)})])
        return made


def _objection(off: Collection[str], now: int, row: DeliveryRow) -> NotifyctlError | None:
    """Return why a delivery is not queued again."""
    if row.webhook_id in off:
        return _is_disabled(f"{row.owner}/{row.webhook}")
    if row.state == DeliveryStanding.IN_FLIGHT:
        return Conflict(f"delivery {row.id} is being made right now", "look at it and repeat")
    if row.state == DeliveryStanding.WAITING and (row.next_retry_at or 0) <= now:
        return Conflict(f"delivery {row.id} is due already", "notifyctl dispatch makes it")
    return None


def _is_disabled(called: str) -> Conflict:
    return Conflict(f"webhook {called} is disabled", f"notifyctl webhooks enable {word(called)} --redeliver")


def _selection(picks: Sequence[Pick]) -> Selection:
    return bulk.selection(picks, "state", "receiver", "event")


def resolve(db: Database, texts: Sequence[str]) -> Mapping[str, str | NotifyctlError]:
    """Return for each text the id that it means, or why it means none. Raises UsageError for an ambiguous one."""
    known = deliveries.resolve(db, texts)
    if ambiguous := next((error for error in known.values() if isinstance(error, UsageError)), None):
        raise ambiguous
    return known


def survey(db: Database, chosen: Sequence[str]) -> Selection:
    """Return what these deliveries are."""
    with db.read() as tx:
        return _selection(store.picks_of(tx, chosen))
