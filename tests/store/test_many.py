"""Very many notifications in one transaction, on both databases: as if each were inserted by itself."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Sequence

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from notifyctl.core import content
from notifyctl.core.model import Channel
from notifyctl.core.submission import NO_COLUMNS, New
from notifyctl.store.db.database import Database
from notifyctl.store.queue.submit import MANY, submit
from notifyctl.store.schema.tables import audit_logs, notifications, users
from tests.support import seed
from tests.support.roles import role

SIZES = (MANY - 1, MANY, 3 * MANY)
HOSTILE = [
    "\\.",
    "a\n\\.\nb",
    "\\N",
    "tab\there",
    "cr\r\nlf",
    'quotes " \' \\" \\\\',
    "{a,b}",
    "\u2028 \u2029 \x7f \x1f",
    "\U0001f600 é",
    "%s %(a)s :b ? $1",
    "",
]


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider of mails."""
    seed.provider(database)
    return seed.user(database)


def rows(user: str, count: int, first: int = 0, category: str | None = None) -> list[New]:
    """New notifications whose keys are numbered from `first` on."""
    found = []
    for number in range(first, first + count):
        body = HOSTILE[number % len(HOSTILE)]
        payload = content.canonical({"v": 1, "subject": "Hello", "text": f"{number} {body}"})
        found.append(
            New(
                id=str(uuid.uuid4()),
                user_id=user,
                idempotency_key=f"{number:064x}",
                message_type=Channel.EMAIL.value,
                provider="sendgrid",
                payload=payload,
                max_retries=number % 7,
                created_at=1_000 + number,
                send_at=None if number % 2 else 5_000,
                due_at=5_000,
                expires_at=None if number % 3 else 9_000,
                content_hash=f"{number:064x}",
                fails_over=bool(number % 2),
                category=category,
                is_critical=not number % 5,
            )
        )
    return found


def stored(database: Database) -> dict[str, New]:
    """What is in the table, by id."""
    columns = [notifications.c[name] for name in New._fields if name not in NO_COLUMNS]
    with database.read() as tx:
        return {row.id: New(**row._mapping) for row in tx.execute(select(*columns))}


@pytest.mark.parametrize("count", SIZES)
def test_each_is_stored_as_it_is(database: Database, anna: str, count: int) -> None:
    """No character means anything on the way in: not a line with `\\.` alone, not `\\N`, no quote, no tab."""
    made = [row._replace(category=HOSTILE[number % len(HOSTILE)]) for number, row in enumerate(rows(anna, count))]
    assert database.write(lambda tx: submit(tx, made)) == {row.id for row in made}
    assert stored(database) == {row.id: row for row in made}
    with database.read() as tx:
        status = tx.execute(select(notifications.c.status, func.count()).group_by(notifications.c.status)).all()
    assert [tuple(row) for row in status] == [("pending", count)]


@pytest.mark.parametrize("count", SIZES)
def test_what_is_there_stays_as_it_is(database: Database, anna: str, count: int) -> None:
    """A key that is used inserts nothing, and it is known which did."""
    first = rows(anna, count, 0)
    again = rows(anna, count, count - 10)
    database.write(lambda tx: submit(tx, first))
    inserted = database.write(lambda tx: submit(tx, again))
    assert inserted == {row.id for row in again[10:]}
    assert stored(database) == {row.id: row for row in [*first, *again[10:]]}


def test_there_may_be_more_in_the_same_transaction(database: Database, anna: str) -> None:
    """Of one transaction many may be inserted twice; a repetition of some of them is seen."""
    first, second = rows(anna, MANY), rows(anna, 2 * MANY)
    done = database.write(lambda tx: (submit(tx, first), submit(tx, second)))
    assert [len(each) for each in done] == [MANY, MANY]
    assert len(stored(database)) == 2 * MANY


def test_nothing_is_stored_where_one_cannot_be(database: Database, anna: str) -> None:
    """A user who is gone by then: the error of the database as ever, and none of the others."""
    made = rows(anna, 2 * MANY)
    made[-1] = made[-1]._replace(user_id=str(uuid.uuid4()))
    with pytest.raises(IntegrityError):
        database.write(lambda tx: submit(tx, made))
    assert not stored(database)


def test_two_at_once_store_each_key_once(database: Database, anna: str) -> None:
    """In whatever order they have them, both end, and of each key there is one."""
    begin = threading.Barrier(2)
    done: list[set[str]] = []

    def work(made: Sequence[New]) -> None:
        begin.wait(30)
        done.append(database.write(lambda tx: submit(tx, made)))

    made = [rows(anna, 5 * MANY), rows(anna, 5 * MANY)[::-1]]
    threads = [threading.Thread(target=work, args=(each,)) for each in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(done) == 2
    assert sum(map(len, done)) == 5 * MANY
    assert set(stored(database)) == set.union(*done)


def test_one_audit_row_a_batch(database: Database, anna: str) -> None:
    """However many: what was inserted is told of once."""
    batch = str(uuid.uuid4())
    made = [row._replace(batch_id=batch) for row in rows(anna, 2 * MANY)]
    database.write(lambda tx: submit(tx, made))
    a = audit_logs.c
    with database.read() as tx:
        [told] = tx.execute(select(a.action, a.resource_type, a.resource_id, a.changes)).all()
    assert tuple(told)[:3] == ("submit", "batch", batch)
    assert json.loads(told.changes)["count"] == 2 * MANY


def test_a_user_may_be_deleted_with_them(database: Database, anna: str) -> None:
    """What went in by another way goes as all do."""
    database.write(lambda tx: submit(tx, rows(anna, MANY)))
    database.write(lambda tx: tx.execute(delete(users).where(users.c.id == anna)))
    assert not stored(database)


def test_what_is_new_needs_no_table_of_its_own(postgresql_url: str) -> None:
    """New ones go straight in, as a bare COPY would: who may only insert needs no right to make tables."""
    owner = Database(postgresql_url)
    made = rows(seed.user(owner), 2 * MANY)
    owner.close()
    no_more = f"REVOKE TEMPORARY ON DATABASE {owner.url.database} FROM PUBLIC"
    with role(postgresql_url, "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {}", no_more) as url:
        database = Database(url)
        assert len(database.write(lambda tx: submit(tx, made))) == 2 * MANY
        database.close()


def test_a_repetition_within_one_call_is_stored_once(database: Database, anna: str) -> None:
    """Of two rows with one key the first is stored; the others are none the worse for it."""
    made = rows(anna, 2 * MANY)
    twin = made[7]._replace(id=str(uuid.uuid4()), payload='{"v":1}')
    assert database.write(lambda tx: submit(tx, [*made, twin])) == {row.id for row in made}
    assert stored(database) == {row.id: row for row in made}
