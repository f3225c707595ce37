"""Leaving a category with one click (RFC 8058), from the mail that goes out to the next one that does not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import select, update

from notifyctl.core.model import Subscription
from notifyctl.core.sealing import parse_keys
from notifyctl.core.unsubscribe import PURPOSE, VALID_MS, token
from notifyctl.store import signing
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, category_opt_outs, signing_keys, users
from notifyctl.store.schema.tables import notification_templates as _templates
from notifyctl.store.schema.tables import notifications as _notifications
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.mailserver import MailServer
from tests.support.oneclick import link_of, token_of
from tests.support.scripted import Asked, Peer, Scripted, reply
from tests.support.threefold import add_providers
from tests.support.world import KEYS

URL = "https://example.org/u?list=a%26b&x"
OTHER_KEYS = "k2:" + "QkNE" * 21 + "Qg=="


class Mails:
    """What two providers of mail were handed: SendGrid's API, and a mail server."""

    def __init__(self, api: Scripted, server: MailServer) -> None:
        self.bodies: list[Any] = []
        self._server = server
        api.script = self._answer

    def headers(self, provider: str) -> list[list[tuple[str, str]]]:
        """Return the headers of each mail."""
        if provider == "sendgrid":
            return [list(each["personalizations"][0].get("headers", {}).items()) for each in self.bodies]
        return [message_from_bytes(mail, policy=policy.default).items() for mail in self._server.mails]

    def _answer(self, asked: Asked) -> Callable[[Peer], Any]:
        self.bodies.append(json.loads(asked.body))
        return lambda peer: peer.say(reply(202))


@pytest.fixture
def mails(cli: Cli, database: Database) -> Iterator[Mails]:
    """Two providers of mail, a category of marketing, another one, and where they are left."""
    configured(cli, URL)
    with ExitStack() as stack:
        api = stack.enter_context(Scripted(lambda _: reply(500)))
        server = stack.enter_context(MailServer())
        add_providers(cli, api.url, "sendgrid")
        settings = ("host=127.0.0.1", f"port={server.port}", "from=Shop <shop@example.com>", "security=none")
        cli.call("providers", "add", "smtp", *(part for each in settings for part in ("--set", each))).ok()
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        cli.call("users", "create", "bob", "--email", "bob@example.org").ok()
        cli.call("categories", "create", "newsletter", "--kind", "marketing").ok()
        cli.call("categories", "create", "offers", "--kind", "marketing").ok()
        cli.call("categories", "create", "receipts").ok()
        yield Mails(api, server)


def configured(cli: Cli, url: str | None) -> None:
    """Let the configuration name where categories are left."""
    file = cli.home / "one-click.toml"
    file.write_text("" if url is None else f'unsubscribe_url = "{url}"\n')
    cli.env["NOTIFYCTL_CONFIG"] = str(file)


def pending(db: Database, category: str | None, user: str = "anna", provider: str = "sendgrid", **content: Any) -> str:
    """Write a mail to somebody that is due, and return its id."""
    with db.read() as tx:
        user_id = tx.execute(select(users.c.id).where(users.c.username == user)).scalar_one()
    payload = {"v": 1, "subject": "Hello", "text": "Hello there", **content}
    [id_] = seed.pending(db, user_id, provider, category=category, payload=json.dumps(payload))
    return id_


def dispatch(cli: Cli) -> None:
    """Send what is due."""
    cli.call("dispatch", "--once").ok()


def mailed_token(cli: Cli, db: Database, mails: Mails, category: str = "newsletter", user: str = "anna") -> str:
    """Send a mail of a category and return the token in its link."""
    pending(db, category, user)
    dispatch(cli)
    return token_of(link_of(mails.headers("sendgrid")[-1]))


def left(cli: Cli, user: str = "anna") -> list[str]:
    """Return which categories somebody left."""
    return sorted(cli.call("prefs", "show", user, "-o", "json").ok().json()[0]["left_categories"])


@pytest.mark.parametrize("provider", ["sendgrid", "smtp"])
def test_a_mail_of_marketing_can_be_left_with_one_click(
    cli: Cli, database: Database, mails: Mails, provider: str
) -> None:
    """By each provider, with the address in the configuration whole; other mail says nothing like it."""
    for category in ("newsletter", "receipts", None):
        pending(database, category, provider=provider)
    dispatch(cli)
    with_link = [each for each in mails.headers(provider) if any("unsubscribe" in name.lower() for name, _ in each)]
    assert len(mails.headers(provider)) == 3
    [headers] = with_link
    link = link_of(headers)
    assert link.startswith(f"{URL}&token=v1.")
    assert cli.call("prefs", "unsubscribe", token_of(link), "-o", "json").ok().json()["category"] == "newsletter"


def test_the_next_mail_of_marketing_is_suppressed_and_others_go_out(cli: Cli, database: Database, mails: Mails) -> None:
    """The token acts for its own person and category alone; doing it again succeeds, and is not written again."""
    token = mailed_token(cli, database, mails)
    first = cli.call("prefs", "unsubscribe", "-", "-o", "json", input=f"{token}\n").ok().json()
    again = cli.call("prefs", "unsubscribe", token, "-o", "json").ok().json()
    assert (first["username"], first["category"], first["left"], first["changed"]) == ("anna", "newsletter", True, True)
    assert (again["left"], again["changed"]) == (True, False)
    assert (left(cli), left(cli, "bob")) == (["newsletter"], [])
    gone = pending(database, "newsletter")
    goes = [pending(database, "offers"), pending(database, "receipts"), pending(database, None)]
    goes.append(pending(database, "newsletter", "bob"))
    dispatch(cli)
    assert seed.notification(database, gone).status == "cancelled"
    assert "left the category newsletter" in seed.notification(database, gone).error_message
    assert {seed.notification(database, each).status for each in goes} == {"sent"}
    with database.read() as tx:
        assert tx.execute(select(category_opt_outs.c.source)).scalars().all() == ["one_click"]
        acts = select(audit_logs.c.action).where(audit_logs.c.resource_type == "category")
        assert list(tx.execute(acts).scalars()).count("opt_out") == 1


def test_a_token_that_was_changed_is_refused(cli: Cli, database: Database, mails: Mails) -> None:
    """Whichever character is another one, and whatever is put together of two tokens; nobody leaves anything."""
    token, other = mailed_token(cli, database, mails), mailed_token(cli, database, mails, user="bob")
    for place in (0, 4, 14, 30, len(token) - 44, len(token) - 20, len(token) - 1):
        for letter in "AB.":
            changed = f"{token[:place]}{letter}{token[place + 1 :]}"
            if changed != token:
                assert cli.call("prefs", "unsubscribe", changed).exit_code in (2, 7), changed
    mixed = [*token.split(".")[:3], other.split(".")[3]]
    refused = cli.call("prefs", "unsubscribe", ".".join(mixed), "-o", "json")
    assert refused.exit_code == 7
    assert "changed" in refused.stderr
    assert (left(cli), left(cli, "bob")) == ([], [])


@pytest.mark.parametrize("text", ["", "-", "v1", "nonsense", "v1.0.0.0", "ä" * 90, "v2.aaaaaaaa.YQ." + "A" * 43])
def test_what_is_no_token_is_refused(cli: Cli, mails: Mails, text: str) -> None:
    """As a usage error that says what one looks like."""
    refused = cli.call("prefs", "unsubscribe", text, input="")
    assert refused.exit_code == 2
    assert "no unsubscribe token" in refused.stderr


def test_of_two_tokens_on_stdin_neither_is_taken(cli: Cli, database: Database, mails: Mails) -> None:
    """Success would be taken for both; a line's end of any kind, and blanks around it, are no second one."""
    token, other = mailed_token(cli, database, mails), mailed_token(cli, database, mails, user="bob")
    refused = cli.call("prefs", "unsubscribe", "-", input=f"{token}\n{other}\n")
    assert refused.exit_code == 2
    assert "more than one line" in refused.stderr
    assert (left(cli), left(cli, "bob")) == ([], [])
    assert cli.call("prefs", "unsubscribe", "-", input=f" {token} \r\n\r\n").exit_code == 0
    assert (len(left(cli)), left(cli, "bob")) == (1, [])
    waiting = cli.start("prefs", "unsubscribe", "-", stdin=subprocess.PIPE)
    try:
        assert waiting.stdin is not None
        waiting.stdin.write(f"{other}\n")
        waiting.stdin.flush()
        assert waiting.wait(60) == 0, "it waits for no end that its caller does not make"
    finally:
        waiting.kill()
        waiting.communicate()
    assert len(left(cli, "bob")) == 1


def test_an_old_token_is_refused(cli: Cli, database: Database, mails: Mails) -> None:
    """A year after its mail was made, by the database's clock; a minute before, it acts."""
    mailed_token(cli, database, mails)
    with database.read() as tx:
        key = signing.find(tx, parse_keys(KEYS, "test"), PURPOSE)
        anna = tx.execute(select(users.c.id).where(users.c.username == "anna")).scalar_one()
        now = tx.now
    assert key is not None
    old = cli.call("prefs", "unsubscribe", token(key, Subscription(anna, "newsletter", now - VALID_MS)))
    assert (old.exit_code, "older than a year" in old.stderr, left(cli)) == (7, True, [])
    cli.call("prefs", "unsubscribe", token(key, Subscription(anna, "newsletter", now - VALID_MS + 60_000))).ok()
    assert left(cli) == ["newsletter"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_several_processes_sign_with_one_key(cli: Cli, database: Database, mails: Mails) -> None:
    """Each that is started knows the address, and what any of them signed is good."""
    for _ in range(6):
        pending(database, "newsletter")
    cli.run("dispatch", "--once", "--processes", "2", "--batch-size", "1").ok()
    tokens = [token_of(link_of(each)) for each in mails.headers("sendgrid")]
    assert len(tokens) == 6
    assert len({each.split(".")[1] for each in tokens}) == 1
    cli.call("prefs", "unsubscribe", tokens[-1]).ok()


def test_a_token_of_another_system_is_refused(cli: Cli, database: Database, mails: Mails) -> None:
    """Also where this one never signed anything."""
    token = mailed_token(cli, database, mails)
    database.write(lambda tx: tx.execute(signing_keys.delete()))
    for _ in range(2):
        refused = cli.call("prefs", "unsubscribe", token)
        assert refused.exit_code == 7
        assert "another system" in refused.stderr
        mailed_token(cli, database, mails)  # with a key of its own
    assert left(cli) == []


def test_a_token_outlives_its_category(cli: Cli, database: Database, mails: Mails) -> None:
    """Whoever clicks wants no more of it, also when it was deleted and comes back under its name."""
    token = mailed_token(cli, database, mails)
    cli.call("categories", "delete", "newsletter", "--yes").ok()
    cli.call("prefs", "unsubscribe", token).ok()
    assert left(cli) == ["newsletter"]


def test_what_is_tried_again_of_a_deleted_category_can_be_left_too(cli: Cli, database: Database, mails: Mails) -> None:
    """Nobody knows its kind any more: a dead letter of marketing does not become a mail that nobody can leave."""
    headers = {"List-Unsubscribe": "<https://example.org/own>"}
    dead, sent = pending(database, "newsletter", headers=headers), pending(database, "newsletter")
    dispatch(cli)
    cli.call("categories", "delete", "newsletter", "--yes").ok()
    cli.call("dlq", "retry", dead, "--yes").ok()
    cli.call("notifications", "resend", sent, "--yes").ok()
    told = cli.call("notifications", "explain", dead, "-o", "json").ok().stdout
    assert "newsletter (there is none of that name: judged as marketing), not left" in told
    dispatch(cli)
    assert seed.notification(database, dead).status == "failed"
    assert len(mails.bodies) == 2
    cli.call("prefs", "unsubscribe", token_of(link_of(mails.headers("sendgrid")[1]))).ok()
    assert left(cli) == ["newsletter"]


def test_a_token_of_who_is_gone(cli: Cli, database: Database, mails: Mails) -> None:
    """There is nobody to write to, and nothing is written."""
    token = mailed_token(cli, database, mails)
    cli.call("users", "delete", "anna", "--yes").ok()
    assert cli.call("prefs", "unsubscribe", token).exit_code == 3


def test_another_encryption_key_makes_nothing_invalid_that_was_signed(
    cli: Cli, database: Database, mails: Mails
) -> None:
    """The newest key seals, and the one before still opens; what signs is the same, and stored in no readable form."""
    token = mailed_token(cli, database, mails)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = f"{OTHER_KEYS},{KEYS}"
    assert mailed_token(cli, database, mails, user="bob").split(".")[1] == token.split(".")[1]
    cli.call("prefs", "unsubscribe", token).ok()
    with database.read() as tx:
        row = tx.execute(select(signing_keys).where(signing_keys.c.purpose == "unsubscribe")).one()
    assert row.secret.startswith("v1.k1.")


def test_where_the_signing_key_does_not_open_only_such_mail_waits(cli: Cli, database: Database, mails: Mails) -> None:
    """The encryption key that sealed it is gone, the providers' credentials were entered again: all else goes out."""
    mailed_token(cli, database, mails)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = OTHER_KEYS
    cli.call("providers", "delete", "smtp", "--yes").ok()
    cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.scripted-key").ok()
    held, goes = (pending(database, category) for category in ("newsletter", "receipts"))
    dispatch(cli)
    assert (seed.notification(database, held).status, seed.notification(database, goes).status) == ("pending", "sent")
    assert "needs encryption key 'k1'" in seed.notification(database, held).retry_history


def test_nothing_is_said_where_no_address_is_configured(cli: Cli, database: Database, mails: Mails) -> None:
    """Then the mail is as it was submitted, with SendGrid's own means."""
    configured(cli, None)
    pending(database, "newsletter", asm={"group_id": 7})
    dispatch(cli)
    assert mails.headers("sendgrid") == [[]]
    assert mails.bodies[0]["asm"] == {"group_id": 7}
    assert "tracking_settings" not in mails.bodies[0]


def test_sendgrid_adds_no_link_of_its_own_and_changes_none(cli: Cli, database: Database, mails: Mails) -> None:
    """Subscription tracking and groups bring its own header, click tracking its own host; open tracking may stay."""
    wanted = {
        "open_tracking": {"enable": True},
        "click_tracking": {"enable": True},
        "subscription_tracking": {"enable": True, "text": "leave"},
    }
    pending(database, "newsletter", asm={"group_id": 7}, tracking_settings=wanted)
    dispatch(cli)
    [mail] = mails.bodies
    assert "asm" not in mail
    assert mail["tracking_settings"] == {
        "open_tracking": {"enable": True},
        "click_tracking": {"enable": False, "enable_text": False},
        "subscription_tracking": {"enable": False},
    }


@pytest.mark.parametrize("name", ["List-Unsubscribe", "list-unsubscribe-POST"])
@pytest.mark.parametrize("provider", ["sendgrid", "smtp"])
def test_two_such_headers_are_refused(cli: Cli, database: Database, mails: Mails, provider: str, name: str) -> None:
    """Nobody knows which of two holds; mail of other categories may have its own."""
    headers = {name: "<https://example.org/own>"}
    twice = pending(database, "newsletter", provider=provider, headers=headers)
    own = pending(database, "receipts", provider=provider, headers=headers)
    dispatch(cli)
    assert seed.notification(database, twice).status == "failed"
    assert seed.dead_letter(database, twice).failure_reason == "invalid_payload"
    assert name in seed.notification(database, twice).error_message
    assert seed.notification(database, own).status == "sent"


def test_a_retry_has_a_link_too(cli: Cli, database: Database, mails: Mails) -> None:
    """Each attempt is made complete anew; headers that the content has besides stay."""
    pending(database, "newsletter", headers={"X-Own": "1"})
    dispatch(cli)
    [headers] = mails.headers("sendgrid")
    assert dict(headers)["X-Own"] == "1"
    link_of(headers)


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("form", ["table", "plain", "json", "yaml", "ndjson", "csv", "markdown", "id"])
def test_it_is_told_in_every_format(cli: Cli, database: Database, mails: Mails, form: str) -> None:
    """As `opt-out` tells it: for scripts that look at who left what."""
    token = mailed_token(cli, database, mails)
    shown = cli.call("prefs", "unsubscribe", token, "-o", form).ok().stdout
    same = cli.call("prefs", "opt-out", "anna", "offers", "-o", form).ok().stdout
    assert shown.replace("newsletter", "offers").split() == same.split()


def test_a_template_finds_the_link(cli: Cli, database: Database, mails: Mails) -> None:
    """In text and HTML as in the header; a value that was submitted under that name stays."""
    made = ("templates", "create", "news", "--channel", "email", "--by", "anna", "--category", "newsletter")
    cli.call(*made, "--subject", "News", "--body", "Leave: {{ unsubscribe_url }}").ok()
    with database.read() as tx:
        [template] = tx.execute(select(_templates.c.id)).scalars()
    for variables in ({}, {"unsubscribe_url": "https://example.org/mine"}):
        id_ = pending(database, "newsletter")
        values = {
            "template_id": template,
            "template_version": 1,
            "payload": json.dumps({"v": 1, "variables": variables}),
        }
        database.write(
            lambda tx, id_=id_, values=values: tx.execute(
                update(_notifications).where(_notifications.c.id == id_).values(values)
            )
        )
        dispatch(cli)
    first, second = (mail["content"][0]["value"] for mail in mails.bodies)
    assert first == f"Leave: {link_of(mails.headers('sendgrid')[0])}"
    assert second == "Leave: https://example.org/mine"
    configured(cli, None)
    id_ = pending(database, "newsletter", variables={})
    values = {"template_id": template, "template_version": 1}
    database.write(lambda tx: tx.execute(update(_notifications).where(_notifications.c.id == id_).values(values)))
    dispatch(cli)
    assert seed.dead_letter(database, id_).failure_reason == "template_error"
    assert "the profile names no unsubscribe_url" in seed.notification(database, id_).error_message


def test_send_shows_the_headers_and_refuses_two(cli: Cli, mails: Mails) -> None:
    """A dry run has a token that acts for nobody; what `send` accepted and the dispatcher then buried is of no use."""
    send = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--category", "newsletter")
    shown = cli.call(*send, "--dry-run", "-o", "json").ok().json()
    headers = json.loads(shown["body"])["personalizations"][0]["headers"]
    refused = cli.call("prefs", "unsubscribe", token_of(link_of(list(headers.items()))))
    assert (refused.exit_code, "preview" in refused.stderr) == (7, True)
    own = ("--data", json.dumps({"headers": {"List-Unsubscribe": "<mailto:leave@example.org>"}}))
    for more in (("--dry-run",), ()):
        twice = cli.call(*send, *own, *more)
        assert (twice.exit_code, "headers.List-Unsubscribe" in twice.stderr) == (2, True)
    cli.call(*send).ok()
    configured(cli, None)
    cli.call(*send, *own).ok()
    dispatch(cli)
    sent = sorted([name for name, _ in each] for each in mails.headers("sendgrid"))
    assert sent == [[], ["List-Unsubscribe"]]


def test_a_category_is_a_group_at_sendgrid(cli: Cli, database: Database, mails: Mails) -> None:
    """Who left the group there gets no mail of the category, by any provider, and it is said before."""
    for category, group in (("newsletter", "7"), ("offers", "8"), ("receipts", "9")):
        cli.call("categories", "update", category, "--provider-group", group).ok()
    event = {"event": "group_unsubscribe", "email": "anna@example.org", "asm_group_id": 7, "timestamp": 1_900_000_000}
    cli.call("receipts", "ingest", "-", "--provider", "sendgrid", input=json.dumps([event])).ok()
    stopped = [pending(database, "newsletter", provider=each) for each in ("sendgrid", "smtp")]
    told = cli.call("notifications", "explain", stopped[0], "-o", "json").ok().stdout
    goes = [pending(database, "offers"), pending(database, "receipts"), pending(database, "receipts", provider="smtp")]
    goes += [pending(database, "newsletter", "bob"), pending(database, "receipts", asm={"group_id": 3})]
    send = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--dry-run")
    assert cli.call(*send, "--category", "receipts").ok()
    dispatch(cli)
    assert {seed.notification(database, each).status for each in stopped} == {"cancelled"}
    assert "suppressed" in told
    assert {seed.notification(database, each).status for each in goes} == {"sent"}
    assert sorted(str(mail.get("asm", {}).get("group_id")) for mail in mails.bodies) == ["3", "9", "None", "None"]
    warned = cli.call(*send[:-1], "--category", "newsletter").ok()
    assert "will be cancelled" in warned.stderr


def test_who_left_the_categorys_group_gets_no_mail_that_names_another(
    cli: Cli, database: Database, mails: Mails
) -> None:
    """Nor one whose category has the id with zeros before it; who left the group that the content names gets none."""
    for category, group in (("newsletter", "7"), ("offers", "0008"), ("receipts", "9")):
        cli.call("categories", "update", category, "--provider-group", group).ok()
    events = [
        {"event": "group_unsubscribe", "email": "anna@example.org", "asm_group_id": each, "timestamp": 1_900_000_000}
        for each in (3, 7, 8)
    ]
    cli.call("receipts", "ingest", "-", "--provider", "sendgrid", input=json.dumps(events)).ok()
    stopped = [
        pending(database, "newsletter", asm={"group_id": 5}),
        pending(database, "offers"),
        pending(database, "receipts", asm={"group_id": 3}),
    ]
    goes = pending(database, "receipts", asm={"group_id": 5})
    dispatch(cli)
    assert [seed.notification(database, each).status for each in stopped] == ["cancelled"] * 3
    assert seed.notification(database, goes).status == "sent"


def test_who_left_a_group_there_is_not_back_by_opt_in_alone(cli: Cli, database: Database, mails: Mails) -> None:
    """The operator who was asked to let somebody back in is told what still stands against it, and what ends it."""
    cli.call("categories", "update", "newsletter", "--provider-group", "7").ok()
    cli.call("prefs", "opt-out", "anna", "newsletter").ok()
    event = {"event": "group_unsubscribe", "email": "anna@example.org", "asm_group_id": 7, "timestamp": 1_900_000_000}
    cli.call("receipts", "ingest", "-", "--provider", "sendgrid", input=json.dumps([event])).ok()
    told = cli.call("prefs", "opt-in", "anna", "newsletter", "-o", "json").ok()
    assert told.json()["changed"] is True
    assert "mail of it still does not go to anna: the address is suppressed: group_unsubscribe 7" in told.stderr
    assert "hint: notifyctl suppressions remove email ADDRESS" in told.stderr
    cli.call("suppressions", "remove", "email", "anna@example.org", "--yes").ok()
    for user, category in (("anna", "newsletter"), ("anna", "offers"), ("bob", "newsletter")):
        assert "warning" not in cli.call("prefs", "opt-in", user, category).ok().stderr


def test_a_notification_is_previewed_with_the_link_of_its_own_category(
    cli: Cli, database: Database, mails: Mails
) -> None:
    """As it is sent: whether it can be left is said by what it is about, whatever its template's category is."""
    words = ("--channel", "email", "--by", "anna", "--subject", "s", "--body", "{{ unsubscribe_url }}")
    cli.call("templates", "create", "plain", *words).ok()
    cli.call("templates", "create", "promo", *words, "--category", "newsletter").ok()
    send = ("send", "anna", "--channel", "email", "-o", "id", "--template")
    news = cli.call(*send, "plain", "--category", "offers").ok().stdout.strip()
    bill = cli.call(*send, "promo", "--category", "receipts").ok().stdout.strip()

    def previewed(template: str, id_: str) -> Result:
        return cli.call("templates", "preview", template, "--from-notification", id_, "-o", "json")

    for template in ("plain", "promo"):
        assert "token=v1.-preview." in previewed(template, news).ok().json()["text"]
        assert "unsubscribe_url has no value" in previewed(template, bill).stderr
    cli.call("templates", "preview", "promo").ok()
    dispatch(cli)
    assert [seed.notification(database, each).status for each in (news, bill)] == ["sent", "failed"]
