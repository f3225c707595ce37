"""What rules know of the people to whom the rows of one claim go, and what is counted for those that pass.

Rows are judged one after the other, each with what those before it have used up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import update

from notifyctl.core.gate import Person
from notifyctl.core.model import Channel, Claim, Message, Subscription
from notifyctl.core.policy import Policy
from notifyctl.core.triage import Due, Reading
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notifications
from notifyctl.store.standings import Day, Standings, Whom, counts_in

_n = notifications.c


class Rules:
    """What is known when a claim begins to judge, and grows with what it takes."""

    def __init__(self, known: Standings, now: int) -> None:
        self._known = known
        self._now = now
        self._used: Counter[Day] = Counter()
        self._sent: Counter[str] = Counter()
        self._counted: list[str] = []

    @classmethod
    def of(cls, tx: Tx, due: Sequence[Due], policy: Policy, lease_id: str) -> Rules:
        """Return what rules know of the people of these rows, whom nobody else counts for meanwhile."""
        ruled = [_whom(row) for row in due if row.ruled or policy.notification_limit is not None]
        standings.lock(tx, (each.user_id for each in ruled))
        return cls(standings.of(tx, ruled, policy, lease_id), tx.now)

    def addressed(self, row: Due, reading: Reading) -> Reading:
        """Return what a row of a category says, as a message of that category's group of mails."""
        person = self._known.persons.get(_whom(row))
        return reading if person is None or not isinstance(reading, Message) else person.addressed(reading)

    def person(self, row: Due) -> Person | None:
        """Return what there is to know of a row's user; None where there is nothing."""
        if not self._known.persons:
            return None
        whom = _whom(row)
        person = self._known.person(whom, critical=row.is_critical, counted_at=row.counted_at)
        if person is None:
            return None
        day, more = self._known.days.get(whom), self._sent[whom.user_id]
        used = person.used if day is None else person.used + self._used[day]
        slots = (*person.slots, (self._now // 1_000, more)) if more else person.slots
        return person._replace(used=used, slots=slots)

    def taken(self, row: Due, claim: Claim) -> Claim:
        """Note that a row is taken, and return its claim, which knows whether it was counted by it."""
        if not self._known.persons:
            return claim
        whom = _whom(row)
        person = self._known.persons.get(whom)
        if person is None:
            return claim
        if person.marketing and claim.channel is Channel.EMAIL:
            of = Subscription(row.user_id, person.category or "", self._now)
            claim = claim._replace(message=replace(claim.message, subscription=of))
        if person.limit is not None:
            self._sent[whom.user_id] += 1
        day = self._known.days.get(whom)
        if day is None or not person.counts or counts_in(row.counted_at, day):
            return claim
        self._used[day] += 1
        self._counted.append(row.id)
        return claim._replace(counted=True)

    def write(self, tx: Tx) -> None:
        """Write what was counted."""
        before = {day: self._known.persons[whom].used for whom, day in self._known.days.items()}
        standings.count(tx, {day: used + self._used[day] for day, used in before.items()}, self._sent)
        if self._counted:
            counted = update(notifications).where(tx.dialect.is_any(_n.id, self._counted))
            tx.execute(counted.values(counted_at=tx.now))


def _whom(row: Due) -> Whom:
    return Whom(row.user_id, row.message_type, row.category)
