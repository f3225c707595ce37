"""`notifications` through the command line: list, show, cancel, reschedule, resend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.core.operate import BY_OPERATOR
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, metrics_dirty_hours
from tests.support import letters, seed
from tests.support.command import Cli, Result

HOUR = 3_600_000
LATER = 4_102_444_800_000
LEASE: dict[str, Any] = {"lease_id": "1" * 36, "leased_by": "2" * 36, "attempt_count": 1, "last_attempted": 900}


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider."""
    seed.provider(database, "sendgrid")
    return seed.user(database)


def now(database: Database) -> int:
    """Return the database's moment."""
    with database.read() as tx:
        return tx.now


def results(result: Result) -> dict[str, str]:
    """Return the result of each id in `-o json`."""
    return {row["id"]: row["result"] for row in result.json()}


def audited(database: Database, action: str) -> set[str]:
    """Return the ids of the notifications that the audit trail names for an action."""
    with database.read() as tx:
        rows = tx.execute(select(audit_logs).where(audit_logs.c.action == action)).all()
    assert {row.resource_type for row in rows} <= {"notification"}
    return {row.resource_id for row in rows}


def dirty(database: Database) -> set[int]:
    """Return the hours that are to be counted again."""
    with database.read() as tx:
        return set(tx.execute(select(metrics_dirty_hours.c.hour_start)).scalars())


# Looking


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_what_another_program_stored_is_shown(cli: Cli, database: Database, anna: str, form: str) -> None:
    """A payload and a history that are nested too deep to be read are shown as they are, in every format."""
    deep = "[" * 50_000
    [id_] = seed.pending(database, anna, payload=deep, retry_history=deep)
    shown = cli.call("notifications", "show", id_, "-o", form).ok()
    assert "Traceback" not in shown.stderr
    assert deep in shown.stdout
    cli.call("notifications", "list", "-o", form).ok()


def test_list(cli: Cli, database: Database, anna: str) -> None:
    """Newest first; JSON is complete, the ids pipe into `show`, the filters narrow."""
    seed.provider(database, "twilio")
    [mail] = seed.pending(database, anna, created_at=1_000)
    [text] = seed.pending(database, anna, "twilio", created_at=2_000)
    listed = cli.call("notifications", "list", "-o", "json").ok().json()
    assert [row["id"] for row in listed] == [text, mail]
    assert (listed[0]["created_at"], listed[0]["message_type"]) == ("1970-01-01T00:00:02.000Z", "sms")
    assert cli.call("notifications", "list", "--channel", "sms", "-o", "id").ok().stdout == f"{text}\n"
    assert cli.call("notifications", "list", "--state", "scheduled", "-o", "json").ok().json() == []
    assert cli.call("notifications", "list", "--stuck", "1h", "--user", "anna", "-o", "id").ok().stdout.count("\n") == 2
    table = cli.call("notifications", "list", "-o", "table").ok().stdout
    assert table.splitlines()[1].split()[0] == text[:8]


def test_long_lists(cli: Cli, database: Database, anna: str) -> None:
    """A list that nobody looks at is complete; with a limit it says of how many, and a cursor goes on."""
    seed.pending(database, anna, count=60)
    for form in ("plain", "table"):
        whole = cli.call("notifications", "list", "-o", form).ok()
        assert (len(whole.stdout.splitlines()), whole.stderr) == (61, "")
    page = cli.call("notifications", "list", "--limit", "50").ok()
    assert len(page.stdout.splitlines()) == 51
    assert "50 of 60" in page.stderr
    cursor = page.stderr.split("--cursor ")[1].split()[0]
    rest = cli.call("notifications", "list", "--cursor", cursor).ok()
    assert len(rest.stdout.splitlines()) == 11
    complete = cli.call("notifications", "list", "-o", "id").ok().stdout.split()
    assert len(complete) == len(set(complete)) == 60


@pytest.mark.parametrize(
    ("args", "exit_code", "words"),
    [
        (("--user", "nobody"), 3, "'nobody'"),
        (("--provider", "nobody"), 3, "'nobody'"),
        (("--status", "lost"), 2, "pending, sent"),
        (("--state", "lost"), 2, "scheduled"),
        (("--channel", "fax"), 2, "email"),
        (("--since", "yesterday"), 2, "--since"),
        (("--until", "2026-01-01T00:00:61"), 2, "no moment"),
        (("--stuck", "x"), 2, "duration"),
        (("--limit", "0"), 2, "--limit"),
    ],
)
def test_bad_filters(cli: Cli, anna: str, args: tuple[str, ...], exit_code: int, words: str) -> None:
    """An unknown name is never an empty list, and a bad value is named."""
    result = cli.call("notifications", "list", *args)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert words in result.stderr


def test_since_and_until(cli: Cli, database: Database, anna: str) -> None:
    """Both take a moment or a distance to now."""
    moment = now(database)
    [old] = seed.pending(database, anna, created_at=moment - 3 * HOUR)
    [young] = seed.pending(database, anna, created_at=moment - HOUR)

    def ids(*args: str) -> list[str]:
        return cli.call("notifications", "list", "-o", "id", *args).ok().stdout.split()

    assert ids("--since", "2h") == [young]
    assert ids("--until", "2h") == [old]
    assert ids("--since", "4h", "--until", "30m") == [young, old]
    assert ids("--since", "2031-01-01T00:00:00Z") == []
    assert ids("--until", "2031-01-01T00:00:00Z") == [young, old]


def test_a_deleted_provider_is_still_known(cli: Cli, database: Database) -> None:
    """Its notifications can be found after it is gone."""
    [id_] = seed.pending(database, seed.user(database), "twilio")
    assert cli.call("notifications", "list", "--provider", "twilio", "-o", "id").ok().stdout == f"{id_}\n"


def test_show(cli: Cli, database: Database, anna: str) -> None:
    """The whole record and every attempt, also the one that succeeded; a beginning of the id is enough."""
    history = json.dumps([letters.ATTEMPT])
    id_ = letters.ended(
        database, anna, "sent", retry_history=history, attempt_count=7, last_attempted=3_000, sent_at=3_250
    )
    shown = cli.call("notifications", "show", id_[:8], "-o", "json").ok().json()
    assert shown["id"] == id_
    assert shown["payload"] == seed.CONTENT["email"]
    assert shown["retry_history"] == [letters.ATTEMPT]
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["transient", "accepted"]
    assert shown["attempts"][0]["began_at"] == "1970-01-01T00:00:01.500Z"
    assert shown["attempts"][1]["ended_at"] == "1970-01-01T00:00:03.250Z"
    table = cli.call("notifications", "show", id_, "-o", "table").ok().stdout
    assert "Hello there" in table
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("  6  1970")] == ["503"]
    assert "250ms  accepted" in table


def test_show_several(cli: Cli, database: Database, anna: str) -> None:
    """Several are an array in the order asked for, one is an object; what does not exist is exit 3."""
    ids = seed.pending(database, anna, count=2)
    assert [row["id"] for row in cli.call("notifications", "show", *ids, "-o", "json").ok().json()] == ids
    assert cli.call("notifications", "show", ids[0], "-o", "json").ok().json()["attempts"] == []
    missing = cli.call("notifications", "show", ids[0], "00000000-0000-4000-8000-000000000000")
    assert (missing.exit_code, missing.stdout) == (3, "")


def test_show_never_breaks(cli: Cli, database: Database, anna: str) -> None:
    """Poison in the row is shown, not obeyed: no traceback, no control character."""
    [id_] = seed.pending(database, anna, payload="{broken\x1b[31m", retry_history="[", error_message="[/b]\x1b[0m")
    for form in ("json", "plain", "table", "csv", "markdown"):
        result = cli.call("notifications", "show", id_, "-o", form).ok()
        assert form in ("json", "csv") or "\x1b" not in result.stdout


# Cancelling and rescheduling


def test_cancel(cli: Cli, database: Database, anna: str) -> None:
    """A pending notification is cancelled, with a reason, an audit row, and its old hour counted again."""
    [id_] = seed.pending(database, anna, created_at=5 * HOUR + 1, send_at=9 * HOUR + 1)
    assert results(cli.call("notifications", "cancel", id_[:8], "-o", "json").ok()) == {id_: "cancelled"}
    row = seed.notification(database, id_)
    assert (row.status, row.error_message) == ("cancelled", "cancelled by an operator")
    assert seed.dead_letter(database, id_) is None
    assert audited(database, "cancel") == {id_}
    assert dirty(database) == {9 * HOUR}


@pytest.mark.parametrize("status", ["sent", "failed", "cancelled"])
def test_what_has_ended_stays(cli: Cli, database: Database, anna: str, status: str) -> None:
    """Neither can be taken back: exit 5, nothing changed."""
    id_ = letters.ended(database, anna, status)
    before = seed.notification(database, id_)
    for act in (("cancel",), ("reschedule", "--at", "now")):
        result = cli.call("notifications", *act, id_)
        assert result.exit_code == 5
        assert f"is {status}" in result.stderr
    assert seed.notification(database, id_) == before
    assert audited(database, "cancel") == set()


def test_a_running_lease_wins(cli: Cli, database: Database, anna: str) -> None:
    """While it is being sent it can be neither cancelled nor moved; the answer says until when."""
    [id_] = seed.pending(database, anna, **LEASE, leased_until=4_102_444_800_000)
    for act in (("cancel",), ("reschedule", "--at", "now")):
        result = cli.call("notifications", *act, id_)
        assert result.exit_code == 5
        assert "2100-01-01T00:00:00Z" in result.stderr
    assert seed.notification(database, id_).lease_id == "1" * 36


def test_an_ended_lease_does_not(cli: Cli, database: Database, anna: str) -> None:
    """Whoever held it is gone; the attempt stays in the history as unknown."""
    [id_] = seed.pending(database, anna, **LEASE, leased_until=1_000)
    cli.call("notifications", "reschedule", "--at", "2031-01-01T00:00:00Z", id_).ok()
    shown = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    assert (shown["status"], shown["state"], shown["lease_id"]) == ("pending", "scheduled", None)
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["unknown"]


def test_reschedule(cli: Cli, database: Database, anna: str) -> None:
    """Both times move; `now` is the database's now; the hour it leaves is counted again."""
    [id_] = seed.pending(database, anna, created_at=5 * HOUR)
    cli.call("notifications", "reschedule", id_, "--at", "2031-01-01T00:00:00Z").ok()
    row = seed.notification(database, id_)
    assert row.send_at == row.due_at == 1_924_992_000_000
    assert dirty(database) == {5 * HOUR}
    before = now(database)
    cli.call("notifications", "reschedule", id_, "--at", "now").ok()
    row = seed.notification(database, id_)
    assert before <= row.send_at == row.due_at <= now(database)
    assert dirty(database) == {5 * HOUR}
    assert audited(database, "reschedule") == {id_}


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00Z", "2031-01-01T00:00:00", "soon", ""])
def test_reschedule_to_nowhere(cli: Cli, database: Database, anna: str, at: str) -> None:
    """Past, without a zone, malformed: exit 2, nothing changed."""
    [id_] = seed.pending(database, anna)
    assert cli.call("notifications", "reschedule", id_, "--at", at).exit_code == 2
    assert cli.call("notifications", "reschedule", id_).exit_code == 2
    assert seed.notification(database, id_).send_at is None


def test_not_beyond_its_end(cli: Cli, database: Database, anna: str) -> None:
    """Moved past its expiry it would silently be cancelled instead of sent."""
    [id_] = seed.pending(database, anna, expires_at=1_924_991_999_999)
    result = cli.call("notifications", "reschedule", id_, "--at", "2031-01-01T00:00:00Z")
    assert result.exit_code == 5
    assert "expires 2030-12-31T23:59:59Z" in result.stderr
    assert seed.notification(database, id_).send_at is None


def test_show_reads_ids(cli: Cli, database: Database, anna: str) -> None:
    """`-` reads them: one command's -o id is shown whole by the next, as an array, be it one; nothing is nothing."""
    ids_ = seed.pending(database, anna, count=2)
    shown = cli.call("notifications", "show", "-", "-o", "json", input="\n".join(ids_)).ok().json()
    assert [row["id"] for row in shown] == ids_
    [row] = cli.call("notifications", "show", "-", "-o", "json", input=ids_[0][:8]).ok().json()
    assert row["id"] == ids_[0]
    assert cli.call("notifications", "show", "-", "-o", "json", input="").ok().json() == []
    assert cli.call("notifications", "show", "-", input="ffffffff-0000").exit_code == 3
    assert cli.call("notifications", "show", "-", ids_[0], input=ids_[1]).exit_code == 2
    dead = letters.dead(database, anna, count=2)
    shown = cli.call("dlq", "show", "-", "-o", "json", input="\n".join(dead)).ok().json()
    assert [row["notification_id"] for row in shown] == dead


def test_what_they_say_is_found(cli: Cli, database: Database, anna: str) -> None:
    """A text in any field, whatever its case, with what JSON escapes; the names of fields are no content."""
    said = {
        "quoted": 'He said "10 % off"\nto\\me',
        "german": "Grüße aus KÖLN",
        "plain": "the text of the Body",
    }
    made = {
        name: seed.pending(
            database, anna, payload=json.dumps({"v": 1, "subject": "s", "text": text}, ensure_ascii=False)
        )[0]
        for name, text in said.items()
    }
    [ascii_] = seed.pending(database, anna, payload=json.dumps({"text": "Grüße"}))
    for text, found in {
        'said "10 % off"\nto\\me': {made["quoted"]},
        "10 _ off": set(),
        "HE SAID": {made["quoted"]},
        "Grüße": {made["german"], ascii_},
        "KÖLN": {made["german"]},
        "text": {made["plain"]},
        "TEXT": {made["plain"]},
        "subject": set(),
        "body": {made["plain"]},
    }.items():
        listed = cli.call("notifications", "list", "--contains", text, "--user", "anna", "-o", "id").ok()
        assert set(listed.stdout.split()) == found, text
    acted = cli.call(
        "notifications", "cancel", "--contains", "köln".upper(), "--status", "pending", "--expect", "1"
    ).ok()
    assert acted.stderr == "1 cancelled\n"


@pytest.mark.parametrize(
    "option", [("--contains", "x@example.org"), ("--address", "x@example.org"), ("--outcome", "unknown")]
)
def test_what_is_in_no_index_is_bounded(cli: Cli, database: Database, anna: str, option: tuple[str, str]) -> None:
    """Alone it would read everything that was ever sent: exit 2, and the hint says how to bound it."""
    seed.pending(database, anna)
    for words in (("list",), ("cancel", "--yes")):
        refused = cli.call("notifications", *words, *option)
        assert (refused.exit_code, refused.stdout, "--since" in refused.stderr) == (2, "", True)
    for bound in (("--since", "7d"), ("--until", "1h"), ("--user", "anna"), ("--status", "sent")):
        cli.call("notifications", "list", *option, *bound).ok()


# Taking a cancellation back


def test_restore(cli: Cli, database: Database, anna: str) -> None:
    """What an operator cancelled is pending again for the moment it was for, with its attempts; it is audited."""
    past = '[{"attempt":1,"outcome":"transient"}]'
    rows = seed.pending(database, anna, count=2, send_at=LATER, due_at=LATER, attempt_count=1, retry_history=past)
    first = [seed.notification(database, id_) for id_ in rows]
    cli.call("notifications", "cancel", *rows).ok()
    done = cli.call("notifications", "restore", *rows, "-o", "json").ok()
    assert [(row["id"], row["result"]) for row in done.json()] == [(id_, "restored") for id_ in rows]
    assert done.stderr == "2 restored\n"
    assert [seed.notification(database, id_) for id_ in rows] == first
    assert audited(database, "restore") == set(rows)
    again = cli.call("notifications", "restore", rows[0])
    assert (again.exit_code, "is pending" in again.stderr) == (5, True)


def test_what_was_not_an_operators_is_not_restored(cli: Cli, database: Database, anna: str) -> None:
    """Policy's cancellations stand, and what has expired since would only be cancelled once more."""
    policy = letters.ended(database, anna, "cancelled", error_message="expired", due_at=LATER)
    late = letters.ended(database, anna, "cancelled", error_message=BY_OPERATOR, due_at=LATER, expires_at=5_000)
    sent = letters.ended(database, anna, "sent")
    for id_ in (policy, late, sent):
        assert cli.call("notifications", "restore", id_, "--yes").exit_code == 5
    assert cli.call("notifications", "restore", "--all", "--yes", "-o", "json").exit_code == 5  # the one that is late
    assert [seed.notification(database, id_).status for id_ in (policy, late, sent)] == ["cancelled"] * 2 + ["sent"]


def test_restoring_for_a_moment_that_is_past_asks(cli: Cli, database: Database, anna: str) -> None:
    """It would go out at once, perhaps hours late: one id is asked about as well. What perhaps went out says so."""
    [id_] = seed.pending(database, anna)
    [lost] = seed.pending(database, anna, lease_id="1" * 36, leased_by="2" * 36, leased_until=2_000, attempt_count=1)
    cli.call("notifications", "cancel", id_, lost).ok()
    for one, words in ((id_, "the time of 1 of them is past"), (lost, "may arrive twice")):
        asked = cli.call("notifications", "restore", one)
        assert (asked.exit_code, asked.stdout, words in asked.stderr) == (2, "", True)
        assert seed.notification(database, one).status == "cancelled"
    assert cli.type("notifications", "restore", id_, keys="n\n").exit_code == 2
    assert cli.type("notifications", "restore", id_, keys="y\n").exit_code == 0
    done = cli.call("notifications", "restore", lost, "--expect", "1").ok()
    assert "1 of them may have been sent before: they may arrive twice" in done.stderr
    assert [seed.notification(database, each).status for each in (id_, lost)] == ["pending"] * 2


@pytest.mark.parametrize("agreed", [("--expect", "2"), ("--yes",)])
@pytest.mark.parametrize("named", [True, False])
def test_who_agrees_beforehand_is_warned_as_well(
    cli: Cli, database: Database, anna: str, agreed: tuple[str, ...], named: bool
) -> None:
    """A time that is past is told once and with the count, also where nobody is asked."""
    ids = seed.pending(database, anna, count=2)
    cli.call("notifications", "cancel", *ids).ok()
    done = cli.call("notifications", "restore", *(ids if named else ("--all",)), *agreed).ok()
    assert done.stderr == "warning: the time of 2 of them is past: due at once\n2 restored\n"


# Sending again


@pytest.mark.parametrize("expires", [True, False])
def test_resend_for_later(cli: Cli, database: Database, anna: str, expires: bool) -> None:
    """The copy waits for its moment, and lives as long after it as the first did after its own."""
    id_ = letters.ended(database, anna, "sent", send_at=HOUR, expires_at=HOUR + 5_000 if expires else None)
    resend = ("notifications", "resend", id_, "-o", "id")
    timed = cli.call(*resend, "--at", "2100-01-01T00:00:00Z").ok().stdout.strip()
    copy = seed.notification(database, timed)
    assert (copy.send_at, copy.due_at, copy.resent_from) == (LATER, LATER, id_)
    assert copy.expires_at == (LATER + 5_000 if expires else None)
    delayed = seed.notification(database, cli.call(*resend, "--in", "90m").ok().stdout.strip())
    assert delayed.send_at == delayed.due_at == delayed.created_at + 5_400_000
    for wrong in (("--at", "2001-01-01T00:00:00Z"), ("--at", "now"), ("--at", "2100-01-01T00:00:00Z", "--in", "1h")):
        assert cli.call(*resend, *wrong).exit_code == 2


def test_resend(cli: Cli, database: Database, anna: str) -> None:
    """A copy with the same content, linked, due now, with a key of its own; the first stays as it is."""
    id_ = letters.ended(
        database, anna, "sent", send_at=HOUR, expires_at=HOUR + 5_000, max_retries=2, attempt_count=3, sent_at=HOUR + 9
    )
    first = seed.notification(database, id_)
    said = cli.call("notifications", "resend", id_, "-o", "json").ok().json()
    copy = seed.notification(database, said[0]["new_id"])
    assert (said[0]["id"], said[0]["result"]) == (id_, "resent")
    assert (copy.resent_from, copy.payload, copy.provider, copy.user_id) == (id_, first.payload, "sendgrid", anna)
    assert (copy.status, copy.attempt_count, copy.max_retries, copy.send_at) == ("pending", 0, 2, None)
    assert copy.due_at == copy.created_at > first.created_at
    assert copy.expires_at == copy.created_at + 5_000
    assert copy.content_hash == first.content_hash and copy.idempotency_key != first.idempotency_key
    assert seed.notification(database, id_) == first
    assert audited(database, "resend") == {copy.id}


def test_resend_prints_the_copies(cli: Cli, database: Database, anna: str) -> None:
    """With -o id they pipe into the next command; every call makes new ones."""
    ids = [letters.ended(database, anna, "sent"), letters.ended(database, anna, "cancelled")]
    copies = cli.call("notifications", "resend", *ids, "-o", "id").ok().stdout.split()
    assert len(copies) == 2 and not set(copies) & set(ids)
    shown = cli.call("notifications", "show", *copies, "-o", "json").ok().json()
    assert [row["resent_from"] for row in shown] == ids
    assert cli.call("notifications", "resend", ids[0], "-o", "id").ok().stdout.strip() not in copies


def test_resend_of_what_is_not_done(cli: Cli, database: Database, anna: str) -> None:
    """While the first is pending a copy would be a duplicate: exit 5. Nor through a provider that is off."""
    [id_] = seed.pending(database, anna)
    result = cli.call("notifications", "resend", id_)
    assert (result.exit_code, "still pending" in result.stderr) == (5, True)
    gone = letters.ended(database, anna, "sent", "twilio")
    result = cli.call("notifications", "resend", gone)
    assert result.exit_code == 5
    assert "twilio" in result.stderr and "send --provider" in result.stderr
    assert len(cli.call("notifications", "list", "-o", "id").ok().stdout.split()) == 2
