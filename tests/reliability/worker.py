"""The command line with something wrong in its process: the tricks.

`stop`: [point, n, signal]: at the n-th time at a named point the process gets that signal, KILL or STOP.
`without`: safeguards that are switched off: "fence", "margin", "letters".
`skew_ms`: how far this host's clock is off.
`journal`: a file that gets the moment (monotonic seconds) of each request, when it is handed to the HTTP engine.
`clock`: a file with the milliseconds by which the clock is off by now: the host's on SQLite, the server's elsewhere.
`still_s`: for how long a dispatcher's counter has to stand still until it counts as lost; it grows quicker, too.
`lease_margin_ms`: another margin in the length of leases, so that the tests need not wait as long.
`probes`: by cause the first and the longest wait for a probe, in milliseconds, for the same reason.
`throttled_ms`: for how long all leave a provider alone that wants to be asked more slowly.
`wish_ms`: the longest time that a provider's wish to be left alone is heeded, a day's limit among them.
`lacks`: [seconds, names of errors]: so long from the first on no connection is made, for one reason after the other.
`breaker`: how many failures within its window open it; more than there are: it stays closed.
`backoff_ms`: the longest wait after the first failure.
`adapters`: providers that are installed besides, by name, as an entry point says it.

The points, in the order of a notification's way::

    claim.begun       the claim's statements are about to run
    claim.written     they ran, COMMIT was not sent
    claim.committed   the leases are taken, nothing was sent
    send.begun        an attempt has begun, its request is about to be built
    send.answered     its answer is here
    record.ready      results are about to go to the database
    record.begun      results are about to be written
    record.written    they are written, COMMIT was not sent
    record.committed  they are stored

And in that of a delivery to a webhook::

    owed.begun        the claim's statements are about to run
    owed.written      they ran, COMMIT was not sent
    owed.committed    the leases are taken, nobody was told
    tell.begun        an attempt has begun
    tell.answered     its answer is here
    told.begun        results are about to be written
    told.written      they are written, COMMIT was not sent
    told.committed    they are stored
"""

from __future__ import annotations

import errno
import functools
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg  # noqa: F401 - here and below: what a command loads lazily, loaded before the fork
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401
import uvloop  # noqa: F401
from cryptography.hazmat.primitives.ciphers import aead  # noqa: F401
from sqlalchemy import Connection, false, update

import notifyctl.cli.dispatch  # noqa: F401
from notifyctl.cli.app import main
from notifyctl.core import backoff, health, presence
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.dispatch import lease
from notifyctl.dispatch.queues import notifications, webhooks
from notifyctl.dispatch.sender import Sender
from notifyctl.providers.contract import Failure, Request, Response
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.providers.http import dial
from notifyctl.providers.twilio import answers
from notifyctl.providers.wire import Wire
from notifyctl.store.db.database import Database
from notifyctl.store.db.dialect import POSTGRESQL, SQLITE, Dialect
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import apply, letters, take
from notifyctl.store.schema.tables import notification_dlq
from notifyctl.wiring import dispatching
from tests.support import adapters

POINTS = (
    "claim.begun",
    "claim.written",
    "claim.committed",
    "send.begun",
    "send.answered",
    "record.ready",
    "record.begun",
    "record.written",
    "record.committed",
)


HOOK_POINTS = (
    "owed.begun",
    "owed.written",
    "owed.committed",
    "tell.begun",
    "tell.answered",
    "told.begun",
    "told.written",
    "told.committed",
)


class Stopper:
    """Sends this process a signal when it is at a point for the n-th time; claims without rows do not count.

    Deliveries are also owed to this process from when it has taken them as it recorded, without a claim.
    """

    def __init__(self, point: str, times: int, how: str) -> None:
        self._point, self._left, self._signal = point, times, getattr(signal, f"SIG{how}")
        self._doing = threading.local()

    def install(self) -> None:
        """Put the points into the process."""
        notifications.claim = self._transaction("claim", notifications.claim)  # type: ignore[attr-defined]
        dispatching.record = self._transaction("record", dispatching.record)  # type: ignore[attr-defined]
        Database._commit = self._committing(Database._commit)  # type: ignore[method-assign]
        Database.write = self._written(Database.write)  # type: ignore[method-assign]
        Sender._built = self._built(Sender._built)  # type: ignore[method-assign]
        Wire.send = self._sent(Wire.send)  # type: ignore[method-assign]
        webhooks.claim = self._transaction("owed", webhooks.claim)  # type: ignore[attr-defined]
        webhooks.settle = self._transaction("told", webhooks.settle)  # type: ignore[assignment]
        HookWire.post = self._posted(HookWire.post)  # type: ignore[method-assign]

    def at(self, point: str) -> None:
        """Be at a point."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)
                time.sleep(0.05)  # until the signal is there, this thread goes no further

    def _transaction(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def run(tx: Tx, *args: Any) -> Any:
            self.at(f"{name}.begun")
            if tx.offer is not None:
                self.at("owed.begun")
            result = work(tx, *args)
            took = result.claims if name == "claim" else result
            handed = ("owed",) if tx.offer is not None and tx.offer.taken else ()
            self._doing.what = (name, *handed) if name in ("record", "told") or took else ()
            return result

        return run

    def _committing(self, commit: Callable[..., None]) -> Callable[..., None]:
        def run(db: Database, conn: Connection) -> None:
            for what in getattr(self._doing, "what", ()):
                self.at(f"{what}.written")
            commit(db, conn)

        return run

    def _written(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def run(db: Database, work: Callable[[Connection], Any]) -> Any:
            self._doing.what = ()
            if getattr(work, "__qualname__", "").startswith("Recorder."):
                self.at("record.ready")
            result = write(db, work)
            for what in self._doing.what:
                self.at(f"{what}.committed")
            return result

        return run

    def _built(self, build: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.at("send.begun")
            return build(*args)

        return run

    def _posted(self, post: Callable[..., Any]) -> Callable[..., Any]:
        async def run(wire: HookWire, call: HookCall) -> HookAnswer:
            self.at("tell.begun")
            answer: HookAnswer = await post(wire, call)
            self.at("tell.answered")
            return answer

        return run

    def _sent(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def run(wire: Wire, request: Request, timeout_s: float) -> Response | Failure:
            result: Response | Failure = await send(wire, request, timeout_s)
            self.at("send.answered")
            return result

        return run


def _unfenced(build: Callable[[Dialect], Any], dialect: Dialect) -> Any:
    statement = build(dialect)
    statement._where_criteria = tuple(each for each in statement._where_criteria if "lease_id" not in str(each))
    return statement


def _without_fence() -> None:
    """Let a write hold for any pending row, whoever has leased it since."""
    for statement in apply._STATEMENTS.values():
        statement.build = functools.partial(_unfenced, statement.build)


def _without_margin() -> None:
    """Believe that every lease holds for ever."""
    lease.Lease.left_ms = lambda _: 10**9  # type: ignore[method-assign]
    lease.Lease.call_ends_by = lambda _: math.inf  # type: ignore[method-assign]


def _without_letters() -> None:
    """Bury without a dead letter."""
    nothing = update(notification_dlq).where(false())
    letters._entering = lambda _: nothing  # type: ignore[assignment]


WITHOUT = {"fence": _without_fence, "margin": _without_margin, "letters": _without_letters}


def _keep_journal(path: str) -> None:
    send = Wire.send
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def run(wire: Wire, request: Request, timeout_s: float) -> Response | Failure:
        os.write(journal, f"{time.monotonic()}\n".encode())
        return await send(wire, request, timeout_s)

    Wire.send = run  # type: ignore[method-assign]


def _skew(milliseconds: int) -> None:
    true_ns, true_s = time.time_ns, time.time
    time.time_ns = lambda: true_ns() + milliseconds * 1_000_000
    time.time = lambda: true_s() + milliseconds / 1_000


def _step(clock: Path) -> None:
    """Let the database's moments be off by what the file says when each is asked for."""
    for kind in (type(POSTGRESQL), type(SQLITE)):
        begin = kind.begin

        def stepped(dialect: Any, *args: Any, begin: Any = begin, **kwargs: Any) -> int:
            return int(begin(dialect, *args, **kwargs)) + int(clock.read_text())

        kind.begin = stepped  # type: ignore[method-assign]


def _heed(longest_ms: int) -> None:
    health.RETRY_AFTER_MAX_MS = backoff.RETRY_AFTER_MAX_MS = longest_ms
    answers._LASTS_MS = dict.fromkeys(answers._LASTS_MS, longest_ms)  # type: ignore[misc]


def _lack(seconds: float, names: list[str]) -> None:
    plugged, began, reasons = dial._plugged, list[float](), itertools.cycle(names)

    async def run(address: str, port: int) -> Any:
        began.append(time.monotonic())
        if time.monotonic() - began[0] > seconds:
            return await plugged(address, port)
        raise OSError(getattr(errno, next(reasons)), "by a trick")

    dial._plugged = run


def play(tricks: dict[str, Any]) -> None:
    """Put the tricks into this process."""
    if "journal" in tricks:
        _keep_journal(tricks["journal"])
    if "stop" in tricks:
        Stopper(*tricks["stop"]).install()
    for name in tricks.get("without", ()):
        WITHOUT[name]()
    if "skew_ms" in tricks:
        _skew(tricks["skew_ms"])
    if "clock" in tricks:
        _step(Path(tricks["clock"]))
    if "still_s" in tricks:
        presence.STILL_S = tricks["still_s"]
        dispatching.HEARTBEAT_S = tricks["still_s"] / 10
    if "lease_margin_ms" in tricks:
        take.LEASE_MARGIN_MS = tricks["lease_margin_ms"]
    for cause, waits in tricks.get("probes", {}).items():
        health.PROBES[health.Cause(cause)] = tuple(waits)
    backoff.BASE_MS = tricks.get("backoff_ms", backoff.BASE_MS)
    health.RETRY_AFTER_MIN_MS = tricks.get("throttled_ms", health.RETRY_AFTER_MIN_MS)
    if "wish_ms" in tricks:
        _heed(tricks["wish_ms"])
    if "lacks" in tricks:
        _lack(*tricks["lacks"])
    health.LEAST_FAILURES = tricks.get("breaker", health.LEAST_FAILURES)
    for name, value in tricks.get("adapters", {}).items():
        adapters.install(name, value)


def work(tricks: dict[str, Any], command: list[str]) -> int:
    """Run a command line with these tricks in the process, and return its exit code."""
    play(tricks)
    return main(command)
