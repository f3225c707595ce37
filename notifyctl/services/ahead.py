"""What goes before a notification that is due: others of the same person, which use up the same cap and limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from notifyctl.core import content, userlimit
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.gate import Person, gate
from notifyctl.core.model import Channel
from notifyctl.core.notification import Notification, State
from notifyctl.core.policy import Policy
from notifyctl.core.submission import SubmissionFacts
from notifyctl.core.userlimit import Slot
from notifyctl.services import judging
from notifyctl.services.judging import Saying
from notifyctl.store import notifications as store
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.notifications import InLine
from notifyctl.store.standings import Whom, counts_in


def in_line(tx: Tx, row: Notification, person: Person | None, policy: Policy) -> Person | None:
    """Return what rules know of the user of one that is due, with what those use up that go before it."""
    if person is None or row.state != State.DUE or _counts_nothing(person):
        return person
    return _behind(tx, row.user_id, person, store.due_before(tx, row), policy)


def last_in_line(tx: Tx, user_id: str, person: Person | None, policy: Policy) -> Person | None:
    """Return what rules know of a user for one more, with what those use up that are due."""
    if person is None or _counts_nothing(person):
        return person
    return _behind(tx, user_id, person, store.due_of(tx, user_id, critical=person.critical), policy)


def _counts_nothing(person: Person) -> bool:
    return person.cap is None and person.limit is None


def _behind(tx: Tx, user_id: str, person: Person, others: Sequence[InLine], policy: Policy) -> Person:
    """Judge those before it one after the other, as claims do, each with what the ones before it use up."""
    found = standings.of(tx, {_whom(user_id, each) for each in others}, policy)
    ahead, used, second = person, Counter[str](), tx.now // 1_000
    for each, (channel, message, _), known in _read(tx, user_id, others):
        if not each.is_critical and _is_decided(ahead, tx.now):
            break
        whom, sent = _whom(user_id, each), ahead.ahead[1]
        them = found.person(whom, critical=each.is_critical, counted_at=each.counted_at)
        if them is None:
            continue
        them = them._replace(used=them.used + used[each.message_type], slots=(*them.slots, (second, sent)))
        if gate(judging.asked(known, channel, message, each.expires_at, tx.now, them)) is not None:
            continue
        used[each.message_type] += them.counts and not counts_in(each.counted_at, found.days.get(whom))
        ahead = _with(person, used[person.channel.value], (second, sent + 1))
    return ahead


def _with(person: Person, used: int, slot: Slot) -> Person:
    """Return what rules know of a user when so many more were sent, in the slot, of which so many count for the cap."""
    return person._replace(used=person.used + used, slots=(*person.slots, slot), ahead=(used, slot[1]))


def _is_decided(person: Person, now: int) -> bool:
    """Return whether what is behind changes nothing: a long line need not be looked at to its end."""
    if person.cap is not None and person.counts and person.used >= person.cap:
        return True
    return person.limit is not None and userlimit.free_at(person.slots, person.limit, now) is not None


def _read(tx: Tx, user_id: str, others: Sequence[InLine]) -> Iterator[tuple[InLine, Saying, SubmissionFacts]]:
    """Yield those that can be read with what they say, and what is known of that, a few with one look."""
    for begin in range(0, len(others), _PORTION):
        read = [(each, said) for each in others[begin : begin + _PORTION] if (said := _said(each)) is not None]
        about = judging.known(tx, user_id, [said for _, said in read]) if read else []
        for (each, said), known in zip(read, about, strict=True):
            yield each, said, known


_PORTION = 20


def _whom(user_id: str, each: InLine) -> Whom:
    return Whom(user_id, each.message_type, each.category)


def _said(each: InLine) -> Saying | None:
    """Return what one says, which decides where it goes; None where that cannot be read: it counts nowhere."""
    channel = Channel(each.message_type)
    try:
        return channel, content.parse(each.payload, channel), each.category
    except (InvalidPayload, NewerPayload):
        return None
