"""Mails with files on their way: read when they are sent, checked, and no more of them at once than may be."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text, update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import attachment_pieces, attachments, notification_attachments, notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Asked, Peer, Scripted, reply
from tests.support.threefold import add_providers
from tests.support.world import stop

Mailing = Callable[..., str]


class Post:
    """A SendGrid that takes its time, and knows how much it was given at once."""

    def __init__(self, server: Scripted) -> None:
        self.taken: list[Any] = []
        self.most = 0
        self.pause_s = 0.0
        self._lock, self._now = threading.Lock(), 0
        server.script = self._answer

    def _answer(self, asked: Asked) -> Callable[[Peer], Any]:
        return lambda peer: self._take(peer, asked)

    async def _take(self, peer: Peer, asked: Asked) -> None:
        with self._lock:
            self._now += len(asked.body)
            self.most = max(self.most, self._now)
        await asyncio.sleep(self.pause_s)
        with self._lock:
            self._now -= len(asked.body)
        self.taken.append(json.loads(asked.body))
        await peer.say(reply(202))


@pytest.fixture
def post(cli: Cli) -> Iterator[Post]:
    """The provider of anna's mails."""
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(lambda _: reply(500)))
        add_providers(cli, server.url, "sendgrid")
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        yield Post(server)


@pytest.fixture
def mail(cli: Cli, post: Post) -> Mailing:
    """Submits a mail with a file, and returns its id."""

    def submit(content: bytes, *more: str) -> str:
        (cli.home / "bill.pdf").write_bytes(content)
        given = ("send", "anna", "--channel", "email", "--subject", "Bill", "--body", "x", "--attach", "bill.pdf")
        return cli.call(*given, *more, "-o", "id").ok().stdout.strip()

    return submit


def dispatch(cli: Cli, *more: str) -> Any:
    """Run it once and return its report."""
    return cli.call("dispatch", "--once", *more, "-o", "json").ok().json()


def test_files_are_put_back_as_they_were(cli: Cli, post: Post, mail: Mailing) -> None:
    """The provider gets every byte, of an inline picture too, and nothing of how they are stored."""
    content = bytes(range(256)) * 400
    (cli.home / "page.html").write_text('<img src="cid:bill.pdf">')
    mail(content, "--html-file", "page.html", "--attach", "page.html")
    assert dispatch(cli)["accepted"] == 1
    first, second = post.taken[0]["attachments"]
    assert base64.b64decode(first["content"]) == content
    assert (first["disposition"], set(second)) == ("inline", {"content", "filename", "type", "disposition"})


@pytest.mark.parametrize(("damage", "why"), [("gone", "is gone"), ("other", "is damaged")])
def test_a_file_that_cannot_be_had_ends_its_mail_alone(
    cli: Cli, database: Database, post: Post, mail: Mailing, damage: str, why: str
) -> None:
    """What was not stored is never sent; it is a dead letter that names the file, and the others are sent."""
    bad, good = mail(b"lost"), [mail(b"kept"), mail(b"kept")]
    digest = json.loads(seed.notification(database, bad).payload)["attachments"][0]["digest"]
    if damage == "gone":
        links, files = notification_attachments, attachments
        database.write(lambda tx: tx.execute(delete(links).where(links.c.digest == digest)))
        database.write(lambda tx: tx.execute(delete(files).where(files.c.digest == digest)))
    else:
        changed = update(attachment_pieces).where(attachment_pieces.c.digest == digest).values(content="QUJD")
        database.write(lambda tx: tx.execute(changed))
    report = dispatch(cli)
    assert (report["accepted"], report["dead"]) == (2, 1)
    letter = seed.dead_letter(database, bad)
    row = seed.notification(database, bad)
    assert letter.failure_reason == "invalid_payload"
    assert row.error_message == f"attachments.0: bill.pdf {why} in the database"
    assert {seed.notification(database, id_).status for id_ in good} == {"sent"}


def test_no_more_bytes_are_in_flight_than_may_be(cli: Cli, post: Post, mail: Mailing, database: Database) -> None:
    """Large mails go a few at a time, one that is larger than all may be goes alone, and all are sent in one run."""
    for number in range(9):
        mail(bytes([number]) * 150_000)
    huge = mail(b"x" * 600_000)
    first = update(notifications).where(notifications.c.id == huge).values(due_at=2_000)
    database.write(lambda tx: tx.execute(first))
    small = [seed.pending(database, seed.user(database, f"u{number}"))[0] for number in range(3)]
    post.pause_s = 0.05
    assert dispatch(cli, "--bytes-in-flight", "500kB")["accepted"] == 13
    assert post.most < 810_000  # the large one alone; of the others, of 200,300 each, at most two
    assert {seed.notification(database, id_).status for id_ in small} == {"sent"}


def test_what_is_in_a_payload_itself_is_bounded_as_well(cli: Cli, post: Post, database: Database) -> None:
    """Rows that other programs wrote with their files in the payload."""
    file = {"filename": "a.bin", "content": base64.b64encode(bytes(150_000)).decode()}
    payload = json.dumps({**seed.CONTENT["email"], "attachments": [file]})
    with database.read() as tx:
        anna = tx.execute(notifications.metadata.tables["users"].select()).one().id
    seed.pending(database, anna, count=7, payload=payload)
    post.pause_s = 0.05
    assert dispatch(cli, "--bytes-in-flight", "500kB")["accepted"] == 7
    assert post.most < 500_000
    assert [each["attachments"] for each in post.taken] == [[file]] * 7


def test_the_setting_is_checked(cli: Cli, post: Post, tmp_path: Path) -> None:
    """As an option and in the profile, with the unit; what is no size is a usage error."""
    result = cli.call("dispatch", "--once", "--bytes-in-flight", "many")
    assert (result.exit_code, "64MB" in result.stderr) == (2, True)
    file = tmp_path / "config.toml"
    file.write_text('[profiles.x.dispatch]\nbytes_in_flight = "64 apples"\n')
    result = cli.call("dispatch", "--once", "--config", str(file), "--profile", "x")
    assert (result.exit_code, "apples" in result.stderr) == (2, True)
    file.write_text('[profiles.x.dispatch]\nbytes_in_flight = "1MiB"\n')
    cli.call("dispatch", "--once", "--config", str(file), "--profile", "x").ok()


def test_a_running_dispatcher_goes_on_when_there_is_room(cli: Cli, post: Post, mail: Mailing) -> None:
    """It does not wait for its next look: what waits for room is claimed as soon as a mail has ended."""
    for number in range(6):
        mail(bytes([number]) * 150_000)
    began = time.monotonic()
    process = cli.start("dispatch", "--bytes-in-flight", "200kB", "--poll", "60s")
    while len(post.taken) < 6:
        assert time.monotonic() < began + 59
        time.sleep(0.02)
    assert stop(process)[0] == 0


def test_files_that_cannot_be_read_end_nothing(cli: Cli, post: Post, mail: Mailing, database: Database) -> None:
    """Whatever is wrong with the database there: the mail waits without an attempt, the others go, the run ends."""
    waits = mail(b"lost")
    goes = seed.pending(database, seed.user(database, "bob"))[0]
    away = "ALTER TABLE attachment_pieces RENAME TO elsewhere"
    database.write(lambda tx: tx.execute(text(away)))
    assert dispatch(cli, "--max-time", "20s")["accepted"] == 1
    row = seed.notification(database, waits)
    assert (row.status, row.attempt_count, row.lease_id) == ("pending", 0, None)
    assert row.error_message.startswith("its files could not be read: ")
    assert row.due_at > row.last_attempted
    assert seed.notification(database, goes).status == "sent"
