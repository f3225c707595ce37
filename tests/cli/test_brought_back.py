"""`notifications resend`, `dlq retry` and the like warn as `send` does of what rules make of what they bring back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from tests.support import letters, midday, quiet, seed
from tests.support.command import Cli, Result

ME = "11111111-1111-4111-8111-111111111111"
LATER = 4_102_444_800_000
ACTS = ["resend", "reschedule"]


@pytest.fixture
def anna(cli: Cli, database: Database) -> str:
    """A user, with sendgrid configured."""
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    return seed.user(database)


def candidates(database: Database, act: str, user: str, count: int = 1) -> list[str]:
    """Return ids that can be brought back so: of what was sent, or is for later."""
    if act == "resend":
        return [letters.ended(database, user, "sent") for _ in range(count)]
    return seed.pending(database, user, count=count, due_at=LATER, send_at=LATER)


def brought(cli: Cli, act: str, *args: str, at: str | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Bring them back, now or at a time."""
    when = ("--at", at or "now") if at is not None or act == "reschedule" else ()
    return cli.call("notifications", act, *args, *when, "-o", "json", env=env).ok()


def is_quiet(cli: Cli, database: Database) -> str:
    """Let it be quiet for anna now; return until when."""
    hours, ends = quiet.around(database.moment())
    cli.call("prefs", "set", "anna", "email", "--quiet", hours, "--timezone", "UTC").ok()
    return datetime.fromtimestamp(ends / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def claimed(database: Database) -> list[str]:
    asked = ClaimRequest("sendgrid", ME, 100, 65_000)
    return [each.id for each in database.write(lambda tx: claim(tx, asked)).claims]


@pytest.mark.parametrize("act", ACTS)
def test_one_in_quiet_hours_is_said_until_when(cli: Cli, database: Database, anna: str, act: str) -> None:
    """In the words of `send`, on stderr; the rows and the exit code are as ever; a rehearsal says it as well."""
    (id_,) = candidates(database, act, anna)
    until = is_quiet(cli, database)
    words = f"warning: it will be put off until {until}: quiet hours"
    mail = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b")
    assert words in cli.call(*mail).ok().stderr
    assert words in brought(cli, act, id_, "--dry-run").stderr
    done = brought(cli, act, id_)
    assert words in done.stderr
    (row,) = done.json()
    assert set(row) == {"id", "result", "detail", "code"} | ({"new_id"} if act == "resend" else set())
    claimed(database)
    assert seed.notification(database, row.get("new_id", id_)).deferred_by == "quiet_hours"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("rule", ["disabled", "suppressed", "left"])
def test_one_that_is_cancelled_is_said_why(cli: Cli, database: Database, anna: str, act: str, rule: str) -> None:
    """Who has disabled the channel, whose address is suppressed, who left the category."""
    cli.call("categories", "create", "bills").ok()
    later: dict[str, Any] = {"status": "sent"} if act == "resend" else {"due_at": LATER, "send_at": LATER}
    (id_,) = seed.pending(database, anna, category="bills", payload='{"v":1,"subject":"s","text":"t"}', **later)
    words = {
        "disabled": "the user has disabled email",
        "suppressed": "the address is suppressed: asked",
        "left": "the user has left the category bills",
    }[rule]
    if rule == "disabled":
        cli.call("prefs", "set", "anna", "email", "--disable").ok()
    elif rule == "suppressed":
        cli.call("suppressions", "add", "email", "anna@example.org", "--reason", "asked").ok()
    else:
        cli.call("prefs", "opt-out", "anna", "bills").ok()
    assert f"warning: it will be cancelled and not sent: {words}" in brought(cli, act, id_).stderr


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("rule", ["cap", "limit"])
def test_what_is_due_before_uses_up_caps_and_limits(
    cli: Cli, database: Database, anna: str, act: str, rule: str
) -> None:
    """One waits already, and one fits: one for later is not behind it."""
    seed.pending(database, anna, due_at=1)
    first, second = candidates(database, act, anna, 2)
    if rule == "cap":
        cli.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    else:
        cli.call("limits", "set", "anna", "--per-minute", "1").ok()
    later = datetime.fromtimestamp(database.moment() / 1_000 + 86_400 * 3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "warning" not in brought(cli, act, first, at=later).stderr
    said = brought(cli, act, second).stderr
    assert "warning: it will be put off until" in said and f"the user's {rule} of 1" in said


@pytest.mark.parametrize("act", ACTS)
def test_many_are_summed_up_by_reason(cli: Cli, database: Database, anna: str, act: str) -> None:
    """Those of one person before count as well: as `send -f` has it. A rehearsal says what would be."""
    omar, eve = seed.user(database, "omar"), seed.user(database, "eve")
    ids = [each for user, count in ((anna, 3), (omar, 2), (eve, 1)) for each in candidates(database, act, user, count)]
    cli.call("prefs", "set", "anna", "email", "--cap", "2", "--timezone", midday.zone()).ok()
    cli.call("prefs", "set", "omar", "email", "--disable").ok()
    seed.pending(database, anna, due_at=1)
    dry = brought(cli, act, *ids, "--dry-run").stderr
    assert "2 would be put off: cap" in dry
    assert "2 would be cancelled: the user has disabled email" in dry
    assert "warning" not in dry
    chosen = ("--status", "sent") if act == "resend" else ("--state", "scheduled")
    done = brought(cli, act, *chosen, "--yes")
    assert "2 will be put off: cap" in done.stderr
    assert "2 will be cancelled: the user has disabled email" in done.stderr
    taken = claimed(database)
    new = {row.get("new_id") or row["id"] for row in done.json()}
    became = [seed.notification(database, each) for each in new]
    assert len(new & set(taken)) == 2
    assert sorted(row.deferred_by or row.status for row in became if row.id not in taken) == [
        "cancelled", "cancelled", "cap", "cap",
    ]  # fmt: skip


def test_what_is_moved_does_not_stand_before_itself(cli: Cli, database: Database, anna: str) -> None:
    """Two that are due already, and fit: moved to now they are two as before."""
    ids = seed.pending(database, anna, count=2, due_at=1)
    cli.call("prefs", "set", "anna", "email", "--cap", "2", "--timezone", midday.zone()).ok()
    assert "put off" not in brought(cli, "reschedule", *ids).stderr
    assert "put off" not in brought(cli, "reschedule", ids[0]).stderr
    assert set(claimed(database)) == set(ids)


def test_critical_ones_pass_what_they_pass(cli: Cli, database: Database, anna: str) -> None:
    """`reschedule --critical` is what helps against quiet hours: there is nothing to warn of."""
    (id_,) = candidates(database, "reschedule", anna)
    is_quiet(cli, database)
    assert "warning" not in brought(cli, "reschedule", id_, "--critical").stderr


def test_what_counts_already_counts_once(cli: Cli, database: Database, anna: str) -> None:
    """An attempt of today that may have gone out is what the next one repeats: it has its place under the cap."""
    now = database.moment()
    tried: dict[str, Any] = {"attempt_count": 1, "last_attempted": now, "counted_at": now}
    (id_,) = seed.pending(database, anna, due_at=now + 3_600_000, **tried)
    cli.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    assert "warning" not in brought(cli, "reschedule", id_).stderr
    assert claimed(database) == [id_]


@pytest.mark.parametrize("act", ACTS)
def test_what_cannot_be_read_is_brought_back_without_a_word(cli: Cli, database: Database, anna: str, act: str) -> None:
    """Another program's payload, or one for a newer version: nothing can be said of it, and nothing fails."""
    later: dict[str, Any] = {"status": "sent"} if act == "resend" else {"due_at": LATER, "send_at": LATER}
    for payload in ("{", '{"v": 99}', "null"):
        (id_,) = seed.pending(database, anna, payload=payload, **later)
        is_quiet(cli, database)
        assert "warning" not in brought(cli, act, id_).stderr


def test_what_is_restored_is_judged_for_its_time(cli: Cli, database: Database, anna: str) -> None:
    """One whose time is past is due at once; one for later when it is due, which is not in these quiet hours."""
    now, cancelled = database.moment(), {"status": "cancelled", "error_message": BY_OPERATOR}
    until = is_quiet(cli, database)
    (past,) = seed.pending(database, anna, **cancelled)
    half_a_day = now + 43_200_000
    (later,) = seed.pending(database, anna, due_at=half_a_day, send_at=half_a_day, **cancelled)
    words = f"warning: it will be put off until {until}: quiet hours"
    assert words in brought(cli, "restore", past, "--dry-run", "--yes").stderr
    assert words in brought(cli, "restore", past, "--yes").stderr
    assert "put off" not in brought(cli, "restore", later).stderr


def test_what_is_restored_does_not_stand_before_itself(cli: Cli, database: Database, anna: str) -> None:
    """They are due when they were, before others that wait, and each counts once: of five under a cap of four."""
    cancelled = {"status": "cancelled", "error_message": BY_OPERATOR}
    ids = [
        *seed.pending(database, anna, count=3, **cancelled),
        *seed.pending(database, anna, is_critical=True, **cancelled),
    ]
    seed.pending(database, anna, due_at=1)
    cli.call("prefs", "set", "anna", "email", "--cap", "5", "--timezone", "UTC").ok()
    assert "put off" not in brought(cli, "restore", *ids, "--dry-run", "--yes").stderr
    cli.call("prefs", "set", "anna", "email", "--cap", "4", "--timezone", "UTC").ok()
    assert "1 will be put off: cap" in brought(cli, "restore", *ids, "--yes").stderr
    assert len(claimed(database)) == 4


def test_dead_letters_that_are_retried_are_judged_each_for_its_moment(cli: Cli, database: Database, anna: str) -> None:
    """In quiet hours, as any other; of what is said of an address nothing more. With --rate each has its own."""
    first, *others = letters.dead(database, anna, count=3)
    until = is_quiet(cli, database)
    retry = ("dlq", "retry", "--yes")
    assert f"warning: it will be put off until {until}: quiet hours" in cli.call(*retry, first).ok().stderr
    dry = cli.call(*retry, *others, "--rate", "0.1/h", "--dry-run").ok().stderr
    assert "1 would be put off: quiet hours" in dry
    cli.call("suppressions", "add", "email", "anna@example.org", "--reason", "asked").ok()
    assert cli.call(*retry, others[0]).ok().stderr.count("warning: ") == 1


@pytest.mark.parametrize("act", ACTS)
def test_without_the_key_that_addresses_are_found_by_it_goes_all_the_same(
    cli: Cli, database: Database, anna: str, act: str
) -> None:
    """Who may be written to is not known on such a host: nothing is said of it, and the act is none the worse."""
    keys = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k", bytes(64))}
    cli.call("users", "contacts", "add", "anna", "email", "anna@example.org", env=keys).ok()
    cli.call("secrets", "encrypt-addresses", "--yes", env=keys).ok()
    payload = '{"v":1,"subject":"s","text":"t"}'
    later: dict[str, Any] = {"status": "sent"} if act == "resend" else {"due_at": LATER, "send_at": LATER}
    (id_,) = seed.pending(database, anna, payload=payload, **later)
    is_quiet(cli, database)
    assert "warning" not in brought(cli, act, id_).stderr
    (id_,) = seed.pending(database, anna, payload=payload, **later)
    assert "it will be put off" in brought(cli, act, id_, env=keys).stderr
