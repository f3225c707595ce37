"""What a dispatcher does for the audit trail: seals what is committed, and carries anchors out of the database.

All of it is done beside the sending, by threads that nobody waits for at the end: a file on a share that hangs or a
command that does not end keeps no notification from going out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from notifyctl.core.audit.anchoring import AnchorTerms, line
from notifyctl.core.audit.sealing import Anchor
from notifyctl.core.errors import NotAllowed, NotifyctlError
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch import syslogging
from notifyctl.dispatch.commands import tell_command
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import trail
from notifyctl.store.db.tx import Tx

log = logging.getLogger(__name__)

SEAL_S = 10.0
FULL_EVERY = 30
"""Each so manieth time all rows are looked at; else the latest, among which all stands that was not committed late."""
LATEST_MS = 2 * 3_600_000
PATIENCE_S = 10.0
"""How long a place may take to keep an anchor."""
ENDING_S = 1.0
"""How much longer that is waited for: a command that takes too long is ended, which takes a moment."""
LAST_S = 5.0
"""How long a run with `once` takes at its end for the trail."""
LAST_PATIENCE_S = 3.0
"""How long a place may take then: what it started has to be ended before the run is, and to be told."""


class TrailKeeper:
    """One dispatcher's part in it; `tell` says what people should know, `environment` is what commands get."""

    def __init__(
        self,
        threads: StoreThreads,
        keyring: Keyring,
        terms: AnchorTerms,
        environment: Mapping[str, str],
        tell: Callable[[str], None],
    ) -> None:
        self._threads = threads
        self._keyring = keyring
        self._terms = terms
        self._environment = environment
        self._tell = tell
        self._turns = 0
        self._troubles: dict[str, str] = {}
        self._busy: set[str] = set()
        self._patience_s = PATIENCE_S

    async def tend(self) -> None:
        """Seal what is not sealed, and anchor where that is due."""
        self._turns += 1
        try:
            latest = None if self._turns % FULL_EVERY == 0 else LATEST_MS
            await self._threads.apart(lambda db: trail.seal_all(db, self._keyring, latest))
        except NotAllowed as error:
            self._trouble("sealing", f"the audit trail is not sealed: {error.message}")
            return
        self._trouble("sealing", "")
        await self._anchor()

    async def finish(self) -> None:
        """Do so once, within bounds: what a run with `once` leaves to nobody. All rows are looked at as often as else:
        runs know nothing of each other, and so it is by chance."""
        self._turns = random.randrange(FULL_EVERY)  # noqa: S311
        self._patience_s = LAST_PATIENCE_S
        try:
            await asyncio.wait_for(self.tend(), LAST_S)
        except (NotifyctlError, TimeoutError):
            return
        except Exception:  # whatever it is, the run has done what it is for
            log.warning("the audit trail was not tended", exc_info=True)

    async def _anchor(self) -> None:
        made, places = await self._threads.read(self._due) if self._terms.places else (None, [])
        if made is not None:
            await asyncio.gather(*(self._keep(place, made) for place in places))

    def _due(self, tx: Tx) -> tuple[Anchor | None, list[str]]:
        """Return the end of the chain, and the places where it is to be kept by now: each has times of its own."""
        head = trail.head(tx)
        if head is None:
            return None, []
        return Anchor(head.position, head.value, tx.now), [
            place for place in self._terms.places if self._is_due(tx, place, head.position)
        ]

    def _is_due(self, tx: Tx, place: str, position: int) -> bool:
        last = trail.last_anchor(tx, place)
        if last is None:
            return True
        return position > last.position and not 0 <= tx.now - last.created_at < self._terms.every_ms

    async def _keep(self, place: str, made: Anchor) -> None:
        """Let a place keep an anchor, and note that it did; one that still has not kept the last one gets no other."""
        if place in self._busy:
            return
        self._busy.add(place)
        keeping = asyncio.ensure_future(self._threads.apart(lambda _: self._kept(place, made)))
        keeping.add_done_callback(lambda done: self._free(place, done))
        try:
            await asyncio.wait_for(asyncio.shield(keeping), self._patience_s + ENDING_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            self._trouble(place, f"the {place} for anchors of the audit trail took more than {self._patience_s:g} s")
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            self._trouble(place, f"the {place} for anchors of the audit trail: {_words(error)}")
        else:
            await self._threads.write(lambda tx: trail.note_anchor(tx, made, place, socket.gethostname()))
            self._trouble(place, "")

    def _free(self, place: str, done: asyncio.Future[None]) -> None:
        self._busy.discard(place)
        if not done.cancelled():
            done.exception()  # said where it was waited for; here nobody does any more

    def _kept(self, place: str, made: Anchor) -> None:
        said = line(made)
        if place == "file":
            append(Path(self._terms.file or ""), said)
        elif place == "command":
            tell_command(self._terms.command, said, self._environment, self._patience_s)
        else:
            syslogging.note(said, self._patience_s)

    def _trouble(self, what: str, words: str) -> None:
        """Say a trouble once, as long as it stays the same."""
        if words and self._troubles.get(what) != words:
            self._tell(words)
        self._troubles[what] = words


def append(path: Path, said: str) -> None:
    """Append a line to a file, made for its owner only where there is none, and have it on the disk.

    What was written to it last may have been torn by a full disk: the line begins one of its own. Raises OSError where
    not all of it is written.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        left = f"{'' if _ends_well(path) else chr(10)}{said}\n".encode()
        while left:
            left = left[os.write(file, left) :]
        with suppress(OSError):  # a pipe has no disk
            os.fsync(file)
    finally:
        os.close(file)


def _ends_well(path: Path) -> bool:
    """Return whether a file ends with a whole line, or is empty; what is no file or is not ours to read does."""
    if not path.is_file():
        return True
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except OSError:
        return True


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or ''} {error.strerror or error}".strip()
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd} ended with {error.returncode}"
    return " ".join(str(error).split())
