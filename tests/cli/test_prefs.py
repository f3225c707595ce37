"""`prefs` on the command line, on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import audit_logs, notification_preferences, notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


def _set(cli: Cli, *args: str) -> Any:
    return cli.call("prefs", "set", "anna", "sms", *args, "-o", "json").ok().json()


def test_wishes_are_set_one_by_one_and_taken_back(cli: Cli, database: Database) -> None:
    """What is not given stays as it is; `none` takes a wish back, `clear` all of them."""
    first = _set(cli, "--cap", "3", "--quiet", "22:00-07:00", "--timezone", "Europe/London")
    assert (first["enabled"], first["frequency_cap"], first["quiet_hours"], first["timezone"]) == (
        True, 3, "22:00-07:00", "Europe/London",
    )  # fmt: skip
    second = _set(cli, "--disable", "--quiet", "none")
    assert (second["enabled"], second["frequency_cap"], second["quiet_hours"], second["timezone"]) == (
        False, 3, None, "Europe/London",
    )  # fmt: skip
    assert second["id"] == first["id"]
    shown = {row["channel"]: row for row in cli.call("prefs", "show", "anna", "-o", "json").ok().json()}
    assert (shown["sms"]["enabled"], shown["email"]["enabled"], shown["email"]["id"]) == (False, True, None)
    assert cli.call("prefs", "clear", "anna", "sms", "-o", "json").ok().json()[0]["timezone"] is None
    assert cli.call("prefs", "list", "-o", "json").ok().json() == []
    with database.read() as tx:
        done = select(audit_logs.c.action).where(audit_logs.c.resource_type == "preference")
        assert sorted(tx.execute(done).scalars()) == ["delete", "update", "update"]


def test_saying_it_again_changes_nothing(cli: Cli, database: Database) -> None:
    """CI sets what is set already: no audit row tells of a change."""
    assert _set(cli, "--cap", "3")["id"] == _set(cli, "--cap", "3")["id"]
    with database.read() as tx:
        done = select(audit_logs.c.action).where(audit_logs.c.resource_type == "preference")
        assert tx.execute(done).scalars().all() == ["update"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--timezone", "Europe/Londn"), "did you mean Europe/London"),
        (("--timezone", "localtime"), "there is no time zone"),
        (("--timezone", "Factory"), "there is no time zone"),
        (("--timezone", "right/Europe/London"), "there is no time zone"),
        (("--quiet", "22:00"), "--quiet"),
        (("--quiet", "22:00-22:00"), "begins when it ends"),
        (("--quiet", "00:00-24:00"), "--disable"),
        (("--quiet", "25:00-07:00"), "--quiet"),
        (("--cap", "0"), "--disable sends nothing"),
        (("--cap", "-1"), "--cap"),
        (("--cap", "many"), "--cap"),
        (("--cap", "99999999"), "--cap"),
        (("--cap", "٣"), "--cap"),
        ((), "nothing to change"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Cli, database: Database, given: tuple[str, ...], said: str) -> None:
    """Nothing is written, and the error names the option and what would be right."""
    refused = cli.call("prefs", "set", "anna", "sms", *given)
    assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr
    with database.read() as tx:
        assert tx.execute(select(notification_preferences.c.id)).all() == []


def test_a_zone_that_nobody_set_is_not_utc(cli: Cli, database: Database, anna: str) -> None:
    """The schema's default says UTC of everybody; who lives in UTC is told apart."""
    row = {"id": "00000000-0000-4000-8000-00000000000b", "user_id": anna, "channel": "email"}
    database.write(lambda tx: tx.execute(insert(notification_preferences).values(row)))
    rows = cli.call("prefs", "show", "anna", "-o", "json").ok().json()
    assert rows[0]["timezone"] is None
    assert _set(cli, "--timezone", "UTC")["timezone"] == "Etc/UTC"
    assert _set(cli, "--timezone", "none")["timezone"] is None


def test_midnight_as_an_end_is_kept(cli: Cli) -> None:
    """The column has no 24:00; it is the midnight at which the next day begins."""
    assert _set(cli, "--quiet", "22:00-24:00")["quiet_hours"] == "22:00-00:00"


def test_the_list_is_narrowed(cli: Cli, database: Database) -> None:
    """By user, channel, and whether it is on."""
    seed.user(database, "bob")
    _set(cli, "--disable")
    cli.call("prefs", "set", "bob", "sms", "--cap", "1").ok()
    cli.call("prefs", "set", "bob", "email", "--cap", "1").ok()

    def listed(*args: str) -> set[tuple[str, str]]:
        rows = cli.call("prefs", "list", *args, "-o", "json").ok().json()
        return {(row["username"], row["channel"]) for row in rows}

    assert listed() == {("anna", "sms"), ("bob", "sms"), ("bob", "email")}
    assert listed("--user", "bob") == {("bob", "sms"), ("bob", "email")}
    assert listed("--channel", "sms", "--enabled") == {("bob", "sms")}
    assert listed("--disabled") == {("anna", "sms")}
    assert cli.call("prefs", "list", "--user", "nobody").exit_code == 3


def test_a_category_is_left_and_only_opt_in_brings_back(cli: Cli) -> None:
    """What holds already is no error; `prefs set` and `clear` lift nothing."""
    cli.call("categories", "create", "newsletter", "--kind", "marketing").ok()
    out = cli.call("prefs", "opt-out", "anna", "newsletter", "-o", "json").ok().json()
    assert (out["left"], out["changed"]) == (True, True)
    assert cli.call("prefs", "opt-out", "anna", "newsletter", "-o", "json").ok().json()["changed"] is False
    _set(cli, "--enable")
    cli.call("prefs", "clear", "anna").ok()
    assert cli.call("prefs", "show", "anna", "-o", "json").ok().json()[0]["left_categories"] == ["newsletter"]
    back = cli.call("prefs", "opt-in", "anna", "newsletter", "-o", "json").ok().json()
    assert (back["left"], back["changed"]) == (False, True)
    assert cli.call("prefs", "show", "anna", "-o", "json").ok().json()[0]["left_categories"] == []
    assert cli.call("prefs", "opt-out", "anna", "unknown").exit_code == 3
    assert cli.call("prefs", "opt-in", "anna", "unknown").exit_code == 3


@pytest.mark.parametrize("backend", ["sqlite"])
def test_whom_it_is_about_is_said_on_a_terminal_too(cli: Cli) -> None:
    """Also where nothing was changed."""
    cli.call("categories", "create", "newsletter", "--kind", "marketing").ok()
    assert on_terminal(cli, "prefs", "opt-in", "anna", "newsletter").stdout == "anna had not left it\n"


def test_a_changed_rule_wakes_what_it_put_off_and_nothing_else(cli: Cli, database: Database, anna: str) -> None:
    """Scheduled, retrying, other channels', other people's and running ones keep their time."""
    bob, late = seed.user(database, "bob"), 2**41
    put_off = dict.fromkeys(("sms", "email"), "quiet_hours")
    woken = seed.pending(database, anna, message_type="sms", due_at=late, deferred_by=put_off["sms"], error_message="q")
    others = [
        *seed.pending(database, anna, message_type="sms", due_at=late, send_at=late),
        *seed.pending(database, anna, message_type="sms", due_at=late, attempt_count=1),
        *seed.pending(database, anna, message_type="email", due_at=late, deferred_by=put_off["email"]),
        *seed.pending(database, bob, message_type="sms", due_at=late, deferred_by=put_off["sms"]),
        *seed.pending(database, anna, message_type="sms", due_at=late, deferred_by="sender"),
        *seed.pending(database, anna, message_type="sms", due_at=late, deferred_by="newer_payload"),
        *seed.pending(
            database, anna, message_type="sms", due_at=late, deferred_by="cap", lease_id=woken[0], leased_until=late
        ),
    ]
    assert _set(cli, "--cap", "3")["woken"] == 1
    n = notifications.c
    with database.read() as tx:
        rows = {row.id: row for row in tx.execute(select(n.id, n.due_at, n.deferred_by, n.error_message))}
        assert rows[woken[0]].due_at <= tx.now
    assert (rows[woken[0]].deferred_by, rows[woken[0]].error_message) == (None, None)
    assert {rows[each].due_at for each in others} == {late}
    listed = cli.call("notifications", "list", "--state", "deferred", "-o", "json").ok().json()
    assert {row["id"] for row in listed} == {*others[2:6]}


def test_who_leaves_a_category_or_comes_back_wakes_what_is_of_it(cli: Cli, database: Database, anna: str) -> None:
    """On every channel, in the same transaction; what is of other categories, or other people's, keeps its time."""
    bob, late = seed.user(database, "bob"), 2**41
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    cap = {"due_at": late, "deferred_by": "cap", "error_message": "the cap is reached"}
    theirs = [
        *seed.pending(database, anna, category="news", **cap),
        *seed.pending(database, anna, "twilio", category="news", **cap),
    ]
    others = [
        *seed.pending(database, anna, **cap),
        *seed.pending(database, anna, category="offers", **cap),
        *seed.pending(database, bob, category="news", **cap),
        *seed.pending(database, anna, category="news", due_at=late, send_at=late),
        *seed.pending(database, anna, category="news", due_at=late, attempt_count=1),
        *seed.pending(database, anna, category="news", due_at=late, deferred_by="sender"),
    ]
    out = cli.call("prefs", "opt-out", "anna", "news", "-o", "json").ok()
    assert (out.json()["woken"], out.stderr) == (2, "2 deferred notifications are due again\n")
    with database.read() as tx:
        assert all(seed.notification(database, each).due_at <= tx.now for each in theirs)
    assert {seed.notification(database, each).due_at for each in others} == {late}
    assert cli.call("prefs", "opt-out", "anna", "news", "-o", "json").ok().json()["woken"] == 0
    again = seed.pending(database, anna, category="news", **cap)
    assert cli.call("prefs", "opt-in", "anna", "news", "-o", "json").ok().json()["woken"] == 1
    assert seed.notification(database, again[0]).due_at < late
    assert cli.call("prefs", "opt-in", "anna", "news", "-o", "json").ok().json()["woken"] == 0


def test_quiet_hours_that_another_program_stored_stop_nobody(
    cli: Cli, database: Database, anna: str, backend: str
) -> None:
    """24:00 is a time of PostgreSQL's, and means midnight; SQLite keeps whatever text it is given."""
    _set(cli, "--quiet", "01:00-02:00", "--timezone", "Europe/London")
    seed.provider(database, "twilio", config_json=json.dumps({"from": "+15005550006"}))
    cli.call("users", "contacts", "add", "anna", "sms", "+447700900123").ok()
    supposed = ("notifications", "explain", "--user", "anna", "--channel", "sms", "-o", "json")

    def stored(start: str, end: str) -> None:
        hours = {"begin": start, "until": end}
        to = text("UPDATE notification_preferences SET quiet_hours_start = :begin, quiet_hours_end = :until")
        if backend == "postgresql":
            to = text(str(to).replace(":begin", "CAST(:begin AS TIME)").replace(":until", "CAST(:until AS TIME)"))
        database.write(lambda tx: tx.execute(to, hours))

    stored("22:00", "24:00")
    assert [each["quiet_hours"] for each in cli.call("prefs", "list", "-o", "json").ok().json()] == ["22:00-00:00"]
    at_night = cli.call(*supposed, "--at", "2030-01-01T23:00:00Z").ok().json()
    assert (at_night["verdict"], at_night["until"]) == ("defer", "2030-01-02T00:00:00.000Z")
    cli.call("fixtures", "dump").ok()
    if backend == "sqlite":
        stored("late", "7:00")
        gates = cli.call(*supposed).ok().json()["gates"]
        (quiet,) = (each["words"] for each in gates if each["gate"] == "quiet hours")
        assert quiet == "none: what is stored cannot be read (late-7:00)"
    seed.pending(database, anna, "twilio", due_at=1)
    early = 2_000_000_000_000  # at 03:33 UTC
    claimed = database.write(lambda tx: claim(tx.at(early), ClaimRequest("twilio", anna, 10, 65_000))).claims
    assert len(claimed) == 1
    assert _set(cli, "--cap", "3")["frequency_cap"] == 3


def test_what_is_stored_and_cannot_be_read_is_named(cli: Cli, database: Database, anna: str, backend: str) -> None:
    """Quiet hours that are none, and a zone that is none: by `show` and `list`, until others are written."""
    _set(cli, "--quiet", "01:00-02:00", "--timezone", "Europe/London")
    p = notification_preferences.c
    odd: dict[Any, Any] = {p.timezone: "europe/berlin", p.quiet_hours_end: None}
    database.write(lambda tx: tx.execute(update(notification_preferences).values(odd)))
    hours = "01:00:00-?" if backend == "postgresql" else "01:00:00.000000-?"
    if backend == "sqlite":
        database.write(lambda tx: tx.execute(text("UPDATE notification_preferences SET quiet_hours_start = 'late'")))
        hours = "late-?"

    def listed() -> list[tuple[Any, ...]]:
        found = cli.call("prefs", "list", "-o", "json").ok().json()
        return [(each["quiet_hours"], each["unread_hours"], each["unread_zone"]) for each in found]

    assert listed() == [(None, hours, "europe/berlin")]
    shown = cli.call("prefs", "show", "anna", "-o", "json").ok()
    assert [each["unread_hours"] for each in shown.json() if each["channel"] == "sms"] == [hours]
    assert f"warning: sms: the stored quiet hours {hours!r} cannot be read, none hold" in shown.stderr
    assert "hint: notifyctl prefs set anna sms --quiet 22:00-07:00" in shown.stderr
    assert "warning: sms: the stored zone 'europe/berlin' cannot be read" in shown.stderr
    assert "hint: notifyctl prefs set anna sms --timezone Europe/Berlin" in shown.stderr
    _set(cli, "--cap", "3")
    assert listed() == [(None, hours, "europe/berlin")]
    _set(cli, "--quiet", "none", "--timezone", "none")
    assert listed() == [(None, None, None)]
    assert cli.call("prefs", "show", "anna").ok().stderr == ""


@pytest.mark.parametrize(
    ("stored", "zone", "unread"),
    [("", None, None), ("  ", None, None), (" UTC", None, None), ("Europe/London ", "Europe/London", None),
     ("Mars/Base", "Mars/Base", "Mars/Base")],
)  # fmt: skip
def test_a_zone_is_shown_as_it_is_used(
    cli: Cli, database: Database, stored: str, zone: str | None, unread: str | None
) -> None:
    """However another program wrote it; and what is dumped of it can be applied."""
    _set(cli, "--cap", "3")
    odd = update(notification_preferences).values({notification_preferences.c.timezone: stored})
    database.write(lambda tx: tx.execute(odd))
    (listed,) = cli.call("prefs", "list", "-o", "json").ok().json()
    assert (listed["timezone"], listed["unread_zone"]) == (zone, unread)
    (cli.home / "dump.yaml").write_text(cli.call("fixtures", "dump").ok().stdout)
    applied = cli.call("fixtures", "apply", "-f", "dump.yaml", "--dry-run", "--exit-code")
    assert applied.exit_code == 0, applied.stderr


def test_why_nobody_in_a_country_of_many_zones_can_be_reached_is_said_in_a_line(cli: Cli, tmp_path: Path) -> None:
    """Ten hours in each of Russia's zones are no moment for all of them: that is said once, not once for each."""
    config = tmp_path / "config.toml"
    config.write_text('[policy.contact_windows]\nRU = { sms = "10:00-20:00" }\n')
    cli.call("users", "contacts", "add", "anna", "sms", "+79161234567").ok()
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    what = ("notifications", "explain", "--user", "anna", "--channel", "sms", "--category", "news", "-o", "json")
    reason = cli.call(*what, env={"NOTIFYCTL_CONFIG": str(config)}).ok().json()["reason"]
    assert reason.count("10:00-20:00") == 1
    assert reason.endswith("other zones")


def test_who_can_never_be_reached_is_told_at_once(cli: Cli, tmp_path: Path) -> None:
    """Quiet hours that cover the whole contact window: no marketing is put off from day to day for ever."""
    config = tmp_path / "config.toml"
    config.write_text('[policy.contact_windows]\n"*" = { sms = "10:00-12:00" }\n')
    env = {"NOTIFYCTL_CONFIG": str(config)}
    wish = ("prefs", "set", "anna", "sms", "--timezone", "Europe/London")
    assert "ever reach" not in cli.call(*wish, "--quiet", "22:00-11:00", env=env).ok().stderr
    said = cli.call(*wish, "--quiet", "09:00-13:00", env=env).ok().stderr
    assert "warning: no marketing can ever reach anna on sms" in said
    cli.call("users", "contacts", "add", "anna", "sms", "+447700900123").ok()
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    what = ("notifications", "explain", "--user", "anna", "--channel", "sms", "--category", "news", "-o", "json")
    told = cli.call(*what, env=env).ok().json()
    assert told["verdict"] == "cancel"
    assert told["until"] is None
