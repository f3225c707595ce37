"""Users by the hundred thousand: what a file says of them, judged against what is there, a portion a transaction."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from sqlalchemy.exc import IntegrityError

from notifyctl.core.errors import Conflict
from notifyctl.core.model import Channel
from notifyctl.core.rowfile.people import Enrollee
from notifyctl.core.rowfile.rows import BadRow
from notifyctl.core.suppression import key
from notifyctl.services.newcomers import Newcomers
from notifyctl.store import contacts, suppressions, users
from notifyctl.store.contacts import ContactRow
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.wake import wake_all
from notifyctl.store.users import User

AT_ONCE = 1_000
TRIES = 5


@dataclass(slots=True)
class Enrolled:
    """How many rows were read, and what they came to. `contacts` were added, `suppressed` of those stay so."""

    read: int = 0
    created: int = 0
    updated: int = 0
    known: int = 0
    rejected: int = 0
    contacts: int = 0
    suppressed: int = 0


@dataclass(slots=True)
class _Portion:
    """What one transaction writes, and which rows it refuses."""

    new: dict[str, User] = field(default_factory=dict)
    changed: dict[str, User] = field(default_factory=dict)
    points: list[ContactRow] = field(default_factory=list)
    known: int = 0
    rejects: list[BadRow] = field(default_factory=list)
    suppressed: int = 0
    people: list[tuple[User, set[tuple[Channel, str]]]] = field(default_factory=list)


def enrol(
    db: Database,
    rows: Iterable[Enrollee | BadRow],
    done: Enrolled,
    reject: Callable[[BadRow], None],
    watch: Callable[[Enrolled], None],
    *,
    update: bool,
    newcomers: Newcomers | None = None,
) -> None:
    """Store the people of rows; with `update` those who are there get what their rows say, and lose nothing.

    Whoever is there with the same values is left alone; with others the row is rejected, unless `update`. `newcomers`
    remember in the database's place what was written, where that takes everything back. `done` counts.
    """
    for portion in _portions(rows):
        for _ in range(TRIES):
            try:
                made = db.write(partial(_write, rows=portion, update=update, newcomers=newcomers))
                break
            except IntegrityError:
                continue  # somebody else stored one of them at this moment: look again
        else:
            raise Conflict("others keep storing the same users at this moment", "repeat the command")
        if newcomers is not None:
            newcomers.keep(made.people)
        for each in made.rejects:
            reject(each)
        _count(done, portion, made)
        watch(done)


def _portions(rows: Iterable[Enrollee | BadRow]) -> Iterator[list[Enrollee | BadRow]]:
    rest = iter(rows)
    while portion := list(islice(rest, AT_ONCE)):
        yield portion


def _count(done: Enrolled, rows: Sequence[Enrollee | BadRow], made: _Portion) -> None:
    done.read += len(rows)
    done.created += len(made.new)
    done.updated += len(rows) - len(made.new) - made.known - len(made.rejects)
    done.known += made.known
    done.rejected += len(made.rejects)
    done.contacts += len(made.points)
    done.suppressed += made.suppressed


def _write(tx: Tx, rows: Sequence[Enrollee | BadRow], *, update: bool, newcomers: Newcomers | None) -> _Portion:
    people = [each for each in rows if isinstance(each, Enrollee)]
    ledger = _Ledger(tx, people, newcomers, locking=update)
    made = _Portion()
    for row in rows:
        refusal = row if isinstance(row, BadRow) else ledger.settle(row, made, update=update)
        if refusal is not None:
            made.rejects.append(refusal)
    users.replace_all(tx, list(made.changed.values()))
    users.create_all(tx, sorted(made.new.values(), key=lambda each: each.username))
    contacts.add_all(tx, made.points)
    # Another number may be of another country, with other contact windows.
    wake_all(tx, [(each.user_id, each.channel) for each in made.points if each.user_id not in made.new])
    made.people = ledger.touched
    made.suppressed = _suppressed(tx, made)
    _audit(tx, made)
    return made


class _Ledger:
    """Who is there, with which address and which contact points, as the rows change it."""

    def __init__(self, tx: Tx, people: Sequence[Enrollee], newcomers: Newcomers | None, *, locking: bool) -> None:
        self._now = tx.now
        self._by_name = users.named(tx, [each.username for each in people])
        if locking:  # as whoever changes what rules go by
            ids = [each.id for each in self._by_name.values()]
            self._by_name = {each.username: each for each in users.lock_all(tx, ids)}
        self._by_email = users.with_emails(tx, [each.email for each in people])
        self._emails = {each.id: email for email, each in self._by_email.items()}
        self._points: dict[str, set[tuple[Channel, str]]] = defaultdict(set)
        for point in contacts.of_users(tx, [each.id for each in self._by_name.values()]):
            self._points[point.user_id].add((Channel(point.channel), point.address))
        if newcomers is not None:
            names = [each.username for each in people] + [each.username for each in self._by_email.values()]
            for user, points in newcomers.of(names, [each.email for each in people]):
                self._place(user)
                self._points[user.id] = points
        self._touched: dict[str, User] = {}

    @property
    def touched(self) -> list[tuple[User, set[tuple[Channel, str]]]]:
        """Whom the rows made or changed, with all their contact points."""
        return [(user, self._points[user.id]) for user in self._touched.values()]

    def settle(self, row: Enrollee, made: _Portion, *, update: bool) -> BadRow | None:
        """Note what a row writes; return it where it is refused."""
        present = self._by_name.get(row.username)
        holder = self._by_email.get(row.email)
        if holder is not None and holder.username != row.username:
            return BadRow(row.line, f"email: {row.email} belongs to the user {holder.username}", row.cells)
        if present is None:
            user = User(str(uuid.uuid4()), row.username, row.email, row.language, self._now, self._now)
            made.new[user.id] = user
            self._add(user, row.points, made)
            return None
        missing = [each for each in row.points if each not in self._points[present.id]]
        language = row.language or present.language
        if (present.email, present.language) == (row.email, language) and not missing:
            made.known += 1
            return None
        if not update:
            return BadRow(row.line, _other(present, row, missing), row.cells)
        user = replace(present, email=row.email, language=language, updated_at=self._now)
        if (present.email, present.language) != (row.email, language):
            (made.new if user.id in made.new else made.changed)[user.id] = user
        self._add(user, missing, made)
        return None

    def _add(self, user: User, points: Sequence[tuple[Channel, str]], made: _Portion) -> None:
        self._place(user)
        self._touched[user.id] = user
        # Of addresses that were added at the same moment the one with the highest id is used.
        ids = sorted((str(uuid.uuid4()) for _ in points), reverse=True)
        made.points += [ContactRow(id_, user.id, each[0].value, each[1]) for id_, each in zip(ids, points, strict=True)]
        self._points[user.id].update(points)

    def _place(self, user: User) -> None:
        if (before := self._emails.get(user.id)) is not None:
            del self._by_email[before]
        self._emails[user.id] = user.email
        self._by_name[user.username] = self._by_email[user.email] = user


def _other(present: User, row: Enrollee, missing: Sequence[tuple[Channel, str]]) -> str:
    other = [] if present.email == row.email else [f"another email ({present.email})"]
    if row.language not in (None, present.language):
        other.append(f"another language ({present.language or 'none'})")
    other += [f"without {channel} {address}" for channel, address in missing]
    return f"there is a user {present.username} already, with {' and '.join(other)}".replace("with without", "without")


def _suppressed(tx: Tx, made: _Portion) -> int:
    keys = [key(Channel(each.channel), each.address) for each in made.points]
    keys += [key(Channel.EMAIL, each.email) for each in (*made.new.values(), *made.changed.values())]
    return len(suppressions.holding(tx, keys))


def _audit(tx: Tx, made: _Portion) -> None:
    """Write one row for all: ids alone, which say nothing of a person who is deleted later."""
    ids = sorted({each.id for each, _ in made.people})
    if ids:
        facts = {"created": len(made.new), "updated": len(ids) - len(made.new), "contacts": len(made.points)}
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        tx.audit("import", "user", [(None, {**facts, "ids_sha256": digest})])
