"""A receipt against the doubling that an unknown outcome means: through the whole program, as an operator runs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode

import pytest
from sqlalchemy import select

from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.dispatch.early import EarlyReceipts
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import early
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, early_receipts
from tests.support import seed
from tests.support.command import Cli
from tests.support.refusal import refuse
from tests.support.scripted import Answer, Asked, Peer, Scripted, reply
from tests.support.threefold import add_providers

SID = "SM" + "1" * 32
TO = "+14155552345"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A provider that takes each message and loses its answer."""
    with Scripted(lambda asked: _lost) as running:
        yield running


@pytest.fixture
def anna(cli: Cli, server: Scripted) -> str:
    """A user with a mail and a number; the providers are the server, and Twilio reports to an address."""
    add_providers(cli, server.url, "sendgrid", "twilio")
    cli.call("providers", "update", "twilio", "--set", "status_callback=https://shop.example/status?a=1").ok()
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    return "anna"


async def _lost(peer: Peer) -> None:
    peer.reset()


def send(cli: Cli, *args: str) -> str:
    """Submit a text and return its id."""
    to = ("--channel", "sms", "--to", TO, "--body", "hello")
    return cli.call("send", "anna", *to, *args, "-o", "id").ok().stdout.strip()


def callback(asked: Asked) -> str:
    """Return the address at which Twilio is to report of a message."""
    return parse_qs(asked.body.decode())["StatusCallback"][0]


def form(status: str) -> str:
    """Return what Twilio posts there."""
    return urlencode({"MessageSid": SID, "MessageStatus": status, "To": TO})


def test_a_report_keeps_it_from_going_out_twice(cli: Cli, server: Scripted, anna: str, database: Database) -> None:
    """The answer was lost, the SID is not known: the address that Twilio called says what the report is of."""
    id_ = send(cli)
    cli.call("dispatch", "--once").ok()
    assert seed.notification(database, id_).status == "pending"
    [asked] = server.asked
    assert f"notification_id={id_}&attempt=1" in callback(asked)
    taken = cli.call("receipts", "ingest", "-", "--url", callback(asked), "-o", "json", input=form("delivered")).ok()
    assert (taken.json()["delivered"], taken.json()["unknown"]) == (1, 0)
    row = seed.notification(database, id_)
    assert (row.status, row.provider_message_id) == ("sent", SID)
    cli.call("notifications", "reschedule", id_, "--at", "now")
    cli.call("dispatch", "--once").ok()
    assert len(server.asked) == 1
    shown = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    assert [each.get("outcome") or each["event"] for each in shown["attempts"]] == ["unknown", "receipt"]


def test_a_dead_letter_that_had_arrived(cli: Cli, anna: str, database: Database) -> None:
    """SendGrid's event names the notification: out of the dead letters it goes, with a line in the audit trail."""
    mail = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "hello", "--max-retries", "0")
    id_ = cli.call(*mail, "-o", "id").ok().stdout.strip()
    cli.call("dispatch", "--once").ok()
    assert cli.call("dlq", "list", "--reason", "outcome_unknown", "-o", "id").ok().stdout.split() == [id_]
    event = f'[{{"event":"delivered","sg_message_id":"m1.x","timestamp":1767218400,"notification_id":"{id_}"}}]'
    assert cli.call("receipts", "ingest", "-", "-o", "json", input=event).ok().json()["delivered"] == 1
    assert cli.call("dlq", "list", "-o", "json").ok().json() == []
    shown = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    assert (shown["status"], shown["provider_message_id"]) == ("sent", "m1")
    with database.read() as tx:
        trail = set(tx.execute(select(audit_logs.c.action).where(audit_logs.c.resource_id == id_)).scalars())
    assert trail == {"create", "confirm"}


def test_a_report_that_overtakes_its_answer(cli: Cli, server: Scripted, anna: str, database: Database) -> None:
    """Twilio reports before it answers: the report is kept, and counts when the answer is there."""
    arrived, reported = threading.Event(), threading.Event()

    def script(asked: Asked) -> Answer:
        arrived.set()
        assert reported.wait(60)
        return reply(201, {"sid": SID, "status": "queued"})

    server.script = script
    id_ = send(cli)
    running = cli.start("dispatch", "--once")
    try:
        assert arrived.wait(60)
        taken = cli.call("receipts", "ingest", "-", "-o", "json", input=form("delivered")).ok().json()
        assert (taken["kept"], taken["delivered"]) == (1, 0)
        reported.set()
        assert running.wait(60) == 0
    finally:
        reported.set()
        running.kill()
        running.communicate()
    database.write(lambda tx: tx.execute(early_receipts.update().values(look_at=0)))
    cli.call("dispatch", "--once").ok()
    row = seed.notification(database, id_)
    assert (row.status, row.provider_message_id, row.receipt) == ("sent", SID, "delivered")
    assert len(server.asked) == 1


def test_one_that_cannot_be_written_holds_up_no_other(database: Database) -> None:
    """A receipt whose notification the database refuses to change waits on; those behind it are written."""
    user = seed.user(database)
    seed.provider(database)
    bad, good = (seed.pending(database, user, status="sent", provider_message_id=f"m{number}") for number in range(2))
    arrivals = [Arrival(Receipt(Stage.DELIVERED, "delivered", at=1), f[0], None) for f in (bad, good)]
    database.write(lambda tx: early.keep(tx.at(tx.now - 5_000), "sendgrid", arrivals))
    refuse(database, bad[0], "NEW.delivered_at IS NOT NULL")
    said: list[str] = []

    async def look() -> None:
        threads = StoreThreads(database)
        await EarlyReceipts(threads, said.append).look()
        threads.close()

    asyncio.run(look())
    assert [seed.notification(database, each[0]).delivered_at for each in (bad, good)] == [None, 1]
    assert len(said) == 1 and "not for you" in said[0]
    with database.read() as tx:
        assert [each.arrival.notification_id for each in early.about(tx, [bad[0], good[0]])] == [bad[0]]
        assert early.due(tx) == []
