"""Exports: all that a filter matches, as it was at one moment, in each form, whole or not at all; on both databases."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from sqlalchemy import delete, insert, update

from notifyctl.cli import exporting
from notifyctl.cli.exportforms import columns
from notifyctl.cli.invocation import GlobalOptions, Invocation
from notifyctl.cli.output import Field
from notifyctl.core.scope import OPEN
from notifyctl.services.exporting import Snapshot
from notifyctl.store import streams
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_dlq, suppressions
from notifyctl.store.schema.tables import notifications as notifications_
from notifyctl.store.suppressions import SuppressionFilter
from tests.support import seed
from tests.support.command import Cli
from tests.support.confined import with_file_size
from tests.support.databases import SQLiteMaker
from tests.support.terminal import on_terminal

NOUNS = ("notifications", "dlq", "users", "suppressions")
MOST_ROWS = {"users": 1, "suppressions": 2, "dlq": 5}
AWKWARD = (
    "=1+1",
    "+44",
    "-1",
    "@x",
    "\tx",
    "'=x",
    "'",
    'a "b", c',
    "two\nlines",
    "cr\rx",
    "\u2028x",
    "寬 é",
    "\\N",
    "null",
    "0",
    "",
)
MANY = 5_000
"""So many that their export takes a moment."""


def letter(db: Database, notification_id: str, **values: Any) -> str:
    """Write a dead letter."""
    row = {
        "id": str(uuid.uuid4()),
        "notification_id": notification_id,
        "failure_reason": "provider_rejected",
        "moved_to_dlq_at": 2_000,
        **values,
    }
    db.write(lambda tx: tx.execute(insert(notification_dlq), [row]))
    return str(row["id"])


@pytest.fixture
def anna(database: Database) -> str:
    """A user, and a provider."""
    seed.provider(database)
    return seed.user(database)


@pytest.fixture
def some(database: Database, anna: str) -> list[str]:
    """Notifications that are pending, sent and dead, the newest first; each says another awkward thing."""
    made = []
    for number, text in enumerate(AWKWARD):
        values = ({}, {"status": "sent", "sent_at": 3_000}, {"status": "failed", "failed_at": 3_000})[number % 3]
        payload = json.dumps({"v": 1, "subject": text, "text": text, "from": "a@example.org"}, ensure_ascii=False)
        made += seed.pending(database, anna, created_at=1_000 + number, payload=payload, error_message=text, **values)
        if values.get("status") == "failed":
            letter(database, made[-1], moved_to_dlq_at=5_000 + number, note=text)
    rows = [{"id": str(uuid.uuid4()), "channel": "sms", "address": f"+{n}", "reason": AWKWARD[n]} for n in range(2)]
    database.write(lambda tx: tx.execute(insert(suppressions), rows))
    return made[::-1]


def ndjson(cli: Cli, *args: str) -> list[dict[str, Any]]:
    """Return what an export has."""
    lines = cli.call(*args, "-o", "ndjson").ok().stdout.split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def written_csv(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def plain(value: Any) -> Any:
    """Return a value of Parquet as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


# What is in it


def test_notifications_are_as_they_are_shown(cli: Cli, some: list[str]) -> None:
    """Newest first, each with its payload, and every field with the value that `show` has of the notification."""
    exported = ndjson(cli, "notifications", "export")
    assert [row["id"] for row in exported] == some
    shown = cli.call("notifications", "show", "-", "-o", "json", input="\n".join(some)).ok().json()
    beside = ("attempts", "webhooks")
    kept = [{**row, **{name: each[name] for name in beside}} for row, each in zip(exported, shown, strict=True)]
    assert kept == shown
    assert [row["payload"]["text"] for row in exported] == list(AWKWARD[::-1])


def test_a_dead_letter_has_its_notification(cli: Cli, some: list[str]) -> None:
    """The latest first, unresolved ones, with the fields of both."""
    exported = ndjson(cli, "dlq", "export")
    ids = [row["notification_id"] for row in exported]
    assert ids == [id_ for id_ in some if id_ in set(ids)] and len(ids) == len(AWKWARD) // 3
    shown = {row["id"]: row for row in ndjson(cli, "notifications", "export", "--status", "failed")}
    for row in exported:
        of_it = shown[row["notification_id"]]
        both = row.keys() & of_it.keys() - {"id", "retry_history"}
        assert {name: row[name] for name in both} == {name: of_it[name] for name in both}
        assert row["failure_reason"] == "provider_rejected"
    assert {"payload", "address", "provider_response", "note", "resolved_at"} <= exported[0].keys()


def test_users_have_all_their_contact_points(cli: Cli, database: Database, anna: str) -> None:
    """Newest first, by channel; the own address stands by itself."""
    points = [("sms", "+14155552345"), ("sms", "+14155552346"), ("email", "second@example.org"), ("push", "device-1")]
    for channel, address in points:
        cli.call("users", "contacts", "add", "anna", channel, address).ok()
        time.sleep(0.002)  # the newest one is where it goes
    seed.user(database, "bob")
    bob, row = sorted(ndjson(cli, "users", "export"), key=lambda each: -len(each["username"]))[::-1]
    assert (row["username"], row["email"], row["language"]) == ("anna", "anna@example.org", None)
    assert (row["addresses"], row["tokens"]) == (["second@example.org"], ["device-1"])
    assert row["phones"] == ["+14155552346", "+14155552345"]
    assert (bob["addresses"], bob["phones"], bob["tokens"]) == ([], [], [])
    cells = {each["username"]: each for each in written_csv(cli.call("users", "export").ok().stdout)}
    assert cells["anna"]["phones"] == "'+14155552346 +14155552345"
    assert cells["bob"]["phones"] == ""
    raw = written_csv(cli.call("users", "export", "--raw", "--fields", "phones").ok().stdout)
    assert {each["phones"] for each in raw} == {"", "+14155552346 +14155552345"}


@pytest.mark.parametrize("noun", NOUNS)
def test_the_forms_say_the_same(cli: Cli, some: list[str], tmp_path: Path, noun: str) -> None:
    """CSV (the usual one) and Parquet have the rows of NDJSON, in their order, field by field."""
    rows = ndjson(cli, noun, "export")
    file = tmp_path / "x.parquet"
    cli.call(noun, "export", "-o", "parquet", "--output", str(file)).ok()
    found = parquet.read_table(file).to_pylist()
    cells = written_csv(cli.call(noun, "export", "--raw").ok().stdout)
    assert len(rows) == len(found) == len(cells) > 0
    for row, of_parquet, of_csv in zip(rows, found, cells, strict=True):
        assert [*row] == [*of_parquet] == [*of_csv]
        for name, value in row.items():
            stored = plain(of_parquet[name])
            text = isinstance(stored, str) and isinstance(value, dict | list) and name not in ("phones", "tokens")
            assert (json.loads(stored) if text else stored) == value, name
            assert same(of_csv[name], value), (name, of_csv[name], value)


def same(cell: str, value: Any) -> bool:
    """Return whether a cell says a value."""
    if isinstance(value, dict):
        return bool(json.loads(cell) == value)
    if isinstance(value, list):
        return cell == " ".join(value)
    words = {None: "", True: "true", False: "false"}
    return cell == (words[value] if value is None or isinstance(value, bool) else str(value))


def test_parquet_has_types(cli: Cli, anna: str, tmp_path: Path) -> None:
    """Also where there is no row: times are in UTC, numbers and truths are no texts."""
    file = tmp_path / "x.parquet"
    cli.call("notifications", "export", "-o", "parquet", "--output", str(file)).ok()
    schema = parquet.read_schema(file)
    assert schema.field("created_at").type == pyarrow.timestamp("ms", "UTC")
    assert schema.field("attempt_count").type == pyarrow.int64()
    assert schema.field("is_critical").type == pyarrow.bool_()
    assert schema.field("payload").type == pyarrow.string()
    cli.call("users", "export", "-o", "parquet", "--output", str(file)).ok()
    assert parquet.read_schema(file).field("phones").type == pyarrow.list_(pyarrow.string())


def test_no_cell_of_a_file_runs(cli: Cli, some: list[str]) -> None:
    """What a spreadsheet would take for a formula begins with an apostrophe; `--raw` gives the texts to the letter."""
    cells = [row["error_message"] for row in written_csv(cli.call("notifications", "export").ok().stdout)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert cells[-1] == "'=1+1"
    raw = written_csv(cli.call("notifications", "export", "--raw").ok().stdout)
    assert [row["error_message"] for row in raw] == list(AWKWARD[::-1])


def test_a_line_is_an_object_whatever_it_says(cli: Cli, database: Database, anna: str) -> None:
    """A payload that is no JSON is a text; one with line breaks between its values, or a number, is as it was."""
    odd = [
        '{"v": 1,\n "n": 1.50,\r\n "t": "\u2028"}',
        "no JSON\nat all",
        '{"n": NaN}',
        '{"big": 123456789012345678901}',
    ]
    for number, payload in enumerate(odd):
        seed.pending(database, anna, created_at=number, payload=payload)
    text = cli.call("notifications", "export", "-o", "ndjson", "--fields", "payload").ok().stdout
    lines = text.split("\n")
    assert len(lines) == 5
    assert '"n": 1.50' in text and "123456789012345678901" in text and "\u2028" not in text
    found = [json.loads(line)["payload"] for line in lines[:4]][::-1]
    assert found[1] == "no JSON\nat all" and found[2] == '{"n": NaN}'
    assert found[0] == {"v": 1, "n": 1.5, "t": "\u2028"}


def test_fields_are_chosen(cli: Cli, some: list[str]) -> None:
    """In their order; one that there is not is refused."""
    rows = written_csv(cli.call("notifications", "export", "--fields", "status,id").ok().stdout)
    assert [*rows[0]] == ["status", "id"]
    for noun in NOUNS:
        refused = cli.call(noun, "export", "--fields", "password")
        assert (refused.exit_code, refused.stdout) == (2, "")


# Which


FILTERS = (
    (),
    ("--status", "sent"),
    ("--state", "due"),
    ("--user", "anna"),
    ("--user", "bob"),
    ("--since", "1970-01-01T00:00:01.003Z"),
    ("--user", "anna", "--contains", "lines"),
    ("--channel", "sms"),
    ("--provider", "sendgrid", "--status", "failed"),
)


def test_the_filters_are_the_lists(cli: Cli, database: Database, some: list[str]) -> None:
    """The same rows in the same order."""
    seed.user(database, "bob")
    for given in FILTERS:
        listed = cli.call("notifications", "list", *given, "-o", "json").ok().json()
        exported = ndjson(cli, "notifications", "export", *given)
        assert [row["id"] for row in exported] == [row["id"] for row in listed], given


def test_resolved_letters_are_asked_for(cli: Cli, database: Database, some: list[str]) -> None:
    """As `list` does."""
    first, *others = [row["notification_id"] for row in ndjson(cli, "dlq", "export")]
    cli.call("dlq", "resolve", first, "--by", "anna").ok()
    assert [row["notification_id"] for row in ndjson(cli, "dlq", "export")] == others
    [row] = ndjson(cli, "dlq", "export", "--resolved")
    assert (row["notification_id"], row["resolver"], row["resolved"]) == (first, "anna", True)
    assert ndjson(cli, "dlq", "export", "--channel", "sms") == []


MEANT_BY_NONE = (
    (3, "notifications", "--user", "nobody"),
    (3, "notifications", "--provider", "nobody"),
    (3, "notifications", "--batch", "none"),
    (3, "notifications", "--template", "none"),
    (3, "notifications", "--category", ""),
    (3, "notifications", "--user", ""),
    (2, "notifications", "--contains", "x"),
    (2, "notifications", "--contains", " ", "--user", "anna"),
    (2, "notifications", "--status", "none"),
    (3, "dlq", "--user", "nobody"),
    (3, "dlq", "--provider", ""),
    (2, "dlq", "--error", ""),
)


def test_a_filter_that_means_nothing_is_no_export(cli: Cli, anna: str) -> None:
    """Nothing is printed, and a file that was there is as it was."""
    file = cli.home / "x"
    file.write_text("before")
    for code, noun, *filters in MEANT_BY_NONE:
        for more in ((), ("--output", str(file))):
            refused = cli.call(noun, "export", *filters, *more)
            assert (refused.exit_code, refused.stdout) == (code, ""), refused
    assert file.read_text() == "before"
    assert left_in(cli) == ["x"]


# Where to


def left_in(cli: Cli) -> list[str]:
    """Return the files in the folder where the command ran, but for the database's."""
    return sorted(each.name for each in cli.home.iterdir())


def test_a_file_is_its_owners(cli: Cli, some: list[str]) -> None:
    """People's data: mode 0600, also where it replaces a file that others could read; what stdout gets is the same."""
    file = cli.home / "x.csv"
    file.write_text("before")
    file.chmod(0o644)
    done = cli.call("notifications", "export", "--output", str(file)).ok()
    assert (done.stdout, done.stderr) == ("", f"{len(some):,} written to {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().decode() == cli.call("notifications", "export", "--output", "-").ok().stdout
    assert left_in(cli) == ["x.csv"]


def test_only_a_file_is_replaced(cli: Cli, anna: str) -> None:
    """No folder, no link, no device; and a word that is a form was meant as one."""
    precious = cli.home / "precious"
    precious.write_text("precious")
    (cli.home / "link").symlink_to(precious)
    os.mkfifo(cli.home / "pipe")
    for target in (str(cli.home), "link", "pipe", "/dev/null", "csv", "json", "nowhere/x.csv", "precious/x"):
        refused = cli.call("users", "export", "--output", target)
        assert (refused.exit_code, refused.stdout) == (2, ""), (target, refused)
        assert "--output" in refused.stderr
    assert precious.read_text() == "precious" and (cli.home / "link").is_symlink()
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
    assert left_in(cli) == ["link", "pipe", "precious"]


def many(database: Database, anna: str) -> None:
    """Write so many notifications that their export takes a moment."""
    seed.pending(database, anna, count=MANY)


def test_a_full_disk_leaves_nothing(cli: Cli, database: Database, anna: str) -> None:
    """Neither half a file nor half of it on stdout; what there was before stays."""
    seed.pending(database, anna, count=4_000)
    file = cli.home / "x.csv"
    file.write_text("before")
    for more in ((), ("--output", str(file))):
        failed = with_file_size(cli, 900_000, "notifications", "export", *more)
        assert (failed.exit_code, failed.stdout) == (1, ""), failed
        assert "nothing was exported" in failed.stderr
    assert file.read_text() == "before"
    assert left_in(cli) == ["x.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_it_finds_no_half_file(cli: Cli, database: Database, anna: str, how: signal.Signals) -> None:
    """Ctrl-C, and what ends processes; where it had come to its end before, the file is whole."""
    many(database, anna)
    for _ in range(10):
        process = cli.start("notifications", "export", "--output", "x.csv")
        while process.poll() is None and not any(each.endswith(".part") for each in left_in(cli)):
            time.sleep(0.005)
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
        if left_in(cli) != ["x.csv"]:
            break
        assert len((cli.home / "x.csv").read_text().splitlines()) == 1 + MANY
        (cli.home / "x.csv").unlink()
    assert process.returncode == (130 if how is signal.SIGINT else -how), err
    assert (out, left_in(cli)) == ("", [])


@pytest.mark.slow
def test_a_reader_that_goes_away(cli: Cli, database: Database, anna: str) -> None:
    """Exit 141, and no word about it."""
    many(database, anna)
    process = cli.start("notifications", "export")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith("id,")
    process.stdout.close()
    assert (process.wait(30), process.stderr.read()) == (141, "")
    process.stderr.close()


# Terminals


def test_parquet_is_nothing_for_a_terminal(cli: Cli, anna: str) -> None:
    """It would be rubbish."""
    shown = on_terminal(cli, "users", "export", "-o", "parquet")
    assert (shown.exit_code, "nothing for a terminal" in shown.stdout) == (2, True)


def test_a_terminal_obeys_nothing(cli: Cli, database: Database, anna: str) -> None:
    """Control characters are escaped there."""
    seed.pending(database, anna, error_message="\x1b[31mred\x07")
    for form in ("csv", "ndjson"):
        shown = on_terminal(cli, "notifications", "export", "-o", form, "-q", "--fields", "error_message").stdout
        assert "\x1b" not in shown and "\x07" not in shown and "[31mred" in shown


@pytest.mark.slow
def test_a_person_sees_how_far_it_is(cli: Cli, database: Database, anna: str) -> None:
    """On stderr, only where that is a terminal, and gone at the end."""
    many(database, anna)
    seen = cli.type("notifications", "export", "--output", "x.csv", keys="")
    assert seen.exit_code == 0
    assert "%" in seen.stderr and "/s" in seen.stderr and " rows" in seen.stderr
    assert seen.stderr.endswith(f"{MANY:,} written to x.csv\n")
    quiet = cli.type("notifications", "export", "--output", "x.csv", "-q", keys="")
    assert quiet.stderr == ""
    assert cli.run("notifications", "export").ok().stderr == ""


# Parquet is an extra


def test_without_pyarrow_the_extra_is_named(cli: Cli, anna: str, tmp_path: Path) -> None:
    """And all else works."""
    (tmp_path / "pyarrow").mkdir()
    (tmp_path / "pyarrow" / "__init__.py").write_text("raise ImportError('there is none')")
    without = {"PYTHONPATH": str(tmp_path)}
    refused = cli.run("users", "export", "-o", "parquet", env=without)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "notifyctl[parquet]" in refused.stderr
    assert cli.run("users", "export", env=without).ok().stdout.count("\n") == 2


# One moment


@pytest.mark.parametrize("noun", NOUNS)
def test_it_is_as_it_was_at_one_moment(
    database: Database, some: list[str], noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others write between two of its portions is not in it, and they wait for nobody."""
    from notifyctl.services import dlq, exporting, notifications

    monkeypatch.setattr(streams, "MOST", 2)

    def take(found: Snapshot[Any]) -> list[Any]:
        assert found.count() == MOST_ROWS.get(noun, len(some))
        rows = [next(found.rows)]
        seed.user(database, "bob")
        new = seed.pending(database, seed.user(database, "carl"), status="failed", created_at=9_000)
        letter(database, new[0], moved_to_dlq_at=9_000)
        database.write(lambda tx: tx.execute(delete(suppressions)))
        database.write(lambda tx: tx.execute(update(notifications_).values(error_message="changed")))
        rows += found.rows
        assert found.count() == len(rows)
        assert "changed" not in str(rows)
        return rows

    exports: dict[str, Callable[[], list[Any]]] = {
        "notifications": lambda: exporting.notifications(database, notifications.NotificationQuery(), take),
        "dlq": lambda: exporting.dead_letters(database, dlq.DeadLetterQuery(), take),
        "users": lambda: exporting.users(database, take),
        "suppressions": lambda: exporting.suppressions(database, SuppressionFilter(), take),
    }
    rows = exports[noun]()
    assert len(rows) == MOST_ROWS.get(noun, len(some))


def test_a_lost_connection_begins_anew(postgresql_url: str) -> None:
    """The rows of the second time are all, and none is there twice."""
    from notifyctl.services import exporting, notifications

    database = Database(postgresql_url)
    seed.provider(database)
    ids = seed.pending(database, seed.user(database), count=3_000)  # more than is read at once
    times = []

    def take(found: Snapshot[Any]) -> list[str]:
        rows = [next(found.rows).id]
        times.append(1)
        if len(times) == 1:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            other = Database(postgresql_url)
            with other.read() as tx:
                tx.conn.exec_driver_sql(f"{end} AND datname = current_database()")
            other.close()
        return [*rows, *(row.id for row in found.rows)]

    rows = exporting.notifications(database, notifications.NotificationQuery(), take)
    assert (len(times), sorted(rows)) == (2, sorted(ids))
    database.close()


def test_what_is_begun_anew_is_written_once(tmp_path: Path) -> None:
    """Of the first time nothing is left in the file."""
    file = tmp_path / "x.csv"

    def taken_by(take: Callable[[Snapshot[Any]], int]) -> int:
        take(Snapshot(iter([Field("first"), Field("second")]), lambda: 2))
        return take(Snapshot(iter([Field("third")]), lambda: 1))

    run = Invocation(GlobalOptions(quiet=True), OPEN)
    exporting.export(run, str(file), columns([Field("name")]), taken_by)
    assert file.read_text() == "name\nthird\n"


# And back


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_users_come_back_as_they_were(cli: Cli, database: Database, sqlite_maker: SQLiteMaker, form: str) -> None:
    """What `users import` makes of an export is exported as the same; where it is from, it changes nothing."""
    for number, name in enumerate(["anna", "+bob", "=carl", "'=dora", "'e", "寬"]):
        cli.call("users", "create", name, "--email", f"u{number}@example.org", "--language", "de-AT").ok()
    cli.call("users", "create", "plain", "--email", "=x@example.org").ok()
    points = [("sms", "+14155552345"), ("sms", "+447911123456"), ("email", "+2@example.org"), ("push", "=t")]
    for channel, address in points:
        cli.call("users", "contacts", "add", "anna", channel, address).ok()
        time.sleep(0.002)  # the newest one is where it goes
    cli.call("users", "export", "-o", form, "--output", f"users.{form}").ok()
    other = Cli(cli.home, sqlite_maker.migrated(cli.home.parent / "home"))
    done = other.call("users", "import", "-f", f"users.{form}", "-o", "json").ok().json()
    assert (done["created"], done["rejected"]) == (7, 0)
    assert _lasting(other) == _lasting(cli)
    again = cli.call("users", "import", "-f", f"users.{form}", "-o", "json").ok().json()
    assert (again["known"], again["created"], again["updated"]) == (7, 0, 0)


def _lasting(cli: Cli) -> list[list[Any]]:
    names = ("username", "email", "language", "addresses", "phones", "tokens")
    return sorted([row[name] for name in names] for row in ndjson(cli, "users", "export"))
