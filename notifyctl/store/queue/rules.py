"""What rules know of the people to whom the rows of one claim go, and what is counted for those that pass.

Rows are judged one after the other, each with what those before it have used up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import update

from notifyctl.core.change import Cancel, Change, Defer
from notifyctl.core.gate import Person, is_free
from notifyctl.core.model import Channel, Claim, Message, Subscription
from notifyctl.core.policy import Policy
from notifyctl.core.triage import Due, Reading
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notifications
from notifyctl.store.standings import Day, Standings, Whom, counts_in

_n = notifications.c


class Rules:
    """What is known when a claim begins to judge, and grows with what it takes.

    Most people's rules let most notifications pass and count nothing: that is seen once for all who have the same, by
    what the claim itself read.
    Who has something counted, and whom something is kept from, is asked of again under a lock (`hold`): nobody else
    counts for them meanwhile, and a rule that is loosened meanwhile wakes what was put off before.
    """

    def __init__(self, now: int, policy: Policy, due: Sequence[Due]) -> None:
        self._now = now
        self._policy = policy
        self._persons = _persons(due, policy, now)
        self._held: Standings | None = None
        self._used: Counter[Day] = Counter()
        self._sent: Counter[str] = Counter()
        self._counted: list[str] = []

    def addressed(self, row: Due, reading: Reading) -> Reading:
        """Return what a row of a category says, as a message of that category's group of mails."""
        person = self._persons.get(row.id)
        return reading if person is None or not isinstance(reading, Message) else person.addressed(reading)

    def person(self, row: Due) -> Person | None:
        """Return what there is to know of a row's user; None where nothing of that matters now."""
        person = self._persons.get(row.id)
        if person is None:
            return None
        if self._held is None:
            return person._replace(critical=True) if row.is_critical else person
        return self._counting(row, self._held)

    def is_to_ask_again(self, row: Due, result: Claim | Change) -> bool:
        """Whether what a row came to is sure only when nobody else counts, or changes rules, for its user."""
        person = self._persons.get(row.id)
        if person is None:
            return False
        return person.cap is not None or person.limit is not None or isinstance(result, (Cancel, Defer))

    def hold(self, tx: Tx, due: Sequence[Due], lease_id: str) -> None:
        """Let nobody else count, or change rules, for the users of these rows, and look again."""
        whom = [_whom(row) for row in due]
        standings.lock(tx, (each.user_id for each in whom))
        self._held = standings.of(tx, whom, self._policy, lease_id)

    def _counting(self, row: Due, held: Standings) -> Person | None:
        whom = _whom(row)
        person = held.person(whom, critical=row.is_critical, counted_at=row.counted_at)
        if person is None:
            return None
        day, more = held.days.get(whom), self._sent[whom.user_id]
        used = person.used if day is None else person.used + self._used[day]
        slots = (*person.slots, (self._now // 1_000, more)) if more else person.slots
        return person._replace(used=used, slots=slots)

    def taken(self, row: Due, claim: Claim) -> Claim:
        """Note that a row is taken, and return its claim, which knows whether it was counted by it."""
        held = self._held
        person = self._persons.get(row.id) if held is None else held.persons.get(_whom(row))
        if person is None:
            return claim
        if person.marketing and claim.channel is Channel.EMAIL:
            of = Subscription(row.user_id, person.category or "", self._now)
            claim = claim._replace(message=claim.message._replace(subscription=of))
        return claim if held is None else self._counted_for(row, claim, person, held)

    def _counted_for(self, row: Due, claim: Claim, person: Person, held: Standings) -> Claim:
        whom = _whom(row)
        day = held.days.get(whom)
        if person.limit is not None:
            self._sent[whom.user_id] += 1
        if day is None or not person.counts or counts_in(row.counted_at, day):
            return claim
        self._used[day] += 1
        self._counted.append(row.id)
        return claim._replace(counted=True)

    def write(self, tx: Tx) -> None:
        """Write what was counted."""
        if self._held is None:
            return
        before = {day: self._held.persons[whom].used for whom, day in self._held.days.items()}
        standings.count(tx, {day: used + self._used[day] for day, used in before.items()}, self._sent)
        if self._counted:
            counted = update(notifications).where(tx.dialect.is_any(_n.id, self._counted))
            tx.execute(counted.values(counted_at=tx.now))


def _whom(row: Due) -> Whom:
    return Whom(row.user_id, row.message_type, row.category)


def _persons(due: Sequence[Due], policy: Policy, now: int) -> dict[str, Person]:
    """Return what the claim read of the people of its rows, by the rows' ids; one for all of whom it is the same.

    Who is free of all rules now is not among them.
    """
    made: dict[tuple[str, str | None, str | None], Person | None] = {}
    found: dict[str, Person] = {}
    for row in due:
        if row.standing is None and policy.notification_limit is None:
            continue
        key = (row.message_type, row.category, row.standing)
        if key not in made:
            read = standings.person(*key, policy)
            made[key] = None if is_free(read, now) else read
        if (person := made[key]) is not None:
            found[row.id] = person
    return found
