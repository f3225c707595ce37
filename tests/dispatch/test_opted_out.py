"""Who must not be written to is not, by whatever road that was learned."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.support.mailserver import MailServer
from tests.support.world import World

Road = Callable[[World, str], None]


@pytest.fixture
def people(make_world: Callable[..., World]) -> World:
    """The world with a second provider for mail, where messages arrive within a second."""
    world = make_world("--receipts", "1s")
    mail = world.sandbox.facts["smtp"]
    secrets = f"{mail['api_key']}\n{mail['api_secret']}\n"
    settings = [f"{name}={value}" for name, value in mail.items() if name in ("host", "port", "security")]
    options = [each for setting in (*settings, "from=alerts@example.com") for each in ("--set", setting)]
    world.ok("providers", "add", "smtp", "--api-key", "-", "--api-secret", "-", *options, input=secrets)
    return world


def _mailed(world: World, address: str, **data: object) -> None:
    world.send("email", "--to", address, "--data", json.dumps(data), "--provider", "sendgrid")
    world.dispatch()
    time.sleep(1.1)


def _by_answer(world: World, address: str) -> None:
    world.send("sms", "--to", address)
    world.dispatch()


def _by_status_callback(world: World, address: str) -> None:
    form = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "undelivered", "ErrorCode": "21610", "To": address}
    world.ok("receipts", "ingest", "-", input=urlencode(form))


def _by_inbound_stop(world: World, address: str) -> None:
    form = {
        "MessageSid": "SM" + "1" * 32,
        "SmsStatus": "received",
        "From": address,
        "To": "+15005550006",
        "Body": "Stop",
    }
    world.ok("receipts", "ingest", "-", input=urlencode(form))


def _by_event(world: World, address: str) -> None:
    events = [{"event": "spamreport", "email": address.upper(), "timestamp": int(time.time())}]
    world.ok("receipts", "ingest", "-", input=json.dumps(events))


def _by_poll(world: World, address: str) -> None:
    _mailed(world, address)
    world.ok("receipts", "poll", "--provider", "sendgrid")
    world.ok("receipts", "poll", "--provider", "sendgrid")


def _by_list(world: World, address: str) -> None:
    _mailed(world, address)
    world.ok("suppressions", "pull", "sendgrid")


ROADS: dict[str, tuple[Road, str, str]] = {
    "answer": (_by_answer, "sms", "+15005550004"),
    "status callback": (_by_status_callback, "sms", "+14155559876"),
    "inbound STOP": (_by_inbound_stop, "sms", "+14155559876"),
    "event": (_by_event, "email", "carla@example.org"),
    "poll and activity": (_by_poll, "email", "bounce-carla@example.org"),
    "list of bounces": (_by_list, "email", "bounce-carla@example.org"),
    "list of unsubscribes": (_by_list, "email", "unsubscribe-carla@example.org"),
    "list of spam reports": (_by_list, "email", "spamreport-carla@example.org"),
    "list of invalid addresses": (_by_list, "email", "invalid-carla@example.org"),
}


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("road", ROADS)
def test_28_what_was_opted_out_of_stays_so(people: World, road: str) -> None:
    """Sends afterwards 0, to that address and to copies of it, by every provider of the channel."""
    act, channel, address = ROADS[road]
    act(people, address)
    before = len(people.sandbox.requests())
    providers = ("sendgrid", "smtp") if channel == "email" else ("twilio",)
    written = (address, address.replace("example", "EXAMPLE"))
    ids = [people.send(channel, "--to", to, "--provider", each) for each in providers for to in written]
    if channel == "email":
        copy = json.dumps({"cc": [f"Carla <{address.upper()}>"], "bcc": [address]})
        with_copies = [people.send("email", "--data", copy, "--provider", each) for each in providers]
    people.dispatch()
    assert {people.show(id_)["status"] for id_ in ids} == {"cancelled"}
    after = people.sandbox.requests()[before:]
    assert len(after) == (2 if channel == "email" else 0)
    assert address not in json.dumps(after).lower()
    if channel == "email":
        shown = [people.show(id_) for id_ in with_copies]
        assert {each["status"] for each in shown} == {"sent"}
        assert all(each["attempts"][0]["event"] == "copy_suppressed" for each in shown)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_28_a_group_that_was_left_stays_so(people: World) -> None:
    """Read from SendGrid's list of group unsubscribes: that group's mails stop, no others; a block stops nothing."""
    address = "groupunsubscribe-carla@example.org"
    _mailed(people, address, asm={"group_id": 7})
    _mailed(people, "blocked-bob@example.org")
    done = people.cli.call("suppressions", "pull", "sendgrid", "-o", "json").ok()
    read = {each["name"]: (each["read"], each["suppressed"]) for each in done.json()}
    assert read == {
        "bounces": (0, 0),
        "invalid_emails": (0, 0),
        "spam_reports": (0, 0),
        "unsubscribes": (0, 0),
        "group_unsubscribes": (1, 1),
        "blocks": (1, 0),
    }
    assert "not suppressed: blocked-bob@example.org" in done.stderr
    same = people.send("email", "--to", address, "--data", '{"asm": {"group_id": 7}}')
    other = people.send("email", "--to", address, "--data", '{"asm": {"group_id": 8}}')
    none = people.send("email", "--to", address, "--provider", "smtp")
    people.dispatch()
    assert [people.show(id_)["status"] for id_ in (same, other, none)] == ["cancelled", "sent", "sent"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_28_a_copy_that_a_mail_server_refused(people: World) -> None:
    """The others get the mail, the copy's address is suppressed, and the next mail does not name it to the server."""
    with MailServer({"RCPT": ["250 2.1.5 Ok", "550 5.1.1 no such user", "250 2.1.5 Ok"]}) as server:
        people.ok("providers", "update", "smtp", "--set", f"port={server.port}", "--keep-credentials")
        copy = ("--data", '{"cc": ["Gone <gone@example.org>"]}', "--provider", "smtp")
        first = people.send("email", *copy)
        people.dispatch()
        second = people.send("email", *copy)
        people.dispatch()
    assert [people.show(id_)["status"] for id_ in (first, second)] == ["sent", "sent"]
    rows = people.ok("suppressions", "list", "-o", "json").json()
    assert [(each["address"], each["cause"], each["notification_id"]) for each in rows] == [
        ("gone@example.org", "bounce", first)
    ]
    told = [each for heard in server.heard for each in heard.commands if "gone@example.org" in each.lower()]
    assert len(told) == 1
