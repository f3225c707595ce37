"""The host's own trouble is not the provider's: what could not be sent for it is as it was before."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from notifyctl.dispatch import host
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Asked, Scripted, reply
from tests.support.threefold import add_providers

NOWHERE = "http://255.255.255.255:9"
"""To everybody on the wire: TCP does not go there from any host."""


class Room:
    """Two providers, one server that is both, and a user whom both reach."""

    def __init__(self, cli: Cli, url: str, server: Scripted) -> None:
        self.cli, self.server, self.db = cli, server, Database(url)
        add_providers(cli, server.url, "sendgrid", "twilio")
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()

    def send(self, channel: str) -> str:
        """Submit one notification and return its id."""
        to, subject = ("+14155550000", ()) if channel == "sms" else ("anna@example.org", ("--subject", "Hello"))
        args = ("--channel", channel, "--to", to, *subject, "--body", "Hello there", "-o", "id")
        return self.cli.call("send", "anna", *args).ok().stdout.strip()

    def point(self, provider: str, url: str) -> None:
        """Let a provider be somewhere else."""
        self.cli.env[f"NOTIFYCTL_{provider.upper()}_URL"] = url

    def dispatch(self, *more: str) -> str:
        """Send what is due, and return what was said."""
        return self.cli.call("dispatch", "--once", *more).ok().stderr

    def state(self, provider: str) -> dict[str, Any]:
        """Return a provider as it is listed."""
        lines = self.cli.call("providers", "list", "-o", "json").json()
        return dict(next(line for line in lines if line["provider_name"] == provider))


def _answer(asked: Asked) -> bytes:
    return reply(202) if asked.path.startswith("/v3/") else reply(201, {"sid": f"SM{'1' * 32}", "status": "queued"})


@pytest.fixture
def room(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """The room, with less patience than usual."""
    monkeypatch.setattr(host, "ONCE_REST_MS", 1_500)
    monkeypatch.setattr("notifyctl.core.reach.ALONE_MS", 300)
    with Scripted(_answer) as server:
        made = Room(cli, database_url, server)
        yield made
        made.db.close()


def test_no_way_to_anybody_costs_nothing(room: Room) -> None:
    """No attempt, no history, no breaker; it is said once, the run ends, and the next one sends all."""
    ids = [room.send(channel) for channel in ("email", "sms") for _ in range(30)]
    for provider in ("sendgrid", "twilio"):
        room.point(provider, NOWHERE)
    assert room.dispatch().count("trouble of this host") == 1
    rows = [seed.notification(room.db, id_) for id_ in ids]
    assert {(row.status, row.attempt_count, row.retry_history, row.lease_id) for row in rows} == {
        ("pending", 0, None, None)
    }
    assert [room.state(provider)["state"] for provider in ("sendgrid", "twilio")] == ["active", "active"]
    for provider in ("sendgrid", "twilio"):
        room.point(provider, room.server.url)
    room.dispatch()
    rows = [seed.notification(room.db, id_) for id_ in ids]
    assert {(row.status, row.attempt_count) for row in rows} == {("sent", 1)}


def test_who_was_never_called_was_not_reached(room: Room) -> None:
    """Mails of which no request can be made end, and prove no way: the messages of others cost nothing all the same."""
    (anna,) = {seed.notification(room.db, room.send("sms")).user_id}
    unfit = json.dumps({**seed.CONTENT["email"], "template_id": "d-1"})
    seed.pending(room.db, anna, count=30, payload=unfit)
    ids = [room.send("sms") for _ in range(5)]
    for provider in ("sendgrid", "twilio"):
        room.point(provider, NOWHERE)
    room.dispatch("--concurrency", "1")
    assert {seed.notification(room.db, id_).attempt_count for id_ in ids} == {0}


@pytest.mark.parametrize("both", [True, False], ids=["others are called", "nobody else is called"])
def test_no_way_to_one_alone_is_its_failure(room: Room, both: bool) -> None:
    """It counts, so that its breaker opens and others take over; where nobody else is called, one is looked at."""
    id_ = room.send("sms")
    if both:
        room.send("email")
    room.point("twilio", NOWHERE)
    room.dispatch()
    row = seed.notification(room.db, id_)
    assert (row.status, row.attempt_count) == ("pending", 1), row
    assert len(room.server.asked) == (1 if both else 0)  # to look is not to ask


def test_an_unknown_name_is_configuration(room: Room) -> None:
    """It is told and waits for somebody to mend it: no message loses an attempt."""
    try:
        socket.getaddrinfo("api.nobody.invalid", 80)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            pytest.skip("the resolver here does not answer")
    id_ = room.send("sms")
    room.point("twilio", "http://api.nobody.invalid")
    assert "twilio paused: api.nobody.invalid: not connected: " in room.dispatch()
    row = seed.notification(room.db, id_)
    assert (row.status, row.attempt_count) == ("pending", 0)
    assert room.state("twilio")["state"] == "paused"


def test_as_many_calls_as_the_host_holds(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the limit of open files allows fewer than were asked for, that is said, and each gets its share."""
    monkeypatch.setattr("notifyctl.wiring.dispatching.room_for_connections", lambda: 20)
    for _ in range(40):
        room.send("email")
    assert "at most 10 calls at once to each provider: ulimit -n allows no more" in room.dispatch()
    assert len(room.server.asked) == 40
