"""Batches: what was submitted together, and can be followed, paused and cancelled together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

from notifyctl.core.errors import UsageError

LONGEST_NAME = 100


class BatchSource(StrEnum):
    """Whose submissions they are: a file's rows, a fixture's, or an application's in one call."""

    FILE = "file"
    FIXTURES = "fixtures"
    APPLICATION = "application"


class BatchHold(StrEnum):
    """What holds a batch back: all of it, or all beyond its first."""

    PAUSED = "paused"
    CANARY = "canary"


class BatchState(StrEnum):
    """What a batch is, to be seen at a glance."""

    OPEN = "open"
    PAUSED = "paused"
    CANARY = "canary"
    CANCELLED = "cancelled"


def batch_name(text: str) -> str:
    """Return a batch's name as it is stored. Raises UsageError."""
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name.startswith("-"):
        hint = f"1 to {LONGEST_NAME} printable characters, the first no -"
        raise UsageError(f"--batch {text!r} is no name of a batch", hint)
    return name


def ids_digest(ids: Iterable[str]) -> str:
    """Return what the audit trail keeps of many ids: the SHA-256, in hex, of them in order, with a newline between."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
