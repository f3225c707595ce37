"""`limits` on the command line, on both databases."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notifications, rate_limits, user_limits
from tests.support import seed
from tests.support.command import Cli

LATE = 2**41


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


def _set(cli: Cli, per_minute: str, *args: str) -> Any:
    return cli.call("limits", "set", "anna", "--per-minute", per_minute, *args, "-o", "json").ok().json()


def _show(cli: Cli, *args: str) -> Any:
    rows = cli.call("limits", "show", "anna", *args, "-o", "json").ok().json()
    assert [row["limit_type"] for row in rows] == ["notification", "api"]
    return rows[0]


def _profile(cli: Cli, text: str) -> tuple[str, ...]:
    path = cli.home / "config.toml"
    path.write_text(text)
    return ("--config", str(path))


def _audited(database: Database) -> list[str]:
    with database.read() as tx:
        done = select(audit_logs.c.changes).where(audit_logs.c.resource_type == "limit")
        return list(tx.execute(done.order_by(audit_logs.c.created_at)).scalars())


def test_a_limit_is_set_changed_and_taken_back(cli: Cli, database: Database) -> None:
    """Each change is in the audit trail with what was before; saying it again changes nothing."""
    assert _show(cli)["source"] == "none"
    assert (_set(cli, "10")["per_minute"], _set(cli, "10")["per_minute"]) == (10, 10)
    assert (_show(cli)["per_minute"], _show(cli)["source"]) == (10, "user")
    assert _set(cli, "3")["per_minute"] == 3
    (row,) = cli.call("limits", "list", "-o", "json").ok().json()
    assert (row["username"], row["limit_type"], row["per_minute"]) == ("anna", "notification", 3)
    assert (_set(cli, "none")["per_minute"], _set(cli, "none")["source"]) == (None, "none")
    assert cli.call("limits", "list", "-o", "json").ok().json() == []
    texts = _audited(database)
    assert len(texts) == 3
    assert all(each in "".join(texts) for each in ("[null,10]", "[10,3]", "[3,null]")), texts


def test_the_profile_limits_who_has_no_limit_of_their_own(cli: Cli) -> None:
    """A user's own limit stands above it, also a higher one; taken back, the profile's holds again."""
    given = _profile(cli, "[policy]\nnotification_limit = 60\n")
    assert (_show(cli, *given)["per_minute"], _show(cli, *given)["source"]) == (60, "profile")
    assert _set(cli, "100", *given)["source"] == "user"
    assert _show(cli, *given)["per_minute"] == 100
    back = _set(cli, "none", *given)
    assert (back["per_minute"], back["source"]) == (60, "profile")


def test_what_counts_in_the_minute_is_shown(cli: Cli, database: Database, anna: str) -> None:
    """What went out before that counts no more."""
    with database.read() as tx:
        second = tx.now // 1_000 * 1_000

    def row(start: int, count: int) -> dict[str, Any]:
        kind = {"limit_type": "notification", "request_count": count}
        return {"id": str(uuid.uuid4()), "user_id": anna, "window_start": start, **kind}

    rows = [row(second, 2), row(second - 600_000, 5)]
    database.write(lambda tx: tx.execute(insert(rate_limits), rows))
    assert _show(cli)["used"] == 2


@pytest.mark.parametrize("given", ["0", "-1", "many", "1.5", "", "1000001", "9" * 5_000, "٣", " 3 4"])
def test_what_is_no_limit_is_refused(cli: Cli, database: Database, given: str) -> None:
    """Nothing is written; the error names the option and what would be right."""
    refused = cli.call("limits", "set", "anna", f"--per-minute={given}")
    assert (refused.exit_code, "--per-minute" in refused.stderr, "none" in refused.stderr) == (2, True, True)
    with database.read() as tx:
        assert tx.execute(select(user_limits.c.id)).all() == []


def test_who_is_not_there_has_no_limit(cli: Cli) -> None:
    """An unknown user is exit code 3; another kind of limit is refused with those there are."""
    assert cli.call("limits", "show", "nobody").exit_code == 3
    assert cli.call("limits", "set", "nobody", "--per-minute", "3").exit_code == 3
    refused = cli.call("limits", "set", "anna", "--per-minute", "3", "--type", "sms")
    assert (refused.exit_code, "notification" in refused.stderr) == (2, True)


def test_a_changed_limit_wakes_what_it_put_off_and_nothing_else(cli: Cli, database: Database, anna: str) -> None:
    """Scheduled, retrying and other people's keep their time, on every channel."""
    bob = seed.user(database, "bob")
    woken = [
        *seed.pending(database, anna, due_at=LATE, deferred_by="limit"),
        *seed.pending(database, anna, "twilio", due_at=LATE, deferred_by="limit"),
    ]
    others = [
        *seed.pending(database, anna, due_at=LATE, send_at=LATE),
        *seed.pending(database, anna, due_at=LATE, attempt_count=1),
        *seed.pending(database, bob, due_at=LATE, deferred_by="limit"),
    ]
    assert _set(cli, "3")["woken"] == 2
    assert _set(cli, "3")["woken"] == 0
    n = notifications.c
    with database.read() as tx:
        rows = {row.id: row for row in tx.execute(select(n.id, n.due_at, n.deferred_by))}
        assert {rows[each].due_at <= tx.now for each in woken} == {True}
    assert {rows[each].deferred_by for each in woken} == {None}
    assert {rows[each].due_at for each in others} == {LATE}


def test_what_was_done_is_said(cli: Cli, database: Database, anna: str) -> None:
    """A person reads the new limit and how many notifications it woke."""
    seed.pending(database, anna, count=2, due_at=LATE, deferred_by="limit")
    said = cli.call("limits", "set", "anna", "--per-minute", "5").ok().stderr
    assert "2 deferred notifications are due again" in said


@pytest.mark.parametrize(("kind", "what"), [("api", "calls"), ("notification", "notifications")])
def test_what_is_limited_is_named(cli: Cli, kind: str, what: str) -> None:
    """A limit that cannot be meant is said of what it would have counted."""
    done = cli.call("limits", "set", "anna", "--type", kind, "--per-minute", "0")
    assert done.exit_code == 2 and f"is no number of {what}" in done.stderr
