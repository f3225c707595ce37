"""`webhooks test`: over a real socket, what is sent and what comes back is shown, and nothing is stored of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import select
from standardwebhooks import Webhook

from notifyctl.core.webhook.payload import payload_schema
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.scripted import Scripted, reply
from tests.support.world import KEYS


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    """A receiver on loopback that takes everything."""
    with Scripted(lambda _: reply(204)) as server:
        yield server


@pytest.fixture
def secret(cli: Cli, database: Database, receiver: Scripted) -> str:
    """The secret of anna's webhook `w`, in a profile that may call this machine."""
    seed.user(database)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    (cli.home / "config.toml").write_text("webhook_loopback = true\n")
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "config.toml")
    url = f"{receiver.url}/s3cr3t"
    made = cli.call("webhooks", "create", "anna", url, "--event", "sent", "--name", "w", "-o", "secret")
    return made.ok().stdout.strip()


def tried(cli: Cli, *args: str) -> Result:
    return cli.call("webhooks", "test", "w", *args)


def test_a_test_event_is_signed_and_shown(cli: Cli, database: Database, receiver: Scripted, secret: str) -> None:
    """The standard's own library believes it; it fits the schema; no delivery is stored, and the act is audited."""
    done = tried(cli, "-o", "json").ok().json()
    [asked] = receiver.asked
    assert (asked.method, asked.path) == ("POST", "/s3cr3t")
    told: Any = Webhook(secret).verify(asked.body, dict(asked.headers))
    Draft202012Validator(payload_schema()).validate(told)
    assert (told["type"], told["data"]) == ("webhook.test", {"webhook_id": done["webhook_id"], "name": "w"})
    assert (done["ok"], done["status"], done["problem"], done["host"]) == (True, 204, None, "127.0.0.1")
    assert done["request_body"] == told
    assert {name: asked.headers[name] for name in done["headers"]} == done["headers"]
    assert seed.deliveries(database) == []
    a = audit_logs.c
    with database.read() as tx:
        found = select(a.resource_id, a.changes).where(a.action == "test")
        [(webhook_id, changes)] = tx.execute(found).all()
    assert webhook_id == done["webhook_id"]
    assert json.loads(changes) == {"host": "127.0.0.1", "webhook-id": done["id"]}


def test_during_a_rotation_both_secrets_sign_it(cli: Cli, receiver: Scripted, secret: str) -> None:
    """Whichever the receiver knows; and after it only the new one."""
    new = cli.call("webhooks", "rotate-secret", "w", "-o", "secret").ok().stdout.strip()
    tried(cli).ok()
    for known in (secret, new):
        Webhook(known).verify(receiver.asked[0].body, dict(receiver.asked[0].headers))


def test_a_person_sees_request_and_answer(cli: Cli, receiver: Scripted, secret: str) -> None:
    """And neither the URL nor the secret; what would steer a terminal is made visible."""
    receiver.script = lambda _: reply(200, b"thank \x1b[31myou")
    person = tried(cli, "-o", "table").ok().stdout
    assert person.startswith("POST to 127.0.0.1\nwebhook-id: ")
    assert "HTTP 200 after" in person and "thank" in person and '"type":"webhook.test"' in person
    assert "\x1b" not in person and "s3cr3t" not in person and secret[6:] not in person


@pytest.mark.parametrize("status", [301, 404, 410, 500])
def test_whoever_does_not_take_it(cli: Cli, receiver: Scripted, secret: str, status: int) -> None:
    """Exit 7 with what was said; nothing is made of it, not even of 410, for it was a test."""
    receiver.script = lambda _: reply(status, b"not here", Location="http://127.0.0.1:1/")
    done = tried(cli, "-o", "json")
    assert (done.exit_code, len(receiver.asked)) == (7, 1)
    row = done.json()
    assert (row["ok"], row["status"], row["response_body"]) == (False, status, "not here")
    assert f"HTTP {status}" in row["problem"] and "s3cr3t" not in done.stdout + done.stderr
    assert cli.call("webhooks", "show", "w", "-o", "json").ok().json()["state"] == "active"


def test_nobody_there_and_what_must_not_be_called(cli: Cli, receiver: Scripted, secret: str) -> None:
    """No answer is an answer of no; without webhook_loopback this machine is not called at all."""
    (cli.home / "config.toml").write_text("webhook_loopback = false\n")
    refused = tried(cli, "-o", "json")
    assert (refused.exit_code, refused.json()["refused"], receiver.asked) == (7, True, [])
    (cli.home / "config.toml").write_text("webhook_loopback = true\n")
    cli.call("webhooks", "update", "w", "--url", "http://127.0.0.1:1/s3cr3t").ok()
    silent = tried(cli, "-o", "json")
    assert (silent.exit_code, silent.json()["status"], silent.json()["refused"]) == (7, None, False)
    assert "s3cr3t" not in silent.stdout + silent.stderr
    assert cli.call("webhooks", "test", "nothing").exit_code == 3


def test_a_proxy_that_asks_who_calls(cli: Cli, secret: str) -> None:
    """It is told what is in the file that the profile names; what it refuses is no trouble of the receiver."""
    login = cli.home / "login"
    login.write_text("notifyctl:s3cr3t\n")
    login.chmod(0o600)
    with Scripted(lambda _: reply(407)) as proxy:
        lines = (f'webhook_proxy = "{proxy.url}"', f'webhook_proxy_login_file = "{login}"')
        (cli.home / "config.toml").write_text("\n".join(lines))
        cli.call("webhooks", "update", "w", "--url", "https://93.184.216.34/x").ok()
        done = tried(cli)
        login.chmod(0o644)
        open_to_all = tried(cli)
    assert [each.headers["proxy-authorization"] for each in proxy.asked] == ["Basic bm90aWZ5Y3RsOnMzY3IzdA=="]
    assert (done.exit_code, open_to_all.exit_code) == (7, 7)
    assert "refused: HTTP 407" in done.stderr and "webhook_proxy and its login" in done.stderr
    assert "can be read by others" in open_to_all.stderr
    assert "s3cr3t" not in done.stdout + done.stderr


def test_a_disabled_one_is_tested_before_it_is_enabled(cli: Cli, receiver: Scripted, secret: str) -> None:
    """So that one knows whether it works again; a secret that does not open is told by its row."""
    cli.call("webhooks", "disable", "w").ok()
    tried(cli).ok()
    del cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    lost = tried(cli)
    assert (lost.exit_code, "notification_webhooks.secret_key" in lost.stderr, len(receiver.asked)) == (4, True, 1)
