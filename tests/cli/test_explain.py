"""`notifications explain`: what it says is what the dispatcher then does; on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notifyctl.core.sealing import format_key
from notifyctl.store import providers
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from tests.support import quiet, seed
from tests.support.command import Cli

ME = "11111111-1111-4111-8111-111111111111"
KEYS = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k", bytes(64))}
HOUR = 3_600_000


@pytest.fixture
def anna(cli: Cli, database: Database) -> str:
    """A user, with sendgrid configured, a category of marketing."""
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    return seed.user(database)


def explained(cli: Cli, *args: str) -> Any:
    return cli.call("notifications", "explain", *args, "-o", "json").ok().json()


def claimed(database: Database, provider: str = "sendgrid") -> list[str]:
    asked = ClaimRequest(provider, ME, 100, 65_000)
    return [each.id for each in database.write(lambda tx: claim(tx, asked)).claims]


def quiet_now(cli: Cli, database: Database) -> None:
    """Let it be quiet for anna at this moment, by the database's clock."""
    hours, _ = quiet.around(database.moment())
    cli.call("prefs", "set", "anna", "email", "--quiet", hours, "--timezone", "UTC").ok()


@pytest.mark.parametrize("case", ["send", "cancel", "fail", "defer", "left", "critical", "expired", "suppressed"])
def test_it_predicts_what_the_claim_does(cli: Cli, database: Database, anna: str, case: str) -> None:
    """Each gate: the verdict, and what becomes of the notification when it is claimed."""
    values: dict[str, Any] = {"due_at": 1}
    verdict = case
    if case == "cancel":
        cli.call("prefs", "set", "anna", "email", "--disable").ok()
    elif case == "fail":
        seed.provider(database, "twilio")
        values |= {"provider": "twilio", "payload": json.dumps({"v": 1, "body": "b", "from": "+15005550006"})}
    elif case in ("defer", "critical"):
        quiet_now(cli, database)
        values["is_critical"] = case == "critical"
        verdict = "defer" if case == "defer" else "send"
    elif case == "left":
        cli.call("prefs", "opt-out", "anna", "news").ok()
        values["category"], verdict = "news", "cancel"
    elif case == "expired":
        values["expires_at"], verdict = 2, "cancel"
    elif case == "suppressed":
        cli.call("suppressions", "add", "email", "anna@example.org", "--reason", "x").ok()
        verdict = "cancel"
    (id_,) = seed.pending(database, anna, **values)
    said = explained(cli, id_)
    assert said["verdict"] == verdict, said
    assert claimed(database, values.get("provider", "sendgrid")) == ([id_] if verdict == "send" else [])
    row = seed.notification(database, id_)
    assert row.status == {"send": "pending", "cancel": "cancelled", "fail": "failed", "defer": "pending"}[verdict]
    if verdict != "send":
        assert row.error_message == said["reason"]
    if verdict == "defer":
        assert said["until"] is not None
        assert (row.deferred_by, explained(cli, id_)["state"]) == ("quiet_hours", "deferred")


def test_the_first_objection_is_marked_and_what_is_behind_it_is_not_asked(
    cli: Cli, database: Database, anna: str
) -> None:
    """The gates in the order of the policy, with their values."""
    quiet_now(cli, database)
    (id_,) = seed.pending(database, anna, category="news")
    gates = [(each["gate"], each["finding"]) for each in explained(cli, id_)["gates"]]
    assert gates == [
        ("not expired", "ok"),
        ("address", "ok"),
        ("channel", "ok"),
        ("category", "ok"),
        ("contact", "ok"),
        ("quiet hours", "objects"),
        ("cap", "not asked"),
        ("rate limit", "not asked"),
    ]


def test_one_that_does_not_exist_is_judged_as_the_next_one_would_be(cli: Cli, database: Database, anna: str) -> None:
    """The what-if form asks the same rules, at any time, and stores nothing."""
    quiet_now(cli, database)
    what = ("--user", "anna", "--channel", "email")
    assert explained(cli, *what)["verdict"] == "defer"
    assert explained(cli, *what, "--critical")["verdict"] == "send"
    cli.call("prefs", "opt-out", "anna", "news").ok()
    assert explained(cli, *what, "--category", "news")["verdict"] == "cancel"
    assert cli.call("notifications", "list", "-o", "json").ok().json() == []
    assert cli.call("notifications", "explain", *what, "--category", "none").exit_code == 3
    assert cli.call("notifications", "explain", "--user", "nobody", "--channel", "email").exit_code == 3


@pytest.mark.parametrize(
    "given", [(), ("--user", "anna"), ("--critical",), ("abcdefab", "--user", "anna", "--channel", "email")]
)
def test_what_cannot_be_asked_is_refused(cli: Cli, anna: str, given: tuple[str, ...]) -> None:
    """Either ids, or a whole supposition."""
    assert cli.call("notifications", "explain", *given).exit_code == 2


def test_a_held_provider_and_twins_are_named(cli: Cli, database: Database, anna: str) -> None:
    """What holds it, and what else says the same to the same user."""
    first, second = seed.pending(database, anna, count=2)
    database.write(lambda tx: providers.pause(tx, "sendgrid", "key revoked"))
    said = explained(cli, first)
    assert (said["verdict"], said["twins"]) == ("send", [second])
    assert "key revoked" in said["hold"]
    assert said["remedy"] == "notifyctl providers resume sendgrid"


def test_what_has_ended_says_what_became_of_it(cli: Cli, database: Database, anna: str) -> None:
    """No gate is asked any more; the command that helps is named."""
    (failed,) = seed.pending(database, anna, status="failed", failed_at=5, error_message="no such mailbox")
    (sent,) = seed.pending(database, anna, status="sent", sent_at=5)
    dead, done = explained(cli, failed, sent)
    assert (dead["gates"], dead["verdict"]) == ([], None)
    assert "no such mailbox" in dead["next"]
    assert dead["remedy"] == f"notifyctl dlq retry {failed[:8]}"
    assert "taken by sendgrid" in done["next"]


def test_a_screen_fits_a_terminal(cli: Cli, database: Database, anna: str) -> None:
    """80 columns, whatever it has to say."""
    quiet_now(cli, database)
    (id_,) = seed.pending(database, anna, category="news")
    shown = cli.call("notifications", "explain", id_, "-o", "table").ok().stdout
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "✗ quiet hours" in shown
    assert "✓ address       a***@example.org, not suppressed" in shown
    assert "tzdata" in shown


def test_reschedule_passes_quiet_hours_where_it_is_made_critical(cli: Cli, database: Database, anna: str) -> None:
    """As `explain` proposes; without that it is put off again."""
    quiet_now(cli, database)
    (id_,) = seed.pending(database, anna)
    assert claimed(database) == []
    cli.call("notifications", "reschedule", id_, "--at", "now").ok()
    assert claimed(database) == []
    cli.call("notifications", "reschedule", id_, "--at", "now", "--critical").ok()
    assert claimed(database) == [id_]


def test_send_warns_and_says_until_when(cli: Cli, database: Database, anna: str) -> None:
    """It is accepted all the same: what stands against it may change before it is due."""
    quiet_now(cli, database)
    plain = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b")
    done = cli.call(*plain, "-o", "json", env=KEYS).ok()
    assert "warning: it will be put off until" in done.stderr
    assert cli.call(*plain, "--critical", "-o", "json", env=KEYS).ok().stderr == ""
    cli.call("prefs", "opt-out", "anna", "news").ok()
    left = cli.call(*plain, "--category", "news", "-o", "json", env=KEYS).ok()
    assert "the user has left the category news" in left.stderr
    assert (left.json()["category"], left.json()["is_critical"]) == ("news", False)
    assert cli.call(*plain, "--category", "unknown", env=KEYS).exit_code == 3
    listed = cli.call("notifications", "list", "--category", "news", "-o", "json").ok().json()
    assert [row["id"] for row in listed] == [left.json()["id"]]


def test_the_category_is_part_of_what_is_said(cli: Cli, anna: str) -> None:
    """The same key with another category is another submission."""
    plain = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--idempotency-key", "k")
    cli.call(*plain, env=KEYS).ok()
    assert cli.call(*plain, "--category", "news", env=KEYS).exit_code == 5
    assert cli.call(*plain, "--critical", "-o", "json", env=KEYS).ok().json()["deduplicated"] is True


def test_a_resent_copy_keeps_what_it_is_about(cli: Cli, database: Database, anna: str) -> None:
    """Who left meanwhile gets no copy either."""
    (sent,) = seed.pending(database, anna, status="sent", sent_at=5, category="news", is_critical=True)
    copy = cli.call("notifications", "resend", sent, "-o", "json").ok().json()
    rows = cli.call("notifications", "list", "--status", "pending", "-o", "json").ok().json()
    assert [(row["category"], row["is_critical"]) for row in rows] == [("news", True)], copy


LATER = 2_000_000_000_000
"""A moment long after all of these tests, in milliseconds since the epoch."""


def later_claimed(database: Database) -> list[str]:
    """Claim as a dispatcher would at that moment."""
    asked = ClaimRequest("sendgrid", ME, 100, 65_000)
    return [each.id for each in database.write(lambda tx: claim(tx.at(LATER), asked)).claims]


@pytest.mark.parametrize("state", ["retrying", "scheduled"])
def test_what_is_to_be_cancelled_at_its_time_is_not_said_to_be_sent_then(
    cli: Cli, database: Database, anna: str, state: str
) -> None:
    """A retry is judged like any other claim: that another attempt comes would be a lie."""
    times: dict[str, Any] = {"due_at": LATER, **({"send_at": LATER} if state == "scheduled" else {})}
    (id_,) = seed.pending(database, anna, **times)
    before = explained(cli, id_)
    assert (before["state"], before["verdict"]) == (state, "send")
    assert ("another attempt by" if state == "retrying" else "sent by") in before["next"]
    cli.call("prefs", "set", "anna", "email", "--disable").ok()
    said = explained(cli, id_)
    assert (said["state"], said["verdict"]) == (state, "cancel")
    assert said["next"] == "it will be cancelled: the user has disabled email"
    assert said["next_at"] == said["judged_at"] == "2033-05-18T03:33:20.000Z"
    assert later_claimed(database) == []
    assert seed.notification(database, id_).status == "cancelled"


def test_a_retry_is_judged_by_the_hours_at_its_time(cli: Cli, database: Database, anna: str) -> None:
    """Quiet hours now say nothing of an attempt that is due when they are over, and the other way round."""
    cli.call("prefs", "set", "anna", "email", "--quiet", "03:00-04:00", "--timezone", "UTC").ok()
    (in_quiet,) = seed.pending(database, anna, due_at=LATER)  # 03:33:20 UTC
    said = explained(cli, in_quiet)
    assert (said["state"], said["verdict"], said["next_at"]) == ("retrying", "defer", "2033-05-18T04:00:00.000Z")
    cli.call("prefs", "set", "anna", "email", "--quiet", "04:00-05:00").ok()
    assert explained(cli, in_quiet)["next"] == "another attempt by sendgrid"


def test_a_deferral_that_no_rule_explains_now_names_its_own_reason_and_time(
    cli: Cli, database: Database, anna: str
) -> None:
    """A limit whose window went by, a sender whose queue is full, a spread: it goes at its time, and not now."""
    why: dict[str, Any] = {"error_message": "the queue of its sender is full at the provider", "deferred_by": "sender"}
    (id_,) = seed.pending(database, anna, due_at=LATER, **why)
    said = explained(cli, id_)
    assert (said["state"], said["next_at"]) == ("deferred", "2033-05-18T03:33:20.000Z")
    assert "the queue of its sender is full" in said["next"]
    assert claimed(database) == []


@pytest.mark.parametrize("hold", ["paused", "canary"])
def test_a_batch_that_holds_it_is_named(cli: Cli, database: Database, anna: str, hold: str, tmp_path: Path) -> None:
    """A paused batch's notifications do not go out, nor what is behind a canary; resuming it is the remedy."""
    rows = tmp_path / "rows.csv"
    rows.write_text("user,channel,subject,body\nanna,email,s,1\nanna,email,s,2\n")
    more = ("--canary", "1") if hold == "canary" else ()
    cli.call("send", "-f", str(rows), "--batch", "spring", *more, env=KEYS).ok()
    if hold == "paused":
        cli.call("batches", "pause", "spring").ok()
    ids = [each["id"] for each in cli.call("notifications", "list", "--batch", "spring", "-o", "json").ok().json()]
    said = explained(cli, *ids)
    waiting = [each["id"] for each in said if each["next"].startswith("it waits: batch spring is")]
    assert {each["remedy"] for each in said if each["id"] in waiting} == {"notifyctl batches resume spring"}
    assert sorted(waiting + claimed(database)) == sorted(ids)
    assert len(waiting) == (2 if hold == "paused" else 1)
    shown = cli.call("notifications", "explain", waiting[0], "-o", "table").ok().stdout
    assert "✗ hold          batch spring is" in shown


def test_who_stands_in_for_a_provider_that_fails_is_named(cli: Cli, database: Database, anna: str) -> None:
    """The dispatcher sends by another one, so it does not wait; what insists on its provider does."""
    seed.provider(database, "smtp", config_json=json.dumps({"host": "127.0.0.1", "from": "a@example.org"}), priority=-1)
    database.write(lambda tx: providers.pause(tx, "sendgrid", "key revoked"))
    (free,) = seed.pending(database, anna)
    (bound,) = seed.pending(database, anna, fails_over=False)
    said = explained(cli, free)
    assert (said["state"], said["stand_in"], said["next"]) == ("due", "smtp", "sent by smtp, now")
    assert "key revoked" in said["hold"]
    waits = explained(cli, bound)
    assert (waits["state"], waits["stand_in"]) == ("held", None)
    assert waits["next"].startswith("it waits for sendgrid: paused")
    supposed = explained(cli, "--user", "anna", "--channel", "email")
    assert (supposed["stand_in"], supposed["next"]) == ("smtp", "sent by smtp, now")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ('{"v": 2, "subject": "s", "text": "t"}', "left to a newer dispatcher"),
        ("[]", "it will be a dead letter (invalid_payload)"),
    ],
)
def test_what_cannot_be_read_is_not_said_to_be_sent(
    cli: Cli, database: Database, anna: str, payload: str, words: str
) -> None:
    """A payload of a newer version is left alone, one that is none becomes a dead letter."""
    (id_,) = seed.pending(database, anna, payload=payload)
    said = explained(cli, id_)
    assert said["next"].startswith(words)
    assert (said["verdict"], said["gates"]) == (None, [])
    assert claimed(database) == []
    row = seed.notification(database, id_)
    assert row.status == ("pending" if "newer" in words else "failed")


@pytest.mark.parametrize("case", ["retry", "hold", "last"])
def test_of_an_unknown_outcome_it_says_what_the_configuration_makes_of_it(
    cli: Cli, database: Database, anna: str, case: str, tmp_path: Path
) -> None:
    """Sent again, or a dead letter where the profile says so, or where no attempt is left."""
    config = tmp_path / "config.toml"
    config.write_text('profile = "p"\n[profiles.p.policy]\non_unknown = { email = "hold" }\n')
    lost: dict[str, Any] = {
        "lease_id": ME,
        "leased_until": 2,
        "last_attempted": 1,
        "attempt_count": 6 if case == "last" else 1,
    }
    (id_,) = seed.pending(database, anna, max_retries=5, **lost)
    chosen = ("--config", str(config)) if case == "hold" else ()
    said = explained(cli, id_, *chosen)
    assert said["state"] == "unknown"
    expected = "sent by sendgrid, now" if case == "retry" else "it will be a dead letter (outcome_unknown)"
    assert said["next"].startswith(expected)


def test_a_template_that_cannot_be_rendered_is_told_before_it_is_tried(cli: Cli, database: Database, anna: str) -> None:
    """As `send` warns, and as the attempt then fails; where a rule objects, nothing is rendered."""
    made = ("templates", "create", "bill", "--channel", "email", "--by", "anna", "--subject", "s")
    cli.call(*made, "--body", "{{ amount }}").ok()
    plain = ("send", "anna", "--channel", "email", "--template", "bill", "-o", "json")
    id_ = cli.call(*plain, env=KEYS).ok().json()["id"]
    said = explained(cli, id_)
    assert said["verdict"] == "send"
    assert said["next"].startswith("it will be a dead letter (template_error): bill body, line 1, column 4: amount")
    assert said["remedy"] == f"notifyctl templates preview bill --from-notification {id_[:8]}"
    whole = cli.call(*plain, "--var", "amount=3", env=KEYS).ok().json()["id"]
    assert explained(cli, whole)["next"] == "sent by sendgrid, now"
    cli.call("prefs", "set", "anna", "email", "--disable").ok()
    assert explained(cli, id_)["next"].startswith("it will be cancelled")


def test_copies_that_are_suppressed_are_named(cli: Cli, database: Database, anna: str) -> None:
    """Whoever asks why a reader of a copy got nothing finds it here, before and not only after the attempt."""
    cli.call("suppressions", "add", "email", "bob@example.org", "--reason", "asked by phone").ok()
    (id_,) = seed.pending(
        database, anna, payload=json.dumps({"v": 1, "subject": "s", "text": "t", "cc": ["Bob <Bob@example.org>"]})
    )
    said = explained(cli, id_)
    assert (said["verdict"], len(said["left_out"])) == ("send", 1)
    assert "bob@example.org" in said["left_out"][0]["address"].lower()
    assert "asked by phone" in said["left_out"][0]["reason"]
    assert "left out" in cli.call("notifications", "explain", id_, "-o", "table").ok().stdout


def test_a_provider_at_its_limit_a_minute_sends_nothing_now(cli: Cli, database: Database, anna: str) -> None:
    """A limit that is used up holds what is due, for as long as the next permit takes."""
    cli.call("providers", "update", "sendgrid", "--rate-limit", "1", env=KEYS).ok()
    first, second = seed.pending(database, anna, count=2)
    (gone,) = claimed(database)
    waits = second if gone == first else first
    said = explained(cli, waits)
    assert said["hold"] == "its limit of 1 a minute is reached"
    assert said["next"].startswith("it waits for sendgrid")
    assert said["next_at"] > said["judged_at"]
    assert claimed(database) == []
