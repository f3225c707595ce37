"""What goes before a notification that is due: others of the same person, which use up the same cap and limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import field
from typing import TypeVar

from notifyctl.core import userlimit
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Person, gate
from notifyctl.core.notification import Notification, State
from notifyctl.core.policy import Policy
from notifyctl.core.submission import Plan, SubmissionFacts
from notifyctl.services import judging
from notifyctl.services.judging import Saying
from notifyctl.store import standings
from notifyctl.store.db.tx import Tx
from notifyctl.store.lines import InLine, LinePart, LinePlace, due_before
from notifyctl.store.standings import Standings, Whom, counts_in

P = TypeVar("P")

_NEVER = (1 << 63) - 1


def in_line(tx: Tx, row: Notification, person: Person | None, policy: Policy) -> Person | None:
    """Return what rules know of the user of one that is due, with what those use up that go before it."""
    if person is None or row.state != State.DUE or row.due_at is None or _counts_nothing(person):
        return person
    line = _Line(LinePlace(row.user_id, row.is_critical, row.due_at, row.id), person)
    _walk(tx, [line], policy)
    return _behind(person, line.used, line.sent, tx.now)


def last_in_line(tx: Tx, user_id: str, person: Person | None, policy: Policy) -> Person | None:
    """Return what rules know of a user for one more, with what those use up that are due."""
    if person is None or _counts_nothing(person):
        return person
    line = _last(user_id, person)
    _walk(tx, [line], policy)
    return _behind(person, line.used, line.sent, tx.now)


class DueLines:
    """The lines behind which very many come: of many people they are looked at together, and of each but at times."""

    def __init__(self, policy: Policy, until: int, mine: Container[str] = ()) -> None:
        """Look at what was due before that moment, but not at `mine`: those, and what is due later, are what comes."""
        self._policy, self._until, self._mine = policy, until, mine
        self._known: dict[_Whose, tuple[int, int]] = {}
        self._forget_at = 0

    def behind(self, tx: Tx, planned: Sequence[P]) -> list[P | Plan]:
        """Return plans with what rules will know of their users when those that are due have gone."""
        asked = [
            (place, plan, person, _whose(plan.row.user_id, person))
            for place, plan in enumerate(planned)
            if isinstance(plan, Plan) and (person := plan.known.person) is not None and plan.row.due_at <= tx.now
            if not _counts_nothing(person)
        ]
        self._look(tx, {whose: person for _, _, person, whose in asked})
        found: list[P | Plan] = list(planned)
        for place, plan, person, whose in asked:
            used, sent = self._known[whose]
            if sent:
                found[place] = plan._replace(known=plan.known._replace(person=_behind(person, used, sent, tx.now)))
        return found

    def _look(self, tx: Tx, asked: Mapping[_Whose, Person]) -> None:
        """Look at the lines that are not known, or not any more."""
        if tx.now >= self._forget_at or len(self._known) > _MOST_KNOWN:
            self._known, self._forget_at = {}, tx.now + _KNOWN_MS
        new = {whose: _last(whose[0], person) for whose, person in asked.items() if whose not in self._known}
        _walk(tx, list(new.values()), self._policy, self._until, self._mine)
        self._known |= {whose: (line.used, line.sent) for whose, line in new.items()}


_KNOWN_MS, _MOST_KNOWN = 10_000, 20_000
"""So long a line is known: meanwhile dispatchers may have sent what stood in it. And of so many at most."""

_Whose = tuple[str, str, bool, bool]
"""A user, the channel, and whether it is critical, and counts for the cap."""


@dataclass(slots=True)
class _Line:
    """What is due of a user before a place: by now `seen` of them, of which `sent` go, and so many use up caps."""

    place: LinePlace
    person: Person
    caps: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    seen: int = 0

    @property
    def used(self) -> int:
        """How many use up the cap that is asked for."""
        return self.caps[self.person.channel.value]

    def part(self, now: int, room: int) -> LinePart:
        """Return of what to ask next: as much as may decide, and there is room for; more where few of them go."""
        person = _behind(self.person, self.used, self.sent, now)
        left = [room]
        if person.cap is not None and person.counts:
            left.append(person.cap - person.used)
        if person.limit is not None:
            left.append(person.limit - userlimit.used(person.slots, now))
        return LinePart(self.place, self.seen, max(1, min(room, max(self.seen, min(left)))))

    def goes_on(self, found: Sequence[InLine], asked: LinePart, now: int) -> bool:
        """Take note that so many were looked at; return whether what is behind them may change anything."""
        self.seen += len(found)
        return len(found) == asked.most and self.seen < _MOST_IN_LINE and not self.ends_before(found[-1], now)

    def ends_before(self, each: InLine, now: int) -> bool:
        """Return whether it changes nothing any more: a long line need not be looked at to its end."""
        person = _behind(self.person, self.used, self.sent, now)
        if each.is_critical:
            return False
        if person.cap is not None and person.counts and person.used >= person.cap:
            return True
        return person.limit is not None and userlimit.free_at(person.slots, person.limit, now) is not None

    def take(self, each: InLine, said: Saying, known: SubmissionFacts, found: Standings, now: int) -> None:
        """Judge the next one as claims do, with what the ones before it use up."""
        whom = _whom(self.place.user_id, each)
        them = found.person(whom, critical=each.is_critical, counted_at=each.counted_at)
        if them is None or self.ends_before(each, now):
            return
        slots = (*them.slots, (now // 1_000, self.sent))
        them = them._replace(used=them.used + self.caps[each.message_type], slots=slots)
        _, channel, says, _ = said
        if gate(judging.asked(known, channel, says, each.expires_at, now, them)) is None:
            self.caps[each.message_type] += them.counts and not counts_in(each.counted_at, found.days.get(whom))
            self.sent += 1


_MOST_IN_LINE = 1_000
_PART, _ROOM = 20, 4_000
"""So many of a line are looked at together, and so many of all."""


def _walk(tx: Tx, lines: Sequence[_Line], policy: Policy, until: int | None = None, mine: Container[str] = ()) -> None:
    """Go along lines, a part of each at a time, as far as it changes anything; `mine` do not count."""
    while lines:
        parts = [line.part(tx.now, max(1, min(_PART, _ROOM // len(lines)))) for line in lines]
        found: list[list[InLine]] = [[] for _ in lines]
        for at, each in due_before(tx, parts, until):
            found[at].append(each)
        others = ((line, each) for line, theirs in zip(lines, found, strict=True) for each in theirs)
        _take(tx, [(line, each) for line, each in others if each.id not in mine], policy)
        walked = zip(lines, found, parts, strict=True)
        lines = [line for line, theirs, part in walked if line.goes_on(theirs, part, tx.now)]


def _take(tx: Tx, found: Sequence[tuple[_Line, InLine]], policy: Policy) -> None:
    """Judge those that can be read, with what is known of all of them; what cannot be read counts nowhere."""
    read = [
        (line, each, said)
        for line, each in found
        if (said := judging.said(line.place.user_id, each.message_type, each.payload, each.category)) is not None
    ]
    whom = standings.of(tx, {_whom(line.place.user_id, each) for line, each, _ in read}, policy)
    about = judging.known(tx, [said for *_, said in read])
    for (line, each, said), known in zip(read, about, strict=True):
        line.take(each, said, known, whom, tx.now)


def _behind(person: Person, used: int, sent: int, now: int) -> Person:
    """Return what rules know of a user when so many more were sent, of which so many count for the cap."""
    if not sent:
        return person
    slots = (*person.slots, (now // 1_000, sent))
    return person._replace(used=person.used + used, slots=slots, ahead=(used, sent))


def _counts_nothing(person: Person) -> bool:
    return person.cap is None and person.limit is None


def _last(user_id: str, person: Person) -> _Line:
    """Return the line behind which one more comes."""
    return _Line(LinePlace(user_id, person.critical, _NEVER, ""), person)


def _whose(user_id: str, person: Person) -> _Whose:
    return user_id, person.channel.value, person.critical, person.counts


def _whom(user_id: str, each: InLine) -> Whom:
    return Whom(user_id, each.message_type, each.category)
