"""Which policy was adopted last, and what the one before it put off: judged anew, in portions.

The policy is the dispatchers' configuration. What tells one from another is its digest; the database keeps the digest
that was adopted last, and how far the waking got, so that it goes on where it was broken off.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, update

from notifyctl.core.change import Row, Wake
from notifyctl.core.gate import BY_RULES
from notifyctl.core.model import Channel, Status
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.dispatchers import ALIVE_MS
from notifyctl.store.hours import METRIC_AT
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.states import still
from notifyctl.store.schema.tables import adopted_policy, dispatchers, notifications

PORTION = 500
"""How many are made due again at a time."""

_THE_ROW = 1
_BEGINNING = ""

n, a, d = notifications.c, adopted_policy.c, dispatchers.c


def adopt(tx: Tx, digest: str) -> bool:
    """Adopt a policy unless it is the one adopted last; return whether another one was.

    What that one put off is then to be woken (`wake_portion`), and what it counted for caps is counted again. Of
    several who adopt the same at once it is one.
    """
    row = {"id": _THE_ROW, "digest": digest, "adopted_at": tx.now}
    first = tx.dialect.insert(adopted_policy).values(row).on_conflict_do_nothing().returning(a.id)
    if tx.execute(select(a.digest)).scalar_one_or_none() is None and tx.execute(first).first() is not None:
        return False
    if tx.execute(select(a.digest)).scalar_one() == digest:
        return False
    old = tx.execute(tx.dialect.lock_row(select(a.digest))).scalar_one()
    if old == digest:  # somebody else was first
        return False
    tx.execute(update(adopted_policy).values(digest=digest, adopted_at=tx.now))
    judge_anew(tx)
    tx.audit("adopt", "policy", [(None, {"digest": [old, digest]})])
    return True


def judge_anew(tx: Tx) -> None:
    """Let dispatchers wake all that rules put off, and count again for caps: what holds for many changed."""
    tx.execute(update(adopted_policy).values(woken_to=_BEGINNING))
    standings.forget_counts(tx)


def is_waking(tx: Tx) -> bool:
    """Return whether there is still something to be woken: also what one put off that died with an older policy."""
    waits = or_(a.woken_to.is_not(None), exists().where(_died_with_another(tx, a.digest)))
    return tx.execute(select(a.digest).where(waits)).first() is not None


def differs(tx: Tx, digest: str) -> bool:
    """Return whether those who dispatch go by another policy: all that are alive; where none is, whoever was last."""
    adopted = tx.execute(select(a.digest)).scalar_one_or_none()
    alive = _of_the_living(tx)
    return digest not in alive if alive else adopted not in (None, digest)


def will_wake(tx: Tx, digest: str) -> bool:
    """Return whether a dispatcher with that policy has something to wake, or will adopt it and then has."""
    adopted = tx.execute(select(a.digest)).scalar_one_or_none()
    if adopted is None:
        return False
    alive = _of_the_living(tx)
    is_next = not alive or digest in alive  # else the policy is of somebody who only looks
    return is_waking(tx) or (adopted != digest and is_next)


def _of_the_living(tx: Tx) -> set[str]:
    """Return by which policies dispatchers go that are alive."""
    living = (d.heartbeat_at >= tx.now - ALIVE_MS, d.policy_digest.is_not(None))
    return set(tx.execute(select(d.policy_digest).where(*living).distinct()).scalars())


def wake_portion(tx: Tx, by: int | None = None, most: int = PORTION) -> bool:
    """Make due again at most so many that an older policy put off; return whether there may be more.

    They are due at the transaction's moment, or at `by` if that is earlier. Each is woken once: what the policy now in
    force puts off meanwhile stays so. What somebody else works on is due anyway; who finds somebody else waking leaves
    it to them.
    """
    state = tx.execute(tx.dialect.skip_locked(select(a.digest, a.woken_to), adopted_policy)).one_or_none()
    if state is None or (state.woken_to is None and not _forget_the_dead(tx, state.digest)):
        return False
    after = _BEGINNING if state.woken_to is None else state.woken_to
    found = tx.execute(tx.dialect.skip_locked(_put_off(tx.now, after, most), notifications)).all()
    rows = [Row(id_, None, provider, Channel(kind), at) for id_, provider, kind, at in found]
    due_at = tx.now if by is None else min(by, tx.now)
    apply(tx, [Wake(row, due_at=due_at) for row in rows])
    tx.execute(update(adopted_policy).values(woken_to=rows[-1].id if rows else None))
    return bool(rows)


def leave(tx: Tx, digest: str) -> None:
    """Let be woken once more what a dispatcher that leaves put off, if its policy is not the one adopted last."""
    if tx.execute(select(a.digest).where(a.digest != digest)).first() is not None:
        judge_anew(tx)


def _died_with_another(tx: Tx, digest: str | ColumnElement[str]) -> ColumnElement[bool]:
    return and_(d.policy_digest != digest, d.heartbeat_at < tx.now - ALIVE_MS)


def _forget_the_dead(tx: Tx, digest: str) -> bool:
    """Take from those that died with another policy the note of that; return whether there were any."""
    dead = update(dispatchers).where(_died_with_another(tx, digest)).values(policy_digest=None)
    found = tx.execute(dead.returning(d.id)).first() is not None
    if found:
        standings.forget_counts(tx)
    return found


def _put_off(now: int, after: str, most: int) -> Select[tuple[str, str, str, int]]:
    found = select(n.id, n.provider, n.message_type, METRIC_AT)
    found = found.where(still(Status.PENDING), n.deferred_by.is_not(None), n.deferred_by.in_(BY_RULES), n.id > after)
    return found.where(n.lease_id.is_(None), n.due_at > now).order_by(n.id).limit(most)
