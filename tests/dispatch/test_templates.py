"""Notifications that are rendered from templates when they are sent, as those were when they were submitted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from notifyctl.store.db.database import Database
from notifyctl.store.queue import parked
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import notification_templates, notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Asked, Peer, Scripted, reply
from tests.support.threefold import add_providers

SEND = ("send", "anna", "--channel", "email", "--template", "welcome")


class Letterbox:
    """A provider of mails that keeps what it is given."""

    def __init__(self, server: Scripted) -> None:
        self.bodies: list[bytes] = []
        server.script = self._answer

    @property
    def mails(self) -> list[Any]:
        """What came, parsed."""
        return [json.loads(body) for body in self.bodies]

    def _answer(self, asked: Asked) -> Callable[[Peer], Any]:
        self.bodies.append(asked.body)
        return lambda peer: peer.say(reply(202))


@pytest.fixture
def box(cli: Cli) -> Iterator[Letterbox]:
    """The provider of anna's mails, and a template for them."""
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(lambda _: reply(500)))
        add_providers(cli, server.url, "sendgrid")
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        made = ("templates", "create", "welcome", "--channel", "email", "--by", "anna", "--variables", "name")
        cli.call(*made, "--subject", "Hi {{ name }}", "--body", "Welcome, {{ name }} & all").ok()
        yield Letterbox(server)


def submit(cli: Cli, *more: str) -> str:
    """Submit a notification by the template and return its id."""
    return cli.call(*SEND, *more, "-o", "id").ok().stdout.strip()


def dispatch(cli: Cli) -> Any:
    """Send what is due and return the report."""
    return cli.call("dispatch", "--once", "-o", "json").ok().json()


def said(mail: Any) -> tuple[str, str]:
    """Return subject and text of a mail."""
    return mail["subject"], mail["content"][0]["value"]


def test_what_is_sent_is_rendered(cli: Cli, database: Database, box: Letterbox) -> None:
    """The row has the variables and the version; what else the payload says goes along."""
    id_ = submit(cli, "--var", "name=Anna", "--data", json.dumps({"reply_to": "desk@example.org"}))
    row = seed.notification(database, id_)
    assert (json.loads(row.payload)["variables"], row.template_version) == ({"name": "Anna"}, 1)
    assert dispatch(cli)["accepted"] == 1
    [mail] = box.mails
    assert said(mail) == ("Hi Anna", "Welcome, Anna & all")
    assert mail["reply_to"]["email"] == "desk@example.org"
    assert "variables" not in json.dumps(mail)


def test_a_version_holds_for_what_was_submitted_with_it(cli: Cli, box: Letterbox) -> None:
    """Published, rolled back: what was submitted before is rendered as it was then."""
    submit(cli, "--var", "name=first")
    cli.call("templates", "update", "welcome", "--body", "New, {{ name }}").ok()
    submit(cli, "--var", "name=second")
    cli.call("templates", "publish", "welcome").ok()
    submit(cli, "--var", "name=third")
    cli.call("templates", "rollback", "welcome").ok()
    submit(cli, "--var", "name=fourth")
    assert dispatch(cli)["accepted"] == 4
    assert sorted(said(mail)[1] for mail in box.mails) == [
        "New, third", "Welcome, first & all", "Welcome, fourth & all", "Welcome, second & all"
    ]  # fmt: skip


def test_preview_is_what_is_sent(cli: Cli, box: Letterbox) -> None:
    """`send --dry-run` shows the very request."""
    shown = cli.call(*SEND, "--var", "name=Zoë <b>", "--dry-run", "-o", "json").ok().json()
    submit(cli, "--var", "name=Zoë <b>")
    dispatch(cli)
    wanted, sent = json.loads(shown["body"]), box.mails[0]
    for mail in (wanted, sent):
        for each in (mail, *mail["personalizations"]):
            each.pop("custom_args", None)
    assert wanted == sent


def test_a_template_error_is_one_message_s_end(cli: Cli, database: Database, box: Letterbox) -> None:
    """It is accepted with a warning, dies with the variable's name, and the others are sent."""
    bad = cli.call(*SEND, "-o", "id").ok()
    assert "template_error" in bad.stderr and "--var name=VALUE" in bad.stderr
    submit(cli, "--var", "name=Anna")
    report = dispatch(cli)
    assert (report["accepted"], report["dead"]) == (1, 1)
    letter = seed.dead_letter(database, bad.stdout.strip())
    row = seed.notification(database, bad.stdout.strip())
    assert letter.failure_reason == "template_error"
    assert "name" in row.error_message and "welcome" in row.error_message
    assert (row.status, row.attempt_count) == ("failed", 0)


@pytest.mark.parametrize(
    ("name", "statement", "why"),
    [
        (
            "welcome",
            "UPDATE template_versions SET variables = '[1]'",
            "welcome: variables: an integer declares no variable",
        ),
        ("welcome", "DELETE FROM notification_templates WHERE name = 'welcome'", "is gone"),
        ("footed", "DELETE FROM notification_templates WHERE name = 'foot'", "include non-existing template 'foot'"),
    ],
)
def test_what_another_program_spoilt_is_a_dead_letter_that_says_so(
    cli: Cli, database: Database, box: Letterbox, name: str, statement: str, why: str
) -> None:
    """Tried again it would fail again. Where foreign keys are off, as SQLite has them, versions outlive a template."""
    made = ("templates", "create", "--channel", "email", "--by", "anna", "--body")
    cli.call(*made, "foot", "foot", "--kind", "partial").ok()
    cli.call(*made, "{% include 'foot' %}", "footed", "--subject", "F").ok()
    id_ = cli.call("send", "anna", "--channel", "email", "--template", name, "--var", "name=A", "-o", "id").ok().stdout
    if database.path is None:
        database.write(lambda tx: tx.conn.exec_driver_sql(statement))
    else:
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute(statement)
    assert dispatch(cli)["dead"] == 1
    assert why in seed.notification(database, id_.strip()).error_message
    shown = cli.call("templates", "preview", name, "--var", "name=A")
    assert shown.exit_code == (3 if why == "is gone" else 2)
    assert why in shown.stderr or shown.exit_code == 3


def test_dead_letters_can_be_retried_with_what_is_published_now(cli: Cli, box: Letterbox) -> None:
    """Without --latest-template the old version would fail again."""
    submit(cli)
    dispatch(cli)
    found = ("dlq", "list", "--template", "welcome", "--reason", "template_error", "-o", "id")
    assert cli.call(*found).ok().stdout.count("\n") == 1
    cli.call("templates", "update", "welcome", "--subject", "Hi", "--body", "Dear reader", "--variables", "").ok()
    cli.call("templates", "publish", "welcome").ok()
    cli.call("dlq", "retry", "--template", "welcome", "--yes").ok()
    assert dispatch(cli)["dead"] == 1
    cli.call("dlq", "retry", "--template", "welcome", "--latest-template", "--yes").ok()
    assert dispatch(cli)["accepted"] == 1
    assert said(box.mails[0]) == ("Hi", "Dear reader")


def test_what_was_made_of_a_deleted_template_is_not_retried(cli: Cli, box: Letterbox) -> None:
    """There is nothing to make its text from, whatever is asked for; it would be a dead letter again."""
    submit(cli)
    dispatch(cli)
    cli.call("templates", "delete", "welcome", "--yes").ok()
    [lost] = cli.call("dlq", "list", "-o", "id").ok().stdout.split()
    for more in ((), ("--latest-template",)):
        done = cli.call("dlq", "retry", lost, *more)
        assert (done.exit_code, "template of" in done.stdout + done.stderr) == (5, True), done
    assert cli.call("dlq", "list", "-o", "id").ok().stdout.split() == [lost]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("--template", "nothing"), 3),
        (("--template", "welcome", "--channel", "sms"), 2),
        (("--template", "base"), 2),
        (("--template", "later"), 5),
        (("--template", "off"), 5),
        (("--template", "welcome", "--body", "b"), 2),
        (("--template", "welcome", "--data", '{"text": "b"}'), 2),
        (("--template", "welcome", "--var", "name"), 2),
        (("--template", "welcome", "--var", "name=a", "--var", "name=b"), 2),
        (("--template", "welcome", "--var", "name:={"), 2),
        (("--template", "welcome", "--data", '{"variables": 1}'), 2),
        (("--subject", "s", "--body", "b", "--var", "name=a"), 2),
    ],
)
def test_what_cannot_be_submitted(cli: Cli, box: Letterbox, given: tuple[str, ...], code: int) -> None:
    """A template that is unknown, for another channel, a part of others, a draft, disabled; and two texts at once."""
    more = ("--channel", "email", "--by", "anna", "--subject", "s", "--body", "b")
    cli.call("templates", "create", "base", *more, "--kind", "layout").ok()
    cli.call("templates", "create", "later", *more, "--draft").ok()
    cli.call("templates", "create", "off", *more).ok()
    cli.call("templates", "disable", "off").ok()
    done = cli.call("send", "anna", "--channel", "email", *given)
    assert done.exit_code == code, done
    assert cli.call("notifications", "list", "-o", "json").ok().json() == []


def test_a_repetition_is_told_by_name_and_variables(cli: Cli, box: Letterbox) -> None:
    """Another version is the same submission, other variables are not; the template may be disabled by then."""
    first = submit(cli, "--var", "name=Anna", "--idempotency-key", "k")
    cli.call("templates", "update", "welcome", "--body", "New").ok()
    cli.call("templates", "publish", "welcome").ok()
    cli.call("templates", "disable", "welcome").ok()
    assert submit(cli, "--var", "name=Anna", "--idempotency-key", "k") == first
    assert cli.call(*SEND, "--var", "name=Bob", "--idempotency-key", "k").exit_code == 5


def test_lists_find_what_a_template_made(cli: Cli, box: Letterbox) -> None:
    """By template and version; a copy is made of the same."""
    first = submit(cli, "--var", "name=Anna")
    dispatch(cli)
    cli.call("templates", "update", "welcome", "--body", "New").ok()
    cli.call("templates", "publish", "welcome").ok()
    second = submit(cli, "--var", "name=Anna")
    shown = cli.call("notifications", "show", second, "-o", "json").ok().json()
    assert (shown["template"], shown["template_version"]) == ("welcome", 2)
    listed = ("notifications", "list", "--template", "welcome", "-o", "id")
    assert set(cli.call(*listed).ok().stdout.split()) == {first, second}
    assert cli.call(*listed, "--template-version", "2").ok().stdout.split() == [second]
    copy = cli.call("notifications", "resend", first, "-o", "id").ok().stdout.strip()
    assert set(cli.call(*listed, "--template-version", "1").ok().stdout.split()) == {first, copy}
    assert cli.call("notifications", "list", "--template", "nothing").exit_code == 3
    assert cli.call("notifications", "list", "--template-version", "1").exit_code == 2


def test_a_disabled_template_holds_what_was_submitted(cli: Cli, database: Database, box: Letterbox) -> None:
    """It leaves the queue without an attempt, keeps its time, is shown as held, and is sent when that ends."""
    mine = [submit(cli, "--var", f"name={number}") for number in range(3)]
    plain = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "-o", "id")
    other = cli.call(*plain).ok().stdout.strip()
    due = {id_: seed.notification(database, id_).due_at for id_ in mine}
    assert "held until it is enabled: 3 " in cli.call("templates", "disable", "welcome").ok().stderr
    held = ("notifications", "list", "--state", "held", "-o", "id")
    assert set(cli.call(*held).ok().stdout.split()) == set(mine)
    assert dispatch(cli)["accepted"] == 1
    rows = [seed.notification(database, id_) for id_ in mine]
    assert all(row.parked_at and row.status == "pending" and row.lease_id is None for row in rows)
    assert {row.id: (row.due_at, row.attempt_count) for row in rows} == {id_: (due[id_], 0) for id_ in mine}
    assert seed.notification(database, other).status == "sent"
    assert set(cli.call(*held).ok().stdout.split()) == set(mine)
    problems = cli.call("status", "-o", "json").ok().json()["problems"]
    assert "template welcome is disabled; 3 held" in [each["message"] for each in problems]
    told = cli.call("notifications", "explain", mine[0], "-o", "json").ok().json()
    assert (told["hold"], told["remedy"]) == ("template welcome is disabled", "notifyctl templates enable welcome")
    cli.call("notifications", "cancel", mine[0]).ok()
    assert dispatch(cli)["accepted"] == 0
    cli.call("templates", "enable", "welcome").ok()
    assert dispatch(cli)["accepted"] == 2
    cli.call("notifications", "restore", mine[0], "--yes").ok()
    assert dispatch(cli)["accepted"] == 1


def test_a_run_that_ends_begins_with_what_is_held_no_more(cli: Cli, database: Database, box: Letterbox) -> None:
    """`templates enable` puts back the first thousand, and who writes `is_active` none: cron's run is to send them."""
    for number in range(2):
        submit(cli, "--var", f"name={number}")
    cli.call("templates", "disable", "welcome").ok()
    assert dispatch(cli)["accepted"] == 0
    database.write(lambda tx: tx.execute(update(notification_templates).values(is_active=True)))
    assert dispatch(cli)["accepted"] == 2


def test_what_was_held_comes_back_in_portions(database: Database) -> None:
    """Oldest first, no more at a time than is asked for, and nothing whose template is still disabled."""
    anna = seed.user(database)
    rows = [
        {"id": f"{n:08d}-0000-4000-8000-000000000000", "name": f"t{n}", "message_type": "email", "body": "b",
         "created_by": anna, "is_active": n == 1}
        for n in (1, 2)
    ]  # fmt: skip
    database.write(lambda tx: tx.execute(insert(notification_templates), rows))
    for row in rows:
        for due_at in (3_000, 1_000, 2_000):
            seed.pending(database, anna, template_id=row["id"], template_version=1, parked_at=5_000, due_at=due_at)
    assert database.write(lambda tx: parked.come_back(tx, 2)) == 2
    with database.read() as tx:
        n = notifications.c
        back = tx.execute(select(n.due_at, n.template_id).where(n.parked_at.is_(None)).order_by(n.due_at)).all()
    assert [tuple(each) for each in back] == [(1_000, rows[0]["id"]), (2_000, rows[0]["id"])]
    assert database.write(parked.come_back) == 1
    assert database.write(parked.come_back) == 0


def test_what_is_held_is_in_nobodys_way(database: Database) -> None:
    """A claim that meets one takes the others out of the queue, too, and soon reaches what may be sent."""
    anna = seed.user(database)
    seed.provider(database)
    row = {"id": "7" * 36, "name": "t", "message_type": "email", "body": "b", "created_by": anna, "is_active": False}
    database.write(lambda tx: tx.execute(insert(notification_templates), [row]))
    seed.pending(database, anna, count=500, template_id=row["id"], template_version=1, due_at=1_000)
    [wanted] = seed.pending(database, anna, due_at=2_000)
    order = ClaimRequest("sendgrid", "8" * 36, 50, 65_000)
    first = database.write(lambda tx: claim(tx.at(10_000), order))
    second = database.write(lambda tx: claim(tx.at(10_000), order))
    assert ([each.id for each in first.claims], [each.id for each in second.claims]) == ([], [wanted])
    with database.read() as tx:
        n = notifications.c
        left = tx.execute(select(n.id).where(n.template_id.is_not(None), n.parked_at.is_(None))).all()
        again = tx.execute(select(n.attempt_count).where(n.template_id.is_not(None)).distinct()).scalars().all()
    assert (left, again) == ([], [0])
