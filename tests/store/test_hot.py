"""The statements of the dispatch loop, below SQLAlchemy: they return what SQLAlchemy returns, and fail as it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Integer, String, bindparam, cast, insert, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from notifyctl.core.change import Change
from notifyctl.store import standings, suppressions
from notifyctl.store.db.database import Database
from notifyctl.store.db.dialect import SQLITE, Dialect
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.literals import array_literal, copy_lines
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import apply, deliveries, due_deliveries, handing, outbox, take
from notifyctl.store.queue.due_deliveries import DeliveryRequest
from notifyctl.store.schema.tables import (
    contact_points,
    notification_templates,
    notifications,
    users,
    webhook_deliveries,
)
from notifyctl.store.schema.tables import suppressions as suppressed
from tests.support import seed
from tests.support.databases import PostgreSQLMaker

NOW = 10_000
ME = "11111111-1111-4111-8111-111111111111"
LEASE = "22222222-2222-4222-8222-222222222222"
TEMPLATE = "44444444-4444-4444-8444-444444444444"
WANTED = take.LeaseRequest("sendgrid", NOW, 50, LEASE, ME, NOW, 65_000)
HOOK = "55555555-5555-4555-8555-555555555555"
OWED = DeliveryRequest(ME, LEASE, most=9, lease_ms=65_000, usual=5, room={HOOK: 7})


@pytest.fixture
def filled(database: Database) -> Database:
    """A database with what claims look at: people, addresses, suppressions, and all kinds of pending rows."""
    seed.provider(database)
    seed.provider(database, "smtp", rate_limit=60)
    anna, omar = seed.user(database, "anna"), seed.user(database, "omar")
    for number, (user, address) in enumerate(
        [(anna, "a@example.org"), (anna, "b@example.org"), (omar, "c@example.org")]
    ):
        row = {"id": f"{number}" * 36, "user_id": user, "channel": "email", "address": address, "created_at": number}
        database.write(lambda tx, row=row: tx.execute(insert(contact_points).values(row)))  # type: ignore[misc]
    dead = {"id": "9" * 36, "channel": "email", "address": "b@example.org", "reason": 'said "no" \\ %', "created_at": 1}
    database.write(lambda tx: tx.execute(insert(suppressed).values(dead)))
    held = {"id": TEMPLATE, "name": "t", "message_type": "sms", "body": "b", "created_by": anna, "is_active": False}
    database.write(lambda tx: tx.execute(insert(notification_templates).values(held)))
    seed.pending(database, anna, count=3)
    seed.pending(database, omar, due_at=2_000, is_critical=True, fails_over=False, expires_at=7)
    seed.pending(database, omar, lease_id="3" * 36, leased_until=5, attempt_count=1, retry_history='["\\u00e4%"]')
    seed.pending(database, omar, "smtp", payload='{"v":1,"text":"100 % \\"quoted\\""}')
    _owe(database, anna)
    return database


def _owe(database: Database, user: str) -> None:
    """Write a webhook and what is owed to it: new, queued again, and under way."""
    seed.webhook(database, user, id=HOOK, slowed=0, previous_secret='said "100 %"', previous_secret_ends=7)
    [note] = seed.pending(database, user)
    row = {"webhook_id": HOOK, "notification_id": note, "event_type": "x", "payload": "ä%", "attempt_count": 0}
    owed = ({}, {"is_replay": True}, {"lease_id": LEASE, "next_retry_at": NOW + 1})
    for number, more in enumerate(owed):
        values = {"id": f"{number}" * 36, "created_at": number, "next_retry_at": number, **row, **more}
        database.write(lambda tx, values=values: tx.execute(insert(webhook_deliveries).values(values)))  # type: ignore[misc]


def _hot(dialect: Dialect) -> dict[str, tuple[Hot[Any], Mapping[str, Any]]]:
    """Return every hot statement of the store with parameters for it."""
    asked = WANTED.parameters(dialect)
    return {
        "usual": (take.USUAL, asked),
        "usual, limited": (take.USUAL, {**asked, "of_provider": "smtp"}),
        "usual, unknown": (take.USUAL, {**asked, "of_provider": "nobody"}),
        "own": (take._OWN, asked),
        "failing over": (take._FAILING_OVER, asked),
        "deliveries due": (due_deliveries._CLAIMING, OWED.parameters(dialect, NOW)),
        "standing": (
            standings._STANDING,
            dialect.bind("v", standings._WHOM, [(ME, "email", "news"), (ME, "sms", None)]),
        ),
    }


@pytest.mark.parametrize("name", _hot(SQLITE))
def test_questions_have_the_same_answers_both_ways(filled: Database, name: str) -> None:
    """By the driver's way and by SQLAlchemy's: the same rows, the same types, in the same order."""
    statement, parameters = _hot(filled.dialect)[name]
    rows = _both(filled, statement, parameters, lambda rows: sorted(map(tuple, rows), key=repr))
    assert bool(rows) == (name != "usual, unknown")


def test_leases_and_reasons_are_the_same_both_ways(filled: Database) -> None:
    """What writes too: each way in a transaction of its own, undone."""
    ids = _ids(filled)
    given = {
        **WANTED.parameters(filled.dialect),
        "until": NOW + 1,
        **filled.dialect.bind("v", take._KEY, [(id_, "a@b") for id_ in ids]),
    }
    for statement in (take._LEASING, take._TAKING_OVER):
        assert _both(filled, statement, given, sorted) == sorted(ids)
    _deliveries_are_written_the_same(filled)
    named = filled.dialect.bind(
        "v", suppressions._KEYS, [("email", "b@example.org"), ("email", "x"), ("sms", "b@example.org")]
    )
    assert _both(filled, suppressions._REASONS, named, sorted) == [("email", "b@example.org", "", 'said "no" \\ %')]


def _deliveries_are_written_the_same(filled: Database) -> None:
    """Leases of deliveries and what becomes of them."""
    bind, flying = filled.dialect.bind, "2" * 36
    given = {**OWED.parameters(filled.dialect, NOW), **bind("k", due_deliveries._LEASE, [("0" * 36, NOW + 1)])}
    assert _both(filled, due_deliveries._LEASING, given, sorted) == ["0" * 36]
    assert _both(filled, due_deliveries._PROBING, bind("k", due_deliveries._LEASE, [(HOOK, 7)]), sorted) == [HOOK]
    settled = (flying, LEASE, 500, 'it "%"', "[]", False, None, NOW, None)
    given = bind("v", deliveries._SETTLED, [settled])
    assert _both(filled, deliveries._SETTLING, given, sorted) == [(flying, False)]
    given = bind("v", deliveries._RELEASED, [(flying, LEASE, 0, 7)])
    assert _both(filled, deliveries._RELEASING, given, sorted) == [flying]
    given = bind("v", deliveries._HELD, [(flying, LEASE, NOW + 9)])
    assert _both(filled, deliveries._HOLDING, given, sorted) == [flying]
    ids = _ids(filled)
    given = bind("v", outbox._KEY, [(id_,) for id_ in ids])
    told = _both(filled, outbox._TOLD, given, lambda rows: sorted(rows, key=repr))
    assert [each.id for each in told] == sorted(ids)
    users = bind("v", outbox._KEY, [(id_,) for id_ in {each.user_id for each in told}])
    assert [each.id for each in _both(filled, outbox._LISTENING, users, sorted)] == [HOOK]
    given = bind(
        "v", handing._NEW, [(f"{each}" * 36, HOOK, id_, "x", '"ä%"', NOW, 9) for each, id_ in enumerate(ids, 3)]
    )
    written = _both(filled, handing._HANDING, {**given, "new_lease": LEASE, "holder": ME}, sorted)
    assert [is_leased for _, is_leased in written].count(False) == 1


@pytest.mark.parametrize("tells", [False, True], ids=["plain", "tells"])
@pytest.mark.parametrize("kind", apply.KINDS, ids=lambda kind: kind.__name__)
def test_changes_are_the_same_both_ways(filled: Database, kind: type[Change], tells: bool) -> None:
    """Each kind of change writes the same columns, whichever way it goes; and returns what a look tells webhooks."""
    database = filled
    before = {"status": kind.BEFORE.value, "lease_id": LEASE, "leased_by": ME, "leased_until": NOW}
    [id_] = seed.pending(database, seed.user(database, "eve"), **before)
    row = (id_, LEASE, *[_value(name) for name in apply._COLUMNS[kind]])
    given = database.dialect.bind("v", apply._types(kind), [row])
    statement = apply._STATEMENTS[kind, tells]

    def work(tx: Tx, *, by_driver: bool) -> Any:
        [(changed, is_heard, *known)] = _run(tx, statement, given, by_driver=by_driver)
        assert (changed, bool(is_heard)) == (id_, True)
        [looked_up] = tx.rows(outbox._TOLD, tx.dialect.bind("v", outbox._KEY, [(id_,)]))
        assert not tells or (id_, *known) == looked_up
        found = tx.execute(select(notifications).where(notifications.c.id == id_)).one()
        raise _Undo(tuple(found))

    one, other = (_undone(database, work, by_driver=way) for way in (True, False))
    assert one == other
    assert one[notifications.c.keys().index("status")] == kind.AFTER.value


class _Undo(Exception):
    """Carries what was seen out of a transaction that shall leave nothing."""

    def __init__(self, seen: Any) -> None:
        self.seen = seen


def _undone(database: Database, work: Any, **how: Any) -> Any:
    with pytest.raises(_Undo) as caught:
        database.write(lambda tx: work(tx, **how))
    return caught.value.seen


def _run(tx: Tx, statement: Hot[Any], parameters: Mapping[str, Any], *, by_driver: bool) -> list[Any]:
    if by_driver:
        return tx.rows(statement, parameters)
    return [statement.row(tuple(row)) for row in tx.execute(statement.build(tx.dialect), dict(parameters))]


def _both(database: Database, statement: Hot[Any], parameters: Mapping[str, Any], order: Any) -> Any:
    """Run it both ways, each undone; return the rows, which are the same."""

    def work(tx: Tx, *, by_driver: bool) -> Any:
        raise _Undo(order(_run(tx, statement, parameters, by_driver=by_driver)))

    one, other = (_undone(database, work, by_driver=way) for way in (True, False))
    assert one == other
    assert [[type(value) for value in row] for row in one] == [[type(value) for value in row] for row in other]
    return one


def _ids(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(select(notifications.c.id)).scalars())


def _value(name: str) -> Any:
    kind = notifications.c[name].type
    if isinstance(kind, Boolean):
        return False
    return "sendgrid" if name == "provider" else "x" if isinstance(kind, String) else 77


def test_types_that_would_be_converted_are_refused(database: Database) -> None:
    """A parameter that SQLAlchemy would change on its way must not pass by it unnoticed."""
    statement: Hot[Any] = Hot(lambda _: select(cast(bindparam("v", type_=JSON), JSON)), tuple)
    with database.read() as tx, pytest.raises(TypeError, match="converted"):
        tx.rows(statement, {"v": {}})


def test_a_text_that_depends_on_its_parameters_is_refused(database: Database) -> None:
    """`IN` with a list is another statement for each length: it cannot be compiled once."""
    statement: Hot[Any] = Hot(
        lambda _: select(users.c.id).where(users.c.id.in_(bindparam("ids", expanding=True))), tuple
    )
    with database.read() as tx, pytest.raises(TypeError, match="parameters"):
        tx.rows(statement, {"ids": ["a"]})


def test_errors_are_those_of_sqlalchemy(database: Database) -> None:
    """A broken constraint is an IntegrityError; the parameters are not in the message."""
    user = {"id": "a", "email": "secret@example.org", "username": "a"}
    made = (
        insert(users).values({name: bindparam(name, type_=users.c[name].type) for name in user}).returning(users.c.id)
    )
    statement: Hot[Any] = Hot(lambda _: made, tuple)
    database.write(lambda tx: tx.rows(statement, user))
    with pytest.raises(IntegrityError) as caught:
        database.write(lambda tx: tx.rows(statement, user))
    assert isinstance(caught.value, DBAPIError)
    assert "secret" not in str(caught.value.statement)
    assert caught.value.params is None


def test_a_lost_connection_is_known_as_lost(postgresql_url: str) -> None:
    """The transaction is run again on another connection, as it is for SQLAlchemy's own statements."""
    db, other = Database(postgresql_url), Database(postgresql_url)
    ask: Hot[int] = Hot(lambda _: select(literal(7, Integer)), lambda row: int(row[0]))
    tries: list[int] = []

    def work(tx: Tx) -> int:
        tries.append(1)
        if len(tries) == 1:
            pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.write(lambda tx: tx.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)")))
        return tx.rows(ask, {})[0]

    assert db.write(work) == 7
    assert len(tries) == 2
    db.close()
    other.close()


@pytest.fixture(scope="module")
def server(postgresql_maker: PostgreSQLMaker) -> Iterator[Database]:
    """PostgreSQL, to ask it what an array is."""
    with postgresql_maker.empty() as url:
        opened = Database(url)
        yield opened
        opened.close()


elements = st.none() | st.integers(-(2**63), 2**63 - 1) | st.booleans()
texts = st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(texts, max_size=6))
def test_texts_survive_an_array_literal(server: Database, values: list[str | None]) -> None:
    """Quotes, backslashes, braces, commas, NULL as a word, nothing at all: the server reads what was written."""
    with server.read() as tx:
        found = tx.conn.exec_driver_sql("SELECT CAST(%(v)s AS text[])", {"v": array_literal(values)}).scalar_one()
    assert found == values


def test_numbers_and_flags_in_an_array_literal() -> None:
    """As the server's documentation writes them."""
    assert array_literal([1, None, -2]) == "{1,NULL,-2}"
    assert array_literal([True, False]) == "{t,f}"
    assert array_literal([]) == "{}"


values = st.tuples(texts, texts, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.booleans())


@given(st.lists(values, min_size=1, max_size=6), st.integers(1, 3))
def test_rows_survive_what_copy_reads(server: Database, rows: list[tuple[Any, ...]], times: int) -> None:
    """Whatever they say, and whether all say the same: the server reads what was written, in its order."""
    given_rows = [(place, *row) for place, row in enumerate(rows * times)]
    with server.read() as tx:
        cursor = tx.dialect.cursor(tx.conn)
        cursor.execute("CREATE TEMPORARY TABLE t (place integer, a text, b text, c bigint, d boolean) ON COMMIT DROP")
        with cursor.copy("COPY t FROM STDIN") as copy:
            for lines in copy_lines(given_rows):
                copy.write(lines)
        found = cursor.execute("SELECT * FROM t ORDER BY place").fetchall()
    assert found == given_rows


def test_a_line_of_copy() -> None:
    """As the server's documentation has the format: tabs between, NULL as \\N, a backslash before what means more."""
    row = ("a\tb\\c\nd\r%s", None, 7, True, "\\N", "\\.")
    line = b"a\\tb\\\\c\\nd\\r%s\t\\N\t7\tt\t\\\\N\t\\\\.\n"
    assert b"".join(copy_lines([row])) == line
    assert b"".join(copy_lines([row] * 1_200)) == line * 1_200
    assert not [*copy_lines([])]
