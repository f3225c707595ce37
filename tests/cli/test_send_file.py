"""`send -f`, on both databases: the rows of a file become notifications, and what is wrong with one is told by line."""

from __future__ import annotations

import csv
import json
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from notifyctl.core.errors import CommitUnknown
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notification_preferences, notifications, suppressions, users
from tests.support import seed
from tests.support.command import Cli

n = notifications.c
HEADER = "user,channel,subject,body\n"
GOOD = HEADER + "anna,email,Hello,It works\nomar,email,Hello,Hi omar\nanna,email,Hello,Something else\n"
BAD = HEADER + "anna,email,Hello,It works\nnobody,email,Hello,Hi\nomar,fax,Hello,Hi\nomar,email,,No subject\n"


@pytest.fixture(autouse=True)
def people(database: Database) -> None:
    """A provider of mails, and two users."""
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    seed.user(database)
    seed.user(database, "omar")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Make a file, return its path."""

    def written(text: str, name: str = "rows.csv") -> str:
        path = tmp_path / name
        path.write_text(text, newline="")
        return str(path)

    return written


def sent(cli: Cli, *args: str, code: int = 0, stdin: str = "") -> Any:
    """The record of a file that was sent."""
    result = cli.call("send", *args, "-o", "json", input=stdin)
    assert result.exit_code == code, result
    return json.loads(result.stdout)


def counts(record: Any) -> tuple[int, int, int]:
    """How many were accepted, there already, and rejected."""
    return record["accepted"], record["deduplicated"], record["rejected"]


def stored(database: Database) -> list[str]:
    """What the stored mails say, in order."""
    with database.read() as tx:
        payloads = tx.execute(select(n.payload)).scalars()
        return sorted(json.loads(payload).get("text", "") for payload in payloads)


def test_each_row_is_a_notification(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Of a batch, which is told of by one audit row; a wake-up is given as for one."""
    record = sent(cli, "-f", write(GOOD), "--batch", "spring")
    assert (record["rows"], *counts(record)) == (3, 3, 0, 0)
    assert stored(database) == ["Hi omar", "It works", "Something else"]
    with database.read() as tx:
        assert set(tx.execute(select(n.batch_id)).scalars()) == {record["batch"]}
        told = tx.execute(select(audit_logs.c.changes).where(audit_logs.c.resource_type == "batch")).scalars().all()
        assert [json.loads(each)["count"] for each in told] == [3]
    shown = cli.call("batches", "show", "spring", "-o", "json").ok().json()
    assert (shown["id"], shown["total"], shown["source"]) == (record["batch"], 3, "file")


def test_the_same_file_again_adds_nothing(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Under the same batch, in another order too; rows that are meant to be alike are two each time."""
    alike = GOOD + "anna,email,Hello,It works\n"
    assert counts(sent(cli, "-f", write(alike), "--batch", "spring")) == (4, 0, 0)
    lines = alike.splitlines(keepends=True)
    again = write(lines[0] + "".join(lines[:0:-1]), "again.csv")
    record = sent(cli, "-f", again, "--batch", "spring")
    assert counts(record) == (0, 4, 0)
    assert counts(sent(cli, "-f", again, "--batch", record["batch"])) == (0, 4, 0)
    assert counts(sent(cli, "-f", again, "--batch", "summer")) == (4, 0, 0)
    assert len(stored(database)) == 8


def test_a_batch_is_meant_by_the_beginning_of_its_id(cli: Cli, write: Callable[..., str]) -> None:
    """As everywhere: what a table shows of it names it, and makes no other one in which all would be there twice."""
    path = write(GOOD)
    first = sent(cli, "-f", path)
    again = sent(cli, "-f", path, "--batch", first["batch"][:8])
    assert (again["batch"], *counts(again)) == (first["batch"], 0, 3, 0)
    named = sent(cli, "-f", path, "--batch", "20261130")
    assert (named["batch_name"], *counts(named)) == ("20261130", 3, 0, 0)


def test_a_batch_of_which_nothing_was_stored_has_its_id(cli: Cli, write: Callable[..., str], tmp_path: Path) -> None:
    """What is corrected is sent under the id that was told with the rejected rows."""
    bad = str(tmp_path / "bad.csv")
    result = cli.call("send", "-f", write(HEADER + "nobody,email,Hello,Hi\n"), "--rejects", bad)
    told = result.stderr.split("--batch ")[1][:36]
    corrected = Path(bad).read_text().replace(",nobody,", ",anna,")
    record = sent(cli, "-f", write(corrected, "good.csv"), "--batch", told)
    assert (record["batch"], record["batch_name"], *counts(record)) == (told, None, 1, 0, 0)


def test_a_key_of_its_own_is_the_rows_identity(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Whatever the batch: as `send --idempotency-key` has it, and with other content it is refused."""
    cli.call("send", "anna", "--channel", "email", "--subject", "A", "--body", "B", "--idempotency-key", "k1").ok()
    text = "user,channel,subject,body,key\nanna,email,A,B,k1\nanna,email,A,C,k1\nanna,email,A,B,k2\nanna,email,A,B,k2\n"
    result = cli.call("send", "-f", write(text), "-o", "json")
    assert result.exit_code == 6
    assert counts(result.json()) == (1, 2, 1)
    assert "line 3: the idempotency key 'k1' was used" in result.stderr
    assert "with other content" in result.stderr
    assert stored(database) == ["B", "B"]


def test_rejected_rows_are_corrected_and_sent_again(
    cli: Cli, database: Database, write: Callable[..., str], tmp_path: Path
) -> None:
    """Each has its line and reason; under the same batch the corrected file adds exactly what was missing."""
    rejects = tmp_path / "rejects.csv"
    result = cli.call("send", "-f", write(BAD), "--batch", "spring", "--rejects", str(rejects), "-o", "json")
    assert result.exit_code == 6
    assert counts(result.json()) == (1, 0, 3)
    rows = list(csv.DictReader(rejects.read_text().splitlines()))
    assert [(row["_line"], row["_reason"]) for row in rows] == [
        ("3", "there is no user 'nobody'"),
        ("4", "channel: 'fax' is none of email, sms, push"),
        ("5", "sendgrid would refuse it: subject: missing"),
    ]
    text = (
        rejects.read_text().replace("nobody", "omar").replace("fax", "email").replace("omar,email,,", "omar,email,x,")
    )
    assert counts(sent(cli, "-f", write(text, "better.csv"), "--batch", "spring")) == (3, 0, 0)
    assert counts(sent(cli, "-f", write(text, "better.csv"), "--batch", "spring")) == (0, 3, 0)
    assert stored(database) == ["Hi", "Hi", "It works", "No subject"]


def test_a_reason_names_columns(cli: Cli, write: Callable[..., str], tmp_path: Path) -> None:
    """A row has no options: what the command line says of `--at` is said of the column."""
    text = "user,channel,subject,body,at\nanna,email,Hello,Hi,2020-01-01T00:00:00Z\n"
    for more in ((), ("--dry-run",)):
        sent(cli, "-f", write(text), "--rejects", str(tmp_path / "bad.csv"), *more, code=6)
        [row] = csv.DictReader((tmp_path / "bad.csv").read_text().splitlines())
        assert row["_reason"].startswith("at: 2020-01-01T00:00:00Z is past")


def test_options_hold_for_rows_that_do_not_say(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Beside -f they are defaults, a row's own word wins; a column may be called anything."""
    text = "who,note,body,provider\nanna,x,One,\nomar,y,Two,sendgrid\n"
    args = ("--map", "who=user", "--map", "note=", "--channel", "email", "--subject", "Hello", "--max-retries", "2")
    assert counts(sent(cli, "-f", write(text), *args)) == (2, 0, 0)
    with database.read() as tx:
        rows = tx.execute(select(n.payload, n.max_retries, n.fails_over)).all()
    found = sorted((json.loads(row.payload)["text"], row.max_retries, row.fails_over) for row in rows)
    assert found == [("One", 2, True), ("Two", 2, False)]


def test_rows_come_on_stdin(cli: Cli, database: Database) -> None:
    """Their form is said; NDJSON has keys in each line."""
    row = {"user": "anna", "channel": "email", "subject": "Hello", "body": "\u2028 and \\."}
    text = "".join(json.dumps({**row, "to": f"a{number}@example.org"}) + "\n" for number in range(3))
    assert counts(sent(cli, "-f", "-", "--format", "ndjson", stdin=text)) == (3, 0, 0)
    assert stored(database) == ["\u2028 and \\."] * 3
    assert cli.call("send", "-f", "-", input=text).exit_code == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("anna", "-f", "F"), "USER and -f exclude each other"),
        (("-f", "F", "--idempotency-key", "k"), "--idempotency-key and -f"),
        (("-f", "F", "--wait"), "--wait and -f"),
        (("-f", "F", "--body", "Hi {{ x }}", "--var", "x=1"), "--var goes with --template"),
        (("-f", "F", "--attach", "F"), "--attach and -f"),
        (("-f", "F", "--rate", "fast"), "'fast' is no rate"),
        (("-f", "F", "--batch", " "), "no name of a batch"),
        (("-f", "F", "--batch", "-x"), "no name of a batch"),
        (("-f", "F", "--rejects", ""), "names no file"),
        (("-f", "F", "--rejects", "-"), "names no file"),
        (("-f", "F", "--delimiter", ""), "is no delimiter"),
        (("-f", ""), "in which form it is"),
        (("-f", "F", "--map", "nothing=user"), "there is no column 'nothing'"),
        (("-f", "/nowhere/x.csv"), "No such file"),
        (("anna", "--channel", "email", "--body", "x", "--batch", "b"), "--batch goes with -f"),
        (("--channel", "email", "--body", "x"), "USER"),
        (("anna", "--body", "x"), "--channel"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    cli: Cli, database: Database, write: Callable[..., str], args: tuple[str, ...], said: str
) -> None:
    """Before anything is stored."""
    file = write(GOOD)
    result = cli.call("send", *(file if each == "F" else each for each in args))
    assert result.exit_code == 2
    assert said in result.stderr
    assert not stored(database)


@pytest.mark.parametrize(("text", "name"), [(HEADER, "x.csv"), ("", "x.ndjson"), ("\n\n", "x.ndjson")])
def test_a_file_without_rows_is_told(
    cli: Cli, database: Database, write: Callable[..., str], text: str, name: str
) -> None:
    """There is nothing to do, so nothing failed, and no batch is made."""
    result = cli.call("send", "-f", write(text, name), "--batch", "spring").ok()
    assert "has no rows" in result.stderr
    assert cli.call("batches", "list", "-o", "json").ok().json() == []


def test_a_broken_file_stores_nothing(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Its fault stands behind many good rows: it is found before the first of them is stored."""
    path = tmp_path / "broken.csv"
    path.write_bytes((GOOD * 1).encode() + b"anna,email,Hello,It works\n" * 5_000 + b'anna,email,Hello,"never closed\n')
    result = cli.call("send", "-f", str(path), "--batch", "spring")
    assert result.exit_code == 2
    assert "line 5005" in result.stderr
    assert not stored(database)


def test_a_pipe_that_breaks_says_what_was_stored(cli: Cli, database: Database) -> None:
    """Nobody can look ahead in a pipe: whole chunks stay, and the message says how to go on."""
    rate = database.dialect.rows_at_once
    row = "anna,email,Hello,It works\n"
    broken = HEADER.encode() + row.encode() * (2 * rate + 2_000) + b"anna,email,Hello,\xff\n"
    result = cli.call("send", "-f", "-", "--format", "csv", "--batch", "spring", input=broken)
    assert result.exit_code == 2
    count = len(stored(database))
    assert count
    assert count % 1_000 == 0
    assert f"{count:,} rows were stored before" in result.stderr
    assert "--batch spring adds only what is missing" in result.stderr
    whole = broken.replace(b"\xff", b"x")
    again = cli.call("send", "-f", "-", "--format", "csv", "--batch", "spring", "-o", "json", input=whole).ok()
    assert again.json()["deduplicated"] == count
    assert len(stored(database)) == 2 * rate + 2_001


def test_a_canary_goes_first(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """The others leave the queue until the batch is resumed, whoever sends it again meanwhile."""
    args = ("--batch", "spring", "--canary", "1")
    expected = sent(cli, "-f", write(GOOD), *args, "--dry-run")
    record = sent(cli, "-f", write(GOOD), *args)
    assert (*counts(record), record["held"]) == (*counts(expected), expected["held"]) == (3, 0, 0, 2)
    more = GOOD + "omar,email,Hello,More\n"
    path = write(more, "more.csv")
    expected = sent(cli, "-f", path, *args, "--dry-run")
    record = sent(cli, "-f", path, *args)
    assert (*counts(record), record["held"]) == (*counts(expected), expected["held"]) == (1, 3, 0, 1)
    shown = cli.call("batches", "show", "spring", "-o", "json").ok().json()
    assert (shown["state"], shown["pending"], shown["held"]) == ("canary", 4, 3)
    cli.call("batches", "resume", "spring").ok()
    shown = cli.call("batches", "show", "spring", "-o", "json").ok().json()
    assert (shown["state"], shown["held"]) == ("open", 0)
    assert counts(sent(cli, "-f", write(more + "anna,email,Hello,Last\n"), "--batch", "spring")) == (1, 4, 0)


def test_who_pauses_a_canary_learns_what_resuming_lets_go(cli: Cli, write: Callable[..., str]) -> None:
    """A pause is no canary: what waited behind it goes with the rest when that is resumed."""
    sent(cli, "-f", write(GOOD), "--batch", "spring", "--canary", "1")
    paused = cli.call("batches", "pause", "spring").ok()
    assert "its canary ends with that: batches resume lets all 3 go that are pending" in paused.stderr
    assert "canary" not in cli.call("batches", "pause", "spring").ok().stderr
    resumed = cli.call("batches", "resume", "spring", "-o", "json").ok().json()
    assert (resumed["state"], resumed["held"]) == ("open", 0)


def test_a_canary_holds_nothing_of_a_batch_that_is_open(
    cli: Cli, database: Database, write: Callable[..., str]
) -> None:
    """All that is new would go at once: none of it does, and --dry-run says the same; a file that is there may come."""
    first = write(GOOD)
    sent(cli, "-f", first, "--batch", "spring")
    more = write(GOOD + "omar,email,Hello,More\n" + "omar,email,Hello,Other\n", "more.csv")
    for args in (("--dry-run",), ()):
        refused = cli.call("send", "-f", more, "--batch", "spring", "--canary", "1", *args)
        assert refused.exit_code == 5
        assert "batch spring is open already: --canary would hold nothing of it back" in refused.stderr
        assert counts(sent(cli, "-f", first, "--batch", "spring", "--canary", "1", *args)) == (0, 3, 0)
    assert len(stored(database)) == 3
    assert counts(sent(cli, "-f", more, "--batch", "autumn", "--canary", "1")) == (5, 0, 0)


def test_what_is_added_to_a_held_batch_is_told_to_wait(cli: Cli, write: Callable[..., str]) -> None:
    """And how it is let go; where nothing holds it, nothing is said."""
    first = write(GOOD)
    assert "batches resume" not in cli.call("send", "-f", first, "--batch", "new year").ok().stderr
    cli.call("batches", "pause", "new year").ok()
    more = write(GOOD + "omar,email,Hello,More\n", "more.csv")
    for args, said in ((("--dry-run",), "1 would wait until"), ((), "1 waits until")):
        result = cli.call("send", "-f", more, "--batch", "new year", *args).ok()
        assert f"{said}: notifyctl batches resume 'new year'" in result.stderr


def test_nothing_is_added_to_a_cancelled_batch(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Whoever cancelled it does not find more of it later."""
    sent(cli, "-f", write(GOOD), "--batch", "spring")
    cli.call("batches", "cancel", "spring", "--yes").ok()
    result = cli.call("send", "-f", write(GOOD), "--batch", "spring")
    assert result.exit_code == 5
    assert "batch spring is cancelled" in result.stderr


def test_a_rate_spreads(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """So many a second from --at on; what is sent later under the same batch comes behind, and nothing at once."""
    at = "2090-01-01T00:00:00Z"
    args = ("--batch", "spring", "--rate", "2/s")
    sent(cli, "-f", write(GOOD), *args, "--at", at)
    sent(cli, "-f", write(GOOD + "omar,email,Hello,More\n"), *args, "--at", at)
    with database.read() as tx:
        times = sorted(tx.execute(select(n.send_at)).scalars())
    assert [time - times[0] for time in times] == [0, 500, 1_000, 1_500]
    text = "user,channel,subject,body,in\nanna,email,A,B,1h\n"
    result = cli.call("send", "-f", write(text), "--rate", "2/s")
    assert result.exit_code == 6
    assert "--rate gives each one" in result.stderr


def test_a_rate_begins_now(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """The first are for now, however long it takes until they are planned."""
    text = HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(200))
    assert counts(sent(cli, "-f", write(text), "--rate", "100000/s")) == (200, 0, 0)


def test_a_dry_run_stores_nothing_and_counts(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Who is suppressed, in how many segments, and when the last would go out at a provider's limit."""
    seed.provider(database, "twilio", rate_limit=2, config_json='{"from":"+14155550100","account_sid":"AC1"}')
    omar = _id(database, "omar")
    wish = {"id": "1" * 36, "user_id": omar, "channel": "email", "enabled": False}
    database.write(lambda tx: tx.execute(notification_preferences.insert().values(wish)))
    dead = {"id": "2" * 36, "channel": "email", "address": "dead@example.org", "reason": "hard bounce", "created_at": 1}
    database.write(lambda tx: tx.execute(suppressions.insert().values(dead)))
    texts = "".join(f"anna,sms,,{'x' * 200} {number},+1415555234{number},\n" for number in range(4))
    text = (
        "user,channel,subject,body,to,key\n"
        "anna,email,A,B,,k1\nanna,email,A,B,,k1\nanna,email,A,C,,k1\n"
        "omar,email,A,B,,\nanna,email,A,B,dead@example.org,\nnobody,email,A,B,,\nanna,email,,B,,\n" + texts
    )
    record = sent(cli, "-f", write(text), "--dry-run", code=6)
    assert counts(record) == (7, 1, 3)
    assert record["batch"] is None
    assert record["suppressed"] == {"the user has disabled email": 1, "the address is suppressed": 1}
    assert record["segments"] == 8
    assert not stored(database)
    with database.read() as tx:
        assert not tx.execute(select(func.count()).select_from(audit_logs)).scalar()
        now = tx.now
    last = _ms(record["last_at_by_provider"]["twilio"])
    assert now + 110_000 < last <= now + 121_000
    assert record["last_at"] == record["last_at_by_provider"]["twilio"]


def test_a_dry_run_renders_templates(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """What would be a dead letter for want of a variable is counted before a million of them are."""
    words = ("--subject", "Hi {{ name }}", "--body", "Hello {{ name }}", "--by", "anna")
    cli.call("templates", "create", "hi", "--channel", "email", *words).ok()
    text = "user,channel,template,var.name,var.x\nanna,email,hi,Anna,1\nomar,email,hi,,1\nomar,email,nothing,O,1\n"
    record = sent(cli, "-f", write(text), "--dry-run", code=6)
    assert counts(record) == (2, 0, 1)
    assert [key.partition(":")[0] for key in record["dead_letters"]] == ["template_error"]


def test_what_is_put_off_is_counted_by_its_rule(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Quiet hours hold at the moment a row is for, also where --rate says which that is."""
    cli.call("prefs", "set", "anna", "email", "--quiet", "22:00-06:00", "--timezone", "UTC").ok()
    text = HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(4))
    args = ("--dry-run", "--rate", "1/h", "--at", "2090-01-01T20:30:00Z")
    record = sent(cli, "-f", write(text), *args)
    assert record["deferred"] == {"quiet hours": 2}
    assert record["last_at"] == "2090-01-02T06:00:00.000Z"


def test_a_user_who_is_deleted_meanwhile_is_one_rejected_row(
    cli: Cli, database: Database, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the users and the insert: the others of the chunk are stored all the same."""
    from notifyctl.services import importing

    text = HEADER + "".join(f"{('anna', 'omar')[number % 2]},email,Hello,{number}\n" for number in range(300))
    stored_by = importing._store

    def late(db: Database, *args: Any) -> Any:
        database.write(lambda tx: tx.execute(delete(users).where(users.c.username == "omar")))
        return stored_by(db, *args)

    monkeypatch.setattr(importing, "_store", late)
    result = cli.call("send", "-f", write(text), "-o", "json")
    assert result.exit_code == 6
    assert counts(result.json()) == (150, 0, 150)
    assert "line 3: the user was deleted" in result.stderr


@pytest.mark.parametrize("committed", [True, False])
def test_an_unknown_commit_is_looked_into(
    cli: Cli,
    database: Database,
    write: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    committed: bool,
) -> None:
    """Lost in COMMIT: whether the chunk is there or not, each of its rows is accepted once, and told of once."""
    commit, lost = Database._commit, list[bool]()

    def commits(db: Database, conn: Any) -> None:
        if committed or lost:
            commit(db, conn)
        if not lost:
            lost.append(True)
            raise CommitUnknown("the connection was lost while it stored the change")

    monkeypatch.setattr(Database, "_commit", commits)
    text = HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(300))
    assert counts(sent(cli, "-f", write(text), "--batch", "spring")) == (300, 0, 0)
    assert lost
    assert len(stored(database)) == 300
    with database.read() as tx:
        told = tx.execute(select(audit_logs.c.changes).where(audit_logs.c.resource_type == "batch")).scalars().all()
    assert [json.loads(each)["count"] for each in told] == [300]


def test_a_batch_that_is_cancelled_meanwhile_takes_no_more(
    cli: Cli, database: Database, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored stays as it was cancelled; the run ends with the next chunk, and says what it had stored."""
    from notifyctl.services import importing

    most = database.dialect.rows_at_once
    stored_by, calls = importing._store, list[int]()

    def cancelling(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            cli.run("batches", "cancel", "spring", "--yes").ok()
        return stored_by(*args)

    monkeypatch.setattr(importing, "_store", cancelling)
    text = HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(most + 10))
    result = cli.call("send", "-f", write(text), "--batch", "spring")
    assert result.exit_code == 5
    assert f"{most:,} rows were stored before" in result.stderr
    shown = cli.call("batches", "show", "spring", "-o", "json").ok().json()
    assert (shown["state"], shown["total"], shown["cancelled"]) == ("cancelled", most, most)


def test_a_person_sees_how_far_it_is(cli: Cli, write: Callable[..., str]) -> None:
    """A bar with the rows, their rate and the time left, which is gone at the end; a pipe or -q gets none."""
    file = write(GOOD)
    shown = cli.type("send", "-f", file, keys="", env={"TERM": "xterm"})
    assert shown.exit_code == 0
    assert "3 rows" in shown.stderr
    assert "100%" in shown.stderr
    assert "3 accepted" in shown.stderr
    assert "100%" not in cli.run("send", "-f", file).ok().stderr
    assert "rows" not in cli.type("-q", "send", "-f", file, keys="", env={"TERM": "xterm"}).stderr


def test_ctrl_c_ends_after_what_is_being_stored(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Exit 130, whole chunks stay, the message says how to go on, and going on adds the rest."""
    rows = 3 * database.dialect.rows_at_once
    file = write(HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(rows)))
    running = cli.start("send", "-f", file, "--batch", "spring")
    deadline = time.monotonic() + 60
    while not stored(database) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    count = len(stored(database))
    if count < rows:  # else it was quicker than the signal
        assert running.returncode == 130, said
        assert "--batch spring adds only what is missing" in said
    assert counts(sent(cli, "-f", file, "--batch", "spring")) == (rows - count, count, 0)


def _id(database: Database, name: str) -> str:
    with database.read() as tx:
        return str(tx.execute(select(users.c.id).where(users.c.username == name)).scalar_one())


def _ms(iso: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(iso).timestamp() * 1_000


def test_ids_are_uuids(cli: Cli, database: Database, write: Callable[..., str]) -> None:
    """Of version 4 (RFC 9562), lower-case, as everywhere."""
    text = HEADER + "".join(f"anna,email,Hello,{number}\n" for number in range(300))
    sent(cli, "-f", write(text))
    with database.read() as tx:
        ids = list(tx.execute(select(n.id)).scalars())
    made = [uuid.UUID(each) for each in ids]
    assert len(set(made)) == 300
    assert {(each.version, each.variant) for each in made} == {(4, uuid.RFC_4122)}
    assert [str(each) for each in made] == ids
