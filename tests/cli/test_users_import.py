"""`users import`: many people from a file, each once, whatever is wrong with some of the rows."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.workbook import cell, number, workbook
from tests.support.workbook import text as text_cell

IMPORT = ("users", "import", "-f")
FOUR = (
    "username,email,language,phones\n"
    "anna,anna@example.org,de-at,+14155552345 +447700900123\n"
    "bob,bob@EXAMPLE.org,,\n"
    "\"o'hara\",ohara@example.org,en,'+14155552346\n"
    "0700,zero@example.org,,\n"
)


def _file(cli: Cli, content: str | bytes, name: str = "users.csv") -> str:
    path = cli.home / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def _people(cli: Cli) -> dict[str, tuple[str, str | None]]:
    rows = cli.call("users", "list", "-o", "json").ok().json()
    return {row["username"]: (row["email"], row["language"]) for row in rows}


def _points(cli: Cli, user: str) -> list[tuple[str, str, bool]]:
    rows = cli.call("users", "contacts", "list", user, "-o", "json").ok().json()
    return [(row["channel"], row["address"], row["used"]) for row in rows if row["source"] == "contact"]


def _counts(database: Database) -> tuple[int, ...]:
    with database.read() as tx:
        names = ("users", "contact_points", "audit_logs")
        return tuple(tx.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names)


def _report(**said: int) -> dict[str, int]:
    names = ("read", "created", "updated", "known", "rejected", "contacts", "suppressed")
    return {**dict.fromkeys(names, 0), **said}


def test_people_are_created_once_with_their_contact_points(cli: Cli, database: Database) -> None:
    """As `users create` and `contacts add` store them, the first of a cell to be used; a repetition adds nothing."""
    done = cli.call(*IMPORT, _file(cli, FOUR), "-o", "json").ok()
    assert done.json() == _report(read=4, created=4, contacts=3)
    assert "4 created, 0 updated, 0 there already, 0 rejected: 4 rows" in done.stderr
    assert _people(cli) == {
        "anna": ("anna@example.org", "de-AT"),
        "bob": ("bob@example.org", None),
        "o'hara": ("ohara@example.org", "en"),
        "0700": ("zero@example.org", None),
    }
    assert _points(cli, "anna") == [("sms", "+14155552345", True), ("sms", "+447700900123", False)]
    assert _points(cli, "o'hara") == [("sms", "+14155552346", True)]
    before = _counts(database)
    again = cli.call(*IMPORT, _file(cli, FOUR), "-o", "json").ok()
    assert again.json() == _report(read=4, known=4)
    assert _counts(database) == before


def test_one_audit_row_is_written_for_all_and_names_nobody(cli: Cli, database: Database) -> None:
    """It says how many, and by the digest of their ids who; no address stands in it that would have to be forgotten."""
    cli.call(*IMPORT, _file(cli, FOUR)).ok()
    with database.read() as tx:
        rows = list(tx.execute(text("SELECT action, resource_type, resource_id, changes FROM audit_logs")))
    [(action, resource, resource_id, changes)] = rows
    assert (action, resource, resource_id) == ("import", "user", None)
    said = json.loads(changes)
    assert {name: said[name] for name in ("created", "updated", "contacts")} == {
        "created": 4,
        "updated": 0,
        "contacts": 3,
    }
    assert len(said["ids_sha256"]) == 64
    assert "example.org" not in changes


@pytest.mark.parametrize("name", ["users.ndjson", "users.ndjson.gz", "users.csv.gz", "users.xlsx"])
def test_the_form_is_the_names(cli: Cli, name: str) -> None:
    """The same people from NDJSON, where contact points are lists, and from what is compressed."""
    rows: list[dict[str, Any]] = [
        {
            "username": "anna",
            "email": "anna@example.org",
            "language": None,
            "phones": ["+14155552345", "+447700900123"],
        },
        {"username": "bob", "email": "bob@example.org", "token": "tok-1", "address": "b@example.net"},
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows)
    if name.startswith("users.csv"):
        data = "username,email,phones,token,address\nanna,anna@example.org,+14155552345 +447700900123,,\n"
        data += "bob,bob@example.org,,tok-1,b@example.net\n"
    packed = gzip.compress(data.encode()) if name.endswith(".gz") else data.encode()
    if name == "users.xlsx":
        header = ["username", "email", "phones", "token", "address"]
        anna = ["anna", "anna@example.org", "+14155552345 +447700900123"]
        bob = ["bob", "bob@example.org", "", "tok-1", "b@example.net"]
        packed = workbook([[text_cell(each) if each else "" for each in row] for row in (header, anna, bob)])
    done = cli.call(*IMPORT, _file(cli, packed, name), "-o", "json").ok()
    assert done.json() == _report(read=2, created=2, contacts=4)
    assert _points(cli, "anna") == [("sms", "+14155552345", True), ("sms", "+447700900123", False)]
    assert _points(cli, "bob") == [("email", "b@example.net", True), ("push", "tok-1", True)]


def test_stdin_and_other_names_of_columns(cli: Cli) -> None:
    """What a column is can be said; one that nobody knows is an error with the probable name."""
    table = "Login;E-Mail;usernote\nanna;anna@example.org;x\n"
    maps = ("--map", "Login=username", "--map", "E-Mail=email", "--format", "csv", "--delimiter", ";")
    refused = cli.call(*IMPORT, "-", *maps, input=table)
    assert refused.exit_code == 2
    assert "column 'usernote': is unknown: probably username" in refused.stderr
    assert "--map usernote= leaves it out" in refused.stderr
    assert _people(cli) == {}
    cli.call(*IMPORT, "-", *maps, "--map", "usernote=", input=table).ok()
    assert _people(cli) == {"anna": ("anna@example.org", None)}
    assert cli.call(*IMPORT, "-", input=table).exit_code == 2
    nameless = cli.call(*IMPORT, "-", "--format", "csv", input="username,language\nanna,de\n")
    assert nameless.exit_code == 2
    assert "no column is email" in nameless.stderr


def test_other_values_are_rejected_unless_they_are_to_be_taken(cli: Cli, database: Database) -> None:
    """An import changes nobody by the way; with --update it gives what the rows say, and takes nothing."""
    cli.call(*IMPORT, _file(cli, FOUR)).ok()
    table = (
        "username,email,language,phones\n"
        "anna,anna@example.net,,+14155552347\n"
        "bob,bob@example.org,fr,\n"
        "eve,anna@example.org,,\n"
        "0700,zero@example.org,,\n"
    )
    before = _counts(database)
    done = cli.call(*IMPORT, _file(cli, table, "more.csv"), "-o", "json")
    assert done.exit_code == 6
    assert json.loads(done.stdout.splitlines()[0]) == _report(read=4, known=1, rejected=3)
    for said in (
        "line 2: there is a user anna already, with another email (anna@example.org) and without sms +14155552347",
        "line 3: there is a user bob already, with another language (none)",
        "line 4: email: anna@example.org belongs to the user anna",
        "3 of 4 rows were rejected, the others are stored",
        "--rejects FILE",
    ):
        assert said in done.stderr
    assert _counts(database) == before
    changed = cli.call(*IMPORT, _file(cli, table, "more.csv"), "--update", "-o", "json").ok()
    assert changed.json() == _report(read=4, created=1, updated=2, known=1, contacts=1)
    assert _people(cli)["anna"] == ("anna@example.net", "de-AT")
    assert _people(cli)["bob"] == ("bob@example.org", "fr")
    assert _people(cli)["eve"] == ("anna@example.org", None)
    assert {point[1] for point in _points(cli, "anna")} == {"+14155552347", "+14155552345", "+447700900123"}
    assert cli.call(*IMPORT, _file(cli, table, "more.csv"), "--update", "-o", "json").ok().json() == _report(
        read=4, known=4
    )


ROWS = (
    ("anna,anna@example.org,,+14155552345", None),
    ("anna,anna@example.org,,", None),
    ("anna,other@example.org,,", "there is a user anna already"),
    ("b@b,b@example.org,,", "has an @ in it"),
    (",c@example.org,,", "username: is missing"),
    ("dora,,,", "email: is missing"),
    ("ed,ed,,", "'ed' is no e-mail address"),
    ("flo,anna@example.org,,", "belongs to the user anna"),
    ("gus,gus@example.org,deutsch!,", "is no language tag"),
    ("hal,hal@example.org,,0700900123", "is no telephone number with a country code"),
    ("ida,ida@example.org", "it has 2 cells, the header has 4"),
    ('jo,jo@example.org,,"x"y', "text stands behind a closing quote"),
    ("kim,kim@example.org,,+447700900123", None),
    ("lea,\\.,,", "is no e-mail address"),
)


@pytest.mark.parametrize("dry", [False, True])
def test_bad_rows_are_named_and_the_others_are_stored(cli: Cli, database: Database, dry: bool) -> None:
    """Each with its line and why; a dry run says exactly the same, of the rows that depend on others too."""
    table = "username,email,language,phones\n" + "".join(f"{row}\n" for row, _ in ROWS)
    rejects = cli.home / "rejects.csv"
    options = ["--rejects", str(rejects), "-o", "json", *(["--dry-run"] if dry else [])]
    done = cli.call(*IMPORT, _file(cli, table), *options)
    assert done.exit_code == 6
    bad = [(line, why) for line, (_, why) in enumerate(ROWS, 2) if why is not None]
    assert json.loads(done.stdout.splitlines()[0]) == _report(
        read=len(ROWS), created=2, known=1, rejected=len(bad), contacts=2
    )
    with rejects.open(newline="") as file:
        found = list(csv.reader(file))
    assert found[0] == ["_row", "_line", "_reason", "username", "email", "language", "phones"]
    assert [int(row[1]) for row in found[1:]] == [line for line, _ in bad]
    assert all(why in row[2] for row, (_, why) in zip(found[1:], bad, strict=True))
    assert _counts(database)[:2] == ((0, 0) if dry else (2, 2))
    assert ("nothing was written" in done.stderr) is dry


def test_a_corrected_file_of_rejects_adds_what_was_missing(cli: Cli) -> None:
    """It is read as it is, its columns of reasons and lines passed over."""
    table = "username,email\nanna,anna@example\nbob,bob@example.org\n"
    rejects = cli.home / "rejects.csv"
    first = cli.call(*IMPORT, _file(cli, table), "--rejects", str(rejects))
    assert first.exit_code == 6
    assert f"users import -f {rejects}" in first.stderr
    assert cli.call(*IMPORT, str(rejects)).exit_code == 6
    rejects.write_text(rejects.read_text().replace("anna@example\n", "anna@example.org\n"))
    assert cli.call(*IMPORT, str(rejects), "-o", "json").ok().json() == _report(read=1, created=1)
    assert _people(cli).keys() == {"anna", "bob"}


BROKEN = {
    "latin-1": ("u.csv", "username,email\nanna,é@example.org\n".encode("latin-1"), 2, "line 2, byte 6: 0xe9"),
    "utf-16": ("u.csv", "username,email\n".encode("utf-16"), 2, "it is UTF-16"),
    "surrogate bytes": ("u.csv", b"username,email\n\xed\xa0\x80,x\n", 2, "line 2, byte 1: 0xed"),
    "unclosed quote": ("u.csv", b'username,email\nbob,b@example.org\n"anna,x\ny\n', 2, "line 3: the quote that opens"),
    "empty": ("u.csv", b"", 2, "it is empty"),
    "header twice": ("u.csv", b"username,email,email\n", 2, "'email' is there twice"),
    "header empty": ("u.csv", b"username,email,\n", 2, "column 3 has no name"),
    "truncated": ("u.csv.gz", gzip.compress(b"username,email\n" + b"anna,a@example.org\n" * 99)[:-12], 2, "cut short"),
    "no gzip": ("u.csv.gz", b"username,email\n", 2, "cannot be unpacked"),
    "NUL": ("u.csv", b"username,email\nan\0na,a@example.org\n", 6, "line 2: it holds NUL"),
    "ragged": ("u.csv", b"username,email\nanna\n", 6, "line 2: it has 1 cell, the header has 2"),
    "10 MB": ("u.csv", b"username,email\nanna," + b"x" * 10_000_000 + b"\n", 6, "line 2: it is longer than 1,048,576"),
    "10 MB quoted": ("u.csv", b'username,email\nanna,"' + b"x\n" * 5_000_000 + b'"\n', 6, "line 2: it is longer"),
    "surrogate": (
        "u.ndjson",
        b'{"username":"\\ud800","email":"a@example.org"}\n',
        6,
        "line 1: it holds half a surrogate",
    ),
    "key twice": ("u.ndjson", b'{"username":"a","username":"b"}\n', 6, "line 1: it is not JSON: the key 'username'"),
    "new key late": (
        "u.ndjson",
        b'{"username":"a","email":"a@example.org"}\n' * 1_500
        + b'{"username":"b","email":"b@example.org","phon":"1"}\n',
        6,
        "line 1501: column 'phon': is unknown: probably phone",
    ),
    "no text": (
        "u.ndjson",
        b'{"username":7,"email":"a@example.org"}\n',
        6,
        "line 1: username: is an integer, not text",
    ),
    "formula cell": (
        "u.xlsx",
        workbook(
            [[text_cell("username"), text_cell("email")], [cell("str", "anna", "B1"), text_cell("a@example.org")]]
        ),
        6,
        "line 2: A2 is a formula",
    ),
    "lost digits": (
        "u.xlsx",
        workbook(
            [
                [text_cell(each) for each in ("username", "email", "phone")],
                [text_cell("anna"), text_cell("a@example.org"), number("4.47700900123E+15")],
            ]
        ),
        6,
        "line 2: C2 is the number 4.47700900123E+15, which may have lost digits",
    ),
    "no workbook": ("u.xlsx", b"username,email\n", 2, "it is no XLSX workbook"),
    "formula": ("u.csv", b"username,email\n=1+1,a@example.org\n", 0, ""),
    "BOM": ("u.csv", b"\xef\xbb\xbfusername,email\nanna,anna@example.org\n", 0, ""),
    "header alone": ("u.csv", b"username,email\n", 0, "0 created"),
    "U+2028": ("u.ndjson", '{"username":"a","email":"a@example.org","language":"\u2028"}\n'.encode(), 6, "line 1: "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input_is_named_and_leaves_nothing_half_written(cli: Cli, database: Database, case: str) -> None:
    """What is wrong with the file: exit 2, with a row: exit 6; each with its line, and no traceback."""
    name, data, code, said = BROKEN[case]
    done = cli.call(*IMPORT, _file(cli, data, name))
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if code == 2:
        assert name in done.stderr
        assert _counts(database) == (0, 0, 0)


def test_a_pipe_that_breaks_says_what_was_stored(cli: Cli) -> None:
    """Its fault is met where it is; what came before it is stored, and a repetition finds it there."""
    table = b"username,email\n" + b"".join(b"u%d,u%d@example.org\n" % (at, at) for at in range(1_500)) + b"\xff,x\n"
    done = cli.call(*IMPORT, "-", "--format", "csv", input=table)
    assert done.exit_code == 2
    assert "line 1502, byte 1: 0xff is no text in UTF-8; the first 1,000 rows are done" in done.stderr
    assert len(_people(cli)) == 1_000
    dry = cli.call(*IMPORT, "-", "--format", "csv", "--dry-run", input=table)
    assert "nothing was written" in dry.stderr


def test_a_file_on_stdin_is_looked_through_first(cli: Cli) -> None:
    """From where it stands: what the shell gives is a file that can be read twice, and a pipe is not."""
    path = _file(cli, b"username,email\nanna,anna@example.org\nbob,\xff\n")
    with Path(path).open("rb") as file:
        done = cli.start(*IMPORT, "-", "--format", "csv", stdin=file)
        _, err = done.communicate(timeout=60)
    assert done.returncode == 2
    assert "stdin: line 3, byte 5: 0xff is no text in UTF-8" in err
    assert _people(cli) == {}


def test_a_person_at_a_terminal_sees_how_far_it_is(cli: Cli) -> None:
    """A bar meanwhile, which is gone when it is done, and then one line."""
    table = "username,email\n" + "".join(f"u{at},u{at}@example.org\n" for at in range(2_500))
    done = cli.type(*IMPORT, _file(cli, table), keys="", env={"TERM": "xterm", "COLUMNS": "80"})
    assert done.exit_code == 0
    assert "2,500 created" in done.stderr
    assert "━" in done.stderr


def test_what_is_suppressed_stays_so(cli: Cli) -> None:
    """An import lifts nothing, and says how many it concerns."""
    cli.call("suppressions", "add", "sms", "+14155552345", "--reason", "STOP", "--cause", "opt_out").ok()
    done = cli.call(*IMPORT, _file(cli, FOUR), "-o", "json").ok()
    assert done.json()["suppressed"] == 1
    assert "1 of their addresses" in done.stderr
    assert _points(cli, "anna") == [("sms", "+14155552345", False), ("sms", "+447700900123", True)]


def test_what_rules_put_off_is_judged_anew_where_somebody_got_another_number(cli: Cli, database: Database) -> None:
    """As with `contacts add`: it may be of another country. What is of another channel stays put off."""
    anna = seed.user(database)
    [sms] = seed.pending(database, anna, "twilio", due_at=2**42, deferred_by="contact_window")
    [mail] = seed.pending(database, anna, due_at=2**42, deferred_by="contact_window")
    table = "username,email,phone\nanna,anna@example.org,+14155552345\n"
    cli.call(*IMPORT, _file(cli, table), "--update").ok()
    assert seed.notification(database, sms).deferred_by is None
    assert seed.notification(database, mail).deferred_by == "contact_window"


def test_addresses_may_pass_from_one_to_another_in_the_files_order(cli: Cli, database: Database) -> None:
    """Also in a dry run, and across the portions in which rows are written."""
    cli.call(*IMPORT, _file(cli, "username,email\nanna,a@example.org\nbob,b@example.org\n")).ok()
    filler = "".join(f"u{number},u{number}@example.org\n" for number in range(1_200))
    table = f"username,email\nanna,c@example.org\n{filler}bob,a@example.org\nanna,b@example.org\nu7,u8@example.org\n"
    for dry in (["--dry-run"], []):
        done = cli.call(*IMPORT, _file(cli, table), "--update", "-o", "json", *dry)
        assert json.loads(done.stdout.splitlines()[0]) == _report(read=1_204, created=1_200, updated=3, rejected=1)
        assert "line 1205: email: u8@example.org belongs to the user u8" in done.stderr
    assert _people(cli)["anna"] == ("b@example.org", None)
    assert _people(cli)["bob"] == ("a@example.org", None)


def test_two_imports_at_once_store_each_person_once(cli: Cli) -> None:
    """Whoever comes second finds them there."""
    rows = [f"u{number},u{number}@example.org\n" for number in range(1_500)]
    table, backwards = ("username,email\n" + "".join(each) for each in (rows, reversed(rows)))
    files = [_file(cli, table, "one.csv"), _file(cli, backwards, "two.csv")]
    running = [cli.start(*IMPORT, each, "-o", "json") for each in files]
    reports = []
    for each in running:
        out, err = each.communicate(timeout=120)
        assert each.returncode == 0, err
        reports.append(json.loads(out))
    assert sum(each["created"] for each in reports) == 1_500
    assert sum(each["known"] for each in reports) == 1_500


@pytest.mark.slow
def test_it_can_be_killed_and_repeated(cli: Cli, database: Database) -> None:
    """Portions are whole: nobody is there twice, or without the contact points of the row, and the trail counts all."""
    table = "username,email,phone\n" + "".join(f"u{at},u{at}@example.org,+4477{at:08}\n" for at in range(6_000))
    path = _file(cli, table)
    running = cli.start(*IMPORT, path)
    while _counts(database)[0] == 0 and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.communicate()
    there = _counts(database)
    assert there[0] == there[1] > 0
    done = cli.call(*IMPORT, path, "-o", "json").ok().json()
    assert done["created"] + done["known"] == 6_000
    assert _counts(database)[:2] == (6_000, 6_000)
    with database.read() as tx:
        trail = [json.loads(each)["created"] for each in tx.execute(text("SELECT changes FROM audit_logs")).scalars()]
    assert sum(trail) == 6_000


def test_no_statement_is_run_for_each_row(cli: Cli) -> None:
    """Ten times the rows of a portion need no more statements than one row."""
    seen: list[str] = []

    def counted(rows: int) -> int:
        seen.clear()
        table = "username,email,phone\n" + "".join(
            f"n{rows}-{number},n{rows}-{number}@example.org,+4477009{number:05}\n" for number in range(rows)
        )
        cli.call(*IMPORT, _file(cli, table)).ok()
        return len(seen)

    def note(*args: Any) -> None:
        seen.append(args[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert counted(300) == counted(3) > 0
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.full
def test_a_hundred_thousand_people_need_no_more_memory(cli: Cli, tmp_path: Path) -> None:
    """Both databases; the process stays below what a hundred thousand rows would take."""
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        file.write("username,email,phone\n")
        for number in range(100_000):
            file.write(f"user{number},user{number}@example.org,+4477{number + 10_000_000:08}\n")
    program = (
        "import sys;from pathlib import Path;from notifyctl.cli.app import main;code=main(sys.argv[1:]);"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0],file=sys.stderr);sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *IMPORT, str(path), "-o", "json"], env=cli.env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["created"] == 100_000
    assert int(done.stderr.split()[-1]) < 150_000
