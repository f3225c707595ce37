"""`webhooks` on the command line: set up, listed, changed, switched, on both databases."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.core.errors import UsageError
from notifyctl.core.sealing import parse_keys
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.signing import secret_of, secret_text
from notifyctl.store import webhooks as store
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs
from tests.support import seed
from tests.support.command import Cli, Result

URL = "https://example.org/hook/s3cr3t-path"
OWN = secret_text(bytes(range(24)))


@pytest.fixture(autouse=True)
def anna(cli: Cli, database: Database) -> str:
    """A user anna, and an encryption key."""
    cli.call("secrets", "generate-key", "--secret-file", "keys").ok()
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(cli.home / "keys")
    return seed.user(database)


def hooks(cli: Cli, *args: str, input: str | bytes | None = None) -> Result:
    return cli.call("webhooks", *args, input=input)


def made(cli: Cli, *args: str, user: str = "anna", url: str = URL) -> dict[str, Any]:
    """Make a webhook for sent and failed, and return its record."""
    return dict(hooks(cli, "create", user, url, "--event", "sent,failed", "-o", "json", *args).ok().json())


def secrets(cli: Cli, database: Database, ref: str, at: int = 0) -> tuple[bytes, ...]:
    """Return the secrets that sign for a webhook at a moment."""
    ring = parse_keys((cli.home / "keys").read_text(), "keys")
    with database.read() as tx:
        return keeping.secrets(store.find(tx, ref).webhook, ring, at or tx.now)


def trail(database: Database) -> list[Any]:
    """Return what the audit trail says of webhooks, oldest first."""
    a = audit_logs.c
    with database.read() as tx:
        found = select(a.action, a.changes).where(a.resource_type == "webhook").order_by(a.created_at, a.id)
        return [(row.action, json.loads(row.changes)) for row in tx.execute(found)]


# Setting up


def test_its_secret_is_shown_once_and_kept_encrypted(cli: Cli, database: Database) -> None:
    """24 bytes in strict base64 behind whsec_; what is stored opens to them, and nobody shows them again."""
    row = made(cli)
    secret = base64.b64decode(row["secret"].removeprefix("whsec_"), validate=True)
    assert row["secret"].startswith("whsec_") and len(secret) == 24
    assert secrets(cli, database, row["id"]) == (secret,)
    assert (row["name"], row["host"], row["state"], row["created"]) == ("example.org", "example.org", "active", True)
    assert row["events"] == ["notification.sent", "notification.failed"]
    assert (row["retry_count"], row["timeout_seconds"], row["all_users"]) == (9, 20, False)
    shown = [hooks(cli, *args).ok() for args in (("list",), ("list", "-o", "json"), ("list", "-o", "table"))]
    everything = "".join(each.stdout + each.stderr for each in shown) + str(trail(database))
    assert "whsec_" not in everything and row["secret"][6:] not in everything


def test_of_the_url_only_the_host_is_told(cli: Cli, database: Database) -> None:
    """It may be a secret itself: no record, list, error, table of it, nor the audit trail has more than the host."""
    row = made(cli)
    again = hooks(cli, "create", "anna", URL, "--event", "sent")
    odd = hooks(cli, "create", "anna", "https://example.org:9/s3cr3t-path", "--event", "sent")
    long = hooks(cli, "create", "anna", f"https://example.org/s3cr3t-path{'x' * 500}", "--event", "sent")
    assert (again.exit_code, odd.exit_code, long.exit_code) == (5, 2, 2)
    lists = hooks(cli, "list", "-o", "json").ok().stdout
    assert "s3cr3t" not in json.dumps(row) + lists + again.stderr + odd.stderr + long.stderr + str(trail(database))
    assert trail(database) == [
        (
            "create",
            {
                "user_id": row["user_id"],
                "host": [None, "example.org"],
                "name": [None, "example.org"],
                "events": [None, ["notification.sent", "notification.failed"]],
                "all_users": [None, False],
                "retry_count": [None, 9],
                "timeout_seconds": [None, 20],
            },
        )
    ]


def test_the_url_need_not_stand_in_the_process_list(cli: Cli, database: Database) -> None:
    """It can come from stdin or a file."""
    (cli.home / "url").write_text(f"{URL}\n")
    made(cli, url="@url")
    hooks(cli, "create", "anna", "-", "--event", "sent", "--name", "b", input=f"{URL}\n").ok()
    with database.read() as tx:
        assert {store.find(tx, name).webhook.url for name in ("example.org", "b")} == {URL}


def test_the_secret_alone_or_in_a_file(cli: Cli, database: Database) -> None:
    """-o secret prints nothing else; a file is private, and goes again when nothing was stored."""
    alone = hooks(cli, "create", "anna", URL, "--event", "*", "-o", "secret").ok().stdout.strip()
    assert secrets(cli, database, "example.org") == (secret_of(alone),)
    row = made(cli, "--name", "b", "--secret-file", "f")
    assert "secret" not in row
    assert secrets(cli, database, "b") == (secret_of((cli.home / "f").read_text()),)
    assert (cli.home / "f").stat().st_mode & 0o777 == 0o600
    assert hooks(cli, "create", "anna", URL, "--event", "sent", "--name", "b", "--secret-file", "g").exit_code == 5
    assert not (cli.home / "g").exists()
    lost = hooks(cli, "create", "anna", URL, "--event", "sent", "--name", "c", "-o", "id")
    assert (lost.exit_code, "--secret-file" in lost.stderr) == (2, True)


def test_a_secret_of_ones_own(cli: Cli, database: Database) -> None:
    """It is taken as it is and not shown; another length is refused with the reason, other text without showing it."""
    row = json.loads(
        hooks(cli, "create", "anna", URL, "--event", "sent", "--secret", "-", "-o", "json", input=OWN).ok().stdout
    )
    assert "secret" not in row
    assert secrets(cli, database, row["id"]) == (bytes(range(24)),)
    for text, reason in (
        (f"whsec_{base64.b64encode(bytes(32)).decode()}", "has 32 bytes, not 24"),
        ("whsec_" + OWN[6:-1] + "!", "is not base64"),
        (OWN[:-1], "is not base64"),
    ):
        refused = hooks(cli, "create", "anna", URL, "--event", "sent", "--name", "b", "--secret", "-", input=text)
        assert (refused.exit_code, reason in refused.stderr) == (2, True)
        assert text[6:] not in refused.stderr
    argument = hooks(cli, "create", "anna", URL, "--event", "sent", "--name", "b", f"--secret={OWN}")
    assert (argument.exit_code, OWN[6:] in argument.stderr) == (2, False)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--event", "sended"), "did you mean"),
        (("--event", ""), "there is no event"),
        (("--event", "sent", "--name", ""), "printable"),
        (("--event", "sent", "--name", "x" * 101), "printable"),
        (("--event", "sent", "--name=-x"), "looks like an option"),
        (("--event", "sent", "--name", "3f9c2a71-4b4b-4b4b-8b8b-123456789012"), "looks like an option or an id"),
        (("--event", "sent", "--retries", "-1"), "--retries"),
        (("--event", "sent", "--timeout", "0"), "--timeout"),
        ((), "--event"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, options: tuple[str, ...], hint: str) -> None:
    """Each is refused by name, and nothing is stored."""
    refused = hooks(cli, "create", "anna", URL, *options)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert hint in refused.stderr
    assert hooks(cli, "list", "-o", "json").ok().json() == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://10.0.0.7/hook",
        "https://[::ffff:127.0.0.1]/",
        "https://127.1/",
        "https://localhost:80/",
        "https://user:pw@example.org/",
        "ftp://example.org/",
        "",
    ],
)
def test_urls_that_are_none(cli: Cli, url: str) -> None:
    """Where a delivery would never be made none can be set up."""
    refused = hooks(cli, "create", "anna", url, "--event", "sent")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "the webhook's URL" in refused.stderr
    assert hooks(cli, "list", "-o", "json").ok().json() == []


def test_who_is_not_there_and_what_has_no_key(cli: Cli) -> None:
    """An unknown user is not found; without an encryption key no secret can be kept."""
    assert hooks(cli, "create", "nobody", URL, "--event", "sent").exit_code == 3
    Path(cli.env.pop("NOTIFYCTL_ENCRYPTION_KEYS_FILE")).unlink()
    refused = hooks(cli, "create", "anna", URL, "--event", "sent")
    assert (refused.exit_code, "generate-key" in refused.stderr) == (4, True)


def test_if_not_exists(cli: Cli) -> None:
    """Repeated by CI it changes nothing and shows no secret; with other values it is a conflict."""
    first = made(cli, "--if-not-exists", "--secret-file", "f")
    again = made(cli, "--if-not-exists", "--secret-file", "f")
    assert (first["created"], again["created"], again["id"]) == (True, False, first["id"])
    assert "secret" not in again
    for other in (("--event", "bounced"), ("--retries", "3"), ("--all-users",)):
        assert hooks(cli, "create", "anna", URL, "--event", "sent,failed", "--if-not-exists", *other).exit_code == 5
    assert hooks(cli, "create", "anna", f"{URL}2", "--event", "sent,failed", "--if-not-exists").exit_code == 5
    mine = ("create", "anna", URL, "--event", "sent,failed", "--if-not-exists", "--secret", "-")
    assert hooks(cli, *mine, input=OWN).exit_code == 5


# Looking


def test_lists_are_narrowed(cli: Cli, database: Database) -> None:
    """By user, by trouble; what did not arrive is counted; an unknown user is not found rather than an empty list."""
    bert = seed.user(database, "bert")
    mine = made(cli)["id"]
    failing = seed.webhook(database, bert, failing_since=5_000)
    off = seed.webhook(database, bert, is_active=False, disabled_at=6_000)
    [id_] = seed.pending(database, bert)
    cli.call("notifications", "cancel", id_).ok()
    assert set(ids(cli)) == {mine, failing, off}
    assert (ids(cli, "--user", "anna"), set(ids(cli, "--user", "bert"))) == ([mine], {failing, off})
    assert (ids(cli, "--failing"), ids(cli, "--disabled")) == ([failing], [off])
    assert ids(cli, "--user", "anna", "--failing") == []
    assert hooks(cli, "list", "--user", "nobody").exit_code == 3
    rows = {row["id"]: row for row in hooks(cli, "list", "-o", "json").ok().json()}
    assert {id_: rows[id_]["undelivered"] for id_ in rows} == {mine: 0, failing: 1, off: 1}
    assert {id_: rows[id_]["state"] for id_ in rows} == {mine: "active", failing: "failing", off: "disabled"}


def ids(cli: Cli, *args: str) -> list[str]:
    return hooks(cli, "list", "-o", "id", *args).ok().stdout.split()


def test_what_a_webhook_is_called_by(cli: Cli, database: Database) -> None:
    """Its id, a unique beginning of one, its name; USER/NAME where two users have one of that name."""
    bert = seed.user(database, "bert")
    first = seed.webhook(database, bert, name="orders")
    second = seed.webhook(database, seed.user(database, "cora"), name="orders")
    with database.read() as tx:
        assert store.find(tx, first[:8]).webhook.id == store.find(tx, first).webhook.id == first
        assert store.find(tx, "cora/orders").webhook.id == second
        with pytest.raises(UsageError) as ambiguous:
            store.find(tx, "orders")
    assert ambiguous.value.hint == "candidates: bert/orders, cora/orders"
