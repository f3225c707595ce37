"""Files that were damaged anywhere are read, or refused with their names: nothing else comes of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.services.rowfiles.opening import opened
from tests.support.workbook import cell, number, packed, parts, text

PARTS = parts(
    [
        [text("user"), text("body")],
        [text("a"), number("5")],
        [cell("s", "0"), cell("b", "1")],
        ['<c{r}><f t="array" ref="A4:B5">x</f><v>1</v></c>', number("3", 1)],
    ],
    ["<t>x</t>", "<r><t>y</t></r>"],
)
WHOLE = {
    "x.csv": b'\xef\xbb\xbfa,b\r\n1,"x\ny"\r\n2,"q""r"\n\n3,5" p\n',
    "x.csv.gz": gzip.compress(b'a,b\n1,"x\ny"\n2,3\n' * 20),
    "x.ndjson": b'{"a":1,"b":"x\\u2028"}\n{"a":[1,{"b":null}]}\n{"c":1e5}\n{"\\ud800":2}\n',
    "x.xlsx": packed(PARTS),
}
BYTES = st.sampled_from([b"", b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"{", b"}", b"\xc3", b"\\u"]) | st.binary(
    max_size=2
)
MARKUP = st.sampled_from(
    ["", "<", ">", '"', "/", "<v>", "</v>", "<f/>", "&x;", "²", '"-1"', '"99999999999"', '"ZZZ1"', '"A0"', '"s"', '"x"']
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), BYTES), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the examples of a property, which share a file."""
    return tmp_path_factory.mktemp("damaged")


def _read(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.write_bytes(data)
    try:
        with opened(str(path)) as file:
            for row in file.rows:
                assert row.line > 0
    except UsageError as error:
        assert str(path) in error.message


@given(st.sampled_from(sorted(WHOLE)), DAMAGE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_bytes_that_are_lost_or_changed(folder: Path, name: str, damage: list[tuple[float, int, bytes]]) -> None:
    """Of every form: put in, taken out, in the place of others."""
    data = WHOLE[name]
    for place, lost, put in damage:
        at = int(place * len(data))
        data = data[:at] + put + data[at + lost :]
    _read(folder, name, data)


@given(
    st.sampled_from(sorted(PARTS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), MARKUP), min_size=1, max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_markup_that_is_lost_or_changed(folder: Path, part: str, damage: list[tuple[float, int, str]]) -> None:
    """Inside of a workbook that is packed as it should be."""
    markup = PARTS[part]
    for place, lost, put in damage:
        at = int(place * len(markup))
        markup = markup[:at] + put + markup[at + lost :]
    _read(folder, "x.xlsx", packed({**PARTS, part: markup}))


@pytest.mark.parametrize("encoding", ["visible", "utf-7", "cUTF-8"])
def test_a_part_in_an_encoding_that_nobody_knows(folder: Path, encoding: str) -> None:
    """It is refused like any other damage."""
    part = "xl/styles.xml"
    path = folder / "x.xlsx"
    path.write_bytes(packed({**PARTS, part: PARTS[part].replace("UTF-8", encoding)}))
    with pytest.raises(UsageError, match=r"styles\.xml"), opened(str(path)):
        pass
