"""What can go wrong for an operator, as one tree.

Each class owns its exit code, its machine-readable code and, where one serves all its cases, its hint::

    NotifyctlError                 1  failed
    ├── CommitUnknown              1  commit_unknown
    ├── UsageError                 2  usage
    ├── NotFound                   3  not_found
    ├── NotAllowed                 4  not_allowed
    │   ├── EncryptionKeyAway      4  not_allowed
    │   └── KeyNotAllowed          4  not_allowed
    ├── Conflict                   5  conflict
    ├── PartlyDone                 6  partly_done
    ├── AnswerIsNo                 7  no
    ├── SchemaMismatch             8  schema
    ├── RateLimited                9  rate_limited
    ├── DatabaseUnavailable       10  database_unavailable
    │   └── DatabaseReadOnly      10  database_unavailable
    └── TimedOut                  11  timeout
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from notifyctl.core.refusal import KeyRefusal, RefusedFor


class NotifyctlError(Exception):
    """An expected failure: one sentence on what is wrong with what, and the command that helps.

    `message` names the thing, without a full stop; `hint` says what to do about it. `problems` are the single ones
    where it sums up many: each as a line for people, and as JSON has it. `facts` is what else JSON has of it.
    `refusal` is what an API key was refused, where that is what it is about.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint
        self.problems: Sequence[tuple[str, Mapping[str, Any]]] = ()
        self.facts: Mapping[str, Any] = {}
        self.refusal: KeyRefusal | None = None

    def noting(self, refusal: KeyRefusal | None) -> Self:
        """Return the error, which sums up others among which an API key was refused this."""
        self.refusal = self.refusal or refusal
        return self


class CommitUnknown(NotifyctlError):
    """The connection was lost during COMMIT: the change may or may not have been stored."""

    code = "commit_unknown"
    default_hint = "look before you repeat; a submission repeated with its idempotency key is stored once"


class UsageError(NotifyctlError):
    """An option or argument that cannot be meant."""

    exit_code = 2
    code = "usage"


class NotFound(NotifyctlError):
    """A named thing does not exist."""

    exit_code = 3
    code = "not_found"


class NotAllowed(NotifyctlError):
    """The API key or the encryption key does not permit it."""

    exit_code = 4
    code = "not_allowed"


class EncryptionKeyAway(NotAllowed):
    """What is sealed needs an encryption key that is not on this host."""


class KeyNotAllowed(NotAllowed):
    """The API key that acts, or was to act, does not permit it: that is noted. `key_id` is None for an unknown one."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        key_id: str | None = None,
        reason: RefusedFor = RefusedFor.RESTRICTED,
    ) -> None:
        super().__init__(message, hint)
        if key_id is not None or reason in (RefusedFor.UNKNOWN, RefusedFor.MISSING):
            self.refusal = KeyRefusal(key_id, reason)


class Conflict(NotifyctlError):
    """The state of the thing does not allow it."""

    exit_code = 5
    code = "conflict"


class PartlyDone(NotifyctlError):
    """Some of many acts failed; each has its line in the output."""

    exit_code = 6
    code = "partly_done"


class AnswerIsNo(NotifyctlError):
    """A question was asked and the answer is no."""

    exit_code = 7
    code = "no"


class SchemaMismatch(NotifyctlError):
    """The database is not at the version this program needs, or does not exist yet."""

    exit_code = 8
    code = "schema"
    default_hint = "notifyctl migrate up"


class RateLimited(NotifyctlError):
    """More than a limit lets through; it will after `retry_after_ms`. Nothing was done."""

    exit_code = 9
    code = "rate_limited"

    def __init__(self, message: str, retry_after_ms: int, key_id: str | None = None) -> None:
        super().__init__(message, f"nothing was done; try again in {-(-retry_after_ms // 1_000)}s")
        self.facts = {"retry_after_ms": retry_after_ms}
        self.refusal = KeyRefusal(key_id, RefusedFor.LIMIT)


class DatabaseUnavailable(NotifyctlError):
    """The database cannot be reached, is full or read-only; nothing was changed."""

    exit_code = 10
    code = "database_unavailable"
    default_hint = "nothing was changed; repeat when the database is back"


class LockNotGranted(DatabaseUnavailable):
    """Somebody else held for too long what was to be locked; nothing was changed."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database takes no writes: a standby, or a file that may only be read."""


class TimedOut(NotifyctlError):
    """The time the caller gave is over; the work goes on."""

    exit_code = 11
    code = "timeout"
