"""A dispatcher asks what became of messages: beside sending, and by the same endings. Real sockets, both databases."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import update

from notifyctl.dispatch.queues.questions import PLACES
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Answer, Asked, Peer, Scripted, reply
from tests.support.world import KEYS, stop

ACCOUNT = "AC" + "a" * 32

# What is tested plays outside the database: one of the two is enough.
ON_EITHER = pytest.mark.parametrize("backend", ["sqlite"])


def message(path: str) -> bytes:
    """Return Twilio's answer about a message: delivered."""
    sid = urlsplit(path).path.rpartition("/")[2].removesuffix(".json")
    return reply(200, {"sid": sid, "status": "delivered", "error_code": None, "to": "+14155552345"})


async def silence(peer: Peer) -> None:
    """Never answer."""
    await asyncio.sleep(600)


def delivered(asked: Asked) -> Answer:
    """Say of all that is asked that it was delivered."""
    return message(asked.path)


@pytest.fixture
def provider(cli: Cli) -> Iterator[Scripted]:
    """Twilio is the script, and is asked; a call may take two seconds."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    with Scripted(delivered) as script:
        settings = ("--set", f"base_url={script.url}", "--set", "from=+15005550006", "--set", "receipts=poll")
        secrets = ("--api-key", "-", "--api-secret", "-")
        cli.call("providers", "add", "twilio", *secrets, *settings, "--timeout", "2", input=f"{ACCOUNT}\nx\n").ok()
        yield script


@pytest.fixture
def sent(database: Database) -> Callable[..., list[str]]:
    """Writes messages that were sent an hour ago, and are to be asked about."""
    anna = seed.user(database)

    def write(count: int, provider: str = "twilio", **values: Any) -> list[str]:
        now = database.moment()
        facts = {"status": "sent", "sent_at": now - 3_600_000, "receipt_due_at": now - 1, **values}
        made = [seed.pending(database, anna, provider, **facts)[0] for _ in range(count)]
        for id_ in made:
            statement = update(notifications).where(notifications.c.id == id_).values(provider_message_id=f"SM{id_}")
            database.write(lambda tx, statement=statement: tx.execute(statement))
        return made

    return write


def questions(provider: Scripted) -> list[str]:
    """Return what was asked about so far."""
    return [each.path for each in provider.asked if each.method == "GET"]


def wait_until(done: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait for something to have happened."""
    end = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_receipts_are_asked_while_notifications_are_sent(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """Neither waits for the other: the provider takes nothing before it is asked, and what it took before is known."""
    asked_about = asyncio.Event()

    async def take(peer: Peer) -> None:
        await asked_about.wait()
        await peer.say(reply(201, {"sid": "SM" + "c" * 32, "status": "queued"}))

    def script(asked: Asked) -> Answer:
        if asked.method == "POST":
            return take
        asked_about.set()
        return message(asked.path)

    provider.script = script
    [before] = sent(1)
    cli.call("users", "create", "bob", "--email", "bob@example.org").ok()
    cli.call("users", "contacts", "add", "bob", "sms", "+14155552345").ok()
    ids = [cli.call("send", "bob", "--channel", "sms", "--body", "x", "-o", "id").ok().stdout.strip() for _ in range(3)]
    report = cli.call("dispatch", "--once", "-o", "json").ok().json()
    assert (report["accepted"], report["attempts"]) == (3, 3)  # questions are no attempts
    assert {seed.notification(database, id_).status for id_ in ids} == {"sent"}
    assert seed.notification(database, before).delivered_at is not None


def test_a_question_that_is_open_at_the_end_is_not_lost(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """SIGTERM breaks it off after the drain's time; its message is due at once, and the next dispatcher asks."""
    provider.script = lambda asked: silence
    [id_] = sent(1)
    process = cli.start("dispatch", "-q", "--drain", "200ms")
    wait_until(lambda: bool(questions(provider)))
    assert seed.notification(database, id_).receipt_due_at > database.moment() + 60_000  # nobody else asks meanwhile
    exit_code, _, err = stop(process)
    assert (exit_code, err) == (0, "")
    row = seed.notification(database, id_)
    assert (row.delivered_at, row.receipt_due_at <= database.moment()) == (None, True)
    provider.script = delivered
    cli.call("dispatch", "--once").ok()
    assert seed.notification(database, id_).delivered_at is not None


def test_an_answer_that_comes_while_it_drains_is_written(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """SIGTERM while a question is open: what is answered within the drain's time counts."""
    told = threading.Event()

    async def late(peer: Peer, path: str) -> None:
        await asyncio.to_thread(told.wait, 30)
        await peer.say(message(path))

    provider.script = lambda asked: lambda peer: late(peer, asked.path)
    [id_] = sent(1)
    process = cli.start("dispatch", env={"NOTIFYCTL_LOG_LEVEL": "WARNING"})
    wait_until(lambda: bool(questions(provider)))
    process.terminate()
    time.sleep(0.3)
    told.set()
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
    assert seed.notification(database, id_).delivered_at is not None


def test_once_asks_about_a_few_of_a_backlog(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """Cron runs it each minute to send: the backlog of questions is worked off a little in each run."""
    provider.script = delivered
    ids = sent(120)
    cli.call("dispatch", "--once").ok()
    asked = len(questions(provider))
    assert 1 <= asked <= 50
    assert sum(seed.notification(database, id_).delivered_at is not None for id_ in ids) == asked


def test_once_asks_no_longer_than_two_seconds(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """However slowly it is answered: no new question is begun after that."""

    async def slowly(peer: Peer, path: str) -> None:
        await asyncio.sleep(0.5)
        await peer.say(message(path))

    provider.script = lambda asked: lambda peer: slowly(peer, asked.path)
    sent(120)
    cli.call("dispatch", "--once").ok()
    assert 1 <= len(questions(provider)) <= 4 * PLACES, "the fifth at each place would be begun after two seconds"


def test_once_ends_in_time_where_a_provider_hangs(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """Of many messages it is asked about a few, all of them put off, and the others stay due for the next run."""
    provider.script = lambda asked: silence
    ids = sent(100)
    began, moment = time.monotonic(), database.moment()
    done = cli.call("dispatch", "--once").ok()
    assert time.monotonic() - began < 12  # two rounds of two seconds, and much more for a slow machine
    assert (done.stdout, done.stderr) == ("", "")
    due = [seed.notification(database, id_).receipt_due_at for id_ in ids]
    assert 1 <= len(questions(provider)) <= 16
    assert sum(each < moment for each in due) == 100 - len(questions(provider))
    assert all(each < moment or each >= moment + 3_600_000 for each in due)


@ON_EITHER
def test_trouble_is_said_once_as_long_as_it_stays_the_same(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]]
) -> None:
    """A running dispatcher that is turned away each time it asks does not fill its log with it."""
    provider.script = lambda asked: reply(429, {"message": "busy"}, Retry_After="1")
    sent(40)
    process = cli.start("dispatch", env={"NOTIFYCTL_LOG_LEVEL": "WARNING"})
    wait_until(lambda: len(questions(provider)) > 8)  # of one round there are 8 at the most
    _, _, err = stop(process)
    (line,) = err.splitlines()
    assert line.endswith(" WARNING twilio: no receipts: HTTP 429 busy")


@ON_EITHER
def test_who_is_asked_is_seen_while_it_runs(
    cli: Cli, provider: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """A provider whose setting changes is asked from then on, or no more, without a restart."""
    cli.call("providers", "update", "twilio", "--set", "receipts=").ok()
    sent(1)
    process = cli.start("dispatch", env={"NOTIFYCTL_LOG_LEVEL": "WARNING"})
    try:
        time.sleep(1)
        assert questions(provider) == []
        cli.call("providers", "update", "twilio", "--set", "receipts=poll").ok()
        wait_until(lambda: len(questions(provider)) == 1)
        cli.call("providers", "update", "twilio", "--set", "receipts=").ok()
        time.sleep(6)  # it looks every two seconds
        [id_] = sent(1)
        time.sleep(6)  # and asks every five
        assert len(questions(provider)) == 1
        assert seed.notification(database, id_).receipt_due_at < database.moment()
    finally:
        stop(process)


# Mails of which more can be learned


@pytest.fixture
def mails(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """SendGrid is the script, is asked one question after the other, and knows of mails that came back."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 119)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    with Scripted(lambda asked: reply(404)) as script:
        settings = ("--set", f"base_url={script.url}", "--set", "from=a@example.com", "--set", "receipts=poll")
        cli.call("providers", "add", "sendgrid", "--api-key", "-", *settings, input="SG.key\n").ok()
        yield script


def came_back(answers: dict[str, Answer]) -> Callable[[Asked], Answer]:
    """Return a script: all mails that are searched for came back; alone each has its answer, by its last part."""

    def script(asked: Asked) -> Answer:
        query = parse_qs(urlsplit(asked.path).query).get("query")
        if query is None:
            return answers[asked.path.rpartition(".")[2]]
        found = [part.split("'")[1].removesuffix("%") for part in query[0].split(" OR ")]
        bounced = [{"msg_id": f"{id_}.x.{part}", "status": "not_delivered"} for id_ in found for part in answers]
        return reply(200, {"messages": bounced})

    return script


def why(path: str, to: str, reason: str) -> bytes:
    """Return SendGrid's answer about one mail alone."""
    events = [{"event_name": "bounced", "reason": reason}]
    full_id = urlsplit(path).path.rpartition("/")[2]
    return reply(200, {"msg_id": full_id, "to_email": to, "status": "not_delivered", "events": events})


def test_once_has_the_patience_to_learn_why(
    cli: Cli, mails: Scripted, sent: Callable[..., list[str]], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows from an answer is asked in the same run, when a permit is to be had soon."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 600)
    [id_] = sent(1, "sendgrid")
    reason = why(f"/SM{id_}.x.0", "anna@example.org", "550 5.1.1 no such user")
    mails.script = came_back({"0": reason})
    cli.call("dispatch", "--once").ok()
    assert len(mails.asked) == 2
    assert seed.notification(database, id_).receipt == "not_delivered 550 5.1.1 no such user"


@ON_EITHER
def test_a_mail_to_many_is_one_message(
    cli: Cli, mails: Scripted, sent: Callable[..., list[str]], database: Database
) -> None:
    """Each recipient's mail is asked about alone, and one that has no answer hides no other's."""
    content = {"v": 1, "subject": "s", "text": "t", "to": "anna@example.org", "cc": "bert@example.org"}
    [id_] = sent(1, "sendgrid", payload=json.dumps(content))
    reason = why(f"/SM{id_}.x.1", "anna@example.org", "550 5.1.1 no such user")
    mails.script = came_back({"0": reply(500), "1": reason})
    [found] = cli.call("receipts", "poll", "--provider", "sendgrid", "-o", "json").ok().json()
    assert (found["asked"], found["bounced"], found["suppressed"]) == (1, 1, 1)
    row = seed.notification(database, id_)
    assert (row.receipt, row.receipt_due_at) == ("not_delivered 550 5.1.1 no such user", None)


@ON_EITHER
def test_follow_ups_are_not_lost_with_their_dispatcher(
    cli: Cli, mails: Scripted, sent: Callable[..., list[str]], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of which more was to be learned when it was stopped are due at once: the next one asks anew."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 1)
    monkeypatch.setattr("notifyctl.wiring.dispatching.ONCE_ASKING_S", 300.0)
    ids = sent(3, "sendgrid")
    mails.script = came_back({"0": reply(500)})
    began = database.moment()
    cli.call("dispatch", "--once", "--max-time", "2s").ok()
    assert len(mails.asked) == 1
    rows = [seed.notification(database, id_) for id_ in ids]
    assert all(began <= row.receipt_due_at <= database.moment() and row.bounced_at is None for row in rows)


@ON_EITHER
@pytest.mark.parametrize("name", ["traced_at_once", "traces_per_minute"])
def test_an_adapter_whose_numbers_make_no_sense_stops_nobody(
    cli: Cli, mails: Scripted, sent: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A third party's adapter may say that nothing can be asked: it is not asked, and the dispatcher goes on."""
    monkeypatch.setattr(f"notifyctl.providers.sendgrid.SendGrid.{name}", 0)
    sent(1, "sendgrid")
    assert cli.call("dispatch", "--once").ok().stderr == ""
    assert mails.asked == []
