"""PgBouncer in transaction mode, in front of a PostgreSQL server, for the time of a test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, make_url

POOL = 3

SETTINGS = """
[databases]
{database} = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool}
max_client_conn = 200
server_login_retry = 1
logfile = {folder}/log
"""


class Bouncer:
    """Listens from `with` on; `url` is that of the database through it. Its pool has `pool` connections."""

    def __init__(self, database_url: str, mode: str = "transaction", pool: int = POOL) -> None:
        self._mode, self._pool = mode, pool
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("PgBouncer is not installed here: what it does to notifyctl was NOT tested")
        self._program = program
        self._behind = make_url(database_url)

    def __enter__(self) -> Bouncer:
        self._folder = Path(tempfile.mkdtemp(prefix="notifyctl-pgbouncer-"))
        self._port = _free_port()
        self._process = self._start()
        self.url = f"postgresql://{self._behind.username}@127.0.0.1:{self._port}/{self._behind.database}"
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def change(self, mode: str) -> None:
        """Go on in another mode, with the clients that there are."""
        self._mode = mode
        self._write()
        self._process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        """What it wrote."""
        file = self._folder / "log"
        return file.read_text() if file.exists() else ""

    def _start(self) -> subprocess.Popen[bytes]:
        settings = self._write()
        other: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user, group = _who_may(self._behind)
            for path in (self._folder, settings):
                os.chown(path, user, group)
            other = {"user": user, "group": group, "extra_groups": []}
        command = [self._program, "-q", str(settings)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **other)

    def _write(self) -> Path:
        settings = self._folder / "pgbouncer.ini"
        values = {"database": self._behind.database, "server": _server(self._behind), "port": self._port}
        settings.write_text(SETTINGS.format(**values, folder=self._folder, pool=self._pool, mode=self._mode))
        return settings

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None and time.monotonic() < end, self.log
                time.sleep(0.05)
            else:
                return

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder)


def _who_may(url: URL) -> tuple[int, int]:
    """Return user and group of somebody who may connect: the one whose socket it is."""
    folder = Path(_host(url))
    if folder.is_dir():
        owner = folder.joinpath(f".s.PGSQL.{_port(url)}").stat()
        if owner.st_uid:
            return owner.st_uid, owner.st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _server(url: URL) -> str:
    """Return how PgBouncer reaches the server, as whom: `auth_type = any` takes everybody's word."""
    known = {
        "host": _host(url),
        "port": _port(url),
        "user": url.username,
        "password": url.password,
    }
    return " ".join(f"{key}='{value}'" for key, value in known.items() if value)


def _host(url: URL) -> str:
    return str(url.host or url.query.get("host") or "127.0.0.1")


def _port(url: URL) -> str:
    return str(url.port or url.query.get("port") or 5432)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
