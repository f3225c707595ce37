"""`send -f --dry-run` says what becomes of the rows: the same file, sent and dispatched, comes to those numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.services import ahead, importing
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.lines import InLine, LinePart, due_before
from notifyctl.store.schema.tables import notifications
from tests.support import midday, quiet
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
    desk.call("prefs", "set", "anna", "email", "--cap", "2", "--timezone", midday.zone()).ok()
    desk.call("limits", "set", "omar", "--per-minute", "1").ok()
    said = estimated(desk, rows(*("anna", "omar") * 3, "anna"))
    assert (said["accepted"], said["deferred"]) == (7, {"cap": 2, "limit": 2})
    assert became(database) == {"sent": 3, "cap": 2, "limit": 2}


def test_what_is_over_a_cap_is_cancelled_where_policy_says_so(desk: Cli, database: Database) -> None:
    """It is counted among what is suppressed then."""
    (desk.home / "policy.toml").write_text('profile = "p"\n[profiles.p.policy]\non_cap = "cancel"\n')
    desk.env["NOTIFYCTL_CONFIG"] = str(desk.home / "policy.toml")
    desk.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    said = estimated(desk, rows("anna", "anna", "omar", "anna"))
    assert said["suppressed"] == {"the user's cap of … a day is reached": 2}
    assert became(database) == {"sent": 2, "cancelled": 2}


def test_critical_ones_are_over_no_cap(desk: Cli, database: Database) -> None:
    """They count, and are not stopped."""
    desk.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
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


@pytest.mark.parametrize("rule", ["cap", "limit"])
def test_what_waits_before_the_rows_uses_up_a_cap_and_a_limit(desk: Cli, database: Database, rule: str) -> None:
    """As it does before one that is sent: but nothing that cannot go out, or is later, or is another channel's cap."""
    desk.call("users", "contacts", "add", "anna", "sms", "+14155552671").ok()
    for mail in (("anna",), ("anna", "--in", "2d"), ("anna", "--to", "bob@example.org"), ("omar",)):
        desk.call("send", *mail, "--channel", "email", "--subject", "before", "--body", "b").ok()
    desk.call("suppressions", "add", "email", "bob@example.org", "--reason", "asked").ok()
    options = ("email", "--cap", "2", "--timezone", "UTC") if rule == "cap" else ("--per-minute", "2")
    desk.call("prefs" if rule == "cap" else "limits", "set", "anna", *options).ok()
    said = estimated(desk, rows("anna", "omar", "anna", "anna"))
    assert (said["accepted"], said["suppressed"], said["deferred"]) == (4, {}, {rule: 2})
    # Of the four that went before one is for later, one was cancelled.
    assert became(database) == {"sent": 4, rule: 2, "pending": 1, "cancelled": 1}


def test_critical_rows_stand_behind_critical_ones_alone(desk: Cli, database: Database) -> None:
    """They go before all others that wait, by a limit, too."""
    desk.call("limits", "set", "anna", "--per-minute", "2").ok()
    for more in ((), ("--critical",)):
        desk.call("send", "anna", "--channel", "email", "--subject", "before", "--body", "b", *more).ok()
    said = estimated(desk, rows("anna", extra=",true"))
    assert said["deferred"] == {}
    assert became(database) == {"sent": 2, "limit": 1}


def test_a_line_is_looked_at_as_it_was_before_the_file(
    desk: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file itself submitted by then does not count twice, though each row is looked at when others are in."""
    for module, name, value in ((importing, "PORTION", 1), (importing, "CHUNK_CHARS", 1), (ahead, "_KNOWN_MS", 0)):
        monkeypatch.setattr(module, name, value)
    desk.call("prefs", "set", "anna", "email", "--cap", "5", "--timezone", "UTC").ok()
    desk.call("send", "anna", "--channel", "email", "--subject", "before", "--body", "b").ok()
    said = estimated(desk, rows(*["anna"] * 6))
    assert said["deferred"] == {"cap": 2}
    assert became(database) == {"sent": 5, "cap": 2}


def test_lines_are_looked_at_together_and_only_of_who_has_a_rule(
    desk: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look for all the people of a portion, and none for who has neither cap nor limit."""
    looks: list[int] = []

    def looking(tx: Tx, asked: Sequence[LinePart], until: int | None = None) -> list[tuple[int, InLine]]:
        looks.append(len(asked))
        return due_before(tx, asked, until)

    monkeypatch.setattr(ahead, "due_before", looking)
    (desk.home / "rows.csv").write_text(rows(*("anna", "omar") * 20))
    send = ("send", "-f", "rows.csv", "--dry-run", "-o", "json")
    desk.call("prefs", "set", "omar", "email", "--quiet", "22:00-07:00", "--timezone", "UTC").ok()
    desk.call(*send).ok()
    assert looks == []
    for name in ("anna", "omar"):
        desk.call("limits", "set", name, "--per-minute", "30").ok()
    desk.call(*send).ok()
    assert looks == [2]
