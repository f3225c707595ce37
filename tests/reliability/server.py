"""A PostgreSQL server of one test's own, to be stopped hard and started again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from notifyctl.store.db.database import Database
from notifyctl.store.schema import revisions as schema
from tests.support import postgres


class Server:
    """Runs from `with` on; what it acknowledged it keeps: `synchronous_commit` is on."""

    def __init__(self) -> None:
        self.folder = postgres.folder()
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Server:
        self.admin = postgres.obtain(self.folder, os.getpid())
        self._data = self.folder / postgres.DATA
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET synchronous_commit = 'on'")
            conn.execute("SELECT pg_reload_conf()")
        self._command = shlex.split((self._data / "postmaster.opts").read_text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        postgres.remove(self.folder)
        for process in self._started:
            process.wait(20)

    def migrated(self, name: str) -> str:
        """Make a database and return its URL."""
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = make_url(self.admin).set(database=name).render_as_string(hide_password=False)
        database = Database(url)
        schema.up(database)
        database.close()
        return url

    def stop(self) -> None:
        """Stop it at once: no goodbye to clients, no checkpoint, recovery at the next start."""
        note = self._data / "postmaster.pid"
        pid = int(note.read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        end = time.monotonic() + 20
        with suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.kill(pid, 0)
                if _is_zombie(pid):
                    break
                time.sleep(0.01)
        for process in self._started:
            process.wait(20)
        note.unlink(missing_ok=True)

    def start(self) -> float:
        """Start it again; return when it took connections (monotonic seconds)."""
        owner = self._data.stat()
        other = (
            {} if os.geteuid() == owner.st_uid else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        )
        with (self._data / "log").open("a") as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **other,
            )
        self._started.append(process)
        return self._wait()

    def _wait(self) -> float:
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.admin, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, (self._data / "log").read_text()[-2_000:]
                time.sleep(0.02)
            else:
                return time.monotonic()


def _is_zombie(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
