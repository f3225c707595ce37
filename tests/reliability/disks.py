"""Submits on a file system that is filled and emptied; run where that is the only thing mounted for it."""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable
from notifyctl.core.model import Channel
from notifyctl.core.submission import Draft
from notifyctl.services.sending import submit
from notifyctl.store.db.database import Database


def submit_one(db: Database, key: str) -> str | None:
    """Submit a notification and return its id; None when the database could not store it."""
    content = {"v": 1, "subject": "Hello", "text": f"{key} " * 200}
    try:
        return submit(db, Draft("anna", Channel.EMAIL, content, key), {}).notification.id
    except (DatabaseUnavailable, CommitUnknown):
        return None


def main(template: str, disk: str, rounds: str) -> None:
    """Fill the rest of `disk` that many times, submit until nothing is taken, and make room again; print counts."""
    path = Path(disk) / "notifyctl.db"
    shutil.copyfile(template, path)
    db, chance = Database(f"sqlite:///{path}"), random.Random(88)
    acknowledged: set[str] = set()
    refused = damaged = 0
    for number in range(int(rounds)):
        _fill(Path(disk) / "ballast", leave=chance.randint(0, 200_000))
        for attempt in range(60):
            id_ = submit_one(db, f"{number}-{attempt}")
            if id_ is None:
                refused += 1
                break
            acknowledged.add(id_)
        (Path(disk) / "ballast").unlink()
        damaged += _check(db) != "ok"
        if (id_ := submit_one(db, f"{number}-after")) is not None:
            acknowledged.add(id_)
        _forget_old(db, acknowledged)
    with db.read() as tx:
        stored = set(tx.execute(text("SELECT id FROM notifications")).scalars())
    print("rounds", rounds, "refused", refused, "damaged", damaged)
    print("acknowledged", len(acknowledged), "stored", len(acknowledged & stored))


def _fill(ballast: Path, leave: int) -> None:
    """Write until the disk is full, then give `leave` bytes back."""
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while file.write(b"\0" * 65_536) == 65_536:
                pass
        os.ftruncate(file.fileno(), max(0, file.seek(0, os.SEEK_END) - leave))


def _check(db: Database) -> str:
    with db.read() as tx:
        return str(tx.execute(text("PRAGMA integrity_check")).scalar_one())


def _forget_old(db: Database, acknowledged: set[str]) -> None:
    """Keep the database small: verify what was acknowledged, then delete most of it."""
    with db.read() as tx:
        stored = set(tx.execute(text("SELECT id FROM notifications")).scalars())
    if missing := acknowledged - stored:
        raise SystemExit(f"acknowledged and not stored: {sorted(missing)[:3]}")
    if len(stored) > 500:
        db.write(lambda tx: tx.execute(text("DELETE FROM notifications")))
        acknowledged.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
