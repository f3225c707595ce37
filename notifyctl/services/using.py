"""What stops rows of a file, with what those before them use up of their users' caps and limits."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Protocol, TypeGuard

from notifyctl.core import userlimit
from notifyctl.core.gate import Person, PutOff, Verdict, Wait
from notifyctl.core.localtime import local_day
from notifyctl.core.submission import Plan
from notifyctl.core.userlimit import SLOTS


class Seen(Protocol):
    """Counts digests."""

    def next(self, digest: bytes) -> int:
        """Return how often this digest has come, this time included."""


class Using:
    """Rows of one file, asked one after the other."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def verdict(self, planned: Plan) -> Verdict:
        """Return what would stop a row: those before it count against caps and limits as well."""
        person, row = planned.known.person, planned.row
        verdict = planned.objection
        if person is None or not _goes_today(verdict):
            return verdict
        if person.cap is not None and person.counts:
            day = local_day(person.where.zone, row.due_at).number
            earlier = self._earlier(row.user_id, row.message_type, day)
            person = person._replace(used=person.used + earlier)
            verdict = _judged(planned, person)
        limit = person.limit
        if limit is not None and _goes_today(verdict):
            second = row.due_at // 1_000
            earlier = self._earlier(row.user_id, second // (SLOTS + 1))
            before = userlimit.used(person.slots, row.due_at) + earlier
            person = person._replace(slots=(*person.slots, (second, earlier)))
            verdict = _later(_judged(planned, person), before, limit)
        return verdict

    def _earlier(self, *what: object) -> int:
        """Return how many rows before this one count as this one does."""
        return self._seen.next(sha256(repr(what).encode()).digest()[:16]) - 1


def _judged(planned: Plan, person: Person) -> Verdict:
    return planned._replace(known=planned.known._replace(person=person)).objection


def _goes_today(verdict: Verdict) -> bool:
    """Return whether it uses up caps and limits: what waits for a minute's limit does as well."""
    return verdict is None or _is_of_limit(verdict)


def _is_of_limit(verdict: Verdict) -> TypeGuard[PutOff]:
    return isinstance(verdict, PutOff) and verdict.wait is Wait.LIMIT


def _later(verdict: Verdict, before: int, limit: int) -> Verdict:
    """Return what the user's limit makes of a row: each window's length takes no more than that."""
    if not _is_of_limit(verdict):
        return verdict
    windows = max(0, before // max(limit, 1) - 1)
    return replace(verdict, until=verdict.until + windows * (SLOTS + 1) * 1_000)
