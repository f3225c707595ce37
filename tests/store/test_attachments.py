"""The files of mails: stored once, gone with the last notification that has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import delete, func, select, update

from notifyctl.core import attached
from notifyctl.store import attachments as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import attachment_pieces, attachments, notification_attachments, notifications
from tests.support import seed
from tests.support.command import Cli

BILL = b"%PDF-1.7 " * 50_000
Send = Callable[..., str]


@pytest.fixture
def send(cli: Cli, database: Database) -> Send:
    """Submits a mail to somebody with a file, and returns its id."""
    seed.provider(database, config_json=json.dumps({"from": "alerts@example.com"}))
    for name in ("anna", "omar"):
        cli.call("users", "create", name, "--email", f"{name}@example.org").ok()

    def submit(user: str, content: bytes = BILL, *more: str) -> str:
        (cli.home / "bill.pdf").write_bytes(content)
        mail = ("send", user, "--channel", "email", "--subject", "Bill", "--body", "x", "--attach", "bill.pdf")
        return cli.call(*mail, *more, "-o", "id").ok().stdout.strip()

    return submit


def kept(db: Database) -> int:
    """Return how many files are stored."""
    with db.read() as tx:
        return tx.execute(select(func.count()).select_from(attachments)).scalar_one()


def test_a_file_is_stored_once_for_all_who_get_it(send: Send, database: Database) -> None:
    """The rows that every lease writes anew are small, and say how large the files are."""
    ids = [send(user) for user in ("anna", "omar", "anna")]
    send("omar", b"another")
    assert kept(database) == 2
    rows = [seed.notification(database, id_) for id_ in ids]
    assert all(len(row.payload) < 500 and row.attached_bytes == 600_000 for row in rows)
    [file] = json.loads(rows[0].payload)["attachments"]
    assert (file["size"], len(file["digest"]), "content" in file) == (600_000, 64, False)


def test_repetitions_and_other_content(cli: Cli, send: Send, database: Database) -> None:
    """The same submission is recognised by what is in its files, and another one leaves nothing behind."""
    key = ("--idempotency-key", "k")
    first = send("anna", BILL, *key)
    assert send("anna", BILL, *key) == first
    (cli.home / "bill.pdf").write_bytes(BILL + b".")
    mail = ("send", "anna", "--channel", "email", "--subject", "Bill", "--body", "x", "--attach", "bill.pdf")
    assert cli.call(*mail, *key).exit_code == 5
    assert kept(database) == 1


def test_files_go_with_their_last_notification(cli: Cli, send: Send, database: Database) -> None:
    """A user who is deleted takes the files along that nobody else has, and no others."""
    send("anna"), send("anna", b"anna's own"), send("omar")
    remove = ("users", "delete", "anna", "--cancel-pending", "--yes")
    cli.call(*remove).ok()
    with database.read() as tx:
        assert tx.execute(select(attachments.c.size)).scalars().all() == [600_000]
    cli.call("users", "delete", "omar", "--cancel-pending", "--yes").ok()
    assert kept(database) == 0


def test_what_others_deleted_is_swept_up(send: Send, database: Database) -> None:
    """Whatever removed a notification: a file to which nothing refers any more goes at the next sweep."""
    mine, other = send("anna"), send("omar", b"another")
    database.write(lambda tx: tx.execute(delete(notifications).where(notifications.c.id == mine)))
    assert database.write(store.drop_unused) == 1
    assert database.write(store.drop_unused) == 0
    assert (kept(database), json.loads(seed.notification(database, other).payload)["attachments"][0]["size"]) == (1, 12)


def test_cancelling_keeps_what_may_be_sent_again(cli: Cli, send: Send, database: Database) -> None:
    """A cancelled mail can be sent again, with its files; the copy holds them as well."""
    id_ = send("anna")
    cli.call("notifications", "cancel", id_, "--yes").ok()
    [copy] = cli.call("notifications", "resend", id_, "--yes", "-o", "json").ok().json()
    row = seed.notification(database, copy["new_id"])
    assert (row.payload, row.attached_bytes) == (seed.notification(database, id_).payload, 600_000)
    database.write(lambda tx: tx.execute(delete(notifications).where(notifications.c.id == id_)))
    assert database.write(store.drop_unused) == 0
    [file] = cli.call("notifications", "show", copy["new_id"], "-o", "json").ok().json()["payload"]["attachments"]
    assert len(file["content"]) == 600_000


def test_what_cannot_be_had_is_shown_as_it_is_stored(cli: Cli, send: Send, database: Database) -> None:
    """A damaged file keeps nobody from looking at its notification, nor from sending it once more."""
    id_ = send("anna")
    database.write(lambda tx: tx.execute(update(attachment_pieces).values(content="QUJD")))
    [file] = cli.call("notifications", "show", id_, "-o", "json").ok().json()["payload"]["attachments"]
    assert (file["size"], "content" in file) == (600_000, False)
    assert '"digest"' in cli.call("notifications", "show", id_, "-o", "table").ok().stdout
    database.write(lambda tx: (tx.execute(delete(notification_attachments)), tx.execute(delete(attachments))))
    cli.call("notifications", "show", id_, "-o", "json").ok()
    cli.call("notifications", "cancel", id_, "--yes").ok()
    cli.call("notifications", "resend", id_, "--yes").ok()


def test_what_is_submitted_at_this_moment_keeps_its_file(postgresql_url: str) -> None:
    """A sweep does not take a file that a submission has just found to be there."""
    db, other = Database(postgresql_url), Database(postgresql_url)
    user = seed.user(db)
    (id_,) = seed.pending(db, user)
    digest = attached.digest_of("QUJD")
    db.write(lambda tx: store.keep(tx, {digest: "QUJD"}))
    found, swept = threading.Event(), threading.Event()

    def submit() -> None:
        def work(tx: Tx) -> None:
            store.keep(tx, {digest: "QUJD"})
            found.set()
            assert swept.wait(20)
            store.link(tx, [(id_, digest)])

        other.write(work)

    submitting = threading.Thread(target=submit)
    submitting.start()
    assert found.wait(20)
    dropped = db.write(store.drop_unused)
    swept.set()
    submitting.join(20)
    assert (dropped, kept(db), db.write(store.drop_unused)) == (0, 1, 0)
    db.close()
    other.close()


def test_many_submit_the_same_file_at_once(postgresql_url: str) -> None:
    """They do not wait for each other longer than the first takes to store it, and none fails."""
    db = Database(postgresql_url)
    user = seed.user(db)
    ids = seed.pending(db, user, count=8)
    digest = attached.digest_of("QUJD")
    failed: list[BaseException] = []

    def submit(id_: str) -> None:
        try:
            db.write(lambda tx: (store.keep(tx, {digest: "QUJD"}), store.link(tx, [(id_, digest)])))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=submit, args=(id_,)) for id_ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    with db.read() as tx:
        links = tx.execute(select(func.count()).select_from(notification_attachments)).scalar_one()
    db.close()
    assert (failed, links) == ([], 8)
