"""Acting on many: ids, stdin, filters, and how a person or a script agrees."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import select

from notifyctl.core.model import Channel
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.services import dlq, notifications
from notifyctl.services.bulk import Acted
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notification_dlq
from notifyctl.store.schema.tables import notifications as notifications_
from tests.support import letters, seed
from tests.support.command import Cli, Result

CANCEL = ("notifications", "cancel")
LATER = 4_102_444_800_000
NOWHERE = "00000000-0000-4000-8000-000000000000"
ACTS = (
    CANCEL,
    ("notifications", "reschedule", "--at", "now"),
    ("notifications", "resend"),
    ("notifications", "restore"),
    ("dlq", "retry"),
    ("dlq", "resolve", "--by", "anna"),
    ("dlq", "reopen"),
)


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider."""
    seed.provider(database, "sendgrid")
    return seed.user(database)


def left(database: Database, ids: list[str]) -> list[str]:
    """Return those that are still pending."""
    return [id_ for id_ in ids if seed.notification(database, id_).status == "pending"]


def everything(database: Database) -> list[object]:
    """Return what is stored that an act on many could change."""
    with database.read() as tx:
        return [
            tx.execute(select(table).order_by(table.c.id)).all()
            for table in (notifications_, notification_dlq, audit_logs)
        ]


def results(result: Result) -> dict[str, str]:
    """Return the result of each id in `-o json`."""
    return {row["id"]: row["result"] for row in result.json()}


@pytest.mark.parametrize("act", ACTS, ids=lambda act: " ".join(act[:2]))
def test_every_act_wants_to_know_what(cli: Cli, anna: str, act: tuple[str, ...]) -> None:
    """Ids and a filter, neither, --all and a filter, - and an id: exit 2 each, for every act on many."""
    for args in ((), (NOWHERE, "--user", "anna"), (NOWHERE, "--all"), ("--all", "--user", "anna"), ("-", NOWHERE)):
        result = cli.call(*act, *args)
        assert (result.exit_code, result.stdout) == (2, ""), args
        assert "hint: " in result.stderr, args


@pytest.mark.parametrize("act", ACTS, ids=lambda act: " ".join(act[:2]))
def test_nothing_to_do_is_no_failure(cli: Cli, anna: str, act: tuple[str, ...]) -> None:
    """An empty stdin and a filter that catches nothing: exit 0, so that pipes and cron stay calm."""
    assert cli.call(*act, "-", "-o", "json", input="\n").ok().json() == []
    assert cli.call(*act, "--all", "-o", "json").ok().json() == []
    assert cli.call(*act, "--user", "anna", "--expect", "0", "-o", "id").ok().stdout == ""
    assert cli.call(*act, "--user", "nobody", "--yes").exit_code == 3


@pytest.mark.parametrize("act", ACTS, ids=lambda act: " ".join(act[:2]))
def test_a_filter_of_nothing_is_not_everything(cli: Cli, database: Database, anna: str, act: tuple[str, ...]) -> None:
    """As where a script's variable is empty: nothing is done, whichever filter it is."""
    seed.pending(database, anna, count=2)
    letters.ended(database, anna, "sent")
    letters.dead(database, anna, count=2)
    for option in ("error", "provider", "user", "template", "batch", "category", "contains", "address", "provider-id"):
        done = cli.call(*act, f"--{option}", "", "--yes")
        matched_nothing = "nothing matches" in done.stderr and done.exit_code == 0
        assert matched_nothing or done.exit_code in (2, 3), (option, done)
    with database.read() as tx:
        assert tx.execute(select(audit_logs.c.id)).all() == []


@pytest.mark.parametrize("act", ACTS, ids=lambda act: " ".join(act[:2]))
def test_unknown_ids(cli: Cli, anna: str, act: tuple[str, ...]) -> None:
    """Exit 3, the failure's own code, and a line that names the id."""
    result = cli.call(*act, NOWHERE, "-o", "json")
    assert result.exit_code == 3
    [row] = result.json()
    assert (row["id"], row["result"], row["code"]) == (NOWHERE, "failed", "not_found")
    assert json.loads(result.stderr)["error"]["code"] == "not_found"


def test_ids_act_at_once(cli: Cli, database: Database, anna: str) -> None:
    """Whoever names ten of them is not asked; one line for each, in that order, duplicates once."""
    ids = seed.pending(database, anna, count=10)
    done = cli.call(*CANCEL, *ids, ids[0][:13], "-o", "ndjson").ok()
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ids
    assert left(database, ids) == []


def test_ids_on_stdin(cli: Cli, database: Database, anna: str) -> None:
    """One command's `-o id` is the next one's stdin."""
    ids = seed.pending(database, anna, count=3)
    listed = cli.call("notifications", "list", "-o", "id").ok().stdout
    asked = cli.call(*CANCEL, "-", input=listed)
    assert (asked.exit_code, asked.stdout, left(database, ids)) == (2, "", ids)
    assert "cancel 3 notifications of 1 person" in asked.stderr
    assert "--yes, or --expect 3" in asked.stderr
    assert cli.call(*CANCEL, "-", "--expect", "2", input=listed).exit_code == 5
    done = cli.call(*CANCEL, "-", "--expect", "3", "-o", "id", input=listed).ok()
    assert set(done.stdout.split()) == set(ids)
    assert left(database, ids) == []


def test_more_than_ten_ids_are_agreed_to(cli: Cli, database: Database, anna: str) -> None:
    """Eleven on the command line were put there by a program: they are shown and agreed to, as a filter's are."""
    ids = seed.pending(database, anna, count=11)
    result = cli.call(*CANCEL, *ids)
    assert (result.exit_code, result.stdout, left(database, ids)) == (2, "", ids)
    assert "cancel 11 notifications of 1 person" in result.stderr
    assert cli.type(*CANCEL, *ids, keys="n\n").exit_code == 2
    assert left(database, ids) == ids
    cli.call(*CANCEL, *ids, "--yes").ok()
    assert left(database, ids) == []


def test_some_failed(cli: Cli, database: Database, anna: str) -> None:
    """Exit 6; each has its line; -o id prints only those that were done."""
    ids = seed.pending(database, anna, count=2)
    sent = letters.ended(database, anna, "sent")
    result = cli.call(*CANCEL, ids[0], sent, NOWHERE, "-o", "json")
    assert result.exit_code == 6
    assert results(result) == {ids[0]: "cancelled", sent: "failed", NOWHERE: "failed"}
    assert "1 of 3" in json.loads(result.stderr)["error"]["message"]
    mixed = cli.call(*CANCEL, ids[1], sent, "-o", "id")
    assert (mixed.exit_code, mixed.stdout) == (6, f"{ids[1]}\n")
    assert cli.call(*CANCEL, sent, ids[0]).exit_code == 5
    assert cli.call(*CANCEL, sent, NOWHERE).exit_code == 6


def test_an_ambiguous_id_stops_everything(cli: Cli, database: Database, anna: str) -> None:
    """It is not known what was meant: exit 2 with the candidates, nothing done to the others either."""
    one, two = (f"abcdef12-0000-4000-8000-00000000000{digit}" for digit in "12")
    for id_ in (one, two):
        seed.pending(database, anna, id=id_)
    [other] = seed.pending(database, anna)
    result = cli.call(*CANCEL, other, "abcdef12")
    assert result.exit_code == 2
    assert one in result.stderr and two in result.stderr
    assert left(database, [one, two, other]) == [one, two, other]
    assert cli.call(*CANCEL, other, other[:5]).exit_code == 2
    assert left(database, [other]) == [other]


# Filters


def test_a_script_agrees_with_yes(cli: Cli, database: Database, anna: str) -> None:
    """Without --yes nobody agrees: exit 2, the catch is shown, nothing done. With it, one line on stderr."""
    ids = seed.pending(database, anna, count=3)
    result = cli.call(*CANCEL, "--user", "anna")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cancel 3 notifications of 1 person" in result.stderr
    assert "--yes, or --expect 3" in result.stderr.splitlines()[-1]
    assert left(database, ids) == ids
    done = cli.call(*CANCEL, "--user", "anna", "--yes", "-o", "json").ok()
    assert set(results(done)) == set(ids)
    assert done.stderr == "3 cancelled\n"


def test_what_is_shown(cli: Cli, database: Database, anna: str) -> None:
    """Count, people, the split by channel, provider and reason, oldest, newest and three samples."""
    omar = seed.user(database, "omar")
    letters.dead(database, anna, count=5, at=1_000_000_000_000)
    letters.dead(database, omar, "twilio", reason="invalid_recipient", at=1_100_000_000_000)
    lines = cli.call("dlq", "retry", "--all").stderr.splitlines()
    assert lines[0] == "retry 6 notifications of 2 people"
    shown = [" ".join(line.split()) for line in lines]
    assert "channel email 5, sms 1" in shown
    assert "provider sendgrid 5, twilio 1" in shown
    assert "reason retries_exhausted 5, invalid_recipient 1" in shown
    assert "oldest 2001-09-09 01:46:40" in shown
    assert "newest 2004-11-09 11:33:20" in shown
    assert len([line for line in shown if line.startswith("such as ")]) == 3


@pytest.mark.parametrize("expected", [2, 4, 0])
def test_expect(cli: Cli, database: Database, anna: str, expected: int) -> None:
    """Another count than the script thought: exit 5, nothing done; the right one is the agreement."""
    ids = seed.pending(database, anna, count=3)
    assert cli.call(*CANCEL, "--all", "--yes", "--expect", str(expected)).exit_code == 5
    assert cli.call(*CANCEL, *ids, "--expect", str(expected)).exit_code == 5
    assert left(database, ids) == ids
    cli.call(*CANCEL, "--all", "--expect", "3").ok()
    assert left(database, ids) == []


@pytest.mark.parametrize(
    ("count", "keys", "exit_code"), [(2, "y\n", 0), (2, "n\n", 2), (2, "\n", 2), (101, "y\n", 2), (101, "101\n", 0)]
)
def test_at_a_terminal(cli: Cli, database: Database, anna: str, count: int, keys: str, exit_code: int) -> None:
    """A person says y; of more than 100 the count is typed, because y comes too easily."""
    ids = seed.pending(database, anna, count=count)
    result = cli.type(*CANCEL, "--all", keys=keys)
    assert result.exit_code == exit_code, result
    assert f"Cancel {count} notifications?" in result.stderr
    assert len(left(database, ids)) == (0 if exit_code == 0 else count)


def test_a_protected_profile(cli: Cli, database: Database, anna: str) -> None:
    """--yes and --expect are not enough there: its own name is; ten ids that are named need neither, stdin's do."""
    (cli.home / "config.toml").write_text('profile = "prod"\n[profiles.prod]\nprotected = true\n')
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "config.toml")
    ids = seed.pending(database, anna, count=2)
    listed = "\n".join(ids)
    agreements = (("--yes",), (), ("--confirm", "staging"), ("--expect", "2"), ("--expect", "2", "--yes"))
    for args in agreements:
        assert cli.call(*CANCEL, "--all", *args).exit_code == 2
        assert cli.call(*CANCEL, "-", *args, input=listed).exit_code == 2
    agreed = ("--confirm", "prod", "--reason", "sent twice")
    assert cli.call(*CANCEL, "-", *agreed, "--expect", "3", input=listed).exit_code == 5
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "json").ok().json()
    assert cli.call("keys", "revoke", "-", input=key["key"]).exit_code == 2
    assert cli.call("keys", "show", key["id"], "-o", "json").ok().json()["state"] == "active"
    assert cli.call("keys", "revoke", "-", "--confirm", "prod", input=key["key"]).exit_code == 2
    cli.call("keys", "revoke", "-", *agreed, input=key["key"]).ok()
    assert left(database, ids) == ids
    cli.call(*CANCEL, ids[0]).ok()
    cli.call(*CANCEL, "-", *agreed, "--expect", "1", input=ids[1]).ok()
    assert left(database, ids) == []


def test_acts_on_many_of_a_protected_profile_say_why(cli: Cli, database: Database, anna: str) -> None:
    """Without a reason nothing is done; it is in each row of the trail, without the addresses that are in it.

    Where a filter is called --reason, the other name is the reason's.
    """
    (cli.home / "config.toml").write_text('profile = "prod"\n[profiles.prod]\nprotected = true\n')
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "config.toml")
    ids = seed.pending(database, anna, count=2)
    refused = cli.call(*CANCEL, "--all", "--confirm", "prod")
    assert (refused.exit_code, "--reason" in refused.stderr, left(database, ids)) == (2, True, ids)
    for empty in ("", "  ", "\n"):
        assert cli.call(*CANCEL, "--all", "--confirm", "prod", "--reason", empty).exit_code == 2
    cli.call(*CANCEL, "--all", "--confirm", "prod", "--reason", "asked by\nanna@example.org").ok()
    with database.read() as tx:
        assert tx.execute(select(audit_logs.c.reason)).scalars().all() == ["asked by a***@example.org"] * 2
    letters.dead(database, anna)
    words = ("dlq", "retry", "--reason", "retries_exhausted", "--confirm", "prod")
    assert cli.call(*words).exit_code == 2
    cli.call(*words, "--audit-reason", "the provider is back").ok()
    with database.read() as tx:
        assert tx.execute(select(audit_logs.c.reason).where(audit_logs.c.action == "retry")).scalars().all() == [
            "the provider is back"
        ]


def test_what_hits_many_by_itself_says_why_there_as_well(cli: Cli, database: Database, anna: str) -> None:
    """Neither ids nor a filter: all addresses, what an encryption key sealed, a user with all that went there."""
    (cli.home / "config.toml").write_text('profile = "prod"\n[profiles.prod]\nprotected = true\n')
    cli.env["NOTIFYCTL_CONFIG"] = str(cli.home / "config.toml")
    (cli.home / "keys").write_text("".join(f"{kid}:{'QUJD' * 21}QQ==\n" for kid in ("k2", "k1")))
    (cli.home / "keys").chmod(0o600)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(cli.home / "keys")
    seed.webhook(database, anna, name="w", is_active=False)
    (row,) = seed.pending(database, anna)
    letters.ended(database, anna, "sent")
    cli.call("notifications", "cancel", row).ok()
    acts = (
        ("secrets", "encrypt-addresses"),
        ("secrets", "decrypt-addresses"),
        ("secrets", "rotate", "--forget", "k1"),
        ("webhooks", "delete", "w"),
        ("users", "delete", "anna"),
    )
    for act in acts:
        refused = cli.call(*act, "--confirm", "prod")
        assert (refused.exit_code, "--reason" in refused.stderr) == (2, True), (act, refused)
        cli.call(*act, "--confirm", "prod", "--reason", f"why {act[1]}").ok()
    with database.read() as tx:
        said = set(tx.execute(select(audit_logs.c.reason)).scalars())
    assert said >= {f"why {act[1]}" for act in acts}


@pytest.mark.parametrize("act", ACTS, ids=lambda act: " ".join(act[:2]))
def test_a_dry_run_changes_nothing(cli: Cli, database: Database, anna: str, act: tuple[str, ...]) -> None:
    """It needs no agreement and says of each what would become of it, as the act itself would."""
    pending, sent = seed.pending(database, anna)[0], letters.ended(database, anna, "sent")
    cancelled = letters.ended(database, anna, "cancelled", error_message=BY_OPERATOR, due_at=LATER)
    dead, resolved = letters.dead(database, anna, count=2)
    dlq.resolve(database, [resolved], by="anna")
    before = everything(database)
    dry = cli.call(*act, "--all", "--dry-run", "-o", "json").ok()
    assert dry.stderr.splitlines()[-1].endswith("; nothing was done")
    assert {row["result"].rpartition(" ")[0] for row in dry.json()} == {"would be"}
    named = cli.call(*act, pending, sent, cancelled, dead, resolved, "--dry-run", "-o", "json")
    assert everything(database) == before
    assert named.exit_code == 6
    assert results(dry).items() <= results(named).items()
    real = cli.call(*act, pending, sent, cancelled, dead, resolved, "-o", "json")
    done = {id_: f"would be {result}" if result != "failed" else result for id_, result in results(real).items()}
    assert (done, real.exit_code) == (results(named), 6)


def test_what_may_arrive_twice_is_said(cli: Cli, database: Database, anna: str) -> None:
    """A dead letter of unknown outcome was perhaps sent: said with the count before it is agreed to, and when done."""
    unknown = letters.dead(database, anna, count=2, reason="outcome_unknown")
    letters.dead(database, anna)
    asked = cli.call("dlq", "retry", "--all")
    assert (asked.exit_code, "2 of them" in asked.stderr, "may arrive twice" in asked.stderr) == (2, True, True)
    done = cli.call("dlq", "retry", unknown[0]).ok()
    assert "1 of them was perhaps sent: it may arrive twice" in done.stderr
    done = cli.call("dlq", "retry", "--all", "--expect", "2").ok()
    assert "1 of them was perhaps sent: it may arrive twice" in done.stderr
    assert done.stderr.splitlines()[-1] == "2 retried"


def test_a_filter_catches_what_can_be_acted_on(cli: Cli, database: Database, anna: str) -> None:
    """Of a user's notifications only the pending ones are cancelled, only the ended ones sent again."""
    [pending], sent = seed.pending(database, anna), letters.ended(database, anna, "sent")
    resent = cli.call("notifications", "resend", "--user", "anna", "--yes", "--expect", "1", "-o", "json").ok()
    assert set(results(resent)) == {sent}
    cancelled = cli.call(*CANCEL, "--user", "anna", "--yes", "--expect", "2", "-o", "json").ok()
    assert pending in results(cancelled) and sent not in results(cancelled)


def test_in_flight_is_a_failure_even_for_a_filter(cli: Cli, database: Database, anna: str) -> None:
    """It was caught and was not cancelled: exit 6, or 5 when that was all."""
    [busy] = seed.pending(
        database, anna, lease_id="1" * 36, leased_by="2" * 36, leased_until=4_102_444_800_000, attempt_count=1
    )
    assert cli.call(*CANCEL, "--all", "--yes").exit_code == 5
    [free] = seed.pending(database, anna)
    result = cli.call(*CANCEL, "--all", "--yes", "-o", "json")
    assert (result.exit_code, results(result)) == (6, {busy: "failed", free: "cancelled"})


@pytest.mark.parametrize("by_filter", [True, False])
def test_what_changed_meanwhile(database: Database, anna: str, by_filter: bool) -> None:
    """What is no longer as the filter said is skipped and named, what came later is not touched; named it is a failure.

    Between the look and the act lies the person's answer.
    """
    db = database
    ids = seed.pending(db, anna, count=2)
    dead = letters.dead(db, anna, count=2)
    cancel = notifications.select_pending(db, notifications.NotificationQuery(channel=Channel.EMAIL))
    retry = dlq.select(db, dlq.DeadLetterQuery())
    letters.change(db, ids[0], status="sent")
    dlq.resolve(db, dead[:1], by="anna")
    later = [*seed.pending(db, anna), *letters.dead(db, anna)]
    outcomes: list[Callable[[], list[Acted]]] = [
        lambda: notifications.cancel(db, cancel.ids, by_filter=by_filter),
        lambda: dlq.retry(db, retry.ids, by_filter=by_filter).acted,
    ]
    for act, (changed, kept), word in zip(outcomes, (ids, dead), ("cancelled", "retried"), strict=True):
        acted = {each.id: each for each in act()}
        assert set(acted) == {changed, kept}
        assert acted[kept].result == word
        assert acted[changed].result == ("skipped" if by_filter else "failed")
        assert changed in (acted[changed].detail or "")
        assert (acted[changed].error is None) == by_filter
    assert [seed.notification(db, id_).status for id_ in later] == ["pending", "failed"]
