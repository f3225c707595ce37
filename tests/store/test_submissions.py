"""The way in, on both databases: what is known of drafts, and what is written of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from notifyctl.core import content
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.core.health import Cause
from notifyctl.core.model import Channel
from notifyctl.core.submission import Draft, Former, Recipient
from notifyctl.services import notifications as acts
from notifyctl.services import sending
from notifyctl.store import notifications as store
from notifyctl.store import submissions
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import (
    audit_logs,
    contact_points,
    provider_configs,
    provider_states,
    suppressions,
    users,
)
from tests.reliability.plans import WHOLE, look
from tests.support import letters, seed

MAIL = content.build(Channel.EMAIL, subject="Hello", body="It works")
TEXT = content.build(Channel.SMS, body="It works", to="+14155552345")


def draft(user: str = "anna", **values: Any) -> Draft:
    """A mail to submit."""
    return Draft(**{"user": user, "channel": Channel.EMAIL, "payload": MAIL, "key": uuid.uuid4().hex, **values})


def known(database: Database, *drafts: Draft) -> list[submissions.Known]:
    """What is known of drafts."""
    with database.read() as tx:
        return submissions.known(tx, drafts)


def set_state(database: Database, provider: str, **values: Any) -> None:
    """Change how a provider is."""
    same = provider_states.c.provider_id == provider
    database.write(lambda tx: tx.execute(update(provider_states).where(same).values(**values)))


def suppress(database: Database, channel: Channel, address: str) -> None:
    """Let an address not be written to."""
    row = {"id": str(uuid.uuid4()), "channel": channel.value, "address": address, "reason": "bounced", "created_at": 1}
    database.write(lambda tx: tx.execute(insert(suppressions), [row]))


@pytest.fixture
def anna(database: Database) -> str:
    """A user and two providers of mails."""
    seed.provider(database, "sendgrid", priority=1, config_json='{"from":"alerts@example.com"}')
    seed.provider(database, "smtp", config_json='{"from":"alerts@example.com"}')
    return seed.user(database)


# What is known


def test_every_way_to_say_who(database: Database, anna: str) -> None:
    """By name, address (the domain in any case), id and beginning of the id; each draft gets its own answer."""
    omar = seed.user(database, "omar")
    ways = ["anna", " anna ", "anna@EXAMPLE.org", anna, anna[:8], anna.upper(), "omar", omar[:13]]
    found = [each.recipient for each in known(database, *map(draft, ways))]
    first, second = (Recipient(i, name, f"{name}@example.org", None) for i, name in ((anna, "anna"), (omar, "omar")))
    assert found == [first] * 6 + [second] * 2


@pytest.mark.parametrize("ref", ["nobody", "an", "anna\0", "Anna", "ANNA@example.org", "00000000", ""])
def test_nobody(database: Database, anna: str, ref: str) -> None:
    """Who does not exist is not found, and is no reason against another."""
    missing, there = (each.recipient for each in known(database, draft(ref), draft()))
    assert isinstance(missing, NotFound)
    assert isinstance(there, Recipient)


def test_one_that_means_many_hides_no_other(database: Database, anna: str) -> None:
    """Hundreds of ids begin alike: that reference is ambiguous, and those asked beside it are found."""
    many = [
        {"id": f"00000000-0000-4000-8000-{n:012}", "username": f"u{n}", "email": f"u{n}@example.org"}
        for n in range(200)
    ]
    database.write(lambda tx: tx.execute(insert(users), many))
    found = [each.recipient for each in known(database, draft("00000000"), draft(), draft("u7"), draft("00000000-0"))]
    assert [type(each) for each in found] == [UsageError, Recipient, Recipient, UsageError]
    assert "candidates: " in (found[0].hint or "")


def test_where_it_would_go(database: Database, anna: str) -> None:
    """The payload's own address goes before the user's; each with why it must not be written to."""
    point = {"id": str(uuid.uuid4()), "user_id": anna, "channel": "sms", "address": "+14155550000", "created_at": 1}
    database.write(lambda tx: tx.execute(insert(contact_points), [point]))
    suppress(database, Channel.SMS, "+14155552345")
    suppress(database, Channel.EMAIL, "anna@example.org")
    no_number = {"v": 1, "body": "x"}
    named, own, mail, push = known(
        database,
        draft(channel=Channel.SMS, payload=TEXT),
        draft(channel=Channel.SMS, payload=no_number),
        draft(),
        draft(channel=Channel.PUSH, payload={"v": 1, "title": "x"}),
    )
    assert [each.recipient[2:4] for each in (named, own, mail, push)] == [
        ("+14155552345", "bounced"),
        ("+14155550000", None),
        ("anna@example.org", "bounced"),
        (None, None),
    ]


def test_what_was_submitted_before_and_by_what(database: Database, anna: str) -> None:
    """The key is the user's own; all providers are known, the preferred first."""
    first = sending.submit(database, draft(key="k"), {}).notification
    seed.user(database, "omar")
    mine, other, omars = known(database, draft(key="k"), draft(key="other"), draft("omar", key="k"))
    assert mine.former == Former(first.id, first.content_hash)
    assert other.former is omars.former is None
    assert [each.provider_name for each in mine.providers] == ["sendgrid", "smtp"]


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Collects the statements that SQLAlchemy or a hot statement gives to the driver."""
    seen: list[str] = []
    fetch = "notifyctl.store.db.tx.fetch"
    with pytest.MonkeyPatch.context() as patch:
        from notifyctl.store.db import hot

        def counted(conn: Any, dialect: Any, statement: Any, parameters: Any) -> Any:
            seen.append(statement.compiled(dialect, conn.dialect).text)
            return hot.fetch(conn, dialect, statement, parameters)

        patch.setattr(fetch, counted)
        event.listen(database._engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        yield seen


def test_few_statements(database: Database, anna: str, statements: list[str]) -> None:
    """A submission takes three statements to know, two or three to write (with the hint) and none to read it back."""
    sending.submit(database, draft(), {})
    asked = [each for each in statements if not each.startswith(("BEGIN", "SELECT (extract"))]
    assert len(asked) <= (6 if database.dialect.hints else 5), asked
    del statements[:]
    known(database, *(draft() for _ in range(100)))
    assert len([each for each in statements if "BEGIN" not in each]) <= 3


def test_who_is_meant_is_found_by_indexes(database: Database, anna: str) -> None:
    """However many users there are, and however many drafts: none is compared with all of them."""
    seen = look(database, lambda tx: submissions.known(tx, [draft(), draft(anna), draft("nobody")]), indexed=True)
    assert seen.of("users")
    assert WHOLE not in seen.of("users") | seen.of("notifications") | seen.of("suppressions"), seen.plans


# What is shown

WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"delay_ms": 60_000},
    {"expires_in_ms": 5, "max_retries": 0},
    {"provider": "sendgrid"},
)


@pytest.mark.parametrize("second", [{}, {"paused_at": 1}, None], ids=["works", "paused", "disabled"])
@pytest.mark.parametrize(
    "first",
    [
        {"paused_at": None},
        {"paused_at": 1},
        {"paused_at": 1, "paused_until": 2},
        {"paused_at": 1, "paused_until": 2**50, "pause_cause": Cause.THROTTLED.value},
        {"paused_at": 1, "channel": None},
    ],
    ids=["works", "paused", "was paused", "throttled", "paused, of no known channel"],
)
def test_what_is_shown_is_what_is_stored(
    database: Database, anna: str, first: dict[str, Any], second: dict[str, Any] | None
) -> None:
    """The notification that is made of the inserted row is the one that is read: its state, too."""
    with database.read() as tx:
        ids = {row.provider_name: row.id for row in tx.execute(select(provider_configs))}
    set_state(database, ids["sendgrid"], **first)
    if second:
        set_state(database, ids["smtp"], **second)
    if second is None:
        same = provider_configs.c.id == ids["smtp"]
        database.write(lambda tx: tx.execute(update(provider_configs).where(same).values(is_active=False)))
    for way in WAYS:
        shown = sending.submit(database, draft(**way), {}).notification
        with database.read() as tx:
            assert store.get(tx.at(shown.created_at), [shown.id]) == {shown.id: shown}


# What follows


def test_a_copy_is_audited_as_one(database: Database, anna: str) -> None:
    """Resending goes the same way in: an audit row with what it is a copy of, for each copy."""
    old = [letters.ended(database, anna, "sent") for _ in range(2)]
    copies = {each.new_id for each in acts.resend(database, old)}
    with database.read() as tx:
        rows = tx.execute(select(audit_logs.c.action, audit_logs.c.resource_id, audit_logs.c.changes)).all()
    assert {(row.action, row.resource_id) for row in rows} == {("resend", each) for each in copies}
    assert {row.changes for row in rows} == {f'{{"resent_from":"{each}"}}' for each in old}
