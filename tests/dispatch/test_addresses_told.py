"""What providers say of an address that is sealed: kept without it, wherever it is kept."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from notifyctl.services import atrest
from notifyctl.store import moving
from notifyctl.store.db.database import Database
from notifyctl.store.schema.columns import metadata
from notifyctl.store.schema.tables import users
from tests.support.mailserver import MailServer
from tests.support.scripted import Peer, Scripted
from tests.support.world import World

HOME, WORK = "bob.at.home@example.net", "carl.at.work@example.net"


def _hits(database: Database, *addresses: str) -> set[str]:
    """Return the columns that name one of these, but for what the users' own rows say."""
    with database.read() as tx:
        rows = [
            (f"{table.name}.{name}", str(value))
            for table in metadata.sorted_tables
            if table is not users
            for row in tx.execute(select(table)).mappings()
            for name, value in row.items()
        ]
    return {place for place, value in rows if any(each in value for each in addresses)}


@pytest.fixture
def two(world: World) -> World:
    """Bob and Carl have a mail address beside their own."""
    for name, address in (("bob", HOME), ("carl", WORK)):
        world.ok("users", "create", name, "--email", f"{name}@example.org")
        world.ok("users", "contacts", "add", name, "email", address)
    return world


def _bounce(notification_id: str, address: str, reason: str, **more: str) -> str:
    """Return what SendGrid's event webhook posts of a bounce."""
    event = {"email": address, "timestamp": 1_796_000_000, "event": "bounce", "reason": reason, "type": "bounce"}
    return json.dumps([{**event, "notification_id": notification_id, **more}])


def _ingest(world: World, body: str) -> None:
    world.ok("receipts", "ingest", "-", "--provider", "sendgrid", input=body)


async def _lost(peer: Peer) -> None:
    peer.reset()


QUOTING = "550 5.1.1 <{}>: Recipient address rejected: User unknown"


@pytest.mark.parametrize("after", [True, False])
def test_a_receipt_that_quotes_the_address(two: World, database: Database, *, after: bool) -> None:
    """As Postfix and Gmail do: what came before addresses are sealed is written anew, what comes then never has it."""
    ids = [two.send("email", user="bob"), two.send("email", user="carl")]
    if after:
        two.ok("secrets", "encrypt-addresses", "--yes")
    assert two.dispatch()["accepted"] == 2
    for id_, address in zip(ids, (HOME, WORK), strict=True):
        _ingest(two, _bounce(id_, address, QUOTING.format(address)))
    if not after:
        assert "notifications.receipt" in _hits(database, HOME, WORK)
        two.ok("secrets", "encrypt-addresses", "--yes")
    assert not _hits(database, HOME, WORK)
    assert two.show(ids[0])["receipt"] == "bounce 550 5.1.1 <(address)>: Recipient address rejected: User unknown"
    listed = two.ok("suppressions", "list", "-o", "json").json()
    assert {each["address"] for each in listed} == {HOME, WORK}


def test_a_receipt_that_says_what_became_of_a_lost_attempt(two: World, database: Database) -> None:
    """It brings a dead letter back to `sent`: what the provider said then stands in the history and the audit trail."""
    two.ok("secrets", "encrypt-addresses", "--yes")
    with Scripted(lambda asked: _lost) as server:
        two.ok("providers", "update", "sendgrid", "--set", f"base_url={server.url}", "--keep-credentials")
        id_ = two.send("email", "--max-retries", "0", user="bob")
        assert two.dispatch()["dead"] == 1
    _ingest(two, _bounce(id_, HOME, QUOTING.format(HOME)))
    shown = two.show(id_)
    assert (shown["status"], shown["attempts"][-1]["event"]) == ("sent", "receipt")
    assert not _hits(database, HOME)


@pytest.mark.parametrize("way", ["update", "import", "fixtures"])
def test_an_own_address_that_is_another_now(two: World, database: Database, way: str) -> None:
    """As long as it is in the user's row it is in clear; then it is an address like any other, also where it went."""
    two.ok("users", "create", "lena", "--email", "lena.long.ago@example.net")
    id_ = two.send("email", user="lena")
    two.ok("secrets", "encrypt-addresses", "--yes")
    other = two.send("email", user="lena")
    assert two.dispatch()["accepted"] == 2
    _ingest(two, _bounce(other, "lena.long.ago@example.net", QUOTING.format("lena.long.ago@example.net")))
    assert _hits(database, "lena.long.ago") == {"notifications.sent_to", "notifications.receipt"}
    row = {"username": "lena", "email": "lena@example.net"}
    match way:
        case "update":
            two.ok("users", "update", "lena", "--email", row["email"])
        case "import":
            two.ok(
                "users",
                "import",
                "-f",
                "-",
                "--format",
                "csv",
                "--update",
                input="username,email\nlena,lena@example.net\n",
            )
        case _:
            two.ok("fixtures", "apply", "-f", "-", input=json.dumps({"users": [row]}))
    assert not _hits(database, "lena.long.ago")
    assert [each["address"] for each in two.show(id_)["attempts"]] == ["lena.long.ago@example.net"]
    found = ("notifications", "list", "--user", "lena", "--address", "lena.long.ago@example.net", "-o", "id")
    assert set(two.ok(*found).stdout.split()) == {id_, other}


def test_why_a_provider_is_paused_names_nobody(two: World, database: Database) -> None:
    """A relay that refuses everybody quotes each of them: that is told to all who look at the provider."""
    refusals = [f"554 5.7.1 <{each}>: Relay access denied" for each in (HOME, WORK)]
    two.ok("secrets", "encrypt-addresses", "--yes")
    with MailServer({"RCPT": refusals}) as server:
        host = ("--set", "host=127.0.0.1", "--set", f"port={server.port}", "--set", "security=none")
        two.ok("providers", "add", "smtp", *host, "--set", "from=alerts@example.com")
        for name in ("bob", "carl"):
            two.send("email", "--provider", "smtp", "--max-retries", "0", user=name)
            done = two.ok("dispatch", "--once")
    assert "smtp paused" in done.stderr and "Relay access denied" in done.stderr
    shown = two.ok("providers", "show", "smtp", "-o", "json").json()
    assert "Relay access denied" in shown["pause_reason"]
    assert not _hits(database, HOME, WORK)
    assert HOME not in done.stderr and WORK not in done.stderr


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer: nobody comes between
def test_a_receipt_that_comes_while_its_row_is_written_anew(
    two: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is no longer what was read: it is read again, and does not stay as it was."""
    id_ = two.send("email", user="bob")
    two.dispatch()
    write, news = moving.write_sent, [_bounce(id_, HOME, QUOTING.format(HOME))]

    def late(*args: object) -> int:
        while news:
            _ingest(two, news.pop())
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(atrest.moving, "write_sent", late)
    two.ok("secrets", "encrypt-addresses", "--yes")
    assert "notifications.receipt" not in _hits(database, HOME) and "notifications.sent_to" not in _hits(database, HOME)
