"""Encryption keys of a file that may be exchanged while a process runs: a rotation restarts nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from notifyctl.config import read_keys_file
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.sealing import Keyring, parse_keys

LOOK_S = 1.0
log = logging.getLogger(__name__)


class FollowedKeyring(Keyring):
    """The keys of a file, read again when it is another one, looked at once in LOOK_S at most.

    What it held stays while it cannot be read. A key that is taken out seals nothing more, but opens as long as the
    process lives: what it read a moment ago may still be sealed with that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._look_at = 0.0
        self._gone: dict[str, bytes] = {}
        super().__init__(parse_keys(read_keys_file(path), str(path)).keys)

    @property
    def keys(self) -> Mapping[str, bytes]:
        """The keys by their ids, as the file has them, the one that seals first."""
        if time.monotonic() >= self._look_at:
            self._look()
        return self._keys

    def find(self, kid: str) -> bytes | None:
        """Return the key of that id; one that is not known may just have come."""
        found = self.keys.get(kid)
        if found is None:
            self._look()
            found = self._keys.get(kid, self._gone.get(kid))
        return found

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_S
        stamp = _stamp(self._path)
        if stamp in (None, self._stamp):
            return
        self._stamp = stamp
        try:
            keys = dict(parse_keys(read_keys_file(self._path), str(self._path)).keys)
        except NotifyctlError as error:
            log.warning("the encryption keys stay what they were: %s", error.message)
            return
        self._gone, self._keys = {**self._gone, **self._keys}, keys
        log.info("the encryption keys are now %s", ", ".join(keys) or "none")


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
