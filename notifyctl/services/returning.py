"""What will stop notifications that are brought back: judged as new ones are, behind what is due before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from notifyctl.core.errors import NotAllowed
from notifyctl.core.gate import Person, Verdict
from notifyctl.core.notification import Notification
from notifyctl.core.policy import Policy
from notifyctl.core.submission import New, Plan, Recipient, SubmissionFacts
from notifyctl.services import judging
from notifyctl.services.ahead import DueLines
from notifyctl.services.bulk import Acted
from notifyctl.services.judging import Saying
from notifyctl.services.using import Using
from notifyctl.store import notifications as store
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.lines import in_order
from notifyctl.store.standings import Whom
from notifyctl.store.submissions import are_rules_asked

PORTION = 2_000


def judged(tx: Tx, acted: Sequence[Acted], policy: Policy) -> list[Acted]:
    """Return what was done, with what will stop those that are to be sent; of a single one in words, too.

    They are stored by then. Where addresses are sealed, and no encryption key is here that
    tells whose is suppressed, nothing is said: it is no reason not to do it.
    """
    try:
        return _judged(tx, acted, policy)
    except NotAllowed:
        return list(acted)


class _Digests:
    """Counts digests in memory, where the ids of all are as well."""

    def __init__(self) -> None:
        self._times = Counter[bytes]()

    def next(self, digest: bytes) -> int:
        """Return how often this digest has come, this time included."""
        self._times[digest] += 1
        return self._times[digest]


def _judged(tx: Tx, acted: Sequence[Acted], policy: Policy) -> list[Acted]:
    ids = in_order(tx, [each.new_id or each.id for each in acted if each.done])
    using, lines = Using(_Digests()), DueLines(policy, tx.now, frozenset(ids))
    stands: dict[str, tuple[Verdict, str | None]] = {}
    for begin in range(0, len(ids), PORTION):
        for plan in lines.behind(tx, _plans(tx, ids[begin : begin + PORTION], policy)):
            remark = plan.remark if len(ids) == 1 else None
            stands[plan.row.id] = using.verdict(plan) if plan.may_be_stopped else None, remark
    found = ((each, stands.get(each.new_id or each.id)) for each in acted)
    return [each if told is None else replace(each, stands=told[0], remark=told[1]) for each, told in found]


def _plans(tx: Tx, ids: Sequence[str], policy: Policy) -> list[Plan]:
    """Return those that can be read, and whose provider is known, as what is submitted is planned."""
    found = store.get(tx, ids)
    rows = [found[id_] for id_ in ids if id_ in found]
    says = ((row, judging.said(row.user_id, row.message_type, row.payload, row.category)) for row in rows)
    read = [(row, said) for row, said in says if said is not None]
    about = judging.known(tx, [said for _, said in read])
    persons = _persons(tx, [(row, known) for (row, _), known in zip(read, about, strict=True)], policy)
    plans = (_plan(*each, known, who, tx.now) for each, known, who in zip(read, about, persons, strict=True))
    return [plan for plan in plans if plan is not None]


def _persons(tx: Tx, asked: Sequence[tuple[Notification, SubmissionFacts]], policy: Policy) -> list[Person | None]:
    """Return what rules know of their users at the moments that they are for."""
    whom = {
        place: (_due_at(row, tx.now), Whom(row.user_id, row.message_type, row.category))
        for place, (row, known) in enumerate(asked)
        if isinstance(known.recipient, Recipient) and are_rules_asked(known.recipient, row.category, policy)
    }
    found = standings.then(tx, whom, policy)
    persons: list[Person | None] = [None] * len(asked)
    for place, standing in found.items():
        row, _ = asked[place]
        persons[place] = standing.person(whom[place][1], critical=row.is_critical, counted_at=row.counted_at)
    return persons


def _plan(row: Notification, said: Saying, known: SubmissionFacts, person: Person | None, now: int) -> Plan | None:
    provider = next((each for each in known.providers if each.provider_name == row.provider), None)
    if provider is None or not isinstance(known.recipient, Recipient):
        return None
    _, channel, says, _ = said
    mail, _ = judging.against(known, channel, says, person)
    new = New(
        id=row.id,
        user_id=row.user_id,
        idempotency_key=row.idempotency_key,
        message_type=row.message_type,
        provider=row.provider,
        payload=row.payload,
        max_retries=row.max_retries,
        created_at=row.created_at,
        send_at=row.send_at,
        due_at=_due_at(row, now),
        expires_at=row.expires_at,
        content_hash=row.content_hash,
    )
    return Plan("", new, known.recipient, provider, mail, known._replace(person=person))


def _due_at(row: Notification, now: int) -> int:
    return now if row.due_at is None else max(row.due_at, now)
