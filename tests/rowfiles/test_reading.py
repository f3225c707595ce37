"""Rows are read as they were written, and a broken file says where it is broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.json_codec import canonical
from notifyctl.core.rowfile.rows import LONGEST, BadRow, FileRow, RowForm
from notifyctl.services.rowfiles import checking
from notifyctl.services.rowfiles.opening import opened

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    [
        "",
        '"',
        '""',
        ",",
        "\n",
        "\r",
        "\r\n",
        "\u2028",
        "\\.",
        "+447700900123",
        "0700",
        "22:30:00",
        "no",
        "\ufeff",
        " x ",
    ]
)


def _read(path: Path, **options: Any) -> tuple[Sequence[str] | None, list[FileRow | BadRow]]:
    with opened(str(path), **options) as file:
        return file.columns, list(file.rows)


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the examples of a property, which share a file."""
    return tmp_path_factory.mktemp("rows")


_RFC_CELL = r'(?:"(?:[^"]|"")*"|[^",]*)'


@given(st.text(st.sampled_from('ab ,"'), min_size=1, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_line_with_quotes_is_what_the_grammar_says(folder: Path, line: str) -> None:
    """RFC 4180, 2: a quoted cell is quoted as a whole, and a quote in it is doubled; anything else is refused."""
    is_csv = re.fullmatch(f"{_RFC_CELL}(?:,{_RFC_CELL})*", line) is not None
    cells = re.findall(f"(?:^|,)({_RFC_CELL})", line)
    meant = [each[1:-1].replace('""', '"') if each.startswith('"') else each for each in cells]
    header = ",".join(f"c{place}" for place in range(len(meant)))
    path = _written(folder, "line.csv", f"{header}\n{line}\n".encode())
    try:
        _, [row] = _read(path)
    except UsageError as error:
        assert not is_csv and "never closed" in error.message
        return
    assert isinstance(row, FileRow) == is_csv, row
    if is_csv:
        assert row.cells == meant


@given(st.text(st.sampled_from('a,"\n\r\0'), max_size=40), st.integers(1, 9), st.booleans())
@example('"",""b,"c\n",x\n', 4, False)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
def test_no_quote_is_open_behind_the_first_row(folder: Path, text: str, step: int, ends: bool) -> None:
    """Whatever stands there, in whatever portions it is read: what breaks the file is known before a row is given."""
    written = (f"a,b\n{text}\n" if ends else f"a,b\n{text}").replace("\n", "\r\n" if step % 2 else "\n")
    path = _written(folder, "quotes.csv", written.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "_STEP", step)
        try:
            with opened(str(path)) as file:
                rows = file.rows
                while True:
                    try:
                        next(rows)
                    except StopIteration:
                        return
                    except UsageError as error:
                        pytest.fail(f"it is told when rows were given: {error.message}")
        except UsageError as error:
            assert "never closed" in error.message


@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=6)),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    ends=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    bom=st.booleans(),
    packed=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_is_read_as_it_was_written(
    folder: Path, rows: list[list[str]], delimiter: str, ends: str, quoting: int, bom: bool, packed: bool
) -> None:
    """Of whatever a writer by RFC 4180 writes no cell is lost or changed, and no row is one more or one less."""
    header = [f"c{number}" for number in range(len(rows[0]))]
    if ends == "\n" and "\r" in str("".join(map("".join, rows))):
        quoting = csv.QUOTE_ALL  # this writer leaves a CR bare where its line end has none
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ends, quoting=quoting)
    writer.writerows([header, *rows])
    data = (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()
    path = _written(folder, "x.csv.gz" if packed else "x.csv", gzip.compress(data, mtime=0) if packed else data)
    columns, found = _read(path, delimiter=delimiter)
    assert columns == header
    assert [list(each.cells) for each in found] == rows
    assert all(isinstance(each, FileRow) for each in found)
    heights = [1 + "".join(row).count("\n") for row in rows]
    assert [each.line for each in found] == [2 + sum(heights[:number]) for number in range(len(rows))]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=6,
)


@given(
    rows=st.lists(st.dictionaries(CELL, JSON, max_size=4), max_size=6),
    ends=st.sampled_from(["\n", "\r\n"]),
    escaped=st.booleans(),
    spaced=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ndjson_is_read_as_it_was_written(
    folder: Path, rows: list[dict[str, Any]], ends: str, escaped: bool, spaced: bool
) -> None:
    """Every value is the one that was written, integers of any length and U+2028 inside of texts among them."""
    separators = (" , ", " : ") if spaced else (",", ":")
    data = "".join(json.dumps(each, ensure_ascii=escaped, separators=separators) + ends for each in rows).encode()
    _, found = _read(_written(folder, "x.ndjson", data))
    assert [each.line for each in found] == list(range(1, len(rows) + 1))
    assert [canonical(each.cells) for each in found] == list(map(canonical, rows))


@given(st.lists(st.tuples(st.sampled_from("abc"), CELL | st.integers()), max_size=4), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_key_given_twice_is_always_seen(folder: Path, pairs: list[tuple[str, Any]], spaced: bool) -> None:
    """However the object is written: readers differ in which of the two they take, so neither is meant."""
    colon = " :" if spaced else ":"
    line = "{" + ",".join(f"{json.dumps(key)}{colon}{json.dumps(value)}" for key, value in pairs) + "}\n"
    _, [row] = _read(_written(folder, "twice.ndjson", line.encode()))
    assert isinstance(row, FileRow) is (len({key for key, _ in pairs}) == len(pairs))


WHOLE = [
    ("x.csv", b"", "line 1: it is empty"),
    ("x.csv", b"a,b\n1,2\n3,caf\xe9\n", "line 3, byte 6: 0xe9 is no text in UTF-8"),
    ("x.csv", b"a,b\n1,2\n3,\xed\xa0\x80\n", "line 3, byte 3: 0xed is no text in UTF-8"),
    ("x.csv", b"a,b\n1,2\n3,\xc3", "line 3, byte 3: 0xc3 is no text in UTF-8"),
    ("x.csv", "a,b\n1,2\n".encode("utf-16"), "it is UTF-16"),
    ("x.csv", b"a\rb\r1\r2\r", "line 1: the header cannot be read: a carriage return"),
    ("x.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "compressed by gzip"),
    ("x.csv", b'a,b\n1,"ok\nx"\n2,"open\nmore,more\n', "line 4: the quote that opens here is never closed"),
    ("x.csv", b'a,b\n"1\n2","5\n', "line 3: the quote that opens here is never closed"),
    ("x.csv", b'a,b\n1,5"\n2,"open\n', "line 3: the quote that opens here is never closed"),
    ("x.csv", b'a,b\n1,5" pipe\n2,"x"y\n"\n', "line 4: the quote that opens here is never closed"),
    ("x.csv", b'\xef\xbb\xbf"a\n","b"\n1,5"\n2,"open\n', "line 4: the quote that opens here is never closed"),
    (
        "x.csv",
        b"a,b\n1," + b"x" * 3 * LONGEST + b'\n1,5"\n2,"open\n',
        "line 4: the quote that opens here is never closed",
    ),
    ("x.csv", b'a,b\n1,"' + b"x\n" * LONGEST, "line 2: the quote that opens here is never closed"),
    ("x.csv", b"a,b,a\n1,2,3\n", "line 1: the header: 'a' is there twice, columns 1 and 3"),
    ("x.csv", b"\na,,b\n1,2,3\n", "line 2: the header: column 2 has no name"),
    ("x.csv", b"a, ,b\n1,2,3\n", "line 1: the header: column 2 has no name"),
    ("x.csv", b'a,"b\n1,2\n', "line 1: the quote that opens here is never closed"),
    ("x.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9, mtime=0)[:-9], "it is cut short"),
    ("x.csv.gz", b"", "it is cut short"),
    ("x.ndjson.gz", b"", "it is cut short"),
    ("x.csv.gz", b"a,b\n1,2\n", "it cannot be unpacked"),
    ("x.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-8] + b"\0" * 8, "it cannot be unpacked"),
    ("x.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0) + b"junk", "it cannot be unpacked"),
    ("x.ndjson", b'{"a":1}\n{"a":"\xff"}\n', "line 2, byte 7: 0xff is no text in UTF-8"),
    ("x.ndjson", '{"a":1}\n'.encode("utf-16"), "it is UTF-16"),
    ("X.CSV.GZ", b"a,b\n1,2\n", "it cannot be unpacked"),
    ("x.txt", b"a,b\n", "in which form it is, its name does not say"),
    ("x.gz", b"a,b\n", "in which form it is, its name does not say"),
]


@pytest.mark.parametrize(("name", "data", "said"), WHOLE)
def test_what_is_wrong_with_the_whole_file_is_known_before_its_first_row(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    """The file, the line and the byte are named, and no row was given that somebody might have taken."""
    path = _written(tmp_path, name, data)
    taken: list[Any] = []
    with pytest.raises(UsageError) as raised, opened(str(path)) as file:
        taken.extend(file.rows)
    assert said in raised.value.message
    assert str(path) in raised.value.message
    assert taken == []


@pytest.mark.parametrize("place", [1, 7, 131_071, 131_072, 131_073, 262_144, 1_400_000])
@pytest.mark.parametrize("lines", [True, False])
def test_the_byte_is_named_wherever_a_portion_ends(tmp_path: Path, place: int, lines: bool) -> None:
    """Text is checked in portions: a character across two of them is none that is broken, and counting goes on."""
    good = ("é,x\n" * place if lines else "é" * place).encode()[: place - 1 if not lines else None]
    good = good.decode(errors="ignore").encode()
    number, line = good.count(b"\n") + 1, good[good.rfind(b"\n") + 1 :]
    path = _written(tmp_path, "x.ndjson", good + b"\xe9,\n")
    with pytest.raises(UsageError) as raised:
        _read(path)
    assert f"line {number}, byte {len(line) + 1}: 0xe9" in raised.value.message


ROWS = [
    (b"1\n", "it has 1 cell, the header has 2"),
    (b"1,2,3\n", "it has 3 cells, the header has 2"),
    (b'1,5" pipe\n', "a quote stands in a cell that does not begin with one"),
    (b'1,"x"y\n', "text stands behind a closing quote"),
    (b'1,"a\nb"y\n', "text stands behind a closing quote"),
    (b"1,a\rb\n", "a carriage return stands outside of quotes"),
    (b"1,a\0b\n", "it holds NUL"),
    (b'1,"a\0b"\n', "it holds NUL"),
    (b"1," + b"x" * LONGEST + b"\n", "it is longer than 1,048,576 bytes"),
    (b'1,"' + b'""' * LONGEST + b'"\n', "it is longer than 1,048,576 bytes"),
    (b'1,"' + b"y\n" * LONGEST + b'"\n', "it is longer than 1,048,576 bytes"),
    (b'1,"y\n' + b"z" * LONGEST + b'\nq"\n', "it is longer than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("row", "said"), ROWS)
def test_a_broken_row_of_csv_is_named_and_the_next_one_is_read(tmp_path: Path, row: bytes, said: str) -> None:
    """The rows around it are what they are; the line is the one where the row begins, also behind longer ones."""
    path = _written(tmp_path, "x.csv", b'a,b\n"0\n",x\n' + row + b'1,"y\nz"\n')
    _, [before, bad, after] = _read(path)
    assert (before.line, before.cells) == (2, ["0\n", "x"])
    assert isinstance(bad, BadRow)
    assert bad.line == 4
    assert bad.reason.startswith(said)
    assert (after.line, after.cells) == (4 + row.count(b"\n"), ["1", "y\nz"])


OBJECTS = [
    (b"nope", "it is not JSON"),
    (b'{"a":1', "it is not JSON"),
    (b'{"a":NaN}', "NaN is no JSON"),
    (b'{"a":-Infinity}', "-Infinity is no JSON"),
    (b'{"a":1e999}', "a number is larger than any float"),
    (b'{"a":"\\ud800"}', "half a surrogate pair"),
    (b'{"\\udc00":1}', "half a surrogate pair"),
    (b'{"a":"x\0y"}', "it is not JSON"),
    (b"[1]", "it is an array, not an object"),
    (b'"a"', "it is text, not an object"),
    (b'{"a":1,"a":1}', "'a' is given twice"),
    (b'{"a":{"b":1,"b":2}}', "'b' is given twice"),
    (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deep"),
    (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested too deep"),
    (b'{"a":"' + b"x" * 10_000_000 + b'"}', "it is longer than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("line", "said"), OBJECTS)
def test_a_broken_line_of_ndjson_is_named_and_the_next_one_is_read(tmp_path: Path, line: bytes, said: str) -> None:
    """A line is a row, whatever is wrong inside of it."""
    path = _written(tmp_path, "x.ndjson", b'{"a":1}\r\n\n' + line + b'\n{"b":2}')
    _, [before, bad, after] = _read(path)
    assert (before.line, before.cells) == (1, {"a": 1})
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert said in bad.reason
    assert (after.line, after.cells) == (4, {"b": 2})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimiter": "ab"}, "no delimiter"),
        ({"delimiter": '"'}, "no delimiter"),
        ({"delimiter": "\n"}, "no delimiter"),
        ({"delimiter": ""}, "no delimiter"),
        ({"delimiter": ";", "form": RowForm.NDJSON}, "--delimiter is for CSV"),
    ],
)
def test_a_delimiter_that_is_none_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """Before the file is looked at."""
    with pytest.raises(UsageError, match=said):
        _read(_written(tmp_path, "x.csv", b"a,b\n"), **options)


def test_stdin_is_read_once_and_its_form_is_said(tmp_path: Path) -> None:
    """A pipe has no name that says what it is, and its faults are met where they are."""
    with pytest.raises(UsageError, match="in which form"), opened("-", io.BytesIO(b"")):
        pass
    with opened("-", io.BytesIO(b"a,b\n1,2\n3,\xff\n"), form=RowForm.CSV) as file:
        assert next(file.rows) == FileRow(2, ["1", "2"])
        with pytest.raises(UsageError, match="stdin: line 3, byte 3"):
            next(file.rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("x.csv", lambda: b"1,2\n" * 250_000),
        ("x.csv", lambda: b'1,"' + b"x" * 10_000_000 + b'"\n'),
        ("x.ndjson", lambda: b'{"a":"' + b"x" * 10_000_000 + b'"}\n'),
        ("x.csv.gz", lambda: gzip.compress(b"1,2\n" * 250_000, mtime=0)),
    ],
)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str, piece: Callable[[], bytes]) -> None:
    """Sixty megabytes pass through a few; of a compressed file it is the same, however much it unpacks to."""
    path = tmp_path / name
    part = piece()
    with path.open("wb") as file:
        head = b"a,b\n" if "csv" in name else b""
        file.write(gzip.compress(head, mtime=0) if name.endswith(".gz") else head)
        for _ in range(6):
            file.write(part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(str(path)) as found:
        assert sum(1 for _ in found.rows) == 6 * (250_000 if b"1,2\n" * 2 in part[:64] or name.endswith("gz") else 1)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1_024 < 16_000_000
