"""`notifyctl explain` where several things stand in the way at once, and whether its remedies do what they are for."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core.model import Channel, OnCap, OnUnknown
from notifyctl.core.policy import UNCONFIGURED, Policy, digest
from notifyctl.core.presence import Heartbeat
from notifyctl.core.sealing import format_key
from notifyctl.store import adopting, dispatchers
from notifyctl.store.db.database import Database
from notifyctl.store.queue import parked
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import notifications
from tests.support import letters, midday, quiet, seed
from tests.support.command import Cli

ME = "11111111-1111-4111-8111-111111111111"
KEYS = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k", bytes(64))}
HOUR = 3_600_000
PLAIN = ("send", "anna", "--channel", "email", "-o", "id")
MAIL = (*PLAIN, "--subject", "s", "--body", "b")
HOLDS = ("provider", "template", "batch")
RELEASES = {
    "provider": "notifyctl providers resume sendgrid",
    "template": "notifyctl templates enable bill",
    "batch": "notifyctl batches resume spring",
}


@pytest.fixture
def anna(cli: Cli, database: Database) -> str:
    """A user, with sendgrid configured, and two categories."""
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    cli.call("categories", "create", "bills").ok()
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    return seed.user(database)


def explained(cli: Cli, *args: str) -> dict[str, Any]:
    found = cli.call("notifications", "explain", *args, "-o", "json").ok().json()
    return dict(found[0] if isinstance(found, list) else found)


def shown(cli: Cli, *args: str) -> str:
    """Return what a terminal shows, in one line."""
    return " ".join(cli.call("notifications", "explain", *args, "-o", "table").ok().stdout.split())


def typed(cli: Cli, command: str) -> None:
    """Run a command as it was printed."""
    name, *args = shlex.split(command)
    assert name == "notifyctl"
    cli.call(*args, env=KEYS).ok()


def claimed(database: Database) -> list[str]:
    asked = ClaimRequest("sendgrid", ME, 100, 65_000)
    database.write(parked.come_back)
    return [each.id for each in database.write(lambda tx: claim(tx, asked)).claims]


def quiet_now(cli: Cli, database: Database) -> tuple[str, str]:
    """Let it be quiet for anna now, by the database's clock; return the hours, and until when, as JSON has it."""
    hours, ends = quiet.around(database.moment())
    cli.call("prefs", "set", "anna", "email", "--quiet", hours, "--timezone", "UTC").ok()
    return hours, datetime.fromtimestamp(ends / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def made(cli: Cli, folder: Path, hold: str, *more: str) -> str:
    """Submit one, and let that hold it back."""
    if hold == "batch":
        rows = folder / "rows.csv"
        rows.write_text("user,channel,subject,body\nanna,email,s,b\n")
        cli.call("send", "-f", str(rows), "--batch", "spring", *more, env=KEYS).ok()
        cli.call("batches", "pause", "spring").ok()
        return str(cli.call("notifications", "list", "-o", "id").ok().stdout).strip()
    if hold == "template":
        new = ("templates", "create", "bill", "--channel", "email", "--by", "anna", "--subject", "s", "--body", "b")
        cli.call(*new).ok()
        id_ = cli.call(*PLAIN, "--template", "bill", *more, env=KEYS).ok().stdout.strip()
        cli.call("templates", "disable", "bill").ok()
        return str(id_)
    id_ = cli.call(*MAIL, *more, env=KEYS).ok().stdout.strip()
    cli.call("providers", "pause", "sendgrid", "--reason", "incident").ok()
    return str(id_)


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("gate", ["quiet", "disabled", "left", "none"])
def test_what_is_held_waits_first_and_what_comes_then_is_said(
    cli: Cli, database: Database, anna: str, hold: str, gate: str, tmp_path: Path
) -> None:
    """A claim meets the hold before any rule: neither put off nor cancelled, until the hold ends. Then it is."""
    more = ("--category", "bills") if gate == "left" else ()
    hours, until = quiet_now(cli, database) if gate == "quiet" else (None, None)
    id_ = made(cli, tmp_path, hold, *more)
    if gate == "disabled":
        cli.call("prefs", "set", "anna", "email", "--disable").ok()
    if gate == "left":
        cli.call("prefs", "opt-out", "anna", "bills").ok()
    said = explained(cli, id_)
    assert said["next"].startswith("it waits"), said
    then = {
        "quiet": f"then it will be put off: quiet hours {hours} ",
        "disabled": "then it will be cancelled: the user has disabled email",
        "left": "then it will be cancelled: the user has left the category bills",
        "none": None,
    }[gate]
    assert then is None or then in said["next"]
    assert until is None or f"until {until}" in said["next"]
    assert claimed(database) == []
    row = seed.notification(database, id_)
    assert (row.status, row.deferred_by) == ("pending", None)
    assert RELEASES[hold] in said["remedies"]
    typed(cli, RELEASES[hold])
    assert claimed(database) == ([id_] if gate == "none" else [])
    row = seed.notification(database, id_)
    ends = {"quiet": ("pending", "quiet_hours"), "none": ("pending", None)}.get(gate, ("cancelled", None))
    assert (row.status, row.deferred_by) == ends


@pytest.mark.parametrize("gate", ["quiet", "cap", "both", "expiring"])
@pytest.mark.parametrize("hold", [*HOLDS, "none"])
def test_all_remedies_as_they_are_printed_let_it_go(
    cli: Cli, database: Database, anna: str, gate: str, hold: str, tmp_path: Path
) -> None:
    """Before it was ever judged as well: what can be passed says how, and what holds it how that ends."""
    wish = ("prefs", "set", "anna", "email", "--timezone", midday.zone())
    if gate in ("cap", "both"):
        cli.call(*wish, "--cap", "1").ok()
        seed.pending(database, anna, status="sent", sent_at=database.moment())
    if gate != "cap":
        cli.call(*wish, "--quiet", midday.AROUND).ok()
    more = ("--expires-in", "60s") if gate == "expiring" else ()
    id_ = cli.call(*MAIL, *more, env=KEYS).ok().stdout.strip() if hold == "none" else made(cli, tmp_path, hold, *more)
    if hold == "batch":
        id_ = cli.call("notifications", "list", "--status", "pending", "-o", "id").ok().stdout.strip()
    said = explained(cli, id_)
    assert said["remedy"] == said["remedies"][0]
    for command in said["remedies"]:
        typed(cli, command)
    assert claimed(database) == [id_], said


def test_a_template_and_a_provider_that_hold_it_are_both_named(
    cli: Cli, database: Database, anna: str, tmp_path: Path
) -> None:
    """Else whoever ends the one wonders why nothing goes."""
    id_ = made(cli, tmp_path, "template")
    cli.call("providers", "pause", "sendgrid", "--reason", "incident").ok()
    said = explained(cli, id_)
    assert said["next"] == "it waits: template bill is disabled; and for sendgrid: paused: incident"
    text = shown(cli, id_)
    assert "✗ hold template bill is disabled" in text
    assert "✗ provider sendgrid paused: incident" in text
    for command in said["remedies"]:
        typed(cli, command)
    assert claimed(database) == [id_]


@pytest.mark.parametrize("case", ["hold", "last"])
@pytest.mark.parametrize("hold", HOLDS)
def test_what_is_not_tried_again_waits_for_its_provider_alone(
    cli: Cli, database: Database, anna: str, hold: str, case: str, tmp_path: Path
) -> None:
    """Of an attempt whose outcome nobody knows a claim decides before it asks for templates and batches."""
    config = tmp_path / "config.toml"
    config.write_text('[policy]\non_unknown = { email = "hold" }\n')
    id_ = made(cli, tmp_path, hold)
    lost = {"lease_id": ME, "leased_until": 2, "last_attempted": 1, "due_at": 2, "parked_at": None}
    lost |= {"attempt_count": 6 if case == "last" else 1}
    database.write(lambda tx: tx.execute(update(notifications).values(lost)))
    said = explained(cli, id_, *(("--config", str(config)) if case == "hold" else ()))
    waits = hold == "provider"
    assert said["next"].startswith("it waits for sendgrid" if waits else "it will be a dead letter (outcome_unknown)")
    how = {Channel.EMAIL: OnUnknown.HOLD if case == "hold" else OnUnknown.RETRY}
    database.write(lambda tx: claim(tx, ClaimRequest("sendgrid", ME, 100, 65_000, on_unknown=how)))
    assert seed.notification(database, id_).status == ("pending" if waits else "failed")


def test_what_expires_while_its_provider_is_paused_is_said_to(cli: Cli, database: Database, anna: str) -> None:
    """It is judged when the pause ends; resuming before that saves it."""
    id_ = cli.call(*MAIL, "--expires-in", "10m", env=KEYS).ok().stdout.strip()
    cli.call("providers", "pause", "sendgrid", "--for", "30m", "--reason", "incident").ok()
    said = explained(cli, id_)
    assert said["verdict"] == "cancel"
    assert said["next"].endswith("then it will be cancelled: expired before it was sent")
    assert said["next_at"] == said["judged_at"]
    assert said["remedies"] == ["notifyctl providers resume sendgrid"]
    typed(cli, said["remedy"])
    assert claimed(database) == [id_]


@pytest.mark.parametrize("state", ["scheduled", "retrying"])
def test_what_is_due_within_a_pause_is_judged_as_of_its_end(
    cli: Cli, database: Database, anna: str, state: str
) -> None:
    """Nobody looks at it before: what has expired by then is cancelled then, though it had not at its own time."""
    due = database.moment() + HOUR
    times: dict[str, Any] = {
        "due_at": due,
        "expires_at": due + HOUR,
        **({"send_at": due} if state == "scheduled" else {}),
    }
    (id_,) = seed.pending(database, anna, **times)
    assert explained(cli, id_)["verdict"] == "send"
    cli.call("providers", "pause", "sendgrid", "--for", "3h", "--reason", "incident").ok()
    said = explained(cli, id_)
    assert (said["state"], said["verdict"]) == (state, "cancel")
    assert said["next"] == "it will be cancelled: expired before it was sent; held now: sendgrid is paused: incident"
    assert said["next_at"] == said["judged_at"]
    assert said["remedies"][0] == "notifyctl providers resume sendgrid"
    for command in said["remedies"]:
        typed(cli, command)
    assert claimed(database) == [id_]


def test_the_time_that_is_left_counts_from_now(cli: Cli, database: Database, anna: str) -> None:
    """Of a scheduled one, too, whose gates are walked as of its own moment, which is said."""
    id_ = cli.call(*MAIL, "--in", "5h", env=KEYS).ok().stdout.strip()
    text = shown(cli, id_)
    assert "in 4h59m: sent by sendgrid" in text or "in 5h: sent by sendgrid" in text
    assert "judged for" in text
    assert "; then " not in text
    quiet_now(cli, database)
    at = database.moment() + 24 * HOUR
    when = datetime.fromtimestamp(at / 1_000, UTC).isoformat()
    supposed = ("--user", "anna", "--channel", "email", "--at", when)
    assert "; then " in shown(cli, *supposed)
    cli.call("prefs", "clear", "anna").ok()
    said = explained(cli, *supposed)
    assert (said["next"], said["next_at"]) == ("sent by sendgrid", said["judged_at"])
    assert explained(cli, *supposed[:4])["next"] == "sent by sendgrid, now"


def test_what_is_scheduled_and_held_has_its_time_all_the_same(
    cli: Cli, database: Database, anna: str, tmp_path: Path
) -> None:
    """A hold that may be over by then does not take the moment away, one that ends before is no matter."""
    id_ = made(cli, tmp_path, "template", "--in", "2h")
    said = explained(cli, id_)
    assert (said["next"], said["next_at"]) == (
        "sent by sendgrid; held now: template bill is disabled",
        said["judged_at"],
    )
    cli.call("templates", "enable", "bill").ok()
    cli.call("providers", "pause", "sendgrid", "--for", "1h", "--reason", "incident").ok()
    said = explained(cli, id_)
    assert said["next"] == "sent by sendgrid"
    for command in said["remedies"]:
        typed(cli, command)
    assert claimed(database) == [id_]


def test_one_that_is_scheduled_is_not_said_to_go_now_where_it_would_not(
    cli: Cli, database: Database, anna: str
) -> None:
    """Rescheduled to now it meets the rules of now: quiet hours that it passes as critical, or what nothing passes."""
    id_ = cli.call(*MAIL, "--in", "90d", env=KEYS).ok().stdout.strip()
    quiet_now(cli, database)
    said = explained(cli, id_)
    assert said["remedies"] == [f"notifyctl notifications reschedule {id_[:8]} --at now --critical"]
    typed(cli, said["remedy"])
    assert claimed(database) == [id_]


@pytest.mark.parametrize("case", ["left", "no_address", "expired", "free"])
def test_what_ended_says_what_would_stand_against_it_by_now(cli: Cli, database: Database, anna: str, case: str) -> None:
    """To send it again is no remedy where the same would come of it."""
    values: dict[str, Any] = {"status": "failed", "failed_at": 5, "error_message": "gone"}
    if case == "left":
        cli.call("prefs", "opt-out", "anna", "bills").ok()
        values = {"status": "cancelled", "error_message": "the user has left the category bills", "category": "bills"}
    elif case == "no_address":
        seed.provider(database, "twilio")
        values |= {"provider": "twilio", "payload": json.dumps({"v": 1, "body": "b", "from": "+15005550006"})}
    elif case == "expired":
        values |= {"expires_at": 7}
    (id_,) = seed.pending(database, anna, **values)
    said = explained(cli, id_)
    short = id_[:8]
    expected = {
        "left": (
            "; sent again it would be cancelled: the user has left the category bills",
            ["notifyctl prefs show anna", f"notifyctl notifications resend {short}"],
        ),
        "no_address": (
            "; sent again it would be a dead letter (no_address): the user has no address on this channel",
            ["notifyctl users contacts add anna sms ADDRESS", f"notifyctl dlq retry {short}"],
        ),
        "expired": ("; it has expired", [f"notifyctl notifications resend {short}"]),
        "free": ("a dead letter: gone", [f"notifyctl dlq retry {short}"]),
    }[case]
    assert said["next"].endswith(expected[0])
    assert (said["remedies"], said["gates"]) == (expected[1], [])


def test_what_another_policy_put_off_goes_at_once(cli: Cli, database: Database, anna: str) -> None:
    """The next dispatcher judges it again: it does not wait for the time that the old windows said."""
    why: dict[str, Any] = {"deferred_by": "contact_window", "error_message": "outside", "category": "news"}
    database.write(lambda tx: adopting.adopt(tx, digest(UNCONFIGURED)))
    (id_,) = seed.pending(database, anna, due_at=database.moment() + 5 * HOUR, **why)
    assert explained(cli, id_)["next"] == "judged again; it was put off: outside"
    database.write(lambda tx: adopting.adopt(tx, "0" * 64))
    said = explained(cli, id_)
    assert (said["next"], said["next_at"]) == ("sent by sendgrid, now", None)
    assert claimed(database) == []
    database.write(lambda tx: adopting.adopt(tx, digest(UNCONFIGURED)))
    database.write(adopting.wake_portion)
    assert claimed(database) == [id_]


def test_a_dry_run_warns_as_sending_does_and_shows_what_would_be_sent(cli: Cli, database: Database, anna: str) -> None:
    """Of a rule that objects, until when; of copies that are suppressed, which are not in the request either."""
    _, until = quiet_now(cli, database)
    dry = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--dry-run", "-o", "json")
    sealed = cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.a.b\n", env=KEYS)
    assert sealed.exit_code == 0, sealed.stderr
    done = cli.call(*dry, env=KEYS).ok()
    assert f"warning: it will be put off until {until}Z: quiet hours" in done.stderr
    cli.call("prefs", "clear", "anna").ok()
    assert cli.call(*dry, env=KEYS).ok().stderr == ""
    cli.call("suppressions", "add", "email", "bob@example.org", "--reason", "asked").ok()
    copied = cli.call(*dry, "--data", '{"cc": ["bob@example.org", "carl@example.org"]}', env=KEYS).ok()
    assert "warning: copies that are suppressed will be left out: cc bob@example.org (asked)" in copied.stderr
    assert "carl@example.org" in copied.json()["body"]
    assert "bob@example.org" not in copied.json()["body"]


def test_how_to_send_what_has_ended_once_more_is_said_whole(cli: Cli, database: Database, anna: str) -> None:
    """A provider that is disabled takes no copy, a dead letter that is resolved wants --force: each command works."""
    cli.call("providers", "disable", "sendgrid").ok()
    (gone,) = seed.pending(database, anna, status="cancelled", error_message="expired before it was sent")
    said = explained(cli, gone)
    assert said["next"].endswith("; held now: sendgrid is disabled")
    for command in said["remedies"]:
        typed(cli, command)
    (copy,) = claimed(database)
    assert seed.notification(database, copy).resent_from == gone
    dead = letters.dead(database, anna)[0]
    cli.call("dlq", "resolve", dead, "--by", "anna").ok()
    said = explained(cli, dead)
    assert said["next"].endswith("; it is resolved")
    assert said["remedies"] == [f"notifyctl dlq retry {dead[:8]} --force"]
    typed(cli, said["remedy"])
    assert claimed(database) == [dead]


def test_that_dispatchers_go_by_another_policy_is_said(cli: Cli, database: Database, anna: str) -> None:
    """Whoever asks without their configuration would be told what they do not do, and take it for the answer."""
    why: dict[str, Any] = {"deferred_by": "quiet_hours", "error_message": "quiet hours 22:00-07:00"}
    (id_,) = seed.pending(database, anna, due_at=database.moment() + 60_000, **why)
    assert explained(cli, id_)["policy_differs"] is False
    others = Policy(on_cap=OnCap.CANCEL)
    database.write(lambda tx: adopting.adopt(tx, digest(others)))
    database.write(lambda tx: dispatchers.beat(tx, Heartbeat(ME, "web1", 4711, 0, 0, policy=digest(others))))
    said = explained(cli, id_)
    assert (said["policy_differs"], said["next"]) == (True, "judged again; it was put off: quiet hours 22:00-07:00")
    assert "policy of this configuration; dispatchers go by another one" in shown(cli, id_)
    config = cli.home / "config.toml"
    config.write_text('[policy]\non_cap = "cancel"\n')
    same = ("--config", str(config))
    assert explained(cli, id_, *same)["policy_differs"] is False
    assert "policy of this" not in shown(cli, id_, *same)


def test_what_does_not_exist_would_wait_for_a_pause_as_well(cli: Cli, database: Database, anna: str) -> None:
    """And be judged when that ends: by the rules of then, which need not be those of now."""
    supposed = ("--user", "anna", "--channel", "email")
    quiet_now(cli, database)
    cli.call("providers", "pause", "sendgrid", "--for", "12h", "--reason", "incident").ok()
    said = explained(cli, *supposed)
    assert (said["verdict"], said["next"]) == ("send", "it would wait for sendgrid: paused: incident")
    assert said["next_at"] == said["judged_at"]
    cli.call("prefs", "set", "anna", "email", "--disable").ok()
    said = explained(cli, *supposed)
    then = "then it would be cancelled: the user has disabled email"
    assert (said["verdict"], said["next"]) == ("cancel", f"it would wait for sendgrid: paused: incident; {then}")


@pytest.mark.parametrize("status", ["failed", "cancelled", "pending"])
def test_what_was_made_of_a_template_that_is_deleted_is_not_said_to_go(
    cli: Cli, database: Database, anna: str, status: str
) -> None:
    """There is nothing to make its text from: no command lets it go."""
    new = ("templates", "create", "bill", "--channel", "email", "--by", "anna", "--subject", "s", "--body", "b")
    cli.call(*new).ok()
    id_ = cli.call(*PLAIN, "--template", "bill", env=KEYS).ok().stdout.strip()
    n = notifications.c
    ended = {"status": "failed" if status == "failed" else "cancelled", "error_message": "gone"}
    database.write(lambda tx: tx.execute(update(notifications).where(n.id == id_).values(**ended)))
    cli.call("templates", "delete", "bill", "--yes").ok()
    database.write(lambda tx: tx.execute(update(notifications).where(n.id == id_).values(status=status)))
    said = explained(cli, id_)
    assert said["remedies"] == []
    if status == "pending":
        assert said["next"].startswith("it will be a dead letter (template_error): version 1 of template")
    else:
        assert said["next"].endswith("gone; its template is deleted: there is nothing to make its text from")


@pytest.mark.parametrize("rule", ["disabled", "quiet"])
def test_send_warns_of_a_template_only_where_it_comes_to_that(
    cli: Cli, database: Database, anna: str, rule: str
) -> None:
    """What a rule cancels is not rendered: it is no dead letter. What is put off is, later."""
    words = ("--subject", "Hi", "--body", "{{ 1 // (name | length) }}", "--variables", "name", "--by", "anna")
    cli.call("templates", "create", "hi", "--channel", "email", *words).ok()
    if rule == "disabled":
        cli.call("prefs", "set", "anna", "email", "--disable").ok()
    else:
        quiet_now(cli, database)
    sent = cli.call("send", "anna", "--channel", "email", "--template", "hi", "--var", "name=").ok()
    assert ("it will be cancelled" in sent.stderr) == (rule == "disabled")
    assert ("becomes a dead letter" in sent.stderr) == (rule == "quiet")
