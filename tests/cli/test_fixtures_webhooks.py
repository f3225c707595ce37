"""Webhooks in fixtures, on both databases: known by user and name, with secrets that stand elsewhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from notifyctl.core.webhook.signing import secret_text
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notification_webhooks, webhook_deliveries
from tests.cli.test_fixtures import apply, changes, counts
from tests.support import seed
from tests.support.command import Cli

SECRET, OTHER = (secret_text(bytes(range(first, first + 24))) for first in (0, 1))
WEBHOOKS = """\
users: [{username: anna, email: anna@example.org}, {username: omar, email: omar@example.org}]
webhooks:
  - {user: anna, name: shop, url: "https://example.org/told", events: [sent, failed], secret: {env: SHOP}}
  - user: omar
    name: "0700"
    url: {env: OMARS_URL}
    events: ["*"]
    all_users: yes
    retries: 0
    timeout: 60
    enabled: no
    secret: {file: omar.key}
"""
URL = "https://hooks.example.org/open-sesame"


@pytest.fixture(autouse=True)
def secrets(cli: Cli) -> None:
    """Encryption keys, and the variables and the file that the fixture names."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = f"k1:{base64.b64encode(bytes(64)).decode()}"
    cli.env |= {"SHOP": SECRET, "OMARS_URL": URL}
    (cli.home / "omar.key").write_text(f"{SECRET}\n")


def hooks(database: Database) -> dict[str, Any]:
    """The webhooks as they are stored, by their names."""
    with database.read() as tx:
        return {row.name: row for row in tx.execute(select(notification_webhooks))}


def test_they_are_made_once(cli: Cli, database: Database) -> None:
    """With all that is said and what is usual; the second time nothing changes; no secret is shown or kept open."""
    first = apply(cli, WEBHOOKS, "-o", "json")
    made = [("webhooks", "anna shop", "create"), ("webhooks", "omar 0700", "create")]
    assert [each for each in changes(first) if each[0] == "webhooks"] == made
    shop, other = hooks(database)["shop"], hooks(database)["0700"]
    assert json.loads(shop.events) == ["notification.sent", "notification.failed"]
    assert (shop.retry_count, shop.timeout_seconds, shop.all_users, shop.is_active) == (9, 20, False, True)
    assert (other.retry_count, other.timeout_seconds, other.all_users, other.is_active) == (0, 60, True, False)
    assert (other.url, other.disabled_at is not None) == (URL, True)
    before = counts(database)
    assert changes(apply(cli, WEBHOOKS, "-o", "json")) == []
    assert counts(database) == before
    with database.read() as tx:
        told = f"{tx.execute(select(audit_logs)).all()}"
    assert "open-sesame" not in told + first.stdout + first.stderr
    assert SECRET not in told + f"{hooks(database)}" + first.stdout + first.stderr


def test_a_change_changes_just_that(cli: Cli, database: Database) -> None:
    """Another secret signs beside the one before; another URL is told by its host, in the trail, and not shown."""
    apply(cli, WEBHOOKS).ok()
    cli.env |= {"SHOP": OTHER, "OMARS_URL": f"{URL}/2"}
    done = apply(cli, WEBHOOKS.replace("[sent, failed]", "[failed]"), "-o", "json")
    shop, other = done.ok().json()
    assert shop["fields"] == {
        "events": [["notification.sent", "notification.failed"], ["notification.failed"]],
        "secret": ["set", {"env": "SHOP"}],
    }
    assert other["fields"] == {"url": ["set", {"env": "OMARS_URL"}]}
    row = hooks(database)["shop"]
    assert row.previous_secret is not None and row.previous_secret_ends > row.updated_at
    assert hooks(database)["0700"].url == f"{URL}/2"
    assert changes(apply(cli, WEBHOOKS.replace("[sent, failed]", "[failed]"), "-o", "json")) == []
    with database.read() as tx:
        found = tx.execute(select(audit_logs.c.changes).where(audit_logs.c.action == "update")).scalars()
        trail = [json.loads(each) for each in found]
    assert {"host": ["hooks.example.org", "hooks.example.org"]} in trail


def test_a_url_that_stands_there_is_told_by_its_host(cli: Cli, database: Database) -> None:
    """Its path may be the secret: what is shown of a change is read in the logs of CI, by more than the fixture is."""
    first = apply(cli, WEBHOOKS.replace("org/told", "org/t0psecret"), "-o", "json")
    [shop] = [each for each in first.ok().json() if each["name"] == "anna shop"]
    assert shop["fields"]["url"] == [None, "example.org"]
    moved = WEBHOOKS.replace("org/told", "net/t0psecret2")
    seen = [first, apply(cli, moved, "--dry-run"), apply(cli, moved, "-o", "json")]
    assert seen[-1].json()[0]["fields"] == {"url": ["set", "example.net"]}
    assert hooks(database)["shop"].url == "https://example.net/t0psecret2"
    assert "t0psecret" not in "".join(each.stdout + each.stderr for each in seen)


def test_a_previous_secret_that_does_not_open_costs_no_grace(cli: Cli, database: Database) -> None:
    """A key was lost since the last rotation but one: the secret that signs now is known, and signs on for a day."""
    apply(cli, WEBHOOKS).ok()
    w = notification_webhooks
    lost = {"previous_secret": "k9:bm9ib2R5IG9wZW5zIHRoaXM=", "previous_secret_ends": 2**50}
    database.write(lambda tx: tx.execute(update(w).where(w.c.name == "shop").values(lost)))
    assert changes(apply(cli, WEBHOOKS, "-o", "json")) == []
    before = hooks(database)["shop"].secret_key
    cli.env["SHOP"] = OTHER
    assert changes(apply(cli, WEBHOOKS, "-o", "json")) == [("webhooks", "anna shop", "update")]
    row = hooks(database)["shop"]
    assert row.secret_key != before
    assert row.previous_secret not in (None, lost["previous_secret"])
    assert row.updated_at < row.previous_secret_ends < 2**50


def test_one_that_is_enabled_begins_anew(cli: Cli, database: Database) -> None:
    """What its receiver was like before counts no more."""
    apply(cli, WEBHOOKS).ok()
    w = notification_webhooks
    failing = {"is_active": False, "disabled_at": 5, "failing_since": 1, "slowed": 3}
    database.write(lambda tx: tx.execute(update(w).where(w.c.name == "shop").values(failing)))
    assert changes(apply(cli, WEBHOOKS, "-o", "json")) == [("webhooks", "anna shop", "update")]
    row = hooks(database)["shop"]
    assert (row.is_active, row.disabled_at, row.disabled_because) == (True, None, None)
    assert (row.failing_since, row.slowed) == (None, 0)


@pytest.mark.parametrize("said", ["", ", enabled: yes"])
def test_one_that_its_receiver_had_disabled_stays_so(cli: Cli, database: Database, said: str) -> None:
    """Applied by each run of CI, with a remark of what to do: since when to send again is kept."""
    fixture = WEBHOOKS.replace("secret: {env: SHOP}", f"secret: {{env: SHOP}}{said}")
    apply(cli, fixture).ok()
    failed = {"is_active": False, "disabled_at": 5, "disabled_because": "it is gone", "failing_since": 1}
    seed.change_webhook(database, hooks(database)["shop"].id, **failed)
    done = apply(cli, fixture, "-o", "json")
    assert changes(done) == []
    assert "it is gone" in done.stderr and "notifyctl webhooks enable anna/shop --redeliver" in done.stderr
    moved = apply(cli, fixture.replace("/told", "/elsewhere"), "-o", "json")
    assert changes(moved) == [("webhooks", "anna shop", "update")]
    row = hooks(database)["shop"]
    assert (row.url, row.is_active, row.disabled_at) == ("https://example.org/elsewhere", False, 5)
    assert (row.disabled_because, row.failing_since) == ("it is gone", 1)
    off = WEBHOOKS.replace("secret: {env: SHOP}", "secret: {env: SHOP}, enabled: no")
    assert "stays disabled" not in apply(cli, off).ok().stderr
    cli.call("webhooks", "enable", "anna/shop", "--redeliver").ok()
    assert hooks(database)["shop"].is_active


def test_one_that_is_disabled_keeps_what_waits(cli: Cli, database: Database) -> None:
    """As `webhooks disable` does: it is not tried any more, and not lost."""
    apply(cli, WEBHOOKS).ok()
    row = hooks(database)["shop"]
    [id_] = seed.pending(database, row.user_id, status="sent")
    waiting = {"id": row.id, "webhook_id": row.id, "notification_id": id_, "event_type": "x", "payload": "{}"}
    database.write(lambda tx: tx.execute(insert(webhook_deliveries).values(**waiting, next_retry_at=1)))
    off = WEBHOOKS.replace("secret: {env: SHOP}", "secret: {env: SHOP}, enabled: no")
    assert changes(apply(cli, off, "-o", "json")) == [("webhooks", "anna shop", "update")]
    assert [(each.ended, each.next_retry_at) for each in seed.deliveries(database)] == [("disabled", None)]
    assert hooks(database)["shop"].disabled_because is None
    assert changes(apply(cli, off, "-o", "json")) == []


def test_what_is_not_there_to_be_compared_stays(cli: Cli) -> None:
    """Of what is stored, with a remark; of what is new it is an error with its line."""
    del cli.env["SHOP"], cli.env["OMARS_URL"]
    refused = apply(cli, WEBHOOKS)
    assert refused.exit_code == 2
    assert "webhooks[0].secret: the environment variable SHOP is not set" in refused.stderr
    assert "webhooks[1].url: the environment variable OMARS_URL is not set" in refused.stderr
    cli.env |= {"SHOP": SECRET, "OMARS_URL": URL}
    apply(cli, WEBHOOKS).ok()
    del cli.env["SHOP"], cli.env["OMARS_URL"]
    done = apply(cli, WEBHOOKS, "-o", "json")
    assert changes(done) == []
    assert "the secret of webhook anna shop stays as it is" in done.stderr
    assert "the URL of webhook omar 0700 stays as it is" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[sent, failed]", "[snet]", "did you mean notification.sent?"),
        ("[sent, failed]", "[]", "no event was named"),
        ("[sent, failed]", "sent", "must be a list"),
        ("https://example.org/told", "http://example.org/told", "is not https"),
        ("https://example.org/told", "https://10.0.0.1/told", "no public address"),
        ("{env: SHOP}", SECRET, "a secret does not stand in a fixture"),
        ("{env: SHOP}", "{env: OMARS_URL}", "the webhook's secret is not base64"),
        ("{env: OMARS_URL}", "{env: SHOP}", "webhooks[1].url: the webhook's URL cannot be read"),
        ("{env: OMARS_URL}", "{value: x}", "must say env or file"),
        ("retries: 0", "retries: 51", "0 to 50"),
        ("timeout: 60", "timeout: 61", "1 to 60"),
        ("name: shop", "name: --shop", "looks like an option"),
        ("user: omar", "user: eve", "there is no user 'eve'"),
    ],
)
def test_what_no_webhook_can_be_is_refused(cli: Cli, database: Database, old: str, new: str, said: str) -> None:
    """With its line and the remedy; no secret is repeated; nothing is made."""
    refused = apply(cli, WEBHOOKS.replace(old, new))
    assert said in refused.stderr, refused.stderr
    assert refused.exit_code in (2, 3)
    assert "-:" in refused.stderr
    assert "open-sesame" not in refused.stderr and SECRET not in refused.stderr
    assert hooks(database) == {}


def test_loopback_is_for_a_profile_that_says_so(cli: Cli, database: Database) -> None:
    """As on the command line."""
    here = WEBHOOKS.replace("https://example.org/told", "http://127.0.0.1:8080/told")
    assert apply(cli, here).exit_code == 2
    (cli.home / "c.toml").write_text("webhook_loopback = true\n")
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "c.toml")
    apply(cli, here).ok()
    assert hooks(database)["shop"].url == "http://127.0.0.1:8080/told"


def test_a_dump_has_neither_secrets_nor_urls(cli: Cli, database: Database) -> None:
    """Both as references to variables, which are listed; with these set it is the same again."""
    apply(cli, WEBHOOKS).ok()
    done = cli.call("fixtures", "dump", "--kind", "webhooks").ok()
    assert "open-sesame" not in done.stdout + done.stderr and "example.org" not in done.stdout
    assert "env: NOTIFYCTL_FIXTURE_WEBHOOK_ANNA_SHOP_SECRET" in done.stdout
    assert "NOTIFYCTL_FIXTURE_WEBHOOK_OMAR_0700_URL: the URL of webhook omar 0700" in done.stderr
    cli.env |= {f"NOTIFYCTL_FIXTURE_WEBHOOK_{name}_SECRET": SECRET for name in ("ANNA_SHOP", "OMAR_0700")}
    cli.env |= {
        "NOTIFYCTL_FIXTURE_WEBHOOK_ANNA_SHOP_URL": "https://example.org/told",
        "NOTIFYCTL_FIXTURE_WEBHOOK_OMAR_0700_URL": URL,
    }
    assert changes(apply(cli, done.stdout, "-o", "json")) == []


def test_what_is_pruned_goes_with_its_deliveries(cli: Cli, database: Database) -> None:
    """And only what the label made."""
    apply(cli, WEBHOOKS, "--label", "ci").ok()
    with database.read() as tx:
        anna = tx.execute(select(notification_webhooks.c.user_id).where(notification_webhooks.c.name == "shop"))
        owner = anna.scalar_one()
    seed.webhook(database, owner, name="by hand")
    less = WEBHOOKS[: WEBHOOKS.index("  - user: omar")]
    done = apply(cli, less, "--label", "ci", "--prune", "--yes", "-o", "json")
    assert changes(done) == [("webhooks", "omar 0700", "delete")]
    assert set(hooks(database)) == {"shop", "by hand"}


def test_who_is_made_with_notifications_hears_of_them(cli: Cli, database: Database) -> None:
    """A webhook stands before the notifications of the same file."""
    seed.provider(database, config_json='{"from": "alerts@example.com"}')
    sent = "notifications: [{user: anna, key: k, channel: email, subject: Hi, body: Hi}]\n"
    apply(cli, sent + WEBHOOKS.replace("[sent, failed]", "[created]")).ok()
    assert [row.event_type for row in seed.deliveries(database, ended=None)] == ["notification.created"]
