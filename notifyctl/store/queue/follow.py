"""What follows from changes, in one place: whoever changes a notification's status, or makes one, goes through here.

Metrics to be counted again, addresses that are dead, audit rows, what webhooks are told, and hints to dispatchers.
Nothing else does any of it by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from notifyctl.core.batch import ids_digest
from notifyctl.core.change import Audit, Change
from notifyctl.core.model import Claim
from notifyctl.core.submission import New
from notifyctl.core.webhook.telling import CREATED, Tidings, tellings
from notifyctl.store import hints, metrics, standings, suppressions
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import outbox
from notifyctl.store.standings import Counted
from notifyctl.store.suppressions import AddressNews, Learned


def follow(tx: Tx, done: Sequence[Change], *, is_heard: bool, known: Mapping[str, Tidings] | None = None) -> None:
    """Write what follows from changes, in their transaction.

    `is_heard`: there are webhooks; `known` are some of the notifications as they are now, by their ids.
    """
    metrics.mark_dirty(tx, (change.of.metric_at for change in done if change.recounts))
    suppressions.learn(tx, _refusals(done))
    standings.give_back(tx, _counted(done))
    standings.let_count(tx, _perhaps_sent(done))
    _account(tx, [(change.of.id, audit) for change in done if (audit := change.audit) is not None])
    if is_heard:
        outbox.put(tx, [(change.of.id, telling) for change in done for telling in tellings(change)], known)
    hints.give(tx, (change.of.provider for change in done if (at := change.wakes_at) is not None and at <= tx.now))


def follow_words(tx: Tx, said: Sequence[AddressNews]) -> Learned:
    """Write what follows from words on addresses, which change no notification; return what was new in them."""
    return suppressions.learn(tx, said)


def follow_new(tx: Tx, rows: Sequence[New], *, is_heard: bool) -> None:
    """Write what follows from new notifications, in the transaction that inserted them; `is_heard`: as above."""
    _account(tx, [(row.id, row.audit) for row in rows if row.batch_id is None])
    _account_batches(tx, rows)
    if is_heard:
        outbox.put(tx, [(row.id, CREATED) for row in rows])
    hints.give(tx, (row.provider for row in rows if row.wakes))


def _account_batches(tx: Tx, rows: Sequence[New]) -> None:
    """Write one audit row for what was submitted together: how many there were, and what tells which."""
    together: dict[str, list[str]] = {}
    for row in rows:
        if row.batch_id is not None:
            together.setdefault(row.batch_id, []).append(row.id)
    said = [(id_, {"count": len(ids), "ids_sha256": ids_digest(ids)}) for id_, ids in together.items()]
    tx.audit("submit", "batch", said)


def _refusals(done: Sequence[Change]) -> list[AddressNews]:
    return [AddressNews(change.of.channel, refusal, change.of.id) for change in done for refusal in change.refusals]


def _counted(done: Sequence[Change]) -> list[Counted]:
    claims = (each.of for each in done if each.uncounts and isinstance(each.of, Claim) and each.of.counted)
    return [Counted(claim.id, claim.user_id, claim.channel.value, claim.claimed_at) for claim in claims]


def _perhaps_sent(done: Sequence[Change]) -> list[Counted]:
    claims = (each.of for each in done if each.is_in_doubt and isinstance(each.of, Claim) and not each.of.counted)
    return [Counted(claim.id, claim.user_id, claim.channel.value, claim.claimed_at) for claim in claims]


def _account(tx: Tx, said: Sequence[tuple[str, Audit]]) -> None:
    """Write the audit rows, in the order of the notifications."""
    for action in dict.fromkeys(audit.action for _, audit in said):
        tx.audit(action, "notification", [(id_, audit.changes) for id_, audit in said if audit.action == action])
