"""`send -f --dry-run` says what becomes of the rows: the same file, sent and dispatched, comes to those numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import quiet
from tests.support.command import Cli
from tests.support.sandbox import Sandbox
from tests.support.world import KEYS

n = notifications.c


@pytest.fixture
def desk(cli: Cli, sandbox: Sandbox) -> Cli:
    """Two people, and a provider of mails that takes everything."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    base = ("--set", f"base_url={sandbox.url}", "--set", "from=alerts@example.com")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *base, input="SG.sandbox.not-a-real-key\n").ok()
    for name in ("anna", "omar"):
        cli.call("users", "create", name, "--email", f"{name}@example.org").ok()
    return cli


def estimated(cli: Cli, text: str) -> Any:
    """Look at a file, send it and dispatch it; return what was said of it before, which sending it says as well."""
    (cli.home / "rows.csv").write_text(text)
    said = cli.call("send", "-f", "rows.csv", "--dry-run", "-o", "json").ok().json()
    sent = cli.call("send", "-f", "rows.csv", "-o", "json").ok().json()
    assert [sent[each] for each in ("suppressed", "deferred")] == [said[each] for each in ("suppressed", "deferred")]
    cli.call("dispatch", "--once").ok()
    return said


def became(database: Database) -> Counter[str]:
    """What became of all notifications: their state, or the rule that put them off."""
    with database.read() as tx:
        return Counter(row[1] or row[0] for row in tx.execute(select(n.status, n.deferred_by)))


def rows(*of: str, extra: str = "") -> str:
    """A file with a mail for each of these people, all of them different."""
    header = "user,channel,subject,body" + (",critical\n" if extra else "\n")
    return header + "".join(f"{user},email,Hello,{place}{extra}\n" for place, user in enumerate(of))


def test_rows_use_up_a_cap_and_a_limit(desk: Cli, database: Database) -> None:
    """Those of the same person before them count, as they do when they are sent: on a day, and in a minute."""
    desk.call("prefs", "set", "anna", "email", "--cap", "2", "--timezone", "UTC").ok()
    desk.call("limits", "set", "omar", "--per-minute", "1").ok()
    said = estimated(desk, rows(*("anna", "omar") * 3, "anna"))
    assert (said["accepted"], said["deferred"]) == (7, {"cap": 2, "limit": 2})
    assert became(database) == {"sent": 3, "cap": 2, "limit": 2}


def test_what_is_over_a_cap_is_cancelled_where_policy_says_so(desk: Cli, database: Database) -> None:
    """It is counted among what is suppressed then."""
    (desk.home / "policy.toml").write_text('profile = "p"\n[profiles.p.policy]\non_cap = "cancel"\n')
    desk.env["NOTIFYCTL_CONFIG"] = str(desk.home / "policy.toml")
    desk.call("prefs", "set", "anna", "email", "--cap", "1").ok()
    said = estimated(desk, rows("anna", "anna", "omar", "anna"))
    assert said["suppressed"] == {"the user's cap of … a day is reached": 2}
    assert became(database) == {"sent": 2, "cancelled": 2}


def test_critical_ones_are_over_no_cap(desk: Cli, database: Database) -> None:
    """They count, and are not stopped."""
    desk.call("prefs", "set", "anna", "email", "--cap", "1").ok()
    said = estimated(desk, rows("anna", "anna", extra=",true") + "anna,email,Hello,last,\n")
    assert said["deferred"] == {"cap": 1}
    assert became(database) == {"sent": 2, "cap": 1}


def test_who_is_not_written_to_has_no_template_that_fails(desk: Cli, database: Database) -> None:
    """Rules are asked before anything is rendered: it is cancelled, and no dead letter."""
    words = ("--subject", "Hi", "--body", "{{ 1 // (name | length) }}", "--variables", "name", "--by", "anna")
    desk.call("templates", "create", "hi", "--channel", "email", *words).ok()
    desk.call("suppressions", "add", "email", "anna@example.org", "--reason", "asked").ok()
    text = "user,channel,template,var.name,var.other\nanna,email,hi,,x\nomar,email,hi,,x\n"
    said = estimated(desk, text)
    assert said["suppressed"] == {"the address is suppressed": 1}
    assert [key.partition(":")[0] for key in said["dead_letters"]] == ["template_error"]
    assert became(database) == {"cancelled": 1, "failed": 1}


def test_sending_a_file_says_as_well_what_will_not_go_out(desk: Cli, database: Database) -> None:
    """As `send` warns of one: what is stopped or delayed, by reason; of what was there already nothing."""
    for name in ("bob", "carl", "dora"):
        desk.call("users", "create", name, "--email", f"{name}@example.org").ok()
    desk.call("categories", "create", "bills").ok()
    desk.call("prefs", "opt-out", "anna", "bills").ok()
    desk.call("prefs", "set", "bob", "email", "--disable").ok()
    desk.call("suppressions", "add", "email", "carl@example.org", "--reason", "asked").ok()
    hours, _ = quiet.around(database.moment())
    desk.call("prefs", "set", "dora", "email", "--quiet", hours, "--timezone", "UTC").ok()
    (desk.home / "rows.csv").write_text(rows("anna", "bob", "carl", "dora", "omar"))
    both = ("send", "-f", "rows.csv", "--category", "bills", "--batch", "b", "-o", "json")
    dry, done = (desk.call(*both, *more).ok() for more in (("--dry-run",), ()))
    said = done.json()
    assert (said["accepted"], said["deferred"], said["dead_letters"]) == (5, {"quiet hours": 1}, {})
    assert set(said["suppressed"]) == {
        "the user has left the category bills",
        "the user has disabled email",
        "the address is suppressed",
    }
    assert {name: dry.json()[name] for name in said} == {**said, "batch": None}
    assert "1 will be put off: quiet hours" in done.stderr
    assert "1 will be cancelled: the user has disabled email" in done.stderr
    desk.call("dispatch", "--once").ok()
    assert became(database) == {"sent": 1, "quiet_hours": 1, "cancelled": 3}
    again = desk.call(*both).ok().json()
    assert (again["accepted"], again["deduplicated"], again["suppressed"], again["deferred"]) == (0, 5, {}, {})
