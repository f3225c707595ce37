"""Files that the program writes: no link is followed, and nobody else gets to read more than before."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from notifyctl.cli.demo import MARK, OURS, OURS_TOO, _empty
from notifyctl.core.errors import Conflict
from tests.support.command import Cli


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that somebody else would like to have overwritten."""
    file = tmp_path / "precious"
    file.write_text("precious")
    file.chmod(0o640)
    return file


def untouched(file: Path) -> bool:
    """Return whether it is as it was."""
    return file.read_text() == "precious" and stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.fixture
def sqlite_cli(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a SQLite database."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    return bare_cli


def test_a_secret_is_not_written_through_a_link(sqlite_cli: Cli, precious: Path) -> None:
    """Neither into what it points at, nor into a file that it would make."""
    sqlite_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    nowhere = precious.with_name("nowhere")
    for target in (precious, nowhere):
        link = sqlite_cli.home / f"to-{target.name}"
        link.symlink_to(target)
        assert sqlite_cli.call("keys", "create", "anna", "--name", "x", "--secret-file", str(link)).exit_code == 5
        assert sqlite_cli.call("secrets", "generate-key", "--secret-file", str(link)).exit_code == 5
    assert untouched(precious) and not nowhere.exists()
    assert sqlite_cli.call("keys", "list", "-o", "json").ok().json() == []


def test_the_sandboxs_log_is_no_link(bare_cli: Cli, precious: Path) -> None:
    """What it received is not appended to what a link points at."""
    link = bare_cli.home / "log"
    link.symlink_to(precious)
    refused = bare_cli.run("sandbox", "--port", "0", "--log", str(link))
    assert (refused.exit_code, str(link) in refused.stderr) == (2, True), refused
    assert untouched(precious)


def test_no_database_is_created_through_a_link(bare_cli: Cli, tmp_path: Path, precious: Path) -> None:
    """A link to nothing would have it made elsewhere; a lock that is a link is none."""
    link, lock = bare_cli.home / "a.db", bare_cli.home / "b.db.lock"
    link.symlink_to(tmp_path / "nowhere")
    lock.symlink_to(precious)
    refused = bare_cli.call("migrate", "up", env={"NOTIFYCTL_DATABASE_URL": f"sqlite:///{link}"})
    assert (refused.exit_code, "link to nothing" in refused.stderr) == (2, True)
    refused = bare_cli.call("migrate", "up", env={"NOTIFYCTL_DATABASE_URL": f"sqlite:///{bare_cli.home / 'b.db'}"})
    assert refused.exit_code == 10
    assert untouched(precious) and not (tmp_path / "nowhere").exists()
    assert not (bare_cli.home / "b.db").exists()


def test_new_files_are_their_owners_whatever_the_umask(bare_cli: Cli) -> None:
    """The database, its lock and the keys."""
    mask = os.umask(0)
    try:
        bare_cli.call("migrate", "up", env={"NOTIFYCTL_DATABASE_URL": f"sqlite:///{bare_cli.home / 'a.db'}"}).ok()
        bare_cli.call("secrets", "generate-key", "--secret-file", str(bare_cli.home / "keys")).ok()
    finally:
        os.umask(mask)
    for name in ("a.db", "a.db.lock", "keys"):
        assert stat.S_IMODE((bare_cli.home / name).stat().st_mode) == 0o600, name


# The demo's folder


@pytest.mark.parametrize("names", [["notifyctl.db"], ["keys"], ["notifyctl.db", "keys", "config.toml"], [MARK], [".x"]])
def test_the_demo_takes_no_folder_for_its_own(bare_cli: Cli, names: list[str]) -> None:
    """Not even one that holds nothing but a database and keys, whose names are as its own would be."""
    folder = bare_cli.home / "mine"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("mine")
    (bare_cli.home / "notifyctl-demo").symlink_to(folder)
    for words in (("--dir", str(folder)), ("--dir", "mine"), ()):
        refused = bare_cli.call("demo", *words)
        assert (refused.exit_code, refused.stdout) == (5, ""), refused
        assert "hint: notifyctl demo --dir" in refused.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(names, "mine")


def test_the_demo_empties_what_an_earlier_one_marked(tmp_path: Path, precious: Path) -> None:
    """Its own files go; a link among them goes, and not what it points at; what somebody put there keeps it away."""
    folder = tmp_path / "demo"
    _empty(folder)
    for name in (*OURS, *OURS_TOO):
        (folder / name).symlink_to(precious)
    _empty(folder)
    assert {path.name for path in folder.iterdir()} == {MARK}
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"notes\.txt"):
        _empty(folder)
    assert untouched(precious)


@pytest.mark.parametrize(
    "act",
    [("keys", "create", "anna", "--name", "x"), ("secrets", "generate-key"), ("secrets", "generate-key", "--save")],
)
def test_a_secret_is_written_whole_or_not_at_all(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch, act: tuple[str, ...]
) -> None:
    """A full disk: it is said, no piece is left that would be taken for the secret, and it can be repeated."""
    sqlite_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    where = () if act[-1] == "--save" else ("--secret-file", str(sqlite_cli.home / "secret"))
    before = {each for each in sqlite_cli.home.rglob("*") if each.is_file()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused = sqlite_cli.call(*act, *where)
    assert (refused.exit_code, "No space left on device" in refused.stderr) == (2, True), refused
    assert "defect" not in refused.stderr
    assert {each for each in sqlite_cli.home.rglob("*") if each.is_file()} == before
    assert sqlite_cli.call("keys", "list", "-o", "json").ok().json() == []
    monkeypatch.undo()
    sqlite_cli.call(*act, *where).ok()
