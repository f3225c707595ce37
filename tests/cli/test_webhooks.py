"""`webhooks` on the command line: set up, listed, changed, switched, on both databases."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from notifyctl.core.change import Bury, Row
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Category, Channel
from notifyctl.core.sealing import parse_keys
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.signing import secret_of, secret_text
from notifyctl.store import webhooks as store
from notifyctl.store.db.database import Database
from notifyctl.store.queue.apply import apply
from notifyctl.store.schema.tables import audit_logs, webhook_deliveries
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
    alone = hooks(
        cli, "create", "anna", URL, "--event", "sent", "--name", "c", "--secret", "-", "-o", "secret", input=OWN
    )
    assert alone.ok().stdout == ""  # who gave it has it
    argument = hooks(cli, "create", "anna", URL, "--event", "sent", "--name", "b", f"--secret={OWN}")
    assert (argument.exit_code, OWN[6:] in argument.stderr) == (2, False)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--event", "sended"), "did you mean"),
        (("--event", ""), "they are created, sent"),
        (("--event", "sent", "--name", "omar/orders"), "has a / in it"),
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


def test_other_ports_where_the_profile_names_them(cli: Cli) -> None:
    """A receiver may stand at any port that the operator allows; the error says how."""
    url = "https://hooks.example.org:9443/x"
    refused = hooks(cli, "create", "anna", url, "--event", "sent")
    assert (refused.exit_code, "webhook_ports" in refused.stderr) == (2, True)
    (cli.home / "ports.toml").write_text("webhook_ports = [443, 9443]\n")
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "ports.toml")
    hooks(cli, "create", "anna", url, "--event", "sent").ok()
    assert hooks(cli, "update", "hooks.example.org", "--url", f"{url}/y").ok()
    assert hooks(cli, "update", "hooks.example.org", "--url", "https://hooks.example.org:8443/").exit_code == 2


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


@pytest.mark.parametrize("other", [("--all-users",), ("--retries", "3"), ("--timeout", "5")])
def test_if_not_exists_means_what_is_usual_where_nothing_is_said(cli: Cli, other: tuple[str, ...]) -> None:
    """One that hears everybody, or is tried otherwise, is not the one that was asked for."""
    made(cli, *other)
    plain = ("create", "anna", URL, "--event", "sent,failed", "--if-not-exists")
    assert hooks(cli, *plain).exit_code == 5
    hooks(cli, *plain, *other).ok()


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


def test_show(cli: Cli, database: Database) -> None:
    """How it fares, what it was told, what was done to it; the URL whole only where that is asked for."""
    row = made(cli)
    tell(cli, database, row["user_id"])
    shown = hooks(cli, "show", "example.org", "-o", "json").ok()
    assert "s3cr3t" not in shown.stdout + hooks(cli, "show", "example.org", "-o", "table").ok().stdout
    found = shown.json()
    assert (found["url"], found["waiting"], found["undelivered"], found["success"]) == (None, 1, 1, None)
    assert [each["event_type"] for each in found["deliveries"]] == ["notification.failed"]
    assert [each["action"] for each in found["timeline"]] == ["create"]
    assert hooks(cli, "show", "example.org", "--reveal-url", "-o", "json").ok().json()["url"] == URL
    assert hooks(cli, "show", "nothing").exit_code == 3


def test_how_a_webhook_fares(cli: Cli, database: Database, anna: str) -> None:
    """Of the last day: how many of a hundred arrived, and after how long; what was sent again was not slow."""
    hook = seed.webhook(database, anna, name="w")
    tell(cli, database, anna, 5)
    rows = seed.deliveries(database, webhook_id=hook)
    fates: list[dict[str, Any]] = [
        {"delivered": True, "delivered_at": rows[0].created_at + 500},
        {"delivered": True, "delivered_at": rows[1].created_at + 90_000_000, "is_replay": True},
        {"ended": "given_up"},
        {"delivered": True, "delivered_at": rows[3].created_at, "created_at": rows[3].created_at - 90_000_000},
    ]
    for row, values in zip(rows, fates, strict=False):
        written(database, row.id, **{"next_retry_at": None, **values})
    found = hooks(cli, "show", "w", "-o", "json").ok().json()
    assert (found["delivered_24h"], found["given_up_24h"], found["waiting"]) == (2, 1, 1)
    assert (found["success"], found["latency_ms"]) == (66.7, 500)


def test_why_it_was_done_is_told(cli: Cli) -> None:
    """What was said with an act stands beside it, for whoever looks at the webhook."""
    made(cli)
    hooks(cli, "disable", "example.org", "--reason", "moves to another host").ok()
    assert "moves to another host" in hooks(cli, "show", "example.org", "-o", "table").ok().stdout


def test_a_key_that_only_looks_does_not_see_the_url(cli: Cli, database: Database) -> None:
    """To know it is to be able to write there."""
    made(cli)
    key = (
        cli.call("keys", "create", "anna", "--name", "k", "--scope", "webhooks:read", "-o", "secret")
        .ok()
        .stdout.strip()
    )
    cli.env["NOTIFYCTL_API_KEY"] = key
    hooks(cli, "show", "example.org").ok()
    refused = hooks(cli, "show", "example.org", "--reveal-url")
    assert (refused.exit_code, refused.stdout) == (4, "")


def tell(cli: Cli, database: Database, user_id: str, count: int = 1, **values: Any) -> list[str]:
    """Let so many notifications of a user's fail, so that webhooks are told; return their ids."""
    found = seed.pending(database, user_id, count=count, **values)
    rest: dict[str, Any] = {
        "last_attempted": None,
        "provider_response": None,
        "retry_history": None,
        "fails_over": True,
    }
    why = {"failed_at": 2_000, "attempt_count": 1, "error_message": "no\nreason", "category": Category.INVALID_PAYLOAD}
    changes = [Bury(of=Row(id_, None, "sendgrid", Channel.EMAIL, 1_000), **rest, **why) for id_ in found]
    database.write(lambda tx: apply(tx, changes))
    return found


def written(database: Database, id_: str, **values: Any) -> None:
    """Write columns of a delivery."""
    which = webhook_deliveries.c.id == id_
    database.write(lambda tx: tx.execute(update(webhook_deliveries).where(which).values(values)))


# Changing


def test_update_changes_what_is_given(cli: Cli, database: Database) -> None:
    """And nothing else; a field that stays what it was is no change, and the trail tells old and new."""
    row = made(cli)
    done = hooks(
        cli, "update", "example.org", "--event", "*", "--name", "b", "--timeout", "20", "--all-users", "-o", "json"
    )
    after = done.ok().json()
    kept = {"retry_count", "timeout_seconds", "host", "created_at", "id", "state"}
    assert {name: after[name] for name in kept} == {name: row[name] for name in kept}
    assert (after["events"], after["name"], after["all_users"]) == (["notification.*"], "b", True)
    assert trail(database)[-1] == (
        "update",
        {
            "events": [["notification.sent", "notification.failed"], ["notification.*"]],
            "name": ["example.org", "b"],
            "all_users": [False, True],
        },
    )
    hooks(cli, "update", "b", "--own-only").ok()
    assert hooks(cli, "update", "b").exit_code == 2
    made(cli)
    assert hooks(cli, "update", "b", "--name", "example.org").exit_code == 5
    assert hooks(cli, "update", "b", "--url", "https://10.0.0.1/").exit_code == 2


def test_another_url_is_another_receiver(cli: Cli, database: Database, anna: str) -> None:
    """What the old one failed does not count for it; the trail has the hosts alone."""
    id_ = seed.webhook(
        database, anna, name="w", failing_since=1, failures_apart=2, failure_counted_at=1, rests_until=2**42
    )
    after = hooks(cli, "update", "w", "--url", "-", "-o", "json", input="https://example.net/s3cr3t").ok().json()
    assert (after["state"], after["failing_since"], after["rests_until"]) == ("active", None, None)
    assert trail(database) == [("update", {"host": ["example.org", "example.net"]})]
    with database.read() as tx:
        found = store.find(tx, id_).webhook
    assert (found.url, found.failures_apart, found.failure_counted_at) == ("https://example.net/s3cr3t", 0, None)


def test_another_url_of_one_that_is_disabled(cli: Cli, database: Database, anna: str) -> None:
    """Since when it missed things stays known, so that they are sent to where it is now."""
    off = {"is_active": False, "disabled_at": 9_000, "disabled_because": "gone", "failing_since": 5_000}
    id_ = seed.webhook(database, anna, name="shop", failures_apart=3, failure_counted_at=6_000, **off)
    [note] = seed.pending(database, anna)
    seed.owed(database, id_, note, created_at=6_000, next_retry_at=None, ended="given_up")
    hooks(cli, "update", "shop", "--url", "https://new.example.org/").ok()
    done = hooks(cli, "enable", "shop", "--redeliver", "-o", "json").ok().json()
    assert (done["queued"], done["failing_since"]) == (1, None)


def test_disable_keeps_what_happens_and_enable_sends_it(cli: Cli, database: Database) -> None:
    """What waits and what happens meanwhile is kept; --redeliver sends it, spaced, behind what is new."""
    row = made(cli)
    tell(cli, database, row["user_id"])
    hooks(cli, "disable", "example.org", "--reason", "moves").ok()
    tell(cli, database, row["user_id"], 2)
    assert [each.ended for each in seed.deliveries(database)] == ["disabled"] * 3
    hooks(cli, "disable", "example.org").ok()
    done = hooks(cli, "enable", "example.org", "--redeliver", "--rate", "2/s", "-o", "json").ok().json()
    assert (done["state"], done["queued"], done["disabled_at"]) == ("active", 3, None)
    rows = seed.deliveries(database)
    assert [(each.ended, each.is_replay, each.attempt_count) for each in rows] == [(None, True, 0)] * 3
    first = rows[0].next_retry_at
    assert [each.next_retry_at - first for each in rows] == [0, 500, 1_000]
    assert [(action, facts.get("reason")) for action, facts in trail(database)[1:]] == [
        ("disable", "moves"),
        ("enable", None),
    ]
    assert hooks(cli, "enable", "example.org", "--rate", "2/s").exit_code == 2
    assert hooks(cli, "enable", "example.org", "--redeliver").exit_code == 5


def test_what_is_protected_wants_to_be_confirmed(cli: Cli, database: Database) -> None:
    """To send again is an act on many, and to delete one that cannot be taken back."""
    row = made(cli)
    hooks(cli, "disable", "example.org").ok()
    tell(cli, database, row["user_id"])
    (cli.home / "config.toml").write_text('profile = "prod"\n[profiles.prod]\nprotected = true\n')
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "config.toml")
    agreed = ("--confirm", "prod", "--reason", "its receiver is back")
    for args in (("enable", "example.org", "--redeliver"), ("delete", "example.org", "--yes")):
        assert hooks(cli, *args).exit_code == 2
    assert hooks(cli, "list", "-o", "json").ok().json()[0]["state"] == "disabled"
    hooks(cli, "enable", "example.org", "--redeliver", *agreed).ok()
    assert [each.is_replay for each in seed.deliveries(database)] == [True]
    assert hooks(cli, "delete", "example.org", *agreed[:2]).exit_code == 2  # deliveries are lost with it
    hooks(cli, "delete", "example.org", *agreed).ok()


def test_enable_sends_what_was_not_delivered_since_the_failures_began(cli: Cli, database: Database, anna: str) -> None:
    """What happened before they began and was tried when they did is among it; what had been given up before is not."""
    began, day = 10**9, 86_400_000
    hook = seed.webhook(database, anna, name="w", failing_since=began, failures_apart=3, failure_counted_at=began)
    earlier = [{"at": began - 5_000, "ms": 1, "status": 500}]
    tried = [*earlier, {"at": began - 30, "ms": 30, "status": 500}]
    cases: list[tuple[bool, dict[str, Any]]] = [
        (True, {"created_at": began - 9 * day, "attempts": json.dumps(tried), "ended": "given_up"}),
        (False, {"created_at": began - 9_000, "attempts": json.dumps(earlier), "ended": "given_up"}),
        (True, {"created_at": began - 9 * day, "attempts": json.dumps(earlier), "ended": "disabled"}),
        (True, {"created_at": began - 9_000, "ended": "disabled", "attempt_count": 0}),
        (False, {"created_at": began - 9 * day, "ended": "disabled", "attempt_count": 0}),
        (True, {"created_at": began - 9 * day, "ended": "disabled", "is_replay": True}),
        (True, {"created_at": began + 1, "attempts": json.dumps(tried), "ended": "given_up"}),
        (False, {"created_at": began + 2, "delivered": True}),
    ]
    tell(cli, database, anna, len(cases))
    rows = seed.deliveries(database, webhook_id=hook)
    for row, (_, values) in zip(rows, cases, strict=True):
        written(database, row.id, **{"next_retry_at": None, "attempt_count": 10, **values})
    expected = [is_owed for is_owed, _ in cases]
    assert hooks(cli, "enable", "w", "--redeliver", "-o", "json").ok().json()["queued"] == sum(expected)
    after = {each.id: each.next_retry_at is not None for each in seed.deliveries(database)}
    assert [after[row.id] for row in rows] == expected
    with database.read() as tx:
        found = store.find(tx, hook).webhook
    assert (found.failing_since, found.failures_apart, found.failure_counted_at) == (None, 0, None)


# Secrets


def test_after_a_rotation_both_sign_for_the_grace(cli: Cli, database: Database) -> None:
    """The new one is shown once; the old one ends by itself, and at once where the grace is none."""
    row = made(cli)
    old = secret_of(row["secret"])
    new = hooks(cli, "rotate-secret", "example.org", "-o", "json").ok().json()
    assert secrets(cli, database, "example.org") == (secret_of(new["secret"]), old)
    with database.read() as tx:
        ends = store.find(tx, "example.org").webhook.previous_secret_ends or 0
        assert abs(ends - tx.now - 86_400_000) < 60_000
    assert secrets(cli, database, "example.org", at=ends) == (secret_of(new["secret"]),)
    assert hooks(cli, "list", "-o", "json").ok().json()[0]["previous_secret_ends"] is not None
    third = hooks(cli, "rotate-secret", "example.org", "--grace", "7d", "-o", "secret").ok()
    assert "signs no more" in third.stderr
    assert secrets(cli, database, "example.org")[1] == secret_of(new["secret"])
    last = (
        hooks(cli, "rotate-secret", "example.org", "--grace", "0", "--secret", "-", "-o", "json", input=OWN).ok().json()
    )
    assert "secret" not in last and last["previous_secret_ends"] is None
    assert secrets(cli, database, "example.org") == (bytes(range(24)),)
    assert "whsec_" not in str(trail(database))
    assert [action for action, _ in trail(database)] == ["create", "rotate", "rotate", "rotate"]


def test_rotations_that_are_none(cli: Cli, database: Database) -> None:
    """A longer grace than seven days, the secret that it has, one of another length: nothing is changed."""
    secret = secret_of(made(cli)["secret"])
    own = secret_text(secret)
    for args, text in (
        (("--grace", "8d"), ""),
        (("--secret", "-"), own),
        (("--grace", "0", "--secret", "-"), own),
        (("--secret", "-"), own[:-4]),
        (("-o", "id"), ""),
    ):
        refused = hooks(cli, "rotate-secret", "example.org", *args, input=text)
        assert refused.exit_code == 2, args
        assert own[6:] not in refused.stderr
    assert secrets(cli, database, "example.org") == (secret,)
    assert [action for action, _ in trail(database)] == ["create"]


def test_a_secret_whose_key_is_lost_can_be_replaced(cli: Cli, database: Database, anna: str) -> None:
    """Without a grace the old one is not needed; with one it is named which row does not open."""
    id_ = seed.webhook(database, anna, name="w")
    refused = hooks(cli, "rotate-secret", "w")
    assert (refused.exit_code, id_ in refused.stderr) == (4, True)
    new = hooks(cli, "rotate-secret", "w", "--grace", "0s", "-o", "secret").ok().stdout.strip()
    assert secrets(cli, database, "w") == (secret_of(new),)


def test_delete_always_asks(cli: Cli, database: Database) -> None:
    """It says what is lost; its deliveries go with it."""
    row = made(cli)
    tell(cli, database, row["user_id"])
    refused = hooks(cli, "delete", "example.org")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "anna/example.org" in refused.stderr and "1 of them did not arrive" in refused.stderr
    typed = cli.type("webhooks", "delete", "example.org", keys="n\n")
    assert typed.exit_code == 2
    assert (typed.stdout, len(ids(cli))) == ("", 1)
    hooks(cli, "delete", "example.org", "--yes").ok()
    assert (ids(cli), seed.deliveries(database)) == ([], [])
    assert trail(database)[-1] == ("delete", {"name": ["example.org", None], "host": ["example.org", None]})


# Deliveries and events


def test_deliveries_are_narrowed(cli: Cli, database: Database, anna: str) -> None:
    """By each filter; what is named and is not there is not found rather than an empty list."""
    bert = seed.user(database, "bert")
    seed.webhook(database, anna, name="own")
    seed.webhook(database, bert, name="all", all_users=True, events=("notification.failed",))
    [first] = tell(cli, database, anna)
    [second] = tell(cli, database, bert)
    hooks(cli, "disable", "all").ok()

    def found(*args: str) -> list[tuple[str, str]]:
        rows = hooks(cli, "deliveries", "-o", "json", *args).ok().json()
        return [(row["webhook"], row["notification_id"]) for row in rows]

    assert found() == [("bert/all", second), ("bert/all", first), ("anna/own", first)]
    assert found("--webhook", "own") == found("--webhook", "anna/own") == [("anna/own", first)]
    assert found("--user", "bert") == [("bert/all", second)]
    assert found("--notification", first) == [("bert/all", first), ("anna/own", first)]
    assert found("--state", "disabled") == [("bert/all", second), ("bert/all", first)]
    assert found("--state", "waiting") == [("anna/own", first)]
    assert found("--event", "failed", "--webhook", "own") == [("anna/own", first)]
    assert found("--event", "sent") == found("--until", "1h") == found("--state", "in-flight") == []
    assert len(found("--since", "1h")) == len(found("--event", "*")) == 3
    for name, value in (("--webhook", "x"), ("--user", "x"), ("--notification", "ffffffff")):
        assert hooks(cli, "deliveries", name, value).exit_code == 3
    assert hooks(cli, "deliveries", "--event", "sended").exit_code == 2


def test_deliveries_page_by_page(cli: Cli, database: Database, anna: str) -> None:
    """Newest first; each once, however they are read."""
    seed.webhook(database, anna)
    tell(cli, database, anna, 5)
    everything = hooks(cli, "deliveries", "-o", "id").ok().stdout.split()
    assert everything == [row.id for row in reversed(seed.deliveries(database))]
    read, more = list[str](), tuple[str, ...]()
    for _ in range(3):
        part = hooks(cli, "deliveries", "--limit", "2", "-o", "id", *more).ok()
        read += part.stdout.split()
        more = ("--cursor", part.stderr.split("--cursor ")[1].split()[0]) if "--cursor" in part.stderr else more
    assert read == everything


def test_a_delivery_whole(cli: Cli, database: Database, anna: str) -> None:
    """Its body, every attempt with its answer; by a unique beginning of its id."""
    seed.webhook(database, anna, name="own", url=URL)
    tell(cli, database, anna)
    [row] = seed.deliveries(database)
    tries = [
        {"at": 1_700_000_000_000, "ms": 1_500, "status": 503},
        {"at": 1_700_000_005_000, "ms": 9, "problem": "no\nanswer"},
    ]
    values = {"attempts": json.dumps(tries), "attempt_count": 2, "response_body": "busy", "response_status": 503}
    database.write(lambda tx: tx.execute(update(webhook_deliveries).values(values)))
    found = hooks(cli, "deliveries", row.id[:18], "-o", "json").ok().json()
    assert found["payload"] == json.loads(row.payload)
    assert found["attempts"] == [
        {"at": "2023-11-14T22:13:20.000Z", "ms": 1_500, "status": 503},
        {"at": "2023-11-14T22:13:25.000Z", "ms": 9, "problem": "no\nanswer"},
    ]
    assert (found["host"], found["webhook"], found["state"]) == ("example.org", "anna/own", "retrying")
    person = hooks(cli, "deliveries", row.id, "-o", "table").ok().stdout
    assert "HTTP 503" in person and "no answer" in person and '"type": "notification.failed"' in person
    assert "s3cr3t" not in json.dumps(found) + person
    assert len(hooks(cli, "deliveries", "-", "-o", "json", input=row.id).ok().json()) == 1
    assert hooks(cli, "deliveries", "ffffffff").exit_code == 3
    assert hooks(cli, "deliveries", row.id, "--state", "waiting").exit_code == 2


def test_events(bare_cli: Cli) -> None:
    """All that can be subscribed to, without a database."""
    rows = bare_cli.call("webhooks", "events", "-o", "json").ok().json()
    assert [row["event"] for row in rows] == [each.value for each in WebhookEvent]
    assert all(row["about"] for row in rows)
