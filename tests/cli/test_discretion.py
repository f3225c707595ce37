"""Whoever has no scope `users:read` sees no address of anybody, on any road and in any format."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from notifyctl.config import whoami
from notifyctl.core.discretion import discreet, discreet_record, discreet_text
from notifyctl.core.scope import OPEN, Scope
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.cli.test_framework import LEAVES
from tests.support import letters, seed
from tests.support.command import Cli, Result
from tests.support.terminal import on_terminal

MAIL, PHONE, TOKEN = "jane.doe@example.com", "+14155552345", "cKd93-a-device-token-of-somebody"
OTHER = "carbon.copy@example.net"
FORMATS = ("table", "plain", "json", "csv")
SCOPES = [each for each in Scope if each is not Scope.USERS_READ]


@pytest.fixture(autouse=True)
def ids(database: Database, cli: Cli) -> dict[str, str]:
    """Jane with an address on each channel, of whom everything knows something."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJD" * 21 + "QQ=="
    cli.call("users", "create", "jane", "--email", MAIL).ok()
    (jane,) = cli.call("users", "list", "-o", "id").ok().stdout.split()
    cli.call("users", "contacts", "add", "jane", "sms", PHONE).ok()
    cli.call("users", "contacts", "add", "jane", "push", TOKEN).ok()
    cli.call("suppressions", "add", "email", OTHER, "--reason", f"{MAIL} asked for it").ok()
    for name, settings in (("twilio", "from=+15005550006"), ("sendgrid", "from=alerts@example.org")):
        keys = "SG.x\n" if name == "sendgrid" else f"AC{'5a' * 16}\nt\n"
        more = ("--api-secret", "-") if name == "twilio" else ()
        cli.call("providers", "add", name, "--api-key", "-", *more, "--set", settings, input=keys).ok()
    mail = json.dumps(
        {"v": 1, "to": MAIL, "cc": [OTHER], "subject": "s", "text": f"Dear {MAIL}", "from": "a@b.example"}
    )
    push = json.dumps({"v": 1, "token": TOKEN, "title": "t", "body": "b"})
    (pending,) = seed.pending(database, jane, "sendgrid", payload=mail)
    (pushed,) = seed.pending(database, jane, "fcm", payload=push)
    (dead,) = letters.dead(database, jane, payload=mail, error_message=f"550 no such user {MAIL}")
    (sent,) = seed.pending(database, jane, "twilio", status="sent", sent_at=1, attempt_count=1)
    text = json.dumps({"v": 1, "body": "x", "from": "+15005550006"})
    database.write(
        lambda tx: tx.execute(
            update(notifications).where(notifications.c.id == sent).values(sent_to=PHONE, payload=text)
        )
    )
    return {"user": jane, "pending": pending, "pushed": pushed, "dead": dead, "sent": sent}


def hidden_from(cli: Cli, *scopes: str) -> str:
    """Return a key for these scopes."""
    words = [word for each in scopes for word in ("--scope", each)]
    return cli.call("keys", "create", "jane", "--name", "k", *words, "-o", "secret").ok().stdout.strip()


def acting(cli: Cli, secret: str, *args: str, input: str | None = None) -> Result:
    """Run a command with a key."""
    return cli.call(*args, env={"NOTIFYCTL_API_KEY": secret}, input=input)


def leaked(result: Result) -> set[str]:
    """Return which addresses can be read in what a command says, also as a URL or a form writes them."""
    said = result.stdout + result.stderr
    return {each for each in (MAIL, PHONE, TOKEN, OTHER, MAIL.replace("@", "%40"), "%2B14155552345") if each in said}


def looks(ids: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield command lines that show somebody."""
    yield from (
        ("users", "list"),
        ("users", "show", "jane"),
        ("users", "export"),
        ("users", "contacts", "list", "jane"),
    )
    yield from (("suppressions", "list"), ("suppressions", "show", OTHER), ("suppressions", "export"))
    yield from (("notifications", "list"), ("notifications", "export"), ("dlq", "list"), ("dlq", "export"))
    for each in ("pending", "pushed", "dead", "sent"):
        yield ("notifications", "show", ids[each])
        yield ("notifications", "explain", ids[each])
    yield from (("dlq", "show", ids["dead"]), ("fixtures", "dump"), ("status",), ("audit", "list"), ("prefs", "list"))
    for more in (("--channel", "email", "--subject", "s"), ("--channel", "sms")):
        yield ("send", "jane", *more, "--body", "b", "--dry-run")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_no_command_shows_an_address(cli: Cli, ids: dict[str, str]) -> None:
    """In every format that it has: addresses of all channels, in fields of their own, in contents and in messages."""
    secret, faults = hidden_from(cli, *SCOPES), []
    for words in looks(ids):
        path = next(each for each in LEAVES if " ".join(words).startswith(each) and each in LEAVES)
        for form in [each for each in LEAVES[path].formats if each in FORMATS]:
            done = acting(cli, secret, *words, "-o", form)
            if done.exit_code != 0 or leaked(done):
                faults.append((words, form, done.exit_code, leaked(done), done.stderr))
    assert faults == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_no_end_of_a_line_lets_one_pass(cli: Cli, database: Database, ids: dict[str, str]) -> None:
    """It is looked for before lines are broken for a narrow terminal, and nothing else is taken for one."""
    name = f"{'x' * 30}<{MAIL}>"
    theirs = notifications.c.id == ids["sent"]
    database.write(lambda tx: tx.execute(update(notifications).where(theirs).values(provider_message_id=name)))
    env = {"NOTIFYCTL_API_KEY": hidden_from(cli, Scope.NOTIFICATIONS_READ)}
    for columns in (44, 47, 50, 62):
        shown = on_terminal(cli, "notifications", "show", ids["sent"], columns=columns, env=env).stdout
        assert "provider_message_id" in shown
        assert MAIL not in "".join(shown.split())
        assert "0" * 64 in "".join(shown.split())  # the hash of what it says, of which a part might be a number


def test_who_has_the_scope_sees_them(cli: Cli, ids: dict[str, str]) -> None:
    """The same with `users:read`, and without a key: addresses are shown in full."""
    secret = hidden_from(cli, "users:read", "suppressions:read", "notifications:read")
    for words, seen in (
        (("users", "show", "jane"), MAIL),
        (("users", "contacts", "list", "jane"), PHONE),
        (("suppressions", "list"), OTHER),
        (("notifications", "show", ids["pushed"]), TOKEN),
    ):
        assert seen in acting(cli, secret, *words).ok().stdout
        assert seen in cli.call(*words).ok().stdout


def test_the_outline_is_of_use(cli: Cli, ids: dict[str, str]) -> None:
    """It tells one address from another, and says where it is; what is no address is as it was, on both databases."""
    secret = hidden_from(cli, "users:list", "notifications:read")
    shown = acting(cli, secret, "users", "show", "jane", "-o", "json").ok().json()
    assert (shown["email"], shown["username"], shown["id"]) == ("j***@example.com", "jane", ids["user"])
    points = acting(cli, secret, "users", "contacts", "list", "jane", "-o", "json").ok().json()
    assert {row["channel"]: row["address"] for row in points} == {
        "email": "j***@example.com", "sms": "+1***45", "push": "cKd9***",
    }  # fmt: skip
    found = acting(cli, secret, "notifications", "show", ids["pending"], "-o", "json").ok().json()
    payload = found["payload"]
    assert (payload["to"], payload["cc"]) == ("j***@example.com", ["c***@example.net"])
    assert (payload["subject"], payload["text"]) == ("s", "Dear j***@example.com")
    assert (found["id"], found["user_id"]) == (ids["pending"], ids["user"])


def test_who_did_it_is_no_secret(cli: Cli) -> None:
    """Operators are named by person and host, which look like an address: the trail and refusals show them."""
    secret = hidden_from(cli, "audit:read", "keys:read")
    assert acting(cli, secret, "users", "list").exit_code == 4
    (key,) = cli.call("keys", "list", "-o", "id").ok().stdout.split()
    assert "***" not in str(acting(cli, secret, "keys", "show", key, "-o", "json").ok().json()["refusals"])
    told = acting(cli, secret, "audit", "list", "-o", "json").ok().stdout
    assert whoami.operator().name in told


def test_an_export_to_a_file_hides_them_too(cli: Cli) -> None:
    """What is written to a file is what would be printed."""
    secret = hidden_from(cli, "users:list")
    acting(cli, secret, "users", "export", "--output", "people.csv").ok()
    text = (cli.home / "people.csv").read_text()
    assert "j***@example.com" in text
    assert all(each not in text for each in (MAIL, PHONE, TOKEN))


def test_errors_hide_them_too(cli: Cli) -> None:
    """Whoever may write users and not read them learns from a conflict whose an address is, not which."""
    secret = hidden_from(cli, "users:write")
    for form in ((), ("-o", "json")):
        done = acting(cli, secret, "users", "create", "bert", "--email", MAIL, *form)
        assert done.exit_code == 5 and not leaked(done)


def test_an_outline_is_no_address(cli: Cli, ids: dict[str, str]) -> None:
    """What was read without the scope is not stored as if it were an address: not by hand, by a file or a fixture."""
    secret = hidden_from(cli, *SCOPES)
    outline = acting(cli, secret, "users", "list", "-o", "csv", "--fields", "username,email").ok().stdout
    (cli.home / "u.csv").write_text(outline.replace("jane,", "copy,"))
    assert cli.call("users", "import", "-f", "u.csv").exit_code == 6
    (cli.home / "f.yaml").write_text(acting(cli, secret, "fixtures", "dump", "--kind", "users").ok().stdout)
    assert "***" in (cli.home / "f.yaml").read_text()
    assert cli.call("fixtures", "apply", "-f", "f.yaml").exit_code == 2
    for words in (
        ("users", "create", "copy", "--email", "j***@example.com"),
        ("users", "contacts", "add", "jane", "push", "cKd9***"),
        ("users", "contacts", "add", "jane", "sms", "+1***45"),
        ("suppressions", "add", "email", "j***@example.com", "--reason", "r"),
    ):
        assert cli.call(*words).exit_code == 2


def test_completion_hides_them_too(cli: Cli) -> None:
    """A description of a user has the address only for who may see it."""
    from notifyctl.config import load
    from notifyctl.wiring.beginnings import beginnings

    env = {"NOTIFYCTL_DATABASE_URL": cli.env["NOTIFYCTL_DATABASE_URL"]}
    for scope, seen in (("users:read", MAIL), ("users:list", "j***@example.com")):
        found = beginnings(load(env={**env, "NOTIFYCTL_API_KEY": hidden_from(cli, scope)}), "user", "ja")
        assert found[0][0] == "jane" and found[0][1].startswith(seen)


def test_no_name_within_a_content_lets_it_pass() -> None:
    """Only columns of ids are exempt: whatever a content's member is called, and also where an address is a key."""
    for name in ("paid", "id", "user_id", "key", "hash", "ids"):
        for value in ({name: MAIL}, [{name: [PHONE]}], json.dumps({"a": {name: MAIL}}), {MAIL: 1}, {"x": {PHONE: {}}}):
            said = json.dumps([discreet("payload", value), discreet_record({"payload": value, "paid": MAIL})])
            assert MAIL not in said and PHONE not in said
    assert discreet("payload", {"ja@x.org": 1, "jb@x.org": 2}) == {"***@x.org": 1, "***@x.org*": 2}


def test_exports_of_contents_hide_them(cli: Cli, database: Database, ids: dict[str, str]) -> None:
    """CSV and NDJSON, whatever the members of what is said are called."""
    odd = json.dumps({"v": 1, "data": {"paid": MAIL, "user_id": PHONE, OTHER: "x", "key": OTHER}})
    database.write(
        lambda tx: tx.execute(update(notifications).where(notifications.c.id == ids["pushed"]).values(payload=odd))
    )
    secret = hidden_from(cli, "notifications:read")
    for form in ("csv", "ndjson"):
        assert not leaked(acting(cli, secret, "notifications", "export", "-o", form).ok())


def test_a_preview_for_somebody_hides_them(cli: Cli, ids: dict[str, str]) -> None:
    """Rendered as a notification was, printed and saved; what a template says by itself is shown."""
    sender = "help@example.org"
    body = "Hi {{ who }}, ask " + sender
    cli.call("templates", "create", "hi", "--channel", "sms", "--body", body, "--by", "jane").ok()
    sent = (
        cli.call("send", "jane", "--channel", "sms", "--template", "hi", "--var", f"who={MAIL}", "-o", "id")
        .ok()
        .stdout.strip()
    )
    secret = hidden_from(cli, "templates:read", "notifications:read")
    for form in ("table", "plain", "json"):
        done = acting(cli, secret, "templates", "preview", "hi", "--from-notification", sent, "-o", form).ok()
        assert not leaked(done) and "j***@example.com" in done.stdout
    acting(cli, secret, "templates", "preview", "hi", "--from-notification", sent, "--save", "f.txt").ok()
    assert MAIL not in (cli.home / "f.txt").read_text()
    assert sender in acting(cli, secret, "templates", "preview", "hi", "--var", "who=you").ok().stdout
    assert MAIL in cli.call("templates", "preview", "hi", "--from-notification", sent).ok().stdout


def test_reasons_hide_them(cli: Cli) -> None:
    """Why somebody paused a provider may name a person: in its row and in `status`; its own sender is no secret."""
    secret = hidden_from(cli, "providers:read", "providers:write", "status:read")
    acting(cli, secret, "providers", "pause", "sendgrid", "--reason", f"bounced for {MAIL}").ok()
    for form in FORMATS:
        for words in (("providers", "list"), ("providers", "show", "sendgrid")):
            done = acting(cli, secret, *words, "-o", form).ok()
            assert not leaked(done), (words, form)
    shown = acting(cli, secret, "providers", "show", "sendgrid", "-o", "json").ok().json()
    assert shown["config"]["from"] == "alerts@example.org"
    for form in ("table", "plain", "json"):
        assert not leaked(acting(cli, secret, "status", "-o", form))
    assert MAIL in cli.call("providers", "list", "-o", "json").ok().stdout


def test_what_stays_as_it_is() -> None:
    """Ids, hashes, numbers and words are no addresses."""
    for name, value in (
        ("provider_message_id", "<x@mail.example.org>"), ("id", "12345678901234"), ("count", 14155552345),
        ("state", "deferred"), ("due_at", "2026-10-25T02:30:00.000Z"), ("username", "jane"), ("none", None),
    ):  # fmt: skip
        assert discreet(name, value) == value
    assert discreet_text("sent at 02:30, 5 of 10") == "sent at 02:30, 5 of 10"
    assert {type(each.scope) for each in LEAVES.values() if each.scope is not OPEN} == {Scope}
