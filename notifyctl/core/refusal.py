"""Why an API key was refused, as it is noted: so that an operator hears of keys that are tried, or do not suffice."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class RefusedFor(StrEnum):
    """Why."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SCOPE = "scope"
    RESTRICTED = "restricted"
    LIMIT = "limit"


class KeyRefusal(NamedTuple):
    """What was refused; `key_id` is None for a key that is not known, and where there is none."""

    key_id: str | None
    reason: RefusedFor
