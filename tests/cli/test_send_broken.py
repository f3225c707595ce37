"""`send -f` and broken input: each fault with its line, exit 2 for a file, 6 for rows, and nothing half-written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.workbook import cell, number, text, workbook

HEADER = b"user,channel,body,to\n"
GOOD = b"anna,sms,before,+14155552345\n"
AFTER = b"anna,sms,after,+14155552345\n"
OBJECT = b'{"user":"anna","channel":"sms","body":"%s","to":"+14155552345"%s}\n'


@pytest.fixture(autouse=True)
def people(database: Database) -> None:
    """A provider of texts, and a user."""
    seed.provider(database, "twilio", config_json='{"from":"+15005550006","account_sid":"AC1"}')
    seed.user(database)


def _csv(row: bytes) -> bytes:
    return HEADER + GOOD + row + AFTER


def _ndjson(line: bytes) -> bytes:
    return OBJECT % (b"before", b"") + line + b"\n" + OBJECT % (b"after", b"")


def _sheet(*cells: str) -> bytes:
    rows = [each.decode().strip().split(",") for each in (HEADER, GOOD, AFTER)]
    before, good, after = ([text(each) for each in row] for row in rows)
    return workbook([before, good, [text("anna"), text("sms"), *cells], after])


FILES = {
    "latin-1": ("x.csv", _csv("anna,sms,é,\n".encode("latin-1")), "line 3, byte 10: 0xe9 is no text in UTF-8"),
    "utf-16": ("x.csv", _csv(b"").decode().encode("utf-16"), "it is UTF-16, not text in UTF-8"),
    "surrogate bytes": ("x.ndjson", _ndjson(b'{"body":"\xed\xa0\x80"}'), "line 2, byte 10: 0xed"),
    "unclosed quote": ("x.csv", _csv(b'anna,sms,"open,\n'), "line 3: the quote that opens here is never closed"),
    "truncated gzip": ("x.csv.gz", gzip.compress(_csv(b"") * 900)[:-20], "it is cut short"),
    "gzip of nothing": ("x.ndjson.gz", b"", "it is cut short"),
    "corrupt gzip": ("x.ndjson.gz", gzip.compress(_ndjson(b""))[:-8] + b"\1" * 8, "it cannot be unpacked"),
    "plain as gzip": ("x.csv.gz", _csv(b""), "it cannot be unpacked"),
    "gzip as plain": ("x.csv", gzip.compress(_csv(b"")), "compressed by gzip"),
    "duplicated header": (
        "x.csv",
        b"user,channel,body,body\nanna,sms,a,b\n",
        "line 1: the header: 'body' is there twice",
    ),
    "empty header": ("x.csv", b"user,channel,,body\nanna,sms,a,b\n", "line 1: the header: column 3 has no name"),
    "unknown column": ("x.csv", b"user,channel,bdy\nanna,sms,a\n", "column 'bdy': is unknown: probably body"),
    "no header": ("x.csv", b"", "it is empty"),
    "no name of a form": ("x.dat", _csv(b""), "its name does not say"),
    "no workbook": ("x.xlsx", _csv(b""), "it is no XLSX workbook"),
}
ROWS = {
    "too few": ("x.csv", _csv(b"anna,sms\n"), "it has 2 cells, the header has 4"),
    "too many": ("x.csv", _csv(b"anna,sms,a,b,c\n"), "it has 5 cells, the header has 4"),
    "10 MB": ("x.csv", _csv(b"anna,sms," + b"x" * 10_000_000 + b",\n"), "it is longer than 1,048,576 bytes"),
    "10 MB of JSON": ("x.ndjson", _ndjson(OBJECT.strip() % (b"x" * 10_000_000, b"")), "it is longer than"),
    "NUL": ("x.csv", _csv(b"anna,sms,a\0b,\n"), "it holds NUL"),
    "NUL in JSON": ("x.ndjson", _ndjson(OBJECT.strip() % (rb"a\u0000b", b"")), "body: holds NUL"),
    "half a pair": ("x.ndjson", _ndjson(OBJECT.strip() % (rb"\ud800", b"")), "half a surrogate pair"),
    "key twice": ("x.ndjson", _ndjson(OBJECT.strip() % (b"x", b',"body":"y"')), "the key 'body' is given twice"),
    "NaN": ("x.ndjson", _ndjson(OBJECT.strip() % (b"x", b',"max_retries":NaN')), "NaN is no JSON"),
    "another type": ("x.ndjson", _ndjson(OBJECT.strip() % (b"x", b',"key":7')), "key: is an integer, not text"),
    "unknown key": ("x.ndjson", _ndjson(OBJECT.strip() % (b"x", b',"subjekt":"y"')), "probably subject"),
    "no object": ("x.ndjson", _ndjson(b"[1]"), "it is an array, not an object"),
    "formula": ("x.xlsx", _sheet(cell("str", "x", "A1"), text("+14155552345")), "C3 is a formula"),
    "lost digits": (
        "x.xlsx",
        _sheet(text("x"), number("4.47700900123457E+15")),
        "D3 is the number 4.47700900123457E+15",
    ),
    "a number for a telephone": ("x.xlsx", _sheet(text("x"), number("14155552345")), "no telephone number"),
    "a date": ("x.xlsx", _sheet(number("47484", 1), text("+14155552345")), "C3 is a date or time"),
}


def _sent(cli: Cli, folder: Path, name: str, data: bytes, *more: str) -> Any:
    path = folder / name
    path.write_bytes(data)
    return cli.call("send", "-f", str(path), *more)


def _stored(database: Database) -> list[str]:
    with database.read() as tx:
        return sorted(json.loads(each)["body"] for each in tx.execute(select(notifications.c.payload)).scalars())


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_with_a_file_stores_nothing(cli: Cli, database: Database, tmp_path: Path, case: str) -> None:
    """Exit 2, the file and the place are named; no notification, no batch, no word in the audit trail."""
    name, data, said = FILES[case]
    done = _sent(cli, tmp_path, name, data, "--rejects", str(tmp_path / "rejects"), "--batch", "spring")
    assert (done.exit_code, done.stdout) == (2, ""), done
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert _stored(database) == []
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(audit_logs)).scalar_one() == 0
    assert cli.call("batches", "list", "-o", "id").ok().stdout == ""
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(("rejects", ".rejects"))) == []


@pytest.mark.parametrize("case", ROWS)
def test_what_is_wrong_with_a_row_stops_no_other(cli: Cli, database: Database, tmp_path: Path, case: str) -> None:
    """Exit 6, the line and the reason are named; sent again as they are, the rejected rows are rejected again."""
    name, data, said = ROWS[case]
    line = 2 if name.endswith("ndjson") else 3
    rejects = tmp_path / f"rejects.{'ndjson' if name.endswith('ndjson') else 'csv'}"
    told = _sent(cli, tmp_path, name, data, "--dry-run")
    assert told.exit_code == 6
    assert f"line {line}: " in told.stderr
    assert said in told.stderr
    done = _sent(cli, tmp_path, name, data, "--rejects", str(rejects), "--batch", "spring")
    assert done.exit_code == 6, done
    assert "Traceback" not in done.stderr
    assert said in rejects.read_text()
    assert _stored(database) == ["after", "before"]
    again = cli.call("send", "-f", str(rejects), "--batch", "spring", "-o", "json")
    assert again.exit_code == 6
    assert json.loads(again.stdout)["rejected"] == 1
    assert _stored(database) == ["after", "before"]


MEANT = {
    "BOM": ("x.csv", b"\xef\xbb\xbf" + _csv(b""), ["after", "before"]),
    "CRLF": ("x.csv", _csv(b"").replace(b"\n", b"\r\n"), ["after", "before"]),
    "quoted lines": ("x.csv", _csv(b'anna,sms,"\\.\n\\.",\n'), ["\\.\n\\.", "after", "before"]),
    "end of data": ("x.csv", _csv(b"anna,sms,\\.,\n"), ["\\.", "after", "before"]),
    "line separator": (
        "x.ndjson",
        _ndjson(OBJECT.strip() % ("a\u2028b".encode(), b"")),
        ["after", "a\u2028b", "before"],
    ),
    "of CSV": ("x.csv", _csv("anna,sms,a\u2028b\x85c\x0bd,\n".encode()), ["after", "a\u2028b\x85c\x0bd", "before"]),
    "texts": (
        "x.csv",
        _csv(b"anna,sms,22:30:00,\nanna,sms,no,\nanna,sms,0700,\n"),
        ["0700", "22:30:00", "after", "before", "no"],
    ),
    "members": ("x.csv.gz", gzip.compress(HEADER + GOOD) + gzip.compress(AFTER), ["after", "before"]),
}


@pytest.mark.parametrize("case", MEANT)
def test_what_is_meant_is_sent_as_it_stands_there(cli: Cli, database: Database, tmp_path: Path, case: str) -> None:
    """No sign in a cell ends a line, or a table, that does not: not U+2028, not a line with a backslash and a dot."""
    name, data, bodies = MEANT[case]
    if b"\\." in data or case in ("of CSV", "texts"):
        data = data.replace(b",\n", b",+14155552345\n")
    done = _sent(cli, tmp_path, name, data)
    assert done.exit_code == 0, done
    assert _stored(database) == sorted(bodies)


def test_a_key_that_first_comes_late_is_taken(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Of NDJSON every row has names of its own, however many there were without them."""
    seed.user(database, "omar")
    lines = b'{"user":"anna","channel":"sms","body":"x","to":"+14155552345","key":"k"}\n' * 3_000
    late = OBJECT % (b"late", b',"category":null,"expires_in":"2h"')
    done = _sent(cli, tmp_path, "x.ndjson", lines + late, "-o", "json")
    assert done.exit_code == 0, done
    assert _stored(database) == ["late", "x"]


def test_an_empty_file_sends_nothing_to_nobody(cli: Cli, database: Database, tmp_path: Path) -> None:
    """No rows are no rows, not all users."""
    for name, data in (
        ("x.csv", HEADER),
        ("x.ndjson", b""),
        ("x.csv.gz", gzip.compress(HEADER)),
        ("y.csv", HEADER + b"\n\n"),
    ):
        assert _sent(cli, tmp_path, name, data).exit_code == 0
    assert _stored(database) == []


def test_rows_that_were_all_rejected_are_the_same_rows_later(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Also where nothing was stored of their batch at first: the file of rejects adds nothing to what the file did."""
    rejects = tmp_path / "rejects.csv"
    data = HEADER + GOOD + GOOD.replace(b"anna", b"omar") + GOOD.replace(b"anna", b"omar")
    assert (
        _sent(cli, tmp_path, "x.csv", data.replace(GOOD, b""), "--batch", "s", "--rejects", str(rejects)).exit_code == 6
    )
    assert _stored(database) == []
    seed.user(database, "omar")
    assert _sent(cli, tmp_path, "x.csv", data, "--batch", "s").exit_code == 0
    again = cli.call("send", "-f", str(rejects), "--batch", "s", "-o", "json").ok().json()
    assert (again["accepted"], again["deduplicated"]) == (0, 2)
    assert _stored(database) == ["before"] * 3
