"""`send` through the command line: what is stored, what is refused, what is shown before and waited for after."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from notifyctl.core import content
from notifyctl.core.model import Channel
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notifications
from tests.support import letters, seed
from tests.support.command import Cli, Result
from tests.support.world import KEYS

MAIL = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "It works")
TEXT = ("send", "anna", "--channel", "sms", "--body", "It works", "--to", "+14155552345")


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider a channel."""
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    seed.provider(database, "fcm")
    return seed.user(database)


def submitted(result: Result) -> Any:
    """Return what `-o json` said."""
    return result.ok().json()


def rows(database: Database) -> int:
    """Return how many notifications there are."""
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(notifications)).scalar_one())


def refused(result: Result, code: int, *parts: str) -> None:
    """Check the exit code, the parts of the message, and that nothing came on stdout."""
    assert (result.exit_code, result.stdout) == (code, ""), result
    for part in parts:
        assert part in result.stderr


def test_what_is_stored(cli: Cli, database: Database, anna: str) -> None:
    """The row holds the payload, the provider and the hash; it is due now; the audit trail says who did it."""
    said = submitted(cli.call(*MAIL, "-o", "json"))
    row = seed.notification(database, said["id"])
    payload = {"v": 1, "subject": "Hello", "text": "It works"}
    assert json.loads(row.payload) == payload
    assert (row.user_id, row.message_type, row.provider, row.status) == (anna, "email", "sendgrid", "pending")
    assert (row.attempt_count, row.max_retries, row.send_at, row.expires_at) == (0, 5, None, None)
    assert row.due_at == row.created_at and not row.is_critical
    assert row.content_hash == content.content_hash(anna, Channel.EMAIL, payload)
    assert (said["status"], said["state"], said["deduplicated"]) == ("pending", "due", False)
    assert (said["user_id"], said["username"], said["message_type"]) == (anna, "anna", "email")
    with database.read() as tx:
        [entry] = tx.execute(select(audit_logs)).all()
    assert (entry.action, entry.resource_type, entry.resource_id) == ("create", "notification", said["id"])


def test_formats(cli: Cli, anna: str) -> None:
    """`-o id` is the id alone, plain has a line a field."""
    assert len(cli.call(*MAIL, "-o", "id").ok().stdout.strip()) == 36
    lines = cli.call(*MAIL).ok().stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("username\t", "provider\t"))] == ["anna", "sendgrid"]


def test_repetition(cli: Cli, database: Database, anna: str) -> None:
    """Same key, same content: the first comes back and says so; other content: exit 5, nothing written."""
    key = ("--idempotency-key", "order 17")
    first = submitted(cli.call(*MAIL, *key, "-o", "json"))
    again = submitted(cli.call(*MAIL, *key, "--in", "2h", "--max-retries", "0", "-o", "json"))
    assert (first["deduplicated"], again["deduplicated"]) == (False, True)
    assert {**again, "deduplicated": False} == first
    refused(cli.call(*MAIL, "--to", "omar@example.org", *key), 5, "order 17", first["id"], "other content")
    refused(cli.call(*MAIL, "--provider", "sendgrid", *key), 5, "other content")
    assert seed.notification(database, first["id"]).idempotency_key == content.idempotency_key(anna, "order 17")
    seed.user(database, "omar")
    assert not submitted(cli.call("send", "omar", *MAIL[2:], *key, "-o", "json"))["deduplicated"]
    assert rows(database) == 2
    refused(cli.call(*MAIL, "--idempotency-key", " "), 2, "key is empty")


def test_repetition_of_what_has_ended_otherwise_than_sent(cli: Cli, database: Database, anna: str) -> None:
    """Nothing goes by it, which is said: a script that repeats itself would believe that all is well."""
    key = ("--idempotency-key", "order 17")
    id_ = cli.call(*MAIL, *key, "-o", "id").ok().stdout.strip()
    assert "nothing is sent" not in cli.call(*MAIL, *key).ok().stderr
    for status, is_told in (("cancelled", True), ("failed", True), ("sent", False)):
        letters.change(database, id_, status=status)
        again = cli.call(*MAIL, *key, "-o", "id").ok()
        assert again.stdout.strip() == id_
        said = f"what has this key is {status}; notifyctl notifications explain {id_[:8]}"
        assert (said in again.stderr) is is_told, again


def test_without_a_key_every_submission_is_its_own(cli: Cli, database: Database, anna: str) -> None:
    """Two people who say the same mean two notifications."""
    assert cli.call(*MAIL, "-o", "id").ok().stdout != cli.call(*MAIL, "-o", "id").ok().stdout
    assert rows(database) == 2


def test_choice_of_provider(cli: Cli, database: Database) -> None:
    """The one given, else the channel's active one with the highest priority; else exit 5 and nothing stored."""
    seed.user(database)
    refused(cli.call(*MAIL), 5, "no active provider delivers email", "notifyctl providers add sendgrid")
    seed.provider(database, "twilio", priority=9, config_json='{"from":"+15005550006"}')
    refused(cli.call(*MAIL), 5, "no active provider")
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    assert submitted(cli.call(*MAIL, "-o", "json"))["provider"] == "sendgrid"
    refused(cli.call(*MAIL, "--provider", "nobody"), 3, "'nobody'", "notifyctl providers list")
    refused(cli.call(*MAIL, "--provider", "twilio"), 2, "twilio delivers sms")
    seed.provider(database, "fcm", is_active=False)
    refused(cli.call("send", "anna", "--channel", "push", "--body", "x", "--to", "t"), 5, "no active provider")
    refused(cli.call("send", "anna", "--channel", "push", "--body", "x", "--provider", "fcm"), 5, "fcm is disabled")
    assert rows(database) == 1


def test_body_from_a_file_or_stdin(cli: Cli, database: Database, anna: str) -> None:
    """The text is taken as it is, line breaks and all; what is no text is refused."""
    body = "Grüße\r\n  zwei Zeilen\n"
    (cli.home / "body").write_bytes(body.encode())
    text = ("send", "anna", "--channel", "sms", "--to", "+14155552345", "-o", "id")
    for result in (cli.call(*text, "--body-file", "body"), cli.call(*text, "--body-file", "-", input=body)):
        row = seed.notification(database, result.ok().stdout.strip())
        assert json.loads(row.payload)["body"] == body
    refused(cli.call(*text, "--body-file", "nowhere"), 2, "nowhere")
    refused(cli.call(*text, "--body-file", "-", input=b"\xff\xfe"), 2, "UTF-8")
    refused(cli.call(*text, "--body-file", "body", "--body", "x"), 2, "exclude each other")


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (("--channel", "email", "--body", "x"), "subject: missing"),
        (("--channel", "email", "--subject", "x"), "text or html: missing"),
        (("--channel", "email", "--subject", "x\ny", "--body", "x"), "subject"),
        (("--channel", "sms", "--to", "+14155552345", "--body", "x" * 1_601), "body"),
        (("--channel", "push", "--to", "t", "--data", '{"title":"x","data":{"from":"x"}}'), "data.from"),
        (("--channel", "email", "--subject", "x", "--body", "x", "--data", '{"attachments":[1]}'), "attachments"),
        (("--channel", "email", "--data", '{"subjct":"x"}'), "subjct"),
        (("--channel", "email", "--data", "nonsense"), "--data"),
        (("--channel", "email", "--to", "anna", "--subject", "x", "--body", "x"), "anna"),
        (("--channel", "sms", "--subject", "x", "--body", "x"), "--subject"),
        (("--channel", "fax", "--body", "x"), "fax"),
        (("--channel", "sms", "--to", "+14155552345", "--body", "x", "--max-retries", "-1"), "--max-retries"),
        (("--channel", "sms", "--to", "+14155552345", "--body", "x", "--timeout", "1s"), "--wait"),
        (("--channel", "sms", "--to", "+14155552345", "--body", "x", "--wait", "--dry-run"), "--dry-run"),
    ],
)
def test_what_the_provider_would_refuse_is_refused_here(
    cli: Cli, database: Database, anna: str, args: tuple[str, ...], field: str
) -> None:
    """A mistake costs no attempt and makes no dead letter: exit 2, with the field's name."""
    refused(cli.call("send", "anna", *args), 2, field)
    assert rows(database) == 0


def test_unknown_people(cli: Cli, anna: str) -> None:
    """Exit 3, with the command that lists them."""
    refused(cli.call("send", "nobody", *MAIL[2:]), 3, "'nobody'", "notifyctl users list")


def test_without_an_address(cli: Cli, database: Database, anna: str) -> None:
    """It is accepted, because an address may still come, and the person is told what happens otherwise."""
    result = cli.call("send", "anna", "--channel", "sms", "--body", "x", "-o", "id").ok()
    assert "no_address" in result.stderr and "notifyctl users contacts add anna sms" in result.stderr
    assert "provider" not in cli.call(*TEXT, "-o", "id").ok().stderr
    topic = cli.call("send", "anna", "--channel", "push", "--data", '{"topic":"news","title":"x"}').ok()
    assert topic.stderr == ""


def test_what_will_not_be_sent_is_said_before(cli: Cli, database: Database, anna: str) -> None:
    """A suppressed address is accepted with exit 0, because that may change before it is due; and warned of."""
    cli.call("users", "contacts", "suppress", "anna", "email", "anna@example.org", "--reason", "bounced").ok()
    warned = "warning: it will be cancelled and not sent: the address is suppressed: bounced\n"
    assert cli.call(*MAIL, "-o", "id").ok().stderr == warned
    assert cli.call(*MAIL, "--to", "omar@example.org", "-o", "id").ok().stderr == ""
    assert rows(database) == 2


def test_times(cli: Cli, database: Database, anna: str) -> None:
    """--expires-in counts from the moment it is for; --in and --at say which that is."""
    later = seed.notification(
        database, submitted(cli.call(*MAIL, "--in", "2h", "--expires-in", "30m", "-o", "json"))["id"]
    )
    assert later.send_at == later.due_at == later.created_at + 7_200_000
    assert later.expires_at == later.send_at + 1_800_000
    soon = seed.notification(database, submitted(cli.call(*MAIL, "--expires-in", "90", "-o", "json"))["id"])
    assert (soon.send_at, soon.expires_at) == (None, soon.created_at + 90_000)
    at = submitted(cli.call(*MAIL, "--at", "2031-05-01T12:00:00+02:00", "-o", "json"))
    assert (at["send_at"], at["due_at"]) == ("2031-05-01T10:00:00.000Z",) * 2
    assert at["state"] == "scheduled"


@pytest.mark.parametrize("option", ["--at 2020-01-01T00:00:00Z", "--at 2031-01-01T00:00:00", "--at soon", "--in -5s"])
def test_bad_times(cli: Cli, database: Database, anna: str, option: str) -> None:
    """Past, without a zone, malformed: exit 2 and an example that would be right."""
    name, value = option.split()
    result = cli.call(*MAIL, f"{name}={value}")
    refused(result, 2, "hint: ")
    assert rows(database) == 0
    if name == "--at":
        example = result.stderr.split("hint: ")[1].split()[1]
        submitted(cli.call(*MAIL, "--at", example, "-o", "json"))


def test_both_times(cli: Cli, anna: str) -> None:
    """--at and --in contradict each other."""
    refused(cli.call(*MAIL, "--at", "2031-01-01T00:00:00Z", "--in", "2h"), 2, "exclude each other")


# --dry-run


@pytest.fixture
def keyed(cli: Cli) -> Cli:
    """A command line with encrypted credentials."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    sid = "AC" + "0123456789abcdef" * 2
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@example.com", input="SG.canary").ok()
    secrets = ("--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006")
    cli.call("providers", "add", "twilio", *secrets, input=f"{sid}\ncanary\n").ok()
    return cli


def test_dry_run_shows_the_request(keyed: Cli, database: Database) -> None:
    """Method, URL, headers and body as they would go out, and nothing is written."""
    shown = keyed.call(*MAIL, "--dry-run", "-o", "json").ok().json()
    assert (shown["method"], shown["url"]) == ("POST", "https://api.sendgrid.com/v3/mail/send")
    assert shown["headers"]["Authorization"] == "Bearer ***"
    assert shown["headers"]["Content-Type"] == "application/json"
    body = json.loads(shown["body"])
    assert body["personalizations"][0]["to"] == [{"email": "anna@example.org"}]
    assert (body["subject"], body["from"]) == ("Hello", {"email": "a@example.com"})
    plain = keyed.call(*MAIL, "--dry-run", env={"NOTIFYCTL_SENDGRID_URL": "http://127.0.0.1:9"}).ok().stdout
    assert plain.startswith("POST http://127.0.0.1:9/v3/mail/send\nAuthorization: Bearer ***\n")
    assert rows(database) == 0
    with database.read() as tx:
        actions = tx.execute(select(audit_logs.c.resource_type)).scalars().all()
    assert "notification" not in actions


def test_dry_run_hides_every_secret(keyed: Cli) -> None:
    """Neither the keys nor what carries them: Twilio's login is also in the URL."""
    for args in (MAIL, TEXT):
        result = keyed.call(*args, "--dry-run").ok()
        for secret in ("canary", "0123456789abcdef", base64.b64encode(b"SG.canary").decode()):
            assert secret not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Your code is 123456", "1 segment: 19 of 160, GSM-7\n"),
        ("Ça va — ça ira " * 6, "2 segments: 90 of 134, UCS-2 because of —ç\n"),
    ],
)
def test_dry_run_says_what_a_text_message_costs(keyed: Cli, body: str, words: str) -> None:
    """In how many segments it would go, and which letters make it more."""
    to = ("--channel", "sms", "--to", "+14155552345")
    assert words in keyed.call("send", "anna", *to, "--body", body, "--dry-run").ok().stderr


def test_dry_run_refuses_as_well(keyed: Cli) -> None:
    """What would not be sent is not shown as if it would: content, address, time, credentials."""
    refused(keyed.call("send", "anna", "--channel", "email", "--body", "x", "--dry-run"), 2, "subject")
    refused(keyed.call("send", "anna", "--channel", "sms", "--body", "x", "--dry-run"), 5, "no sms address")
    refused(keyed.call(*MAIL, "--at", "2020-01-01T00:00:00Z", "--dry-run"), 2, "past")
    refused(keyed.call(*MAIL, "--dry-run", env={"NOTIFYCTL_ENCRYPTION_KEYS": ""}), 4)


def test_submission_needs_no_keys(cli: Cli, anna: str) -> None:
    """A host that only submits has no encryption keys."""
    assert "NOTIFYCTL_ENCRYPTION_KEYS" not in cli.env
    cli.call(*MAIL).ok()


# --wait


@pytest.mark.parametrize(
    ("status", "exit_code", "words"),
    [("sent", 0, ""), ("failed", 7, "ended as failed: no such number"), ("cancelled", 7, "ended as cancelled")],
)
def test_wait(cli: Cli, database: Database, anna: str, status: str, exit_code: int, words: str) -> None:
    """The exit code is the notification's end, and the record is printed as it ended."""
    finisher = threading.Thread(target=_finish, args=(database, status))
    finisher.start()
    result = cli.run(*MAIL, "--wait", "-o", "json")
    finisher.join()
    assert result.exit_code == exit_code, result
    assert words in result.stderr
    assert result.json()["status"] == status


def _finish(database: Database, status: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with database.read() as tx:
            found = tx.execute(select(notifications.c.id)).scalar()
        if found:
            letters.change(database, found, status=status, error_message="no such number")
            return
        time.sleep(0.02)


def test_wait_ends(cli: Cli, database: Database, anna: str) -> None:
    """After --timeout the work goes on: exit 11, the id is printed all the same."""
    result = cli.call(*MAIL, "--wait", "--timeout", "200ms", "-o", "json")
    assert result.exit_code == 11
    assert seed.notification(database, result.json()["id"]).status == "pending"
    assert json.loads(result.stderr)["error"]["code"] == "timeout"


def test_waiting_for_what_has_ended(cli: Cli, database: Database, anna: str) -> None:
    """A repetition of what was sent long ago waits for nothing."""
    id_ = submitted(cli.call(*MAIL, "--idempotency-key", "k", "-o", "json"))["id"]
    letters.change(database, id_, status="sent")
    assert submitted(cli.call(*MAIL, "--idempotency-key", "k", "--wait", "-o", "json"))["deduplicated"]


# Whatever is typed

anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "--subject",
                    "--body",
                    "--to",
                    "--data",
                    "--at",
                    "--in",
                    "--expires-in",
                    "--provider",
                    "--idempotency-key",
                    "--max-retries",
                    "--channel",
                ]
            ),
            anything,
        ),
        max_size=4,
    )
)
def test_no_input_is_a_traceback(sqlite_url: str, tmp_path: Path, given_options: list[tuple[str, str]]) -> None:
    """Whatever stands in the options, the answer is an exit code of the contract and never a defect."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    cli = Cli(home, sqlite_url)
    options = [f"{name}={value}" for name, value in given_options]
    result = cli.call("send", "nobody", "--channel=email", *options)
    assert result.exit_code in (2, 3), result
    assert "unexpected" not in result.stderr
