"""Where each attempt went: kept with it, found by it, and written without a claim touching an index."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import delete, insert, text

from notifyctl.core import content
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Channel, Claim
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import contact_points
from tests.support import seed
from tests.support.command import Cli

NOW = 10_000
ME = "11111111-1111-4111-8111-111111111111"
FIRST, SECOND, THIRD = "+14155552341", "+14155552342", "+14155552343"
BUSY, TAKEN = Outcome(Kind.TRANSIENT, "busy", http_status=503), Outcome(Kind.ACCEPTED, provider_message_id="SM1")


@pytest.fixture
def anna(database: Database) -> str:
    """A user, with providers configured."""
    for name in ("sendgrid", "twilio", "fcm"):
        seed.provider(database, name)
    return seed.user(database)


def moves_to(database: Database, user_id: str, address: str, channel: str = "sms") -> None:
    """Give a user another address in the place of the one that was."""
    row = {"id": str(uuid.uuid4()), "user_id": user_id, "channel": channel, "address": address}
    database.write(
        lambda tx: (
            tx.execute(delete(contact_points).where(contact_points.c.user_id == user_id)),
            tx.execute(insert(contact_points).values(row)),
        )
    )


def take(database: Database, now: int, provider: str = "twilio") -> tuple[Claim, ...]:
    """Claim what is due."""
    return database.write(lambda tx: claim(tx.at(now), ClaimRequest(provider, ME, 10, 65_000))).claims


def attempt(database: Database, outcome: Outcome, now: int, provider: str = "twilio") -> None:
    """Make the attempts that are due come to this."""
    results = [
        AttemptResult(each, decide(Attempt(each, now, now + 1), outcome, 0.0), outcome)
        for each in take(database, now, provider)
    ]
    assert results
    database.write(lambda tx: record(tx.at(now + 1), results))


def shown(cli: Cli, id_: str) -> dict[str, Any]:
    """Return what `show` says of it."""
    found: dict[str, Any] = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    return found


def found(cli: Cli, address: str) -> list[str]:
    """Return what is found by an address."""
    listed = cli.call("notifications", "list", "--address", address, "--until", "2100-01-01T00:00:00Z", "-o", "id")
    return sorted(listed.ok().stdout.split())


def sms(**fields: Any) -> str:
    """Return the payload of a text message."""
    return content.canonical(content.build(Channel.SMS, body="Hi", **fields))


def test_each_attempt_knows_where_it_went(cli: Cli, database: Database, anna: str) -> None:
    """Failed to the first, lost in the call to the second, sent to the third; the fourth has had nothing yet."""
    [id_] = seed.pending(database, anna, "twilio", payload=sms())
    assert shown(cli, id_)["address"] is None
    assert found(cli, FIRST) == []
    moves_to(database, anna, FIRST)
    attempt(database, BUSY, NOW)
    moves_to(database, anna, SECOND)
    [lost] = take(database, NOW + 3_600_000)
    assert shown(cli, id_)["attempts"][-1]["address"] == SECOND  # it runs
    moves_to(database, anna, THIRD)
    attempt(database, TAKEN, lost.claimed_at + 3_600_000)
    moves_to(database, anna, "+14155552344")
    row = shown(cli, id_)
    assert [each["address"] for each in row["attempts"]] == [FIRST, SECOND, THIRD]
    assert [each["outcome"] for each in row["attempts"]] == ["transient", "unknown", "accepted"]
    assert row["address"] == THIRD
    for address in (FIRST, SECOND, THIRD):
        assert found(cli, address) == [id_], address
    assert found(cli, "+14155552344") == []
    table = cli.call("notifications", "show", id_, "-o", "table").ok().stdout
    assert all(f"to {address}" in table for address in (FIRST, SECOND, THIRD))


def test_an_address_of_the_contents_own_is_the_one(cli: Cli, database: Database, anna: str) -> None:
    """Where the content names one, the user's was not used, and is not what it is found by."""
    moves_to(database, anna, FIRST)
    [id_] = seed.pending(database, anna, "twilio", payload=sms(to=SECOND))
    attempt(database, BUSY, NOW)
    attempt(database, TAKEN, NOW + 3_600_000)
    row = shown(cli, id_)
    assert [each["address"] for each in row["attempts"]] == [SECOND, SECOND]
    assert (row["address"], found(cli, FIRST), found(cli, SECOND)) == (SECOND, [], [id_])


def test_what_an_operator_took_over_knows_it_too(cli: Cli, database: Database, anna: str) -> None:
    """A cancelled attempt that was lost went somewhere: to the user's address of then, or to the content's own."""
    moves_to(database, anna, FIRST)
    ids = [seed.pending(database, anna, "twilio", payload=payload)[0] for payload in (sms(), sms(to=SECOND))]
    assert len(take(database, NOW)) == 2
    moves_to(database, anna, THIRD)
    cli.call("notifications", "cancel", *ids).ok()
    assert [shown(cli, id_)["address"] for id_ in ids] == [FIRST, SECOND]
    assert [found(cli, address) for address in (FIRST, SECOND, THIRD)] == [[ids[0]], [ids[1]], []]
    assert shown(cli, ids[0])["attempts"][0]["address"] == FIRST


def test_mail_is_found_whatever_the_case_and_topics_have_none(cli: Cli, database: Database, anna: str) -> None:
    """No mail server tells cases apart; a topic is nobody's address."""
    mail = json.dumps({"v": 1, "subject": "s", "text": "t", "from": "a@example.org"})
    [id_] = seed.pending(database, anna, payload=mail)
    attempt(database, TAKEN, NOW, "sendgrid")
    assert (shown(cli, id_)["address"], found(cli, "Anna@EXAMPLE.org")) == ("anna@example.org", [id_])
    moves_to(database, anna, "device-1", "push")
    topic = content.canonical(content.build(Channel.PUSH, subject="s", body="b", data={"topic": "news"}))
    [push] = seed.pending(database, anna, "fcm", payload=topic)
    attempt(database, TAKEN, NOW, "fcm")
    assert (shown(cli, push)["address"], found(cli, "device-1")) == (None, [])


def test_copies_went_there_too(cli: Cli, database: Database, anna: str) -> None:
    """A mail is found by each address that gets it, with a name or without; its sender and its text are none."""
    base = {"v": 1, "subject": "s", "text": "write to carol@example.org", "from": "shop@example.org"}
    fields = {
        "cc": ["Bob <bob@example.org>", "dave@example.org"],
        "bcc": ["eve@example.org"],
        "reply_to": "r@example.org",
    }
    payload = content.canonical(
        content.build(Channel.EMAIL, subject="s", body=base["text"], data={**fields, "from": base["from"]})
    )
    [id_] = seed.pending(database, anna, payload=payload)
    attempt(database, TAKEN, NOW, "sendgrid")
    for name in ("bob", "dave", "eve", "anna", "BOB"):
        assert found(cli, f"{name}@example.org") == [id_], name
    for name in ("carol", "shop", "r", "ob"):
        assert found(cli, f"{name}@example.org") == [], name


def test_the_claim_stays_within_its_page(postgresql_url: str) -> None:
    """Every row that a claim writes is a heap-only tuple: no index learns of it."""
    database = Database(postgresql_url)
    seed.provider(database, "twilio")
    anna = seed.user(database)
    moves_to(database, anna, FIRST)
    seed.pending(database, anna, "twilio", count=10, payload=sms())

    def work(tx: Any) -> Any:
        assert len(claim(tx.at(NOW), ClaimRequest("twilio", ME, 10, 65_000)).claims) == 10
        counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'notifications'"
        return tx.execute(text(counts)).one()

    assert tuple(database.write(work)) == (10, 10)
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'notifications'"
    with database.read() as tx:
        assert not [each for each in tx.execute(text(indexes)).scalars() if "sent_to" in each]
    database.close()
