"""What an operator should hear of API keys: which end soon, and which were refused."""

from __future__ import annotations

from collections.abc import Iterable

from notifyctl.core.duration import age
from notifyctl.core.refusal import RefusedFor
from notifyctl.services.presence import Problem
from notifyctl.store import keys, refusals
from notifyctl.store.db.tx import Tx
from notifyctl.store.keys import Key
from notifyctl.store.refusals import NotedRefusal

HEARD_MS = 3_600_000
"""For how long after it a refusal is told."""
MOST_TOLD = 3

_TRIED = "an unknown API key was tried"
_WORDS = {
    RefusedFor.REVOKED: "is revoked",
    RefusedFor.EXPIRED: "has expired",
    RefusedFor.SCOPE: "has not the scope",
    RefusedFor.RESTRICTED: "may not submit that, or make such keys",
    RefusedFor.LIMIT: "is over its user's limit of calls",
}


def problems(tx: Tx) -> list[Problem]:
    """Return what is to be told."""
    return [*_expiring(keys.expiring(tx), tx.now), *_refused(refusals.latest(tx, tx.now - HEARD_MS), tx.now)]


def _expiring(soon: list[Key], now: int) -> Iterable[Problem]:
    if len(soon) > MOST_TOLD:
        first = age((soon[0].expires_at or now) - now)
        told = f"{len(soon):,} API keys end within 14 days, the first in {first}"
        yield Problem("keys_expiring", told, "notifyctl keys list --expiring")
        return
    for key in soon:
        ends = age((key.expires_at or now) - now)
        hint = f"notifyctl keys rotate {key.id[:8]} --overlap 1d"
        yield Problem("key_expiring", f"API key {key.name} of {key.username} ends in {ends}", hint)


def _refused(noted: list[NotedRefusal], now: int) -> Iterable[Problem]:
    for each in noted[:MOST_TOLD]:
        ago = age(now - each.last_at)
        if each.key_id is None:
            what = "somebody without an API key was refused" if each.reason == RefusedFor.MISSING else _TRIED
            yield Problem(f"key_{each.reason}", f"{what} {ago} ago: {each.agent}", "notifyctl keys create, if need be")
            continue
        why = _WORDS.get(RefusedFor(each.reason), each.reason)
        what = f" {each.wanted}" if each.reason == RefusedFor.SCOPE else ""
        told = f"API key {each.key_name} of {each.username} was refused {ago} ago: it {why}{what}"
        yield Problem("key_refused", told, f"notifyctl keys show {each.key_id[:8]}")
