"""What `send` puts into a notification: files, HTML and every field of a channel; and what it refuses at once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from notifyctl.cli.files import MAX_ATTACHED_BYTES
from notifyctl.store import dlq
from notifyctl.store import notifications as store
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.providers import scenarios
from tests.support import letters, seed
from tests.support.command import Cli, Result
from tests.support.databases import SQLiteMaker
from tests.support.world import KEYS, World

PUSH, TEXT, LETTER = "push", "sms", "email"
MAIL = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "It works")
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])  # where nothing depends on the database
PDF, PICTURE = b"%PDF-1.7 " * 200, b"\x89PNG" * 300


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider a channel."""
    return _anna(database)


def _anna(database: Database) -> str:
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    seed.provider(database, "fcm")
    return seed.user(database)


@pytest.fixture
def home(cli: Cli) -> Path:
    """The folder in which the command runs, with files in it."""
    (cli.home / "bill.pdf").write_bytes(PDF)
    (cli.home / "logo.png").write_bytes(PICTURE)
    (cli.home / "empty.txt").touch()
    (cli.home / "page.html").write_text('<p>Grüße <img src="cid:logo.png"></p>\n', encoding="utf-8")
    return cli.home


def stored(database: Database, result: Result) -> Any:
    """Return the payload that was stored."""
    return json.loads(seed.notification(database, result.ok().stdout.strip()).payload)


def refused(result: Result, *parts: str) -> None:
    """Check that it was refused as a mistake in what was typed, and the parts of the message."""
    assert (result.exit_code, result.stdout) == (2, ""), result
    for part in parts:
        assert part in result.stderr


def test_files(cli: Cli, database: Database, anna: str, home: Path) -> None:
    """HTML and files are kept as they are; a file is named, typed, and stands where the HTML shows it."""
    files = ("--html-file", "page.html", "--attach", "bill.pdf", "--attach", str(home / "logo.png"))
    id_ = cli.call(*MAIL, *files, "-o", "id").ok().stdout.strip()
    payload = cli.call("notifications", "show", id_, "-o", "json").ok().json()["payload"]
    shown = payload["attachments"][1]["content_id"]
    assert re.fullmatch(r"[0-9a-f]{16}-logo\.png@notifyctl", shown)
    assert (payload["text"], payload["html"]) == ("It works", f'<p>Grüße <img src="cid:{shown}"></p>\n')
    bill, logo = payload["attachments"]
    assert base64.b64decode(bill.pop("content")) == PDF and base64.b64decode(logo.pop("content")) == PICTURE
    assert bill == {"filename": "bill.pdf", "type": "application/pdf", "disposition": "attachment"}
    assert logo == {"filename": "logo.png", "type": "image/png", "disposition": "inline", "content_id": shown}


@on_sqlite
def test_pictures_are_told_apart(cli: Cli, database: Database, anna: str, home: Path) -> None:
    """Each reference means one file: the whole name, the first of a name; the same file has the same id once more."""
    other = home / "other"
    other.mkdir()
    names = ["logo.png", "p q.png", "p_q.png", "other/logo.png", "png", "unseen.png"]
    for name in names:
        (home / name).write_bytes(PICTURE if "other" not in name else b"other")
    pages = ['<img src="cid:logo.png"><img src="CID:p%20q.png">', "<b style='x:url(cid:p_q.png)'>", "<i src=cid:png>"]
    (home / "page.html").write_text("".join([*pages, '<i src="cid:logo.png.bak"><i src="acid:png">', pages[0]]))
    send = (*MAIL, "--html-file", "page.html", *(part for name in names for part in ("--attach", name)), "-o", "id")
    payload = stored(database, cli.call(*send))
    ids = [each.get("content_id") for each in payload["attachments"]]
    logo, spaced, lined, second, short, unseen = ids
    assert (second, unseen) == (None, None) and len({logo, spaced, lined, short}) == 4
    first = f'<img src="cid:{logo}"><img src="cid:{spaced}">'
    rest = f"<b style='x:url(cid:{lined})'><i src=cid:{short}>" + '<i src="cid:logo.png.bak"><i src="acid:png">'
    assert payload["html"] == first + rest + first
    assert [each.get("content_id") for each in stored(database, cli.call(*send))["attachments"]] == ids


@on_sqlite
def test_html_from_stdin(cli: Cli, database: Database, anna: str) -> None:
    """HTML may come from stdin, and needs no text beside it."""
    html = ("send", "anna", "--channel", "email", "--subject", "Hello", "--html-file", "-", "-o", "id")
    payload = stored(database, cli.call(*html, input="<p>ä</p>"))
    assert payload == {"v": 1, "subject": "Hello", "html": "<p>ä</p>"}
    refused(cli.call(*html, input=b"\xff"), "--html-file: -", "UTF-8")
    refused(cli.call(*html, "--body-file", "-"), "--body-file and --html-file")
    refused(cli.call(*html, "--data", '{"html":"<p>"}'), "html is given twice")


@on_sqlite
def test_same_files_are_the_same_submission(cli: Cli, anna: str, home: Path) -> None:
    """A repetition with the key is recognised by the files' content, whatever path leads to them."""
    key = (*MAIL, "--idempotency-key", "k", "-o", "json")
    assert not cli.call(*key, "--attach", "bill.pdf").ok().json()["deduplicated"]
    assert cli.call(*key, "--attach", str(home / "bill.pdf")).ok().json()["deduplicated"]
    (home / "bill.pdf").write_bytes(PDF + b".")
    assert cli.call(*key, "--attach", "bill.pdf").exit_code == 5


@on_sqlite
def test_files_that_cannot_be_attached(cli: Cli, database: Database, anna: str, home: Path) -> None:
    """Each is named with the reason, and nothing is stored; a file without end is not read to its end."""
    refused(cli.call(*MAIL, "--attach", "nowhere.pdf"), "--attach: nowhere.pdf: No such file")
    refused(cli.call(*MAIL, "--attach", "."), "--attach: .: Is a directory")
    refused(cli.call(*MAIL, "--attach", "empty.txt"), "--attach: empty.txt: is empty")
    refused(cli.call(*MAIL, "--attach", "/dev/zero"), f"--attach: /dev/zero: more than {MAX_ATTACHED_BYTES:,} bytes")
    refused(cli.call(*MAIL, "--attach", "bill.pdf", "--data", '{"attachments":[]}'), "attachments is given twice")
    sms = ("send", "anna", "--channel", "sms", "--to", "+14155552345", "--body", "x")
    refused(cli.call(*sms, "--attach", "bill.pdf"), "--attach: sms has no attachments", '"media"')
    push = ("send", "anna", "--channel", "push", "--to", "t", "--body", "x")
    refused(cli.call(*push, "--html-file", "page.html"), "--html-file: push has no HTML")


@on_sqlite
def test_too_large(cli: Cli, anna: str, home: Path) -> None:
    """More than SendGrid takes is refused before it is stored, with the sizes of the files."""
    (home / "film.mp4").write_bytes(bytes(24_000_000))
    result = cli.call(*MAIL, "--attach", "bill.pdf", "--attach", "film.mp4")
    refused(result, "attachments: the mail has 32,", "SendGrid takes 31,457,280", "bill.pdf 1,800, film.mp4 24,000,000")


# What is shown


def shown(result: Result) -> Any:
    """Return the body of the request that a dry run shows."""
    return json.loads(result.ok().json()["body"])


@pytest.fixture
def keyed(cli: Cli) -> Cli:
    """A command line with encrypted credentials."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@example.com", input="SG.key").ok()
    return cli


@on_sqlite
def test_types_of_files(keyed: Cli) -> None:
    """The type comes from the name; what is packed once more, or unknown, is just bytes."""
    types = {"a.txt": "text/plain", "a b.ics": "text/calendar", "A.PDF": "application/pdf"}
    types |= dict.fromkeys(("a.tar.gz", "a", "a.unknown"), "application/octet-stream")
    for name in types:
        (keyed.home / name).write_bytes(b"x")
    sent = shown(keyed.call(*MAIL, *(part for name in types for part in ("--attach", name)), "--dry-run", "-o", "json"))
    assert {each["filename"]: each["type"] for each in sent["attachments"]} == types


@on_sqlite
def test_dry_run_shortens_files_for_a_person(keyed: Cli) -> None:
    """A person sees where a file stands and how long it is; a program gets all of it."""
    (keyed.home / "bill.pdf").write_bytes(PDF)
    encoded = base64.b64encode(PDF).decode()
    plain = keyed.call(*MAIL, "--attach", "bill.pdf", "--dry-run").ok().stdout
    assert f'"content":"{encoded[:32]}… (2,400 characters)"' in plain and encoded[:40] not in plain
    whole = shown(keyed.call(*MAIL, "--attach", "bill.pdf", "--dry-run", "-o", "json"))
    assert [each["content"] for each in whole["attachments"]] == [encoded]


def test_lists_read_no_files(cli: Cli, database: Database, anna: str, home: Path) -> None:
    """`show` shortens a file for a person and has all of it in JSON; the lists, which show no payload, read none."""
    id_ = cli.call(*MAIL, "--attach", "bill.pdf", "-o", "id").ok().stdout.strip()
    encoded = base64.b64encode(PDF).decode()
    [dead] = letters.dead(database, anna, payload=seed.notification(database, id_).payload)
    for noun, one in (("notifications", id_), ("dlq", dead)):
        assert encoded in cli.call(noun, "show", one, "-o", "json").ok().stdout
        read = cli.call(noun, "show", one, "-o", "table").ok().stdout
        assert f"{encoded[:32]}… (2,400 characters)" in read and encoded[:40] not in read
        cli.call(noun, "list").ok()
    with database.read() as tx:
        listed = store.page(tx.at(2_000), store.NotificationFilter(), None, 10)
        buried = dlq.page(tx, dlq.DeadLetterFilter(), None, 10)
    assert [row.payload for row in (*listed, *buried)] == ["", "", ""]


@on_sqlite
def test_files_arrive(cli: Cli, sandbox: Any) -> None:
    """A mail with HTML and files gets through the whole way, and its provider takes it."""
    world = World(cli, sandbox)
    (cli.home / "bill.pdf").write_bytes(PDF)
    (cli.home / "page.html").write_text("<p>Hello</p>")
    id_ = world.send("email", "--html-file", "page.html", "--attach", "bill.pdf")
    world.dispatch()
    assert world.show(id_)["status"] == "sent"
    [asked] = sandbox.requests("sendgrid")
    assert (asked["status"], asked["notification_id"]) == (202, id_)


@on_sqlite
def test_everything_gets_through(cli: Cli, sandbox: Any) -> None:
    """Whatever an API offers, typed as `--data`, is taken by the provider at the end of the whole way."""
    world = World(cli, sandbox)
    found = (*scenarios.MAILS, *scenarios.TEXTS, *scenarios.PUSHES)
    # The sandbox has one number to send texts from, as Twilio's test account has.
    other = [each for each in scenarios.TEXTS if "from" in each.content or "messaging_service_sid" in each.config]
    typed = [each for each in found if each not in other]
    for each in typed:
        channel = {"sendgrid": LETTER, "twilio": TEXT, "fcm": PUSH}[each.provider]
        world.ok("send", "anna", "--channel", channel, "--data", json.dumps(each.content))
    report = world.dispatch()
    assert (report["attempts"], report["accepted"]) == (len(typed), len(typed)), world.ok("dlq", "list").stdout


@on_sqlite
@pytest.mark.parametrize("way", ["option", "data", "field"])
def test_a_name_before_the_address(keyed: Cli, way: str) -> None:
    """`--to 'Name <a@b>'` sends the name as well, by both ways that mail goes; the address is a plain one."""
    to = r'"Groß, \"Anna\" <x>" <Anna.G@EXAMPLE.org>'
    given = {
        "option": ("--to", to),
        "data": ("--data", json.dumps({"to": to})),
        "field": ("--to", "Anna.G@example.org", "--data", json.dumps({"to_name": 'Groß, "Anna" <x>'})),
    }[way]
    refused(keyed.call(*MAIL, *given), "to: SendGrid takes no comma")
    keyed.call("providers", "add", "smtp", "--set", "host=mail.example", "--set", "from=shop@example.com").ok()
    sent = keyed.call(*MAIL, *given, "--provider", "smtp", "--dry-run", "-o", "json").ok().json()
    assert sent["headers"]["Rcpt-To"] == "<Anna.G@example.org>"
    mail = message_from_string(sent["body"], policy=policy.default)
    [box] = mail["To"].addresses
    assert (box.display_name, box.addr_spec) == ('Groß, "Anna" <x>', "Anna.G@example.org")
    plain = shown(keyed.call(*MAIL, "--to", "Anna Groß <anna@example.org>", "--dry-run", "-o", "json"))
    [person] = plain["personalizations"]
    assert person["to"] == [{"email": "anna@example.org", "name": "Anna Groß"}]


@on_sqlite
def test_whose_name_it_is(keyed: Cli) -> None:
    """A name without an address goes before the user's own; two names, and a name that is none, are refused."""
    own = shown(keyed.call(*MAIL, "--data", '{"to_name": "Anna"}', "--dry-run", "-o", "json"))
    assert own["personalizations"][0]["to"] == [{"email": "anna@example.org", "name": "Anna"}]
    two = ("--to", "Anna <anna@example.org>", "--data", '{"to_name": "Bob"}')
    refused(keyed.call(*MAIL, *two), "to_name is given twice")
    refused(keyed.call(*MAIL, "--data", json.dumps({"to_name": "a\r\nBcc: b"})), "to_name: must be on one line")
    for to in ("anna@example.org, bob@example.org", "bob@example.org <anna@example.org>", "Anna <anna@example.org"):
        refused(keyed.call(*MAIL, "--to", to), "is no e-mail address")


# What is refused


@pytest.mark.parametrize(
    ("channel", "data", "where"),
    [
        (LETTER, {"subject": "a\0b", "text": "x"}, "subject"),
        (LETTER, {"subject": "x", "text": "a\0"}, "text"),
        (LETTER, {"subject": "x", "text": "x", "custom_args": {"a": "\0"}}, "custom_args"),
        (LETTER, {"subject": "x", "text": "x", "headers": {"X-\0": "a"}}, "headers"),
        (TEXT, {"body": "\0", "to": "+14155552345"}, "body"),
        (PUSH, {"token": "t", "body": "x", "data": {"a": ["b", {"c": "\0"}]}}, "data"),
    ],
)
def test_nul_is_no_character(refusing: tuple[Cli, Database], channel: str, data: dict[str, Any], where: str) -> None:
    """U+0000 is refused wherever it stands; the six characters of its escape are text like any other."""
    cli, _ = refusing
    refused(cli.call("send", "anna", "--channel", channel, "--data", json.dumps(data)), f"{where}: holds NUL")
    plain = json.loads(json.dumps(data).replace(r"\u0000", r"\\u0000"))
    assert "NUL" not in cli.call("send", "anna", "--channel", channel, "--dry-run", "--data", json.dumps(plain)).stderr


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory, sqlite_maker: SQLiteMaker) -> Iterator[tuple[Cli, Database]]:
    """One database for all that is refused, since nothing is stored."""
    folder = tmp_path_factory.mktemp("refusing")
    url = sqlite_maker.migrated(folder)
    database = Database(url)
    _anna(database)
    yield Cli(folder, url), database
    database.close()


@pytest.mark.parametrize(
    ("channel", "data", "words"),
    [
        (LETTER, {"from": "nobody"}, "from: not an e-mail address"),
        (LETTER, {"reply_to": "Help <help>"}, "reply_to: not an e-mail address"),
        (LETTER, {"cc": ["b@example.com", "nobody"]}, "cc: not an e-mail address"),
        (LETTER, {"bcc": "Doe, Jane <jane@example.com>"}, "bcc: SendGrid takes no comma"),
        (LETTER, {"headers": {"Subject": "x"}}, "headers.Subject: reserved"),
        (LETTER, {"headers": {"X-A": "a\r\nBcc: b@example.com"}}, "headers.X-A: not a header"),
        (LETTER, {"categories": [str(n) for n in range(11)]}, "categories: at most 10"),
        (LETTER, {"custom_args": {"a": []}}, "custom_args.a: must be text"),
        (LETTER, {"template_id": "d-1"}, "template_id: excludes text"),
        (LETTER, {"attachments": [{"filename": "a.txt", "content": "no base64"}]}, "attachments.0.content: must be"),
        (LETTER, {"attachments": [{"content": "eA=="}]}, "attachments.0.filename: missing"),
        (LETTER, {"asm": {"group": 7}}, "asm.group: unknown"),
        (LETTER, {"tracking_settings": {"click_tracking": {"enable": "no"}}}, "click_tracking.enable: must be true"),
        (LETTER, {"mail_settings": {"sandbox": {}}}, "mail_settings.sandbox: unknown, perhaps sandbox_mode"),
        (LETTER, {"ip_pool_name": "x"}, "ip_pool_name: must be"),
        (LETTER, {"media": "https://x.example/a.png"}, "email has no media"),
        (TEXT, {"from": "twelve chars"}, "from: must be a number"),
        (TEXT, {"media": ["file:///etc/passwd"]}, "media: must be"),
        (TEXT, {"validity_seconds": 36_001}, "validity_seconds: must be"),
        (TEXT, {"status_callback": "ftp://x.example/"}, "status_callback: must be"),
        (TEXT, {"template_id": "HX" + "0" * 32}, "template_id: excludes body"),
        (TEXT, {"template_data": {"1": "x"}}, "template_data: goes with template_id"),
        (PUSH, {"topic": "news", "fid": "installation"}, "token, fid, topic, condition: only one of them"),
        (PUSH, {"topic": "a b"}, "topic: only letters"),
        (PUSH, {"condition": "'a' in topics or 'b' in topics"}, "condition: must be such as"),
        (PUSH, {"data": {"google.x": "y"}}, "data.google.x: a reserved word"),
        (PUSH, {"data": {"a": {"b": 1}}}, "data.a: must be text"),
        (PUSH, {"data": {"a": "x" * 4_096}}, "FCM takes 4096"),
        *(
            (PUSH, {p: {"data": {key: "y"}}}, f"{p}.data.{key}: a reserved word")
            for p in ("android", "webpush")
            for key in ("from", "message_type", "google.x", "gcm.notification.y")
        ),
        (PUSH, {"apns": {"payload": {"aps": {}, "from": "y"}}}, "apns.payload.from: a reserved word"),
        (PUSH, {"apns": {"payload": {"google.c.x": 1}}}, "apns.payload.google.c.x: a reserved word"),
        (PUSH, {"apns": {"payload": {"aps": "hello"}}}, "apns.payload.aps: must be an object"),
        (PUSH, {"android": {"data": {"a": "x" * 4_096}}}, "android: 4102 bytes, FCM takes 4096"),
        (PUSH, {"android": {"notification": {"body": "é" * 2_048}}}, "android: 4100 bytes, FCM takes 4096"),
        (PUSH, {"webpush": {"data": {"a": "x" * 4_096}}}, "webpush: 4102 bytes, FCM takes 4096"),
        (PUSH, {"webpush": {"notification": {"actions": ["x" * 4_096]}}}, "FCM takes 4096"),
        (PUSH, {"apns": {"payload": {"aps": {"alert": "x" * 4_096}}}}, "apns.payload: 4111 bytes, FCM takes 4096"),
        (PUSH, {"topic": "news", "apns": {"payload": {"a": "x" * 2_048}}}, "apns.payload: 2049 bytes, FCM takes 2048"),
        (PUSH, {"android": {"ttl": "1h"}}, "android.ttl: must be seconds"),
        (PUSH, {"android": {"priority": "urgent"}}, "android.priority: must be NORMAL or HIGH"),
        (PUSH, {"android": {"channel_id": "orders"}}, "android.channel_id: unknown"),
        (PUSH, {"android": {"notification": {"color": "red"}}}, "android.notification.color: must be a colour"),
        (PUSH, {"apns": {"headers": {"apns-priority": 10}}}, "apns.headers.apns-priority: must be text"),
        (PUSH, {"webpush": {"fcm_options": {"link": "http://x.example"}}}, "webpush.fcm_options.link: must be"),
        (PUSH, {"fcm_options": {"label": "spring"}}, "fcm_options.label: unknown"),
        (PUSH, {"fcm_options": {"analytics_label": "a b"}}, "fcm_options.analytics_label: must be"),
        (PUSH, {"validate_only": "yes"}, "validate_only: must be true or false"),
    ],
)
def test_what_an_api_would_refuse(
    refusing: tuple[Cli, Database], channel: str, data: dict[str, Any], words: str
) -> None:
    """It is refused here, with the field's name, and not by the provider when nobody looks; nothing is stored."""
    cli, database = refusing
    options = {TEXT: ("--to", "+14155552345"), PUSH: (), LETTER: ("--subject", "Hello")}[channel]
    audience = {} if channel != PUSH or data.keys() & {"fid", "topic", "condition"} else {"token": "device"}
    given = json.dumps({**audience, **data})
    refused(cli.call("send", "anna", "--channel", channel, "--body", "x", *options, "--data", given), words)
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(notifications)).scalar_one() == 0


@pytest.mark.parametrize("other", [{"topic": "news"}, {"condition": "'a' in topics"}, {"fid": "installation"}])
def test_one_device_or_many(refusing: tuple[Cli, Database], other: dict[str, str]) -> None:
    """A push that names one device and something else is refused: it would go to all the others instead."""
    cli, _ = refusing
    push = ("send", "anna", "--channel", "push", "--body", "x")
    both = json.dumps({"token": "device", **other})
    for given in (("--to", "device", "--data", json.dumps(other)), ("--data", both)):
        refused(cli.call(*push, *given), "token, fid, topic, condition: only one of them")


@on_sqlite
def test_a_topic_whatever_the_users_own_device(cli: Cli, sandbox: Any) -> None:
    """A user's own device does not stand in the way of a topic."""
    world = World(cli, sandbox)
    id_ = world.send("push", "--data", '{"topic": "news"}')
    world.dispatch()
    assert world.show(id_)["status"] == "sent"
    [asked] = sandbox.requests("fcm")
    assert asked["status"] == 200


@on_sqlite
def test_settings_that_no_message_could_be_sent_with(cli: Cli) -> None:
    """A sender and an address for reports that Twilio would refuse are refused when they are configured."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    login = f"AC{'0' * 32}\ntoken\n"
    add = ("providers", "add", "twilio", "--api-key", "-", "--api-secret", "-")
    refused(cli.call(*add, "--set", "from=twelve chars", input=login), "from: must be a number")
    callback = ("--set", "from=+15005550006", "--set", "status_callback=x")
    refused(cli.call(*add, *callback, input=login), "status_callback: must be")
