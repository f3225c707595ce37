"""`send`, then `dispatch --once`, against the sandbox: what goes over the wire and what is left in the row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import provider_configs
from tests.support.world import World, stop

Make = Callable[..., World]


def test_email_is_sent_as_sendgrid_wants_it(world: World) -> None:
    """The whole way of an e-mail: the request, the row, the provider's id."""
    id_ = world.send("email")
    assert world.dispatch()["accepted"] == 1
    (request,) = world.sandbox.requests("sendgrid")
    assert (request["method"], request["path"], request["status"]) == ("POST", "/v3/mail/send", 202)
    body = json.loads(request["body"])
    assert body["from"] == {"email": "alerts@example.com"}
    assert body["personalizations"] == [
        {"to": [{"email": "anna@example.org"}], "custom_args": {"notification_id": id_}}
    ]
    assert (body["subject"], body["content"]) == ("Hello", [{"type": "text/plain", "value": "Hello there"}])
    row = world.show(id_)
    assert (row["status"], row["attempt_count"]) == ("sent", 1)
    assert row["provider_message_id"]


def test_sms_is_sent_as_twilio_wants_it(world: World) -> None:
    """The whole way of an SMS: a form, basic authentication, the message's SID."""
    id_ = world.send("sms")
    world.dispatch()
    (request,) = world.sandbox.requests("twilio")
    account = world.sandbox.facts["twilio"]["api_key"]
    assert request["path"] == f"/2010-04-01/Accounts/{account}/Messages.json"
    assert request["headers"]["content-type"].startswith("application/x-www-form-urlencoded")
    assert request["body"] == "To=%2B14155552345&From=%2B15005550006&Body=Hello+there"
    row = world.show(id_)
    assert row["status"] == "sent"
    assert row["provider_message_id"].startswith("SM")


def test_push_is_sent_as_fcm_wants_it(world: World) -> None:
    """The whole way of a push: a token from the token endpoint, the message, its name."""
    id_ = world.send("push")
    world.dispatch()
    (request,) = world.sandbox.requests("fcm")
    project = world.sandbox.facts["fcm"]["project"]
    assert request["path"] == f"/v1/projects/{project}/messages:send"
    message = json.loads(request["body"])["message"]
    assert message["token"] == "device-anna"
    assert message["notification"] == {"title": "Hello", "body": "Hello there"}
    row = world.show(id_)
    assert row["status"] == "sent"
    assert row["provider_message_id"].startswith(f"projects/{project}/messages/")


@pytest.mark.parametrize("channel", ["email", "sms", "push"])
def test_dry_run_shows_the_very_request_and_writes_nothing(world: World, channel: str) -> None:
    """What `--dry-run` shows is what goes over the wire, but for the secrets and the notification's id."""
    subject = () if channel == "sms" else ("--subject", "Hello")
    shown = world.ok("send", "anna", "--channel", channel, *subject, "--body", "Hello there", "--dry-run", "-o", "json")
    assert world.ok("notifications", "list", "-o", "json").json() == []
    assert world.sandbox.requests() == []
    id_ = world.send(channel)
    world.dispatch()
    (sent,) = world.sandbox.requests()
    preview = shown.json()
    account = world.sandbox.facts["twilio"]["api_key"]
    assert preview["url"] == world.sandbox.url + sent["path"].replace(account, "***")
    assert preview["method"] == sent["method"]
    body = preview["body"] if isinstance(preview["body"], str) else json.dumps(preview["body"])
    if channel == "sms":
        assert body == sent["body"]
    else:
        kept = json.loads(sent["body"])
        assert _without_ids(json.loads(body)) == _without_ids(kept)
        assert id_ in sent["body"]


def _without_ids(document: dict[str, object]) -> str:
    import re

    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "ID", json.dumps(document, sort_keys=True))


@pytest.mark.slow
def test_two_503_then_success(make_world: Make) -> None:
    """Transient failures are tried again within the stated backoff, and the history has each."""
    world = make_world("--inject", "sendgrid=503x2")
    id_ = world.send("email")
    world.dispatch_until(lambda: world.show(id_)["status"] == "sent")
    row = world.show(id_)
    assert row["attempt_count"] == 3
    first, second = row["retry_history"]
    assert [first["http_status"], second["http_status"]] == [503, 503]
    assert 0 <= first["wait_ms"] <= 2_000
    assert 0 <= second["wait_ms"] <= 4_000
    times = [request["time"] for request in world.sandbox.requests("sendgrid")]
    assert times[1] - times[0] >= first["wait_ms"]
    assert times[2] - times[1] >= second["wait_ms"]


@pytest.mark.parametrize(
    ("channel", "dead", "alive"),
    [("push", "unregistered-phone", "device-new"), ("sms", "+15005550001", "+14155559999")],
)
def test_a_dead_address_dies_once_and_can_be_repaired(world: World, channel: str, dead: str, alive: str) -> None:
    """One attempt, a dead letter, the address suppressed; retried it can be sent, and it can die again."""
    world.ok("users", "contacts", "add", "anna", channel, dead)
    id_ = world.send(channel)
    world.dispatch()
    row = world.show(id_)
    assert row["status"] == "failed"
    (letter,) = world.ok("dlq", "list", "-o", "json").json()
    assert (letter["failure_reason"], row["attempt_count"]) == ("invalid_recipient", 1)
    (contact,) = [
        each for each in world.ok("users", "contacts", "list", "anna", "-o", "json").json() if each["address"] == dead
    ]
    assert contact["suppressed"]
    # Dead again: lift the suppression, so that it goes to the same address.
    world.ok("users", "contacts", "unsuppress", "anna", channel, dead)
    world.ok("dlq", "retry", row["id"])
    assert world.show(row["id"])["status"] == "pending"
    world.dispatch()
    assert world.show(row["id"])["status"] == "failed"
    assert world.show(row["id"])["attempt_count"] == 2
    # Repaired: a living address is newer.
    world.ok("users", "contacts", "add", "anna", channel, alive)
    world.ok("dlq", "retry", row["id"])
    world.dispatch()
    assert world.show(row["id"])["status"] == "sent"
    assert world.ok("dlq", "list", "-o", "json").json() == []


def test_resolve_sets_the_three_columns(world: World) -> None:
    """A person closes a dead letter: resolved, when, by whom; the notification stays failed."""
    world.ok("users", "contacts", "add", "anna", "push", "unregistered-phone")
    id_ = world.send("push")
    world.dispatch()
    world.ok("dlq", "resolve", id_, "--by", "anna", "--note", "told her")
    (letter,) = world.ok("dlq", "list", "--resolved", "-o", "json").json()
    anna = world.ok("users", "show", "anna", "-o", "json").json()["id"]
    assert (letter["resolved"], letter["resolved_by"]) == (True, anna)
    assert letter["resolved_at"]
    assert world.show(id_)["status"] == "failed"


@pytest.mark.slow
def test_scheduled_is_not_sent_before_its_time(world: World) -> None:
    """Not before the moment, and within a poll after it, by the sandbox's own clock."""
    at = datetime.now(UTC) + timedelta(seconds=3)
    id_ = world.ok(
        *("schedule", "anna", "--channel", "sms", "--body", "now", "--at", at.isoformat(), "-o", "id")
    ).stdout.strip()
    world.ok("dispatch", "--limit", "1", "--max-time", "60s", "--poll", "500ms")
    (request,) = world.sandbox.requests("twilio")
    late_ms = request["time"] - at.timestamp() * 1_000
    assert 0 <= late_ms < 4_500, "without it a look is made every five seconds"
    assert world.show(id_)["status"] == "sent"


def test_cancel_and_reschedule_before_it_is_sent(world: World) -> None:
    """What is cancelled is never sent; what is put off waits."""
    cancelled, put_off, sooner = (
        world.ok("schedule", "anna", "--channel", "sms", "--body", "x", "--in", "1h", "-o", "id").stdout.strip()
        for _ in range(3)
    )
    world.ok("notifications", "cancel", cancelled)
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    world.ok("notifications", "reschedule", put_off, "--at", later)
    world.ok("notifications", "reschedule", sooner, "--at", "now")
    assert world.dispatch()["accepted"] == 1
    assert [world.show(id_)["status"] for id_ in (cancelled, put_off, sooner)] == ["cancelled", "pending", "sent"]


def test_bad_credentials_pause_the_provider_and_keep_the_messages(world: World) -> None:
    """A revoked key is not the messages' fault: nothing dies, the provider is paused, and new credentials free it."""
    world.ok("providers", "update", "sendgrid", "--api-key", "-", input="SG.revoked")
    ids = [world.send("email") for _ in range(3)]
    result = world.ok("dispatch", "--once")
    assert "sendgrid paused" in result.stderr
    assert result.stdout == ""
    assert {world.show(id_)["status"] for id_ in ids} == {"pending"}
    assert {world.show(id_)["attempt_count"] for id_ in ids} == {0}
    world.ok("providers", "update", "sendgrid", "--api-key", "-", input=world.sandbox.facts["sendgrid"]["api_key"])
    world.ok("providers", "resume", "sendgrid")
    assert world.dispatch()["accepted"] == 3


def test_incomplete_settings_pause_the_provider_too(world: World, database: Database) -> None:
    """A sender that got lost is the provider's trouble: no message dies of it."""
    id_ = world.send("sms")
    database.write(lambda tx: tx.execute(update(provider_configs).values(config_json="{}")))
    assert "twilio paused" in world.ok("dispatch", "--once").stderr
    row = world.show(id_)
    assert (row["status"], row["attempt_count"]) == ("pending", 0)
    assert world.sandbox.requests("twilio") == []


def test_once_is_quiet_for_cron(world: World) -> None:
    """Cron mails whatever is printed: a run without a change of state prints nothing."""
    world.send("email")
    result = world.ok("dispatch", "--once")
    assert (result.stdout, result.stderr) == ("", "")
    world.send("email")
    assert "1 sent" in world.ok("dispatch", "--once", "-v").stderr


def test_fail_on_dlq(world: World) -> None:
    """A script that asked for it learns by the exit code that something died."""
    world.ok("users", "contacts", "add", "anna", "push", "unregistered-phone")
    world.send("push")
    result = world.cli.call("dispatch", "--once", "--fail-on-dlq")
    assert result.exit_code == 6
    assert "notifyctl dlq list" in result.stderr


def test_limit_and_channel(world: World) -> None:
    """`--limit` bounds the attempts of all providers together, `--channel` says which."""
    for channel in ("email", "email", "sms", "sms", "push"):
        world.send(channel)
    assert world.dispatch("--limit", "1", "--channel", "email")["attempts"] == 1
    assert world.dispatch("--channel", "sms", "--limit", "1")["accepted"] == 1
    assert world.dispatch("--limit", "2")["attempts"] == 2
    assert world.dispatch("--limit", "2")["attempts"] == 1
    assert len(world.sandbox.requests()) == 5


def test_a_wrong_encryption_key_is_said_at_once(world: World) -> None:
    """Without the key no credential opens: exit 4 before anything is claimed."""
    id_ = world.send("email")
    world.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJE" * 21 + "QQ=="
    result = world.cli.call("dispatch", "--once")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "Traceback" not in result.stderr
    assert world.show(id_)["attempt_count"] == 0


def test_wait_until_sent(world: World) -> None:
    """`send --wait` comes back when a dispatcher has sent it, and says so by its exit code."""
    process = world.cli.start("dispatch", "--poll", "100ms")
    try:
        done = world.cli.call("send", "anna", "--channel", "sms", "--body", "x", "--wait", "--timeout", "20s")
        assert done.exit_code == 0
    finally:
        exit_code, _, _ = stop(process)
    assert exit_code == 0


def test_an_expired_notification_is_not_sent(world: World) -> None:
    """`--expires-in` keeps an old message from going out late."""
    id_ = world.send("sms", "--expires-in", "1s")
    time.sleep(1.1)
    world.dispatch()
    assert world.show(id_)["status"] == "cancelled"
    assert world.sandbox.requests() == []


@pytest.mark.slow
def test_a_running_dispatcher_takes_new_credentials_at_once(world: World) -> None:
    """Credentials may be rotated while dispatchers run: what is claimed after the change is sent with the new ones."""
    process = world.cli.start("dispatch", "--poll", "50ms")
    try:
        world.ok("send", "anna", "--channel", "email", "--subject", "s", "--body", "x", "--wait", "--timeout", "20s")
        good = world.sandbox.facts["sendgrid"]["api_key"]
        world.ok("providers", "update", "sendgrid", "--api-key", "-", input="SG.revoked")
        first = world.send("email")
        end = time.monotonic() + 20
        while world.show(first)["error_message"] is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        world.ok("providers", "update", "sendgrid", "--api-key", "-", input=good)
        world.ok("providers", "resume", "sendgrid")
        done = world.cli.call("send", "anna", "--channel", "email", "--subject", "s", "--body", "y", "--wait")
        assert done.exit_code == 0
        assert world.show(first)["status"] == "sent"
    finally:
        stop(process)
