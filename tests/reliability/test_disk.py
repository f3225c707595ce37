"""A disk that is full, and one that fails: what was acknowledged is stored, and the database is whole."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from notifyctl.store.db.database import Database
from tests.reliability.ledger import Ledger
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.support.command import REPOSITORY

SPARE_BYTES = 512 * 1024


@sizes(6, 100)
def test_8_a_full_disk(sqlite_scene: Scene, tmp_path: Path, tell: Tell, size: int) -> None:
    """On a file system of its own that is filled up and emptied again and again, while notifications are submitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    sqlite_scene.db.close()
    megabytes = (sqlite_scene.db.path or Path()).stat().st_size // 2**20 + 4
    inside = f'mount -t tmpfs -o size={megabytes}m tmpfs "$1" && shift && exec "$@"'
    work = [sys.executable, "-m", "tests.reliability.disks", str(sqlite_scene.db.path), str(disk), str(size)]
    done = subprocess.run(
        [*_namespace(), "sh", "-c", inside, "sh", str(disk), *work],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60 + size * 4,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    tell("8 full disk", counts)
    assert counts["refused"] > 0
    assert counts["acknowledged"] == counts["stored"] > 0
    assert counts["damaged"] == 0


def _namespace() -> list[str]:
    """Return what runs a command where it may mount; the tests need no rights but those that everybody has."""
    program = shutil.which("unshare")
    for options in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        if program and subprocess.run([program, *options, "true"], capture_output=True, check=False).returncode == 0:
            return [program, *options]
    pytest.skip("this host allows no mount namespace: no small file system to fill")


@sizes(30, 1_000)
def test_8_writes_that_fail(sqlite_scene: Scene, tell: Tell, size: int) -> None:
    """Every write past a point in the file fails with an error that is not "full", at a point that moves."""
    scene, chance = sqlite_scene, random.Random(8)
    ledger, failed = Ledger(), 0
    path = scene.db.path or Path()
    scene.db.close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    from tests.reliability.disks import submit_one

    for number in range(size):
        key = f"k{number}"
        ledger.tried.add(key)
        wal = path.with_name(path.name + "-wal")
        longest = max(each.stat().st_size for each in (path, wal) if each.exists())
        resource.setrlimit(resource.RLIMIT_FSIZE, (chance.randint(0, longest + 40_000), before[1]))
        try:
            id_ = submit_one(scene.db, key)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if id_ is None:
            failed += 1
        else:
            ledger.accepted[key].add(id_)
    scene.db.close()
    stored = _stored(scene.db)
    scene.ledger = ledger
    scene.dispatch("--once", "--concurrency", "256").process.join(60 + size / 20)
    verdict = scene.verdict()
    tell("8 failing disk", {**verdict.counts(), "refused": failed, "stored": len(stored)})
    assert ledger.ids <= stored
    assert not verdict.wrong
    assert 0 < failed < size


def _stored(db: Database) -> set[str]:
    with db.read() as tx:
        assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        return set(tx.execute(text("SELECT id FROM notifications")).scalars())


def test_24_a_file_that_is_replaced(sqlite_scene: Scene, tell: Tell) -> None:
    """Another database takes the place of the one that a dispatcher works on: it goes on with that, and says so."""
    scene = sqlite_scene
    scene.patience(30)
    dispatcher = scene.dispatch()
    scene.wait(lambda: dispatcher.id is not None, 60)
    path = Path(scene.url.removeprefix("sqlite:///"))
    scene.seed(20)
    scene.wait_until_all_ended(30)
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(path.with_name("other.db"))) as new:
        old.backup(new)
    path.with_name("other.db").replace(path)
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    scene.seed(20)
    scene.wait_until_all_ended(30)
    dispatcher.stop()
    verdict = scene.verdict()
    tell("24 file replaced", verdict.counts())
    assert not verdict.wrong
    assert not verdict.repeated
    assert "another file than before" in dispatcher.said
