"""Where configuration is kept, and how it is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import platformdirs

from notifyctl.core.errors import UsageError

ConfigFiles: TypeAlias = list[tuple[Path, dict[str, Any]]]

MOST_BYTES = 32 * 1024 * 1024
"""What is read of a file or of stdin at most: one that never ends is refused, not read until the memory is full."""
SYSTEM_FILE = Path("/etc/notifyctl/config.toml")


def user_file() -> Path | None:
    """Return the path of the user's configuration file; None for a user without a home."""
    return _at_home(platformdirs.user_config_dir, "config.toml")


def account_file() -> Path | None:
    """Return the file of the user who runs this, wherever HOME and XDG_CONFIG_HOME point; None where it has no home.

    None also for a home that is shut, as services run: there is nothing in it for them.
    """
    if os.name != "posix":
        return None
    import pwd

    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    folder = home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
    return folder / "notifyctl" / "config.toml" if os.access(home, os.X_OK) else None


def default_keys_file() -> Path | None:
    """Return the path where encryption keys are looked for when nothing else is said; None without a home."""
    return _at_home(platformdirs.user_config_dir, "keys")


def default_database() -> Path | None:
    """Return the path of the database where nothing else is said; None for a user without a home."""
    return _at_home(platformdirs.user_data_dir, "notifyctl.db")


def _at_home(folder: Callable[[str], str], name: str) -> Path | None:
    """Return a file of that name; None where neither HOME nor the password database knows a home."""
    try:
        found = folder("notifyctl")
    except RuntimeError:
        return None
    return None if found.startswith("~") else Path(found) / name  # platformdirs below 4.5 leaves the tilde


def expanded(path: str | Path) -> Path:
    """Return a path with its `~` expanded. Raises UsageError where nobody knows whose home that is."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: nobody knows whose home that is") from error


def contents(path: str | Path, where: str = "") -> bytes:
    """Return what is in a file. Raises OSError for one that cannot be read.

    Raises UsageError, which begins with `where`, for one without an end.
    """
    with expanded(path).open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{where}{path}: is larger than {MOST_BYTES:,} bytes")
    return raw


def read(explicit: str | None) -> ConfigFiles:
    """Return the configuration files and what they say: the one that was named, else the user's and the system's."""
    if explicit is not None:
        path = expanded(explicit)
        if not _is_file(path):
            raise UsageError(f"there is no configuration file {path}", "--config or NOTIFYCTL_CONFIG names it")
        return [(path, _parsed(path))]
    return [(path, _parsed(path)) for path in (user_file(), SYSTEM_FILE) if path and _is_file(path)]


def others(files: ConfigFiles) -> ConfigFiles:
    """Return the files that are read beside one that was named, for what they demand: a broken one lets nobody in."""
    named = {path for path, _ in files}
    beside = dict.fromkeys(path for path in (user_file(), account_file(), SYSTEM_FILE) if path and path not in named)
    return [(path, _parsed(path)) for path in beside if _is_file(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a folder that may not be looked into is not the same as no file
        raise UsageError(f"{path}: {error.strerror}") from error


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib  # there is a file

    try:
        return tomllib.loads(contents(path).decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deep") from error
