"""Changes to the keys file: by one process at a time, whole or not at all, its owner and mode kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from notifyctl.config import Settings, default_keys_file, read_keys_file
from notifyctl.core.errors import NotAllowed, UsageError
from notifyctl.core.sealing import format_key, parse_keys

Keys = Mapping[str, bytes]


def place(settings: Settings) -> Path:
    """Return the file in which commands keep keys, whether it is there or not.

    Raises UsageError where the keys are in a variable, which no command can change.
    """
    if settings.encryption_keys is not None:
        raise UsageError(
            "the encryption keys are in NOTIFYCTL_ENCRYPTION_KEYS, or in a profile: no command changes them there",
            "put them into a file that NOTIFYCTL_ENCRYPTION_KEYS_FILE names, or change them by hand: the first seals",
        )
    return Path(os.path.realpath(new(settings)))


def new(settings: Settings) -> Path:
    """Return where a first key is saved. Raises UsageError without a home."""
    found = settings.encryption_keys_file or default_keys_file()
    if found is None:
        raise UsageError(
            "there is no home folder to keep keys in", "--secret-file F, or name F in NOTIFYCTL_ENCRYPTION_KEYS_FILE"
        )
    return found


def change(path: Path, making: Callable[[Keys], Keys]) -> list[str]:
    """Put what `making` makes of a file's keys in their place, and return their ids.

    Raises UsageError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _turn(path.parent):
            keys = making(parse_keys(read_keys_file(path), str(path)).keys if path.exists() else {})
            _replace(path, "".join(f"{format_key(kid, key)}\n" for kid, key in keys.items()))
            return list(keys)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; nothing was changed",
            "whoever puts that file there changes it: a key a line, the first seals",
        ) from error


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".keys-", dir=path.parent)  # for its owner only
    try:
        with os.fdopen(descriptor, "w") as file:
            if path.exists():
                _resemble(file.fileno(), path.stat())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _resemble(descriptor: int, like: os.stat_result) -> None:
    here = os.fstat(descriptor)
    if os.name == "posix" and (here.st_uid, here.st_gid) != (like.st_uid, like.st_gid):
        os.fchown(descriptor, like.st_uid, like.st_gid)  # else whoever reads it could not any more


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def added(kid: str | None, key: bytes) -> Callable[[Keys], Keys]:
    """Return the change that adds a key where it is only read: behind all others. `kid`: None for the next one."""

    def change(keys: Keys) -> Keys:
        id_ = kid or next_id(keys)
        if id_ in keys:
            raise UsageError(f"there is a key {id_} already", "--kid gives it another id")
        return {**keys, id_: key}

    return change


def next_id(keys: Keys) -> str:
    """Return an id that no key has: k and a number."""
    taken = [int(kid[1:]) for kid in keys if kid.startswith("k") and kid[1:].isdigit()]
    return f"k{max(taken, default=0) + 1}"


def first(kid: str) -> Callable[[Keys], Keys]:
    """Return the change that lets a key seal."""
    return lambda keys: {kid: keys[kid], **keys}


def without(kid: str) -> Callable[[Keys], Keys]:
    """Return the change that takes a key out."""
    return lambda keys: {each: key for each, key in keys.items() if each != kid}


def require(keys: Keys, kid: str, path: Path) -> None:
    """Raise NotAllowed where there is no such key."""
    if kid not in keys:
        raise NotAllowed(f"{path} has no key {kid}; it has: {', '.join(keys) or 'none'}", "notifyctl secrets status")
