"""A database with one user and one provider that is the stub, dispatchers that run on it, and the wait for the end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from notifyctl.core.errors import NotifyctlError
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import dispatchers, notifications, provider_configs
from tests.reliability import submitter, worker
from tests.reliability.checker import Verdict, check
from tests.reliability.ledger import Ledger
from tests.reliability.stub import Stub
from tests.support import nursery, seed
from tests.support.command import WARNINGS_ONLY, Cli
from tests.support.world import KEYS

DEADLINE_S = 1
MARGIN_S = 5
LEASE_S = 2 * DEADLINE_S + MARGIN_S
"""The shortest lease there is: two deadlines and the margin."""


class Scene:
    """Everything of one test. What still runs at the end is killed."""

    def __init__(self, url: str, home: Path, stub: Stub, **provider: Any) -> None:
        self.url, self.home, self.stub = url, home, stub
        self.db = Database(url)
        self.cli = Cli(home, url)
        self.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
        self.processes: list[BaseProcess] = []
        self.ledger = Ledger()
        self._numbers = itertools.count(1)
        self.cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        settings = ("--set", f"base_url={stub.url}", "--set", "from=alerts@example.com", "--timeout", str(DEADLINE_S))
        self.cli.call("providers", "add", "sendgrid", "--api-key", "-", *settings, input="SG.key").ok()
        if provider:
            self.db.write(lambda tx: tx.execute(update(provider_configs).values(provider)))
        self.anna = str(self.cli.call("users", "show", "anna", "-o", "json").ok().json()["id"])

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.join()
            process.close()
        self.db.close()

    # Work

    def patience(self, seconds: int) -> None:
        """Give each call that long. Where nothing may be sent twice, a busy machine must not make an answer late."""
        self.db.write(lambda tx: tx.execute(update(provider_configs).values(timeout_seconds=seconds)))

    def call_loopback(self) -> None:
        """Let dispatchers tell webhooks on this machine."""
        config = self.home / "loopback.toml"
        config.write_text("[profiles.loopback]\nwebhook_loopback = true\n")
        self.cli.env |= {"NOTIFYCTL_CONFIG": str(config), "NOTIFYCTL_PROFILE": "loopback"}

    def seed(self, count: int, **values: Any) -> list[str]:
        """Write pending notifications, due unless said otherwise, and enter them into the ledger."""
        made: list[str] = []
        while len(made) < count:
            made += seed.pending(self.db, self.anna, count=min(5_000, count - len(made)), **values)
        for id_ in made:
            self.ledger.tried.add(id_)
            self.ledger.accepted[id_].add(id_)
        return made

    def submit(self, prefix: str, count: int, name: str = "", **options: Any) -> Submitter:
        """Start a process that submits `count` notifications; `name` tells processes apart that share a prefix."""
        return Submitter(self, name or prefix, (options.pop("url", self.url), prefix, count), options)

    # Dispatchers

    def dispatch(
        self,
        *args: str,
        tricks: dict[str, Any] | None = None,
        url: str | None = None,
        log: Mapping[str, str] = WARNINGS_ONLY,
    ) -> Dispatching:
        """Start a dispatcher: quick to look, with the shortest lease, and with tricks in its process."""
        quick = (*(() if "--poll" in args else ("--poll", "50ms")), "--lease", "1s", *args)
        name = f"dispatcher-{next(self._numbers)}"
        env = {**self.cli.env, **log, **({"NOTIFYCTL_DATABASE_URL": url} if url else {})}
        command = ["dispatch", "-o", "json", *quick]
        process = nursery.start(worker.work, tricks or {}, command, env=env, folder=self.home, name=name)
        self.processes.append(process)
        return Dispatching(self, process, self.home / name)

    # Looking

    def count(self, *where: Any) -> int:
        """Count notifications."""
        with self.db.read() as tx:
            return tx.execute(select(func.count()).select_from(notifications).where(*where)).scalar_one()

    def wait(self, done: Callable[[], bool], timeout: float, pause: float = 0.05) -> None:
        """Wait for something to become true; a database that is away for the moment is no answer."""
        end = time.monotonic() + timeout
        while not self._is(done):
            assert time.monotonic() < end, f"it did not come to its end in {timeout:g} s: {self._situation()}"
            time.sleep(pause)

    def wait_until_all_ended(self, timeout: float) -> None:
        """Wait until nothing is pending."""
        self.wait(lambda: self.count(notifications.c.status == "pending") == 0, timeout, pause=0.1)

    def verdict(self, *ledgers: Path) -> Verdict:
        """Compare ledger, stub and database."""
        self.ledger.read(*ledgers)
        return check(self.db, self.ledger, self.stub.deliveries())

    def _is(self, done: Callable[[], bool]) -> bool:
        try:
            return done()
        except (NotifyctlError, SQLAlchemyError):
            return False

    def _situation(self) -> str:
        with self.db.read() as tx:
            statuses = tx.execute(select(notifications.c.status, func.count()).group_by(notifications.c.status)).all()
        errors = [path.read_text()[-500:] for path in sorted(self.home.glob("*.err")) if path.stat().st_size]
        return f"{[tuple(row) for row in statuses]}, {len(self.stub.requests())} requests, {errors[-3:]}"


class Dispatching:
    """A dispatcher that runs; `files` is where its output is, but for the ending."""

    def __init__(self, scene: Scene, process: BaseProcess, files: Path) -> None:
        self._scene, self.process, self._files = scene, process, files

    @property
    def id(self) -> str | None:
        """Its id in the database, when it has entered itself."""
        with self._scene.db.read() as tx:
            return tx.execute(select(dispatchers.c.id).where(dispatchers.c.pid == self.process.pid)).scalar()

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self.process.is_alive()

    @property
    def said(self) -> str:
        """What it wrote to stderr."""
        return f"exit code {self.process.exitcode}: {self._files.with_suffix('.err').read_text()}"

    def leases(self, id_: str | None = None) -> set[str]:
        """Return what it holds."""
        n = notifications.c
        holder = id_ or self.id
        if holder is None:
            return set()
        with self._scene.db.read() as tx:
            mine = n.leased_by == holder
            return set(tx.execute(select(n.id).where(n.status == "pending", mine)).scalars())

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.join()

    def pause(self) -> None:
        """Stop it where it stands; returns when it does."""
        os.kill(self.process.pid or 0, signal.SIGSTOP)
        while not self.paused():
            time.sleep(0.001)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid or 0, signal.SIGCONT)

    def paused(self) -> bool:
        """Return whether all its threads stand still: one that goes on a little may still take a lock."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        try:
            return {each.read_text().rpartition(")")[2].split()[0] for each in threads} == {"T"}
        except (FileNotFoundError, ProcessLookupError):  # one has ended meanwhile, so not all stand
            return False

    def _heeds(self, number: signal.Signals) -> bool:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            return False
        return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)

    def stop(self, timeout: float = 60) -> dict[str, Any]:
        """End it gently and return its report; one that has hardly begun is waited for, or the signal would kill it."""
        self._scene.wait(lambda: not self.runs or self._heeds(signal.SIGTERM), timeout)
        self.process.terminate()
        self.process.join(timeout)
        assert self.process.exitcode == 0, self.said
        return dict(json.loads(self._files.with_suffix(".out").read_text()))


class Submitter:
    """A process that submits; killed and started again it goes on."""

    def __init__(self, scene: Scene, name: str, what: tuple[str, str, int], options: dict[str, Any]) -> None:
        self._scene, self._name, self._what, self._options = scene, name, what, options
        self.ledger = scene.home / f"{name}.ledger"
        self.start()

    def start(self) -> None:
        """Start, or go on."""
        scene, (url, prefix, count) = self._scene, self._what
        args = (url, str(self.ledger), prefix, count, self._options)
        self.process = nursery.start(submitter.work, *args, env=scene.cli.env, folder=scene.home, name=self._name)
        scene.processes.append(self.process)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.join()

    def finish(self, timeout: float) -> None:
        """Wait until it has submitted all; it must not have failed."""
        self.process.join(timeout)
        assert self.process.exitcode == 0, (self._scene.home / f"{self._name}.err").read_text()
