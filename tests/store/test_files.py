"""SQLite's files are not what they were: replaced, gone, known by another name, with another owner."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from notifyctl.core.errors import DatabaseUnavailable, SchemaMismatch
from notifyctl.store.db import database as databases
from notifyctl.store.db.database import Database
from notifyctl.store.db.filelock import exclusive, lock_of
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import users


@pytest.fixture
def path(sqlite_url: str) -> Path:
    """The file of a migrated database."""
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """That database, opened."""
    with closing(Database(sqlite_url)) as opened:
        yield opened


def _add(db: Database, name: str) -> None:
    def add(tx: Tx) -> None:
        tx.execute(insert(users).values(id=name, email=f"{name}@example.org", username=name))

    db.write(add)


def _names(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.execute(select(users.c.username).order_by(users.c.username)).scalars())


def _seen_anew(path: Path) -> list[str]:
    with closing(Database(f"sqlite:///{path}")) as other:
        return _names(other)


def test_a_file_that_was_replaced_is_opened_anew(
    sqlite: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A backup was put in its place: what is written goes there, and not into a file that has no name any more."""
    other = path.with_name("backup.db")
    shutil.copyfile(path, other)
    _add(sqlite, "before")
    other.replace(path)
    for rest in ("-wal", "-shm"):  # whoever replaces a database takes its log away with it
        path.with_name(path.name + rest).unlink(missing_ok=True)
    _add(sqlite, "after")
    assert _names(sqlite) == _seen_anew(path) == ["after"]
    assert "another file than before" in caplog.text


def test_a_file_that_is_gone_may_come_back(sqlite: Database, path: Path) -> None:
    """While somebody puts another one there, the database is away, and nobody is told to make a new one."""
    _add(sqlite, "before")
    path.rename(path.with_name("aside.db"))
    with pytest.raises(DatabaseUnavailable, match="is gone"):
        _add(sqlite, "meanwhile")
    path.with_name("aside.db").rename(path)
    _add(sqlite, "after")
    assert _seen_anew(path) == ["after", "before"]


def test_a_file_that_never_was_there_is_another_matter(tmp_path: Path) -> None:
    """Who has just begun is told how to make one."""
    with closing(Database(f"sqlite:///{tmp_path / 'none.db'}")) as db, pytest.raises(SchemaMismatch):
        _names(db)


def test_a_links_name_excludes_as_well(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names of one file are one database: who writes by the one keeps out who writes by the other."""
    monkeypatch.setattr(databases, "WRITE_LOCK_TIMEOUT_S", 0.2)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link.db"
    link.symlink_to(path)
    with closing(Database(f"sqlite:///{link}")) as by_link:
        with exclusive(lock_of(path), 1), pytest.raises(DatabaseUnavailable, match="has been writing"):
            _add(by_link, "a")
        _add(by_link, "b")
    assert [each.name for each in folder.iterdir()] == ["link.db"]
    assert _seen_anew(path) == ["b"]


def test_the_lock_follows_the_databases_mode(sqlite: Database, path: Path) -> None:
    """A database that is shared later shares the lock that is there already, and one that is taken back takes it."""
    _add(sqlite, "a")
    for mode in (0o660, 0o600):
        path.chmod(mode)
        _add(sqlite, f"{mode:o}")
        assert stat.S_IMODE(Path(lock_of(path)).stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("is_there", [False, True])
def test_the_lock_follows_the_databases_owner(sqlite: Database, path: Path, *, is_there: bool) -> None:
    """Root's cron job must not lock out the service whose database it is."""
    if is_there:
        _add(sqlite, "a")
    Path(lock_of(path)).unlink(missing_ok=not is_there)
    if is_there:
        Path(lock_of(path)).touch(0o600)
    os.chown(path, 12_345, 12_346)
    _add(sqlite, "b")
    found = Path(lock_of(path)).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12_345, 12_346, 0o600)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root gives files away")
def test_an_owner_that_is_not_known_here_is_no_obstacle(sqlite: Database, path: Path) -> None:
    """In a container without root a mounted file's owner may be nobody whom it knows; its mode lets everybody write."""
    os.chown(path, 12_345, 12_346)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    write = f"""
from sqlalchemy import text
from notifyctl.store.db.database import Database
db = Database({sqlite.url.render_as_string()!r})
for _ in range(3):
    db.write(lambda tx: tx.execute(text("SELECT 1")).all())
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", write], capture_output=True, text=True
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_files_second_name_is_not_given_away(sqlite: Database, path: Path, tmp_path: Path) -> None:
    """In a folder where others write, the lock's name may be a trap: a link to a file of root's."""
    precious = tmp_path / "precious"
    precious.touch(0o600)
    os.chown(path, 12_345, 12_346)
    lock = Path(lock_of(path))
    lock.unlink(missing_ok=True)
    os.link(precious, lock)
    _add(sqlite, "a")
    assert (precious.stat().st_uid, stat.S_IMODE(precious.stat().st_mode)) == (os.getuid(), 0o600)


def test_a_lock_that_is_a_link_is_refused(sqlite: Database, path: Path, tmp_path: Path) -> None:
    """It would be somebody else's file; the error names it."""
    lock = Path(lock_of(path))
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "target")
    with pytest.raises(DatabaseUnavailable, match=r"\.lock"):
        _add(sqlite, "a")
    assert not (tmp_path / "target").exists()


def test_a_lock_that_was_taken_away_excludes_nobody(path: Path) -> None:
    """Who waited for a file that is deleted meanwhile takes the one that others will take."""
    lock, held = lock_of(path), threading.Event()
    waited: list[bool] = []

    def wait() -> None:
        held.wait(10)
        with exclusive(lock, 10):
            with pytest.raises(TimeoutError), exclusive(lock, 0.2):
                pass
            waited.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    with exclusive(lock, 10):
        held.set()
        while not _is_waited_for(lock):
            time.sleep(0.01)
        Path(lock).unlink()
    thread.join(20)
    assert waited == [True]


def _is_waited_for(lock: str) -> bool:
    """Return whether somebody else has the lock file open: the one that holds it is the only other one."""
    links = list(Path("/proc/self/fd").iterdir())
    return sum(1 for each in links if os.path.lexists(each) and os.path.realpath(each) == lock) > 1
