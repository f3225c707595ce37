"""The file of rejected rows is read like the one they are of: nothing in it becomes another row."""

from __future__ import annotations

import errno
import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.rowfile.drafting import Drafter, RowDefaults, columns
from notifyctl.core.rowfile.rows import BadRow, RowDraft
from notifyctl.services.rowfiles.opening import opened
from notifyctl.services.rowfiles.rejects import Rejects

PIECE = st.sampled_from(["a", "b", "", '"', ",", "\r", "\r\n", "é", "\u2028", "\\.", " "])
TEXT = st.lists(PIECE, max_size=3).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the examples of a property, which share a file."""
    return tmp_path_factory.mktemp("rejects")


def _rejecting(path: Path, into: Path, batch: str | None = "spring", **defaults: Any) -> list[RowDraft | BadRow]:
    """Make drafts of a file, reject all of them that cannot be one, and return what each row came to."""
    seen: Counter[bytes] = Counter()

    def ordinal(digest: bytes) -> int:
        seen[digest] += 1
        return seen[digest]

    with opened(str(path)) as file:
        drafter = Drafter(file.columns, columns(), RowDefaults(**defaults), batch, ordinal, lambda: "random")
        with Rejects(str(into), file) as rejects:
            found = [drafter(row) for row in file.rows]
            for each in found:
                if isinstance(each, BadRow):
                    rejects.write(each)
    return found


CSV_LINE = st.one_of(
    st.lists(TEXT, min_size=1, max_size=5).map(
        lambda cells: ",".join(f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in cells)
    ),
    st.lists(PIECE, max_size=8).map("".join),
)
NDJSON_LINE = st.one_of(
    st.dictionaries(
        st.sampled_from(["user", "channel", "body", "x"]), TEXT | st.none() | st.integers(), max_size=4
    ).map(json.dumps),
    st.lists(PIECE | st.sampled_from(["{", "}", ":", '"user"']), max_size=6).map("".join),
)


@given(lines=st.lists(CSV_LINE, max_size=6), width=st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_rows_are_rejected_again_as_the_same_rows(folder: Path, lines: list[str], width: int) -> None:
    """Sent as they are, they are rejected for the same reasons, with their identities and the lines they had first."""
    path = folder / "x.csv"
    path.write_bytes("\n".join([",".join(["channel", "user", "body", "to"][:width]), *lines, ""]).encode())
    try:
        _compare(folder, path, folder / "rejects.csv")
    except UsageError as error:  # a quote that is never closed: nothing is rejected, for nothing is read
        assert "never closed" in error.message


@given(lines=st.lists(NDJSON_LINE, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ndjson_rows_are_rejected_again_as_the_same_rows(folder: Path, lines: list[str]) -> None:
    """The same of objects, and of lines that are none."""
    path = folder / "x.ndjson"
    path.write_bytes("\n".join([*lines, ""]).encode())
    _compare(folder, path, folder / "rejects.ndjson")


def _compare(folder: Path, path: Path, rejects: Path) -> None:
    bad = [each for each in _rejecting(path, rejects, user="anna") if isinstance(each, BadRow)]
    again = _rejecting(rejects, folder / f"again{rejects.suffix}", user="anna")
    assert [type(each) for each in again] == [BadRow] * len(bad)
    assert [each.identity for each in again] == [each.identity for each in bad]
    assert (folder / f"again{rejects.suffix}").read_text().count("\n") == rejects.read_text().count("\n")
    lines = json.dumps([each.line for each in bad])
    with opened(str(folder / f"again{rejects.suffix}")) as file:
        rows = list(file.rows)
    kept = [row.cells["_line"] if isinstance(row.cells, dict) else int(row.cells[1]) for row in rows]
    assert json.dumps(kept) == lines


def test_a_corrected_file_is_taken_with_the_identities_of_the_first(tmp_path: Path) -> None:
    """Columns, delimiter and order are those of the input, the reasons stand in front."""
    path, rejects = tmp_path / "x.csv", tmp_path / "rejects.csv"
    path.write_text("user,channel,body\nanna,fax,hi\nbob,sms,hi\nbob,fax,hi\nbob,fax,hi\nbob,sms\n")
    first = _rejecting(path, rejects)
    assert rejects.read_text().splitlines()[0] == "_row,_line,_reason,user,channel,body"
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    rejects.write_text(rejects.read_text().replace("fax,", "sms,").replace(",bob,sms\n", ",bob,sms,hi\n"))
    second = _rejecting(rejects, tmp_path / "none.csv")
    assert all(isinstance(each, RowDraft) for each in second)
    assert [each.identity for each in second] == [each.identity for each in first if isinstance(each, BadRow)]
    assert len({each.identity for each in [*first, *second]}) == 5
    assert (tmp_path / "none.csv").read_text() == "_row,_line,_reason,user,channel,body\n"


def test_what_was_too_long_is_never_a_row(tmp_path: Path) -> None:
    """Nothing is kept of it but where it stood, and defaults do not fill it up."""
    for name, line in (("x.csv", "anna," + "x" * 2_000_000), ("x.ndjson", '{"user":"' + "x" * 2_000_000 + '"}')):
        path, rejects = tmp_path / name, tmp_path / f"rejects-{name}"
        path.write_text(f"user,body\n{line}\n" if name.endswith("csv") else f"{line}\n")
        for source, into in ((path, rejects), (rejects, tmp_path / f"again-{name}")):
            [found] = _rejecting(source, into, user="bob", channel="sms", body="hi")
            assert isinstance(found, BadRow)
        assert rejects.stat().st_size < 500


def test_the_delimiter_is_the_inputs(tmp_path: Path) -> None:
    """The file is read again by the same command line."""
    path = tmp_path / "x.csv"
    path.write_text("user;body\n")
    with opened(str(path), delimiter=";") as file, Rejects(str(tmp_path / "r.csv"), file) as rejects:
        rejects.write(BadRow(2, "why", ["a", "b;c"], "id"))
    assert (tmp_path / "r.csv").read_text() == '_row;_line;_reason;user;body\nid;2;why;a;"b;c"\n'


def test_the_file_that_is_read_is_not_written(tmp_path: Path) -> None:
    """Its rows would be gone with those that were taken; by whatever name it is called."""
    path = tmp_path / "x.csv"
    path.write_text("user\nanna\n")
    (tmp_path / "same.csv").hardlink_to(path)
    for name in ("x.csv", "same.csv"):
        with opened(str(path)) as file, pytest.raises(UsageError, match="is the file that is read"):
            Rejects(str(tmp_path / name), file)
    assert path.read_text() == "user\nanna\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """What it points at is somebody's file, which nobody named."""
    path, other = tmp_path / "x.csv", tmp_path / "other"
    path.write_text("user\nanna\n")
    other.write_text("theirs")
    (tmp_path / "r.csv").symlink_to(other)
    with opened(str(path)) as file, pytest.raises(UsageError, match="is no regular file"):
        Rejects(str(tmp_path / "r.csv"), file)
    assert other.read_text() == "theirs"


@pytest.mark.parametrize("name", ["no/such/folder.csv", ".", "\0", "/dev/null"])
def test_a_place_where_it_cannot_stand_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """Before a row is taken."""
    path = tmp_path / "x.csv"
    path.write_text("user\nanna\n")
    with opened(str(path)) as file, pytest.raises(UsageError, match="--rejects"):
        Rejects(str(tmp_path / name), file)


def test_a_run_that_fails_leaves_the_file_of_another_alone(tmp_path: Path) -> None:
    """Unless rows were rejected: those are written, whatever happened then."""
    path, rejects = tmp_path / "x.csv", tmp_path / "r.csv"
    path.write_text("user\nanna\n")
    rejects.write_text("before")
    with opened(str(path)) as file:
        with pytest.raises(RuntimeError), Rejects(str(rejects), file):
            raise RuntimeError
        assert rejects.read_text() == "before"
        with pytest.raises(RuntimeError), Rejects(str(rejects), file) as open_:
            open_.write(BadRow(2, "why", ["anna"], "id"))
            raise RuntimeError
    assert rejects.read_text() == "_row,_line,_reason,user\nid,2,why,anna\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r.csv", "x.csv"]


def test_what_could_not_be_written_whole_takes_nobodys_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle: the file of the last time stays, and the error says where the beginning is."""
    rows, into = folder / "full.csv", folder / "earlier.csv"
    rows.write_text("user,body\nnobody,x\n")
    into.write_text("of the last time\n")

    class Full:
        """A file for which there is no room any more."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def rejecting(rejects: Rejects) -> None:
        with rejects:
            rejects.write(BadRow(2, "there is no user 'nobody'", ["nobody", "x"], "1"))
            monkeypatch.setattr(rejects, "_file", Full(rejects._file))
            rejects.write(BadRow(3, "there is no user 'nobody'", ["nobody", "x"], "2"))

    with opened(str(rows)) as file, pytest.raises(NotifyctlError, match="No space left") as failed:
        rejecting(Rejects(str(into), file))
    assert into.read_text() == "of the last time\n"
    part = Path(str(failed.value.hint).rpartition("what there is of it: ")[2])
    assert "nobody" in part.read_text()
