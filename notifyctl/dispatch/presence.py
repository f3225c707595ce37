"""A dispatcher's presence in the database: its row in `dispatchers`, its heartbeat, and what it sees of the others'."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from notifyctl.core.presence import Heartbeat, Sign, Watch
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.tally import Pace, Tally
from notifyctl.store import dispatchers
from notifyctl.store.db.tx import Tx


class Presence:
    """One dispatcher's presence; `id` is its own, `watch` what it knows of the others.

    `policy` is the digest of the policy by which it works.
    """

    def __init__(self, id_: str, tally: Tally, policy: str, keyring: Keyring) -> None:
        self.id = id_
        self._policy = policy
        self._keyring = keyring
        self.watch = Watch(id_)
        self._tally = tally
        self._pace = Pace(time.monotonic())
        self._beats = 0

    def beat(self, tx: Tx) -> None:
        """Say that it lives, and look who else does; the first beat enters it."""
        self._beats += 1
        per_minute = self._pace.per_minute(self._tally.attempts, time.monotonic())
        host, pid, in_flight = socket.gethostname(), os.getpid(), self._tally.in_flight
        place, keys = machine(), tuple(self._keyring.keys)
        heart = Heartbeat(self.id, host, pid, in_flight, per_minute, self._beats, place, self._policy, keys)
        dispatchers.beat(tx, heart)
        signs = dispatchers.signs(tx)
        self.watch.saw(signs, _gone(signs), time.monotonic())

    def leave(self, tx: Tx) -> None:
        """Say that it is gone."""
        dispatchers.leave(tx, self.id, self.watch.lost)


@cache
def machine() -> str | None:
    """Return what tells this table of processes from every other one: the kernel's boot and the namespace of pids."""
    if sys.platform != "linux":
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _gone(signs: Iterable[Sign]) -> set[str]:
    """Return those that were processes of this machine and are no more: nothing has to be waited for."""
    here = machine()
    return {each.id for each in signs if here is not None and each.machine == here and not _runs(each.pid)}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"  # killed, not yet buried
    return True
